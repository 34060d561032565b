"""`verify` compared with numbers calculated by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pocketlens.data.dataset import Dataset
from pocketlens.errors import DataError, OptionError
from pocketlens.evaluation.parity import Histogram, Parity, Tolerance, verify
from pocketlens.image import InputSpec
from predictors import Table, numbered

DATA = numbered([0, 0, 1, 1])
A = [[0.75, 0.25], [0.75, 0.25], [0.25, 0.75], [0.625, 0.375]]
B = [[0.75, 0.25], [0.375, 0.625], [0.3125, 0.6875], [0.625, 0.375]]


def test_numbers_calculated_by_hand() -> None:
    found = verify(Table(A), Table(B), DATA)
    assert (found.n, found.disagreed, found.agreement) == (4, 1, 0.75)
    assert found.max_difference == 0.375
    assert found.mean_difference == (0.375 + 0.0625) / 4
    assert (found.accuracy_a, found.accuracy_b) == (0.75, 0.5)
    [one] = found.disagreements
    assert (one.index, one.label) == (1, "cat")
    assert (one.a, one.a_confidence, one.b, one.b_confidence) == ("cat", 0.75, "dog", 0.625)
    assert not found.passed


def test_a_tie_counts_as_equal() -> None:
    """The labels differ, as 0.5 is on both sides; nothing that matters has changed."""
    a = [[0.5004, 0.4996], [0.9, 0.1], [0.1, 0.9], [0.4996, 0.5004]]
    b = [[0.4999, 0.5001], [0.9, 0.1], [0.1, 0.9], [0.5002, 0.4998]]
    found = verify(Table(a), Table(b), DATA)
    assert (found.disagreed, found.ties, found.agreement, found.passed) == (2, 2, 0.5, True)
    assert "label agreement 50.00 % (2 differ, 2 of them ties; required: at least" in str(found)
    wider = [[0.4993, 0.5007], *b[1:]]
    found = verify(Table(a), Table(wider), DATA, tolerance=Tolerance(0.75, 0.5))
    assert (found.disagreed, found.ties, found.passed) == (2, 1, True)
    assert "(2 differ, 1 of them a tie; required: at least 75.00 %)" in str(found)
    assert verify(Table(a), Table(wider), DATA).close_call


def test_difference_of_an_image_is_the_largest_over_its_classes() -> None:
    """Differences of 0.25, 0.125 and 0.125 count as 0.25, not as their mean, 1/6."""
    names = ("a", "b", "c")
    a, b = Table([[0.5, 0.25, 0.25]], names), Table([[0.75, 0.125, 0.125]], names)
    found = verify(a, b, numbered([0], names))
    assert (found.mean_difference, found.max_difference) == (0.25, 0.25)


def test_histogram_counts_every_image_once() -> None:
    found = verify(Table(A), Table(B), DATA).histogram
    edges = [0, *(10 ** (half / 2) for half in range(-16, 1))]
    assert found.edges == pytest.approx(edges)
    # 0 and 0 are in the first bin, 0.0625 in [10^-1.5, 10^-1), 0.375 in [10^-0.5, 1].
    assert found.counts == (2,) + (0,) * 13 + (1, 0, 1)


def test_difference_of_1_is_in_the_last_bin() -> None:
    found = verify(Table([[1, 0]]), Table([[0, 1]]), numbered([0]))
    assert (found.max_difference, found.histogram.counts[-1]) == (1, 1)


def test_classes_are_matched_by_name() -> None:
    turned = Table([row[::-1] for row in B], ("dog", "cat"))
    assert verify(Table(A), turned, DATA) == verify(Table(A), Table(B), DATA)


def test_each_predictor_gets_images_of_its_own_shape() -> None:
    other = Table(B, spec=InputSpec(3, 5, "rgb"))
    assert verify(Table(A), other, DATA) == verify(Table(A), Table(B), DATA)


def test_batch_size_does_not_change_the_result() -> None:
    assert verify(Table(A), Table(B), DATA, batch=3) == verify(Table(A), Table(B), DATA)


def test_20_disagreements_of_all_classes_are_kept_and_all_are_counted() -> None:
    n = 50
    labels = [0] * 45 + [1] * 5
    found = verify(Table([[1, 0]] * n), Table([[0, 1]] * n), numbered(labels), batch=15)
    assert found.disagreed == 50
    indices = [one.index for one in found.disagreements]
    assert len(set(indices)) == 20
    assert indices[15:] == [45, 46, 47, 48, 49]  # the rare class is not left out
    assert max(indices[:15]) > 20  # not simply the first images
    assert {(one.a, one.b, one.a_confidence) for one in found.disagreements} == {
        ("cat", "dog", 1.0)
    }


@pytest.mark.parametrize(
    ("changes", "passed"),
    [
        ({}, True),
        ({"max_difference": 0.11}, False),  # not a close call
        ({"disagreed": 2}, False),
        ({"disagreed": 3, "ties": 2}, True),
        ({"n": 999}, True),
        ({"n": 1000}, True),  # one of a thousand is within the tolerance
        ({"n": 1000, "disagreed": 2}, False),
        ({"n": 1000, "max_difference": 0.9}, True),
        ({"mean_difference": 6e-3}, False),
        ({"tolerance": Tolerance(agreement=1.0)}, False),  # none was wanted
    ],
)
def test_one_of_a_few_images_may_be_a_close_call(changes: dict[str, Any], passed: bool) -> None:
    values: dict[str, Any] = {
        "n": 80, "disagreed": 1, "max_difference": 0.02, "mean_difference": 1e-3,
        "accuracy_a": 1.0, "accuracy_b": 0.9875, "disagreements": (),
        "histogram": Histogram((0.0, 1.0), (80,)), "tolerance": Tolerance(),
    }  # fmt: skip
    found = Parity(**values | changes)
    assert found.passed == passed
    if not changes:
        assert "98.75 % (1 differ, a close call; required" in str(found)


@pytest.mark.parametrize(
    ("tolerance", "passed"),
    [
        (Tolerance(0.75, 0.109375), True),
        (Tolerance(0.7501, 0.109375), False),
        (Tolerance(0.75, 0.1093), False),
        (Tolerance(0, 1), True),
    ],
)
def test_passed_needs_both_limits(tolerance: Tolerance, passed: bool) -> None:
    found = verify(Table(A), Table(B), DATA, tolerance=tolerance)
    assert found.mean_difference == 0.109375
    assert found.passed is passed


def test_default_tolerance() -> None:
    assert Tolerance() == Tolerance(agreement=0.999, mean_difference=5e-3)
    same = verify(Table(A), Table(A), DATA)
    assert same.passed
    assert (same.max_difference, same.disagreements) == (0, ())


def test_both_predictors_may_have_the_class_nothing() -> None:
    names = ("cat", "dog", "nothing")
    a = Table([[0.5, 0.25, 0.25]], names)
    b = Table([[0.25, 0.25, 0.5]], names)
    found = verify(a, b, numbered([0]))
    assert found.disagreements[0].b == "nothing"


def test_round_trip_through_json() -> None:
    found = verify(Table(A), Table(B), DATA, tolerance=Tolerance(0.5, 0.5))
    values = json.loads(json.dumps(found.to_dict()))
    assert (values["passed"], values["agreement"]) == (True, 0.75)
    assert Parity.from_dict(values) == found


def test_summary_lines() -> None:
    assert str(verify(Table(A), Table(B), DATA)).splitlines() == [
        "parity FAILED on 4 images",
        "label agreement 75.00 % (1 differ; required: at least 99.90 %)",
        "mean |Δp| 1.09e-01 (required: at most 5.00e-03), max |Δp| 3.75e-01",
        "accuracy 75.00 % and 50.00 %",
        "WARNING: accuracy 50.0 % on 4 images is no better than guessing among 2 classes (50.0 %)",
    ]
    assert str(verify(Table(A), Table(A), DATA)).startswith("parity passed on 4 images\n")


@pytest.mark.parametrize(("first", "only"), [(True, "first"), (False, "second")])
def test_different_classes_are_an_error(first: bool, only: str) -> None:
    more, less = Table([[1, 0, 0]] * 4, ("cat", "dog", "emu")), Table(A)
    with pytest.raises(DataError) as error:
        verify(*((more, less) if first else (less, more)), DATA)
    assert str(error.value) == (
        f"the two models have different classes: only the {only} has the class 'emu'; "
        "expected two models with the same classes, such as a recognizer and the Core ML "
        "file converted from it"
    )


def test_empty_data_set_is_an_error() -> None:
    with pytest.raises(DataError, match="small is empty"):
        verify(Table(A), Table(B), numbered([]))


def test_class_that_the_models_lack_is_an_error() -> None:
    with pytest.raises(DataError, match="small has the class 'emu', which the model does not know"):
        verify(Table(A), Table(B), numbered([0], ("cat", "emu")))


@pytest.mark.parametrize("values", [{"agreement": 1.5}, {"mean_difference": -1}])
def test_tolerance_out_of_range_is_an_error(values: dict[str, float]) -> None:
    [(name, value)] = values.items()
    message = f"tolerance.{name} must be from 0 to 1; received: {value}"
    with pytest.raises(OptionError, match=message):
        Tolerance(**values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"disagreed": 5},
            "this is not a parity result: cannot have 5 different labels for 4 images",
        ),
        ({"ties": 2}, "cannot have 2 ties in 1 different labels"),
        ({"n": 0, "disagreed": 0}, "cannot have 0 different labels for 0 images"),
        ({"max_difference": "big"}, "max_difference must be a finite number; received: 'big'"),
        (
            {"histogram": {"edges": [0, 1], "counts": []}},
            "histogram must have one edge more than counts",
        ),
        ({"histogram": {}}, "histogram.edges is missing"),
        ({"disagreements": 7}, "this is not a parity result: disagreements must be a list; "),
    ],
)
def test_damaged_dictionary_is_an_error(change: dict[str, Any], message: str) -> None:
    values = {**verify(Table(A), Table(B), DATA).to_dict(), **change}
    with pytest.raises(DataError, match=message):
        Parity.from_dict(values)


def test_each_model_may_have_its_own_crop_of_the_images() -> None:
    other = Dataset(DATA.images[::-1], DATA.labels, DATA.classes, "other crop")
    found = verify(Table(A), Table(A[::-1]), DATA, dataset_of_a=other)
    assert (found.passed, found.accuracy_a, found.accuracy_b) == (True, 0.25, 0.25)
    relabeled = Dataset(DATA.images, 1 - DATA.labels, DATA.classes, "relabeled")
    with pytest.raises(DataError, match="the two data sets have different labels"):
        verify(Table(A), Table(A), DATA, dataset_of_a=relabeled)
