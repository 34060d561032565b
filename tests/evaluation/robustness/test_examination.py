"""The whole robustness suite: its tests, their images, and skipped tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evaluation.robustness.rules import Rules
from pocketlens import run_suite
from pocketlens.data import Dataset
from pocketlens.errors import DataError, OptionError
from pocketlens.evaluation.robustness import CORRUPTIONS, EMPTY_KINDS, SuiteResult, Table
from pocketlens.evaluation.robustness.ranges import SURFACES
from pocketlens.image import InputSpec

DIGITS = tuple("0123456789")


def by_light(images: np.ndarray) -> np.ndarray:
    """The class depends on the mean brightness: `0` below a quarter of white, up to `3`."""
    share = images.mean(axis=(1, 2, 3)) / 256
    rows = np.full((len(images), 10), 0.02)
    rows[np.arange(len(images)), (4 * share).astype(int)] = 0.82
    return rows


def table(result: SuiteResult, name: str) -> Table:
    found = result.table(name)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def reported() -> list[str]:
    return []


@pytest.fixture(scope="module")
def found(drawings: Dataset, reported: list[str]) -> SuiteResult:
    model = Rules(DIGITS, by_light, InputSpec(28, 28))
    return run_suite(model, drawings, limit=20, seed=3, progress=reported.append)


def test_every_test_has_a_table(found: SuiteResult, reported: list[str]) -> None:
    names = ["clean", "corruptions", "turns", "scale", "position", "polarity", "camera"]
    assert [table.name for table in found.tables] == names
    assert reported == [*names, "rejection"]
    shapes = {t.name: (len(t.rows), len(t.columns)) for t in found.tables}
    assert shapes == {
        "clean": (1, 11),
        "corruptions": (15, 5),
        "turns": (1, 19),
        "scale": (1, 11),
        "position": (5, 5),
        "polarity": (1, 2),
        "camera": (1, 1 + len(SURFACES)),
    }
    assert table(found, "corruptions").rows == tuple(CORRUPTIONS)
    assert found.table("nonsense") is None
    assert found.left_out == ()


def test_clean_test_uses_all_images_and_the_others_the_limit(found: SuiteResult) -> None:
    clean = table(found, "clean")
    assert clean.columns == ("all", *DIGITS)
    assert [score.n for score in clean.scores[0]] == [40, *([4] * 10)]
    # All drawings are darker than a quarter, so all predictions are 0; a tenth of the digits are.
    assert clean.scores[0][0].accuracy == 0.1
    assert [score.accuracy for score in clean.scores[0][1:]] == [1, *([0] * 9)]
    others = [t for t in found.tables if t.name not in ("clean", "camera")]
    assert {score.n for other in others for row in other.scores for score in row} == {20}
    assert [score.n for score in table(found, "camera").scores[0]] == [20, 3, 3, 3, 3, 2, 2, 2, 2]


def test_rejection_compares_photos_with_all_kinds_of_empty_scenes(found: SuiteResult) -> None:
    rejection = found.rejection
    assert rejection.note == "20 photos of digits against 20 scenes without a digit"
    assert [share.name for share in rejection.kept_by_kind] == [s.name for s in SURFACES]
    assert [share.name for share in rejection.false_by_kind] == list(EMPTY_KINDS)
    # The output is always 0.82 for a digit, never `nothing`, so digits and empty scenes are equal.
    assert (rejection.kept.share, rejection.false.share, rejection.auroc) == (1, 1, 0.5)


def test_result_is_reproducible(found: SuiteResult, drawings: Dataset) -> None:
    again = run_suite(Rules(DIGITS, by_light, InputSpec(28, 28)), drawings, limit=20, seed=3)
    assert replace(again, seconds=found.seconds) == found


def test_threshold_decides_which_labels_are_shown(drawings: Dataset) -> None:
    model = Rules(DIGITS, by_light, InputSpec(28, 28))
    rejection = run_suite(model, drawings, limit=2, threshold=0.83).rejection
    assert (rejection.kept.share, rejection.false.share) == (0, 0)
    assert run_suite(model, drawings, limit=2).rejection.threshold == 0.7  # the model's own


def test_transformed_images_have_the_models_input_size(drawings: Dataset) -> None:
    model = Rules(DIGITS, by_light, InputSpec(48, 48))
    result = run_suite(model, drawings, limit=2)
    # Rotation by 0° and scaling by 1 give the same images, 48 × 48 as the model's input.
    unturned, unscaled = table(result, "turns").scores[0][9], table(result, "scale").scores[0][7]
    assert unturned.accuracy == unscaled.accuracy
    assert {images.shape[1:] for images in model.inputs} == {(48, 48, 1)}


def test_neutral_transforms_do_not_change_the_images(drawings: Dataset) -> None:
    model = Rules(DIGITS, by_light, InputSpec(28, 28))
    run_suite(model, drawings, limit=5)
    # One call for the clean images, 75 for the corruptions, then 19 rotations and 11 scales.
    unturned, unscaled, turned = model.inputs[76 + 9], model.inputs[76 + 19 + 7], model.inputs[76]
    straight = drawings.images[np.sort(np.random.default_rng([0, 3]).permutation(40)[:5])]
    assert (unturned == straight).all()
    assert (unscaled == straight).all()
    assert np.abs(turned.astype(int) - straight).mean() > 20


@pytest.fixture(scope="module")
def bars_result(bars_test: Dataset) -> SuiteResult:
    def rule(images: np.ndarray) -> np.ndarray:
        rows = np.full((len(images), 4), 0.1)
        rows[np.arange(len(images)), (images.mean(axis=(1, 2, 3)) > 60).astype(int)] = 0.7
        return rows

    names = ("stands", "lies", "slants", "nothing")
    return run_suite(Rules(names, rule, InputSpec(12, 12)), bars_test, limit=16)


def test_classes_other_than_digits(bars_result: SuiteResult) -> None:
    names = [table.name for table in bars_result.tables]
    assert names == ["clean", "corruptions", "turns", "scale", "position", "polarity"]
    assert bars_result.left_out == (
        "camera (simulated photos): only possible for the digits 0 to 9; the data has the "
        "classes 'stands', 'lies', 'slants'",
    )
    rejection = bars_result.rejection
    assert rejection.note.startswith("16 clean images against 16 scenes of walls, textures, signs")
    assert rejection.kept_by_kind == ()
    assert [share.name for share in rejection.false_by_kind] == list(EMPTY_KINDS[:16])
    assert "Left out: camera" in str(bars_result)


def test_photos_are_not_accepted_as_drawings(drawings: Dataset) -> None:
    photos = replace(drawings, images=255 - drawings.images)
    result = run_suite(Rules(DIGITS, by_light, InputSpec(28, 28)), photos, limit=2)
    assert "is not a drawing in light ink on black" in result.left_out[0]
    assert result.table("camera") is None


def test_data_with_images_of_nothing(drawings: Dataset) -> None:
    classes = (*DIGITS, "nothing")
    labels = np.where(np.arange(40) < 20, 10, drawings.labels)
    mixed = Dataset(drawings.images, labels, classes, "mixed")

    def rule(images: np.ndarray) -> np.ndarray:
        return np.tile([*([0.05] * 10), 0.5], (len(images), 1))

    result = run_suite(Rules(classes, rule, InputSpec(28, 28)), mixed, limit=10)
    assert result.rejection.note.startswith("8 photos of digits")
    assert (result.rejection.kept.share, result.rejection.false.share) == (0, 0)
    only = Dataset(drawings.images, np.full(40, 10), classes, "empty")
    with pytest.raises(DataError, match="empty has only images of the class 'nothing'; expected"):
        run_suite(Rules(classes, rule, InputSpec(28, 28)), only, limit=2)


def test_round_trip_through_json(found: SuiteResult, bars_result: SuiteResult) -> None:
    for result in (found, bars_result):
        assert SuiteResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("tables"), "this is not a result of the suite: tables is missing"),
        (lambda d: d["tables"][1]["rows"].pop(), "'corruptions' has 14 rows and 5 columns, but"),
        (lambda d: d["rejection"]["digits"].pop(), "histograms of scores must have 20 bins"),
        (
            lambda d: d.update(limit="many"),
            "limit must be an integer from 0 to 2.53; received: 'many",
        ),
        (lambda d: d.update(classes="0123"), "classes must be a list; received: '0123'"),
        (
            lambda d: d["rejection"].update(auroc=float("nan")),
            "rejection.auroc must be a finite number; received: nan",
        ),
    ],
)
def test_damaged_result_is_rejected(
    found: SuiteResult, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    values = json.loads(json.dumps(found.to_dict()))
    change(values)
    with pytest.raises(DataError, match=message):
        SuiteResult.from_dict(values)


def test_text_has_every_table(found: SuiteResult) -> None:
    text = str(found)
    for words in (
        "Clean images",
        "all 40 test images",
        "fifteen corruptions as in MNIST-C, at five strengths, 20 images each",
        "canny edges",
        "+45°",
        "20 % left",
        "inverted",
        "squared paper",
        "AUROC 0.5000; false positives when 95 % of the digits are kept: 100.00 %",
        "false positives, by kind of scene",
        "scrambled digit",
    ):
        assert words in text
    assert max(len(line) for line in text.splitlines()) <= 130


def test_invalid_arguments_are_rejected(drawings: Dataset) -> None:
    model = Rules(DIGITS, by_light, InputSpec(28, 28))
    for limit in (0, 10_001):
        with pytest.raises(
            OptionError, match=f"limit must be .* from 1 to 10000; received: {limit}"
        ):
            run_suite(model, drawings, limit=limit)
    with pytest.raises(OptionError, match=r"threshold must be from 0 to 1; received: 1.5"):
        run_suite(model, drawings, threshold=1.5)
    with pytest.raises(OptionError, match="there is no test 'turn'; did you mean 'turns'?"):
        run_suite(model, drawings, tests=["turn"])
    with pytest.raises(DataError, match="strokes/test is empty"):
        run_suite(model, drawings.subset([]))
    with pytest.raises(DataError, match="has the class '9', which the model does not know"):
        run_suite(Rules(DIGITS[:9], lambda x: by_light(x)[:, :9], InputSpec(28, 28)), drawings)
