"""`evaluate` compared with numbers calculated by hand or published."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from pocketlens.errors import DataError, OptionError
from pocketlens.evaluation.accuracy import Evaluation, evaluate, percent
from pocketlens.evaluation.chance import wilson_interval
from pocketlens.image import InputSpec
from predictors import Table, numbered

CATS = numbered([0, 0, 0, 1, 1])
TABLE = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6], [0.96, 0.04]]


def test_numbers_calculated_by_hand() -> None:
    found = evaluate(Table(TABLE), CATS)
    assert (found.n, found.accuracy) == (5, 0.6)
    assert found.confusion == ((2, 1), (1, 1))
    cat, dog = found.per_class
    assert (cat.name, cat.count, cat.precision, cat.recall) == ("cat", 3, 2 / 3, 2 / 3)
    assert (dog.name, dog.count, dog.precision, dog.recall) == ("dog", 2, 1 / 2, 1 / 2)
    likelihoods = [0.9, 0.8, 0.3, 0.6, 0.04]
    assert found.loss == pytest.approx(-sum(math.log(p) for p in likelihoods) / 5, rel=1e-6)
    assert [(m.index, m.label, m.predicted) for m in found.mistakes] == [
        (4, "dog", "cat"),
        (2, "cat", "dog"),
    ]
    assert [m.confidence for m in found.mistakes] == pytest.approx([0.96, 0.7])
    assert found.milliseconds_per_image == pytest.approx(1000 * found.seconds / 5)


def test_calibration_is_the_weighted_gap_of_each_bin() -> None:
    # Five confidences in five bins: 0.9 right, 0.8 right, 0.7 wrong, 0.6 right, 0.96 wrong.
    found = evaluate(Table(TABLE), CATS).calibration
    assert found.error == pytest.approx((0.1 + 0.2 + 0.7 + 0.4 + 0.96) / 5, rel=1e-6)
    assert len(found.bins) == 15
    assert (found.bins[0].low, found.bins[-1].high) == (0, 1)
    filled = {k: one for k, one in enumerate(found.bins) if one.count}
    # 0.6 and 0.8: in float32 they are slightly above their bins' upper ends 9/15 and 12/15.
    assert {k: one.accuracy for k, one in filled.items()} == {9: 1, 10: 0, 12: 1, 13: 1, 14: 0}
    assert found.bins[0].confidence is None
    assert found.bins[0].accuracy is None


def test_bin_averages_its_predictions() -> None:
    """Two predictions in a bin, one right: |1/2 − 0.9|, not the mean of |1 − 0.9| and |0 − 0.9|."""
    table = [[0.91, 0.09], [0.89, 0.11]]
    found = evaluate(Table(table), numbered([0, 1]))
    assert found.calibration.error == pytest.approx(0.4, rel=1e-5)
    assert found.calibration.bins[13].count == 2


def test_full_confidence_is_in_the_last_bin() -> None:
    found = evaluate(Table([[1, 0]]), numbered([0]))
    assert found.calibration.bins[-1].count == 1
    assert found.calibration.error == 0


# Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17
# (1998), table I, method 3 (Wilson's score without continuity correction), four decimals.
@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_matches_newcombes_table(
    right: int, n: int, low: float, high: float
) -> None:
    assert wilson_interval(right, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("right", "n"), [(1, 1), (3, 7), (9905, 10_000), (59_999, 60_000)])
def test_wilson_ends_are_where_the_normal_test_just_rejects(right: int, n: int) -> None:
    """The ends p solve |right/n − p| = z √(p(1−p)/n), which defines the interval."""
    assert sum(0 < p < 1 for p in wilson_interval(right, n)) >= 1
    for p in wilson_interval(right, n):
        if 0 < p < 1:
            reach = 1.959963984540054 * math.sqrt(p * (1 - p) / n)
            assert abs(right / n - p) == pytest.approx(reach, rel=1e-9)


def test_wilson_interval_stays_in_bounds() -> None:
    for n in (1, 3, 10_000, 1_000_003):
        assert wilson_interval(0, n)[0] == pytest.approx(0, abs=1e-15)
        assert wilson_interval(0, n)[0] >= 0
        assert wilson_interval(n, n)[1] == pytest.approx(1, abs=1e-15)
        assert wilson_interval(n, n)[1] <= 1


def test_classes_are_matched_by_name() -> None:
    straight = evaluate(Table(TABLE), CATS)
    turned = evaluate(Table([row[::-1] for row in TABLE], ["dog", "cat"]), CATS)
    assert turned.classes == ("cat", "dog")
    assert (turned.confusion, turned.loss) == (straight.confusion, straight.loss)
    assert (turned.per_class, turned.mistakes) == (straight.per_class, straight.mistakes)


def test_for_equal_probabilities_the_models_first_class_wins() -> None:
    even = [[0.5, 0.5]]
    data = numbered([0])
    assert evaluate(Table(even), data).accuracy == 1
    assert evaluate(Table(even, ["dog", "cat"]), data).accuracy == 0


def test_prediction_of_a_class_that_only_the_model_has_is_a_mistake() -> None:
    table = [[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]
    found = evaluate(Table(table, ["nothing", "dog", "cat"]), numbered([0, 0]))
    assert found.classes == ("cat", "dog", "nothing")
    assert found.confusion == ((1, 0, 1), (0, 0, 0), (0, 0, 0))
    cat, dog, nothing = found.per_class
    assert (cat.precision, cat.recall) == (1, 0.5)
    assert (dog.precision, dog.recall, dog.count) == (None, None, 0)
    assert (nothing.precision, nothing.recall, nothing.count) == (0, None, 0)
    assert found.mistakes[0].predicted == "nothing"


def test_rounded_zero_does_not_make_the_loss_infinite() -> None:
    found = evaluate(Table([[0, 1]]), numbered([0]))
    assert found.loss == pytest.approx(7 * math.log(10))


def test_batch_size_does_not_change_the_result() -> None:
    whole, parts = Table(TABLE), Table(TABLE)
    first, second = evaluate(whole, CATS), evaluate(parts, CATS, batch=2)
    assert (whole.batches, parts.batches) == ([5], [2, 2, 1])
    assert second.mistakes == first.mistakes
    assert second.confusion == first.confusion
    assert second.loss == first.loss


def test_images_are_resized_to_the_models_input() -> None:
    data = numbered([0, 0, 0, 1, 1], size=6)
    found = evaluate(Table(TABLE, spec=InputSpec(3, 2, "rgb")), data)
    assert found.confusion == ((2, 1), (1, 1))


def test_36_most_confident_mistakes_are_kept() -> None:
    sure = np.linspace(0.6, 0.9, 50)
    found = evaluate(Table(np.stack([1 - sure, sure], 1)), numbered([0] * 50))
    assert [m.index for m in found.mistakes] == list(range(49, 13, -1))


def test_round_trip_through_json() -> None:
    found = evaluate(Table([[*row, 0] for row in TABLE], ["cat", "dog", "nothing"]), CATS)
    assert Evaluation.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_summary_lines() -> None:
    warning, first, second = str(evaluate(Table(TABLE), CATS)).splitlines()
    assert warning == (
        "WARNING: accuracy 60.0 % on 5 images is no better than guessing among 2 classes (50.0 %)"
    )
    # Wilson's formula for 3 of 5: 0.2307 to 0.8824.
    assert first == "accuracy 60.00 % of 5 images (95 % interval 23.07 % to 88.24 %)"
    assert second.startswith("loss 1.0524, calibration error 47.20 %, ")
    assert second.endswith(" ms per image")


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.987, "98.70 %"),
        (1, "100.00 %"),
        (0.99999, "99.99 %"),
        (0, "0.00 %"),
        (0.99994, "99.99 %"),
    ],
)
def test_percent_is_100_only_for_all(share: float, text: str) -> None:
    assert percent(share) == text


def test_empty_data_set_is_an_error() -> None:
    with pytest.raises(DataError, match="small is empty; expected at least one labeled image"):
        evaluate(Table([[1]], ["cat"]), numbered([], ["cat"]))


def test_class_that_the_model_lacks_is_an_error() -> None:
    data = numbered([0], ["cat", "emu", "owl"])
    with pytest.raises(DataError) as error:
        evaluate(Table(TABLE, ["dog", "cat"]), data)
    assert str(error.value) == (
        "small has the classes 'emu', 'owl', which the model does not know; the model has "
        "the classes 'dog', 'cat'; use data with the classes the model was trained on"
    )


def test_long_list_of_classes_is_shortened_in_the_message() -> None:
    names = [f"c{k}" for k in range(1000)]
    with pytest.raises(DataError, match=r"'c0', 'c1', .*'c11' and 988 more") as error:
        evaluate(Table([[1]], names), numbered([0], ["cat"]))
    assert "the class 'cat'" in str(error.value)
    assert len(str(error.value)) < 300


def test_batch_size_below_one_is_an_error() -> None:
    with pytest.raises(OptionError, match="batch must be an integer of at least 1; received: 0"):
        evaluate(Table(TABLE), CATS, batch=0)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[3.0, -1.0]] * 5, "received: a row from -1 to 3 with sum 2; is the softmax missing"),
        ([[2.0, -1.0]] * 5, "received: a row from -1 to 2 with sum 1"),
        ([[0.5, 0.5], [np.nan, 1.0]] * 3, "received: a row from nan to nan with sum nan"),
        (
            [[1.0, 0, 0]] * 5,
            r"returned an array of shape \(5, 3\) for 5 images; expected one probability per "
            r"class, shape \(5, 2\)",
        ),
    ],
)
def test_outputs_that_are_not_probabilities_are_an_error(
    table: list[list[float]], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        evaluate(Table(table), CATS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": None}, "this is not an evaluation: loss must be a finite number; received: None"),
        ({"n": 2.5}, "n must be an integer from 0 to 2.53; received: 2.5"),
        ({"accuracy": float("nan")}, "accuracy must be a finite number; received: nan"),
        ({"confusion": [[1]]}, "has 2 classes, but tables of another size"),
        ({"interval": [1]}, "this is not an evaluation: interval must have 2 items; received: 1"),
        ({"per_class": 3}, "this is not an evaluation: per_class must be a list; received: 3"),
        ({"mistakes": [[1]]}, "this is not an evaluation: mistakes.index has the wrong type"),
    ],
)
def test_damaged_dictionary_is_an_error(change: dict[str, Any], message: str) -> None:
    values = {**evaluate(Table(TABLE), CATS).to_dict(), **change}
    with pytest.raises(DataError, match=message):
        Evaluation.from_dict(values)


def test_missing_key_is_an_error() -> None:
    with pytest.raises(DataError, match="this is not an evaluation: classes is missing"):
        Evaluation.from_dict({})
