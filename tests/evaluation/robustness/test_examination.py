"""The whole suite: which tests, on which images, and what is left out."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pocketlens import run_suite
from pocketlens.data import Dataset
from pocketlens.errors import DataError, OptionError
from pocketlens.evaluation.robustness import CORRUPTIONS, EMPTY_KINDS, SuiteResult
from pocketlens.evaluation.robustness.ranges import SURFACES
from pocketlens.image import InputSpec

DIGITS = tuple("0123456789")


def by_light(images: np.ndarray) -> np.ndarray:
    """By how light an image is: `0` below a quarter of white, and so on to `3`."""
    share = images.mean(axis=(1, 2, 3)) / 256
    rows = np.full((len(images), 10), 0.02)
    rows[np.arange(len(images)), (4 * share).astype(int)] = 0.82
    return rows


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def found(rules, drawings: Dataset, said: list[str]) -> SuiteResult:
    model = rules(DIGITS, by_light, InputSpec(28, 28))
    return run_suite(model, drawings, limit=20, seed=3, progress=said.append)


def test_every_test_has_its_table(found: SuiteResult, said: list[str]) -> None:
    names = ["clean", "corruptions", "turns", "scale", "position", "polarity", "camera"]
    assert [table.name for table in found.tables] == names
    assert said == [*names, "rejection"]
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
    assert found.table("corruptions").rows == tuple(CORRUPTIONS)
    assert found.table("nonsense") is None
    assert found.left_out == ()


def test_clean_takes_all_images_and_the_others_the_limit(found, drawings: Dataset) -> None:
    clean = found.table("clean")
    assert clean.columns == ("all", *DIGITS)
    assert [score.n for score in clean.scores[0]] == [40, *([4] * 10)]
    # All drawings are darker than a quarter, so all are answered 0, of which there is a tenth.
    assert clean.scores[0][0].accuracy == 0.1
    assert [score.accuracy for score in clean.scores[0][1:]] == [1, *([0] * 9)]
    others = [t for t in found.tables if t.name not in ("clean", "camera")]
    assert {score.n for table in others for row in table.scores for score in row} == {20}
    assert [score.n for score in found.table("camera").scores[0]] == [20, 3, 3, 3, 3, 2, 2, 2, 2]


def test_rejection_is_of_photographs_against_all_kinds(found: SuiteResult) -> None:
    rejection = found.rejection
    assert rejection.note == "20 photographs of digits against 20 scenes without a digit"
    assert [share.name for share in rejection.kept_by_kind] == [s.name for s in SURFACES]
    assert [share.name for share in rejection.false_by_kind] == list(EMPTY_KINDS)
    # Always 0.82 for a digit, never `nothing`: all is kept, all is answered, nothing is told apart.
    assert (rejection.kept.share, rejection.false.share, rejection.auroc) == (1, 1, 0.5)


def test_it_is_the_same_again(found: SuiteResult, rules, drawings: Dataset) -> None:
    again = run_suite(rules(DIGITS, by_light, InputSpec(28, 28)), drawings, limit=20, seed=3)
    assert replace(again, seconds=found.seconds) == found


def test_a_threshold_decides_what_is_shown(rules, drawings: Dataset) -> None:
    model = rules(DIGITS, by_light, InputSpec(28, 28))
    rejection = run_suite(model, drawings, limit=2, threshold=0.83).rejection
    assert (rejection.kept.share, rejection.false.share) == (0, 0)
    assert run_suite(model, drawings, limit=2).rejection.threshold == 0.7  # the model's own


def test_images_are_moved_on_the_models_own_canvas(rules, drawings: Dataset) -> None:
    model = rules(DIGITS, by_light, InputSpec(48, 48))
    result = run_suite(model, drawings, limit=2)
    assert (
        result.table("turns").scores[0][9].accuracy == result.table("scale").scores[0][7].accuracy
    )


def test_the_middle_of_each_test_is_the_image_as_it_is(rules, drawings: Dataset) -> None:
    model = rules(DIGITS, by_light, InputSpec(28, 28))
    run_suite(model, drawings, limit=5)
    # One call for the clean images, 75 for the corruptions, then 19 turns and 11 sizes.
    unturned, unscaled, turned = model.seen[76 + 9], model.seen[76 + 19 + 7], model.seen[76]
    straight = drawings.images[np.sort(np.random.default_rng([0, 3]).permutation(40)[:5])]
    assert (unturned == straight).all()
    assert (unscaled == straight).all()
    assert np.abs(turned.astype(int) - straight).mean() > 20


@pytest.fixture(scope="module")
def of_bars(rules, bars_test: Dataset) -> SuiteResult:
    def rule(images: np.ndarray) -> np.ndarray:
        rows = np.full((len(images), 4), 0.1)
        rows[np.arange(len(images)), (images.mean(axis=(1, 2, 3)) > 60).astype(int)] = 0.7
        return rows

    names = ("stands", "lies", "slants", "nothing")
    return run_suite(rules(names, rule, InputSpec(12, 12)), bars_test, limit=16)


def test_other_classes_than_digits(of_bars: SuiteResult) -> None:
    names = [table.name for table in of_bars.tables]
    assert names == ["clean", "corruptions", "turns", "scale", "position", "polarity"]
    assert of_bars.left_out == (
        "camera (simulated photographs): they are taken of the digits 0 to 9; the data has the "
        "classes 'stands', 'lies', 'slants'",
    )
    rejection = of_bars.rejection
    assert rejection.note.startswith("16 clean images against 16 scenes of walls, textures, signs")
    assert rejection.kept_by_kind == ()
    assert [share.name for share in rejection.false_by_kind] == list(EMPTY_KINDS[:16])
    assert "Left out: camera" in str(of_bars)


def test_photos_of_digits_are_no_drawings(rules, drawings: Dataset) -> None:
    photos = replace(drawings, images=255 - drawings.images)
    result = run_suite(rules(DIGITS, by_light, InputSpec(28, 28)), photos, limit=2)
    assert "is no drawing in light ink on black" in result.left_out[0]
    assert result.table("camera") is None


def test_images_of_nothing_among_the_data(rules, drawings: Dataset) -> None:
    classes = (*DIGITS, "nothing")
    labels = np.where(np.arange(40) < 20, 10, drawings.labels)
    mixed = Dataset(drawings.images, labels, classes, "mixed")

    def rule(images: np.ndarray) -> np.ndarray:
        return np.tile([*([0.05] * 10), 0.5], (len(images), 1))

    result = run_suite(rules(classes, rule, InputSpec(28, 28)), mixed, limit=10)
    assert result.rejection.note.startswith("8 photographs")
    assert (result.rejection.kept.share, result.rejection.false.share) == (0, 0)
    only = Dataset(drawings.images, np.full(40, 10), classes, "empty")
    with pytest.raises(DataError, match="empty has no image but of 'nothing'; expected others"):
        run_suite(rules(classes, rule, InputSpec(28, 28)), only, limit=2)


def test_a_result_survives_json(found: SuiteResult, of_bars: SuiteResult) -> None:
    for result in (found, of_bars):
        assert SuiteResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("tables"), "not a result of the suite: the key 'tables' is missing"),
        (lambda d: d["tables"][1]["rows"].pop(), "'corruptions' has 14 rows and 5 columns, but"),
        (lambda d: d["rejection"]["digits"].pop(), "histograms of rejection have 20 bins"),
        (lambda d: d.update(limit="many"), "expected a whole number from 0; received: 'many'"),
        (lambda d: d.update(classes="0123"), "expected a list of names; received: '0123'"),
        (lambda d: d["rejection"].update(auroc=float("nan")), "expected a number; received: nan"),
    ],
)
def test_a_damaged_result_is_refused(found: SuiteResult, change, message: str) -> None:
    values = json.loads(json.dumps(found.to_dict()))
    change(values)
    with pytest.raises(DataError, match=message):
        SuiteResult.from_dict(values)


def test_the_text_has_every_table(found: SuiteResult) -> None:
    text = str(found)
    for words in (
        "Clean images",
        "all 40 test images",
        "fifteen kinds of damage after MNIST-C, at five strengths, 20 images each",
        "canny edges",
        "+45°",
        "20 % left",
        "negative",
        "squared paper",
        "AUROC 0.5000; 100.00 % of nothing scores as high as 95 % of what is there",
        "false answers to nothing",
        "scrambled digit",
    ):
        assert words in text
    assert max(len(line) for line in text.splitlines()) <= 130


def test_what_cannot_be_is_refused(rules, drawings: Dataset) -> None:
    model = rules(DIGITS, by_light, InputSpec(28, 28))
    for limit in (0, 10_001):
        with pytest.raises(OptionError, match=f"images from 1 to 10000; received: {limit}"):
            run_suite(model, drawings, limit=limit)
    with pytest.raises(OptionError, match=r"threshold is a probability from 0 to 1; received: 1.5"):
        run_suite(model, drawings, threshold=1.5)
    with pytest.raises(DataError, match="strokes/test is empty"):
        run_suite(model, drawings.subset([]))
    with pytest.raises(DataError, match="has the class '9', which the model does not know"):
        run_suite(rules(DIGITS[:9], lambda x: by_light(x)[:, :9], InputSpec(28, 28)), drawings)
