"""`run_suite`: runs all tests of the robustness suite, one after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.errors import DataError, OptionError, did_you_mean
from pocketlens.evaluation.accuracy import Evaluation, evaluate, listed
from pocketlens.evaluation.chance import wilson_interval
from pocketlens.evaluation.robustness.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from pocketlens.evaluation.robustness.drawing import rotation, scaling, translation
from pocketlens.evaluation.robustness.empty import empty_kind, empty_scenes
from pocketlens.evaluation.robustness.photos import check_drawings, photograph, surface_of
from pocketlens.evaluation.robustness.ranges import SURFACES, VERSION
from pocketlens.evaluation.robustness.rejection import measure_rejection
from pocketlens.evaluation.robustness.result import Rejection, Score, SuiteResult, Table
from pocketlens.evaluation.robustness.warp import warped
from pocketlens.prediction import NOTHING, Predictor, Thresholds

__all__ = ["LIMIT", "TESTS", "Progress", "run_suite"]

TESTS = ("clean", "corruptions", "turns", "scale", "position", "polarity", "camera")
"""The tests that produce a table, in order."""

LIMIT = 1000
"""Images per test. With this many, the suite takes about two minutes with a small model on two
cores, and an accuracy of 99 % has an error of at most 0.8 %."""

MAX_LIMIT = 10_000
"""The largest limit allowed: this many photos take 256 MB."""

ANGLES = tuple(range(-45, 46, 5))
SIZES = tuple(round(0.1 * step, 1) for step in range(3, 14))
SHIFTS = (-0.2, -0.1, 0.0, 0.1, 0.2)
SHIFTED_SCALE = 0.7
"""The scale of images that are shifted. MNIST's 20 × 20 box is then half the frame and stays
inside."""

DIGITS = tuple("0123456789")

Progress = Callable[[str], None]


def run_suite(
    predictor: Predictor,
    dataset: Dataset,
    *,
    limit: int = LIMIT,
    seed: int = 0,
    threshold: float | None = None,
    tests: Collection[str] = TESTS,
    progress: Progress | None = None,
) -> SuiteResult:
    """Test a recognizer on clean, corrupted, rotated, scaled and shifted images, photos and scenes.

    `seed` determines all tests, so two models get the same images. Photos are simulated only for
    digits in light ink on black (MNIST, `strokes`). For other data this test is skipped, and the
    clean images are compared with the empty scenes instead.

    Args:
        predictor: A Recognizer, a CoreMLModel or any other Predictor.
        dataset: Test images in their original size; the predictor must have all of its classes.
        limit: Number of images per test, from 1 to 10,000; the clean test uses all images.
        seed: Chooses the images and draws the tests.
        threshold: The lowest probability at which a label counts as shown, in [0, 1]; default: the
            model's own.
        tests: The tables to make, from `TESTS`; rejection is always measured.
        progress: Called with the name of each test when it starts.

    Raises:
        OptionError: The limit or threshold is out of range, or a test is unknown.
        DataError: There are no images, or the predictor lacks one of the classes.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise OptionError(
            f"limit must be a number of images from 1 to {MAX_LIMIT}; received: {limit}"
        )
    thresholds = predictor.thresholds
    if threshold is not None:
        if not 0 <= threshold <= 1:
            raise OptionError(f"threshold must be from 0 to 1; received: {threshold}")
        thresholds = replace(thresholds, show=threshold, keep=min(thresholds.keep, threshold))
    if unknown := [name for name in tests if name not in TESTS]:
        raise OptionError(f"there is no test '{unknown[0]}'; {did_you_mean(unknown[0], TESTS)}")
    start = time.perf_counter()
    report = progress or (lambda _: None)
    tables = []
    if "clean" in tests:
        report("clean")
        tables.append(_clean(evaluate(predictor, dataset)))
    order = np.random.default_rng([seed, 3]).permutation(len(dataset))[:limit]
    some = replace(dataset.subset(np.sort(order)), name=dataset.name)
    for name, test in (
        ("corruptions", _corruptions),
        ("turns", _turns),
        ("scale", _scales),
        ("position", _positions),
        ("polarity", _polarity),
    ):
        if name not in tests:
            continue
        report(name)
        tables.append(test(predictor, some, seed))
    drawn, why = _drawings(some)
    left_out = () if drawn else (why,)
    photos = None
    if drawn:
        report("camera")
        photos = photograph(drawn, seed=seed)
        if "camera" in tests:
            tables.append(_camera(predictor, photos))
    report("rejection")
    rejection = _rejection(predictor, some, drawn, photos, limit, seed, thresholds)
    return SuiteResult(
        data=dataset.name,
        classes=predictor.classes,
        limit=limit,
        seed=seed,
        tables=tuple(tables),
        rejection=rejection,
        left_out=left_out,
        seconds=time.perf_counter() - start,
    )


def _clean(found: Evaluation) -> Table:
    scores = [Score.of(found)]
    names = ["all"]
    for one in found.per_class:
        if one.recall is None:
            continue  # this class has no images, such as `nothing`
        right = round(one.recall * one.count)
        names.append(one.name)
        scores.append(Score(one.count, one.recall, wilson_interval(right, one.count), None))
    return Table(
        "clean",
        "Clean images",
        f"all {found.n:,} test images unchanged, then by class",
        ("accuracy",),
        tuple(names),
        (tuple(scores),),
    )


def _corruptions(predictor: Predictor, dataset: Dataset, seed: int) -> Table:
    rows = tuple(
        tuple(
            _score(predictor, dataset, corrupt(dataset.images, name, strength, seed=seed))
            for strength in STRENGTHS
        )
        for name in CORRUPTIONS
    )
    return Table(
        "corruptions",
        "Corrupted images",
        f"fifteen corruptions as in MNIST-C, at five strengths, {len(dataset):,} images each",
        tuple(CORRUPTIONS),
        tuple(str(strength) for strength in STRENGTHS),
        rows,
    )


def _turns(predictor: Predictor, dataset: Dataset, seed: int) -> Table:  # noqa: ARG001
    shown = _canvas(predictor, dataset)
    scores = [
        _score(predictor, dataset, warped(dataset.images, rotation(angle), size=shown))
        for angle in ANGLES
    ]
    return Table(
        "turns",
        "Turned images",
        f"clockwise around the middle of the image, {len(dataset):,} images each",
        ("accuracy",),
        tuple(f"{angle:+d}°" if angle else "0°" for angle in ANGLES),
        (tuple(scores),),
    )


def _scales(predictor: Predictor, dataset: Dataset, seed: int) -> Table:  # noqa: ARG001
    shown = _canvas(predictor, dataset)
    scores = [
        _score(predictor, dataset, warped(dataset.images, scaling(size, size), size=shown))
        for size in SIZES
    ]
    return Table(
        "scale",
        "Smaller and larger images",
        "1 is the original size (in MNIST, the ink is 71 % of the frame's height); above 1.3 ink "
        f"would be cut off; {len(dataset):,} images each",
        ("accuracy",),
        tuple(f"{size:.1f}" for size in SIZES),
        (tuple(scores),),
    )


def _positions(predictor: Predictor, dataset: Dataset, seed: int) -> Table:  # noqa: ARG001
    shown = _canvas(predictor, dataset)
    rows = tuple(
        tuple(
            _score(
                predictor,
                dataset,
                warped(
                    dataset.images,
                    translation(x, y) @ scaling(SHIFTED_SCALE, SHIFTED_SCALE),
                    size=shown,
                ),
            )
            for x in SHIFTS
        )
        for y in SHIFTS
    )
    return Table(
        "position",
        "Shifted images",
        f"at {100 * SHIFTED_SCALE:.0f} % of their size, shifted by shares of the frame's side, "
        f"{len(dataset):,} images each",
        tuple(_shift(y, "up", "down") for y in SHIFTS),
        tuple(_shift(x, "left", "right") for x in SHIFTS),
        rows,
    )


def _shift(amount: float, before: str, after: str) -> str:
    if not amount:
        return "middle"
    return f"{100 * abs(amount):.0f} % {before if amount < 0 else after}"


def _polarity(predictor: Predictor, dataset: Dataset, seed: int) -> Table:  # noqa: ARG001
    scores = (
        _score(predictor, dataset, dataset.images),
        _score(predictor, dataset, 255 - dataset.images),
    )
    return Table(
        "polarity",
        "Inverted images",
        f"original (in MNIST, white on black) and inverted, {len(dataset):,} images each",
        ("accuracy",),
        ("original", "inverted"),
        (scores,),
    )


def _camera(predictor: Predictor, photos: Dataset) -> Table:
    names = _surfaces(len(photos))
    scores = [Score.of(evaluate(predictor, photos))]
    for surface in SURFACES:
        chosen = np.flatnonzero(names == surface.name)
        if len(chosen):
            scores.append(Score.of(evaluate(predictor, photos.subset(chosen))))
    there = [surface.name for surface in SURFACES if surface.name in names]
    return Table(
        "camera",
        "Simulated photos",
        f"{len(photos):,} digits on paper and boards in different light, version {VERSION} "
        "(details: pocketlens.evaluation.robustness.ranges)",
        ("accuracy",),
        ("all", *there),
        (tuple(scores),),
    )


def _rejection(
    predictor: Predictor,
    some: Dataset,
    drawn: Dataset | None,
    photos: Dataset | None,
    limit: int,
    seed: int,
    thresholds: Thresholds,
) -> Rejection:
    there, what = photos, "photos of digits"
    if there is None:
        there, what = _something(some), "clean images"
    if not len(there):
        raise DataError(
            f"{some.name} has only images of the class {NOTHING!r}; expected other classes too"
        )
    nothing = empty_scenes(limit, seed=seed, like=drawn)
    kinds = [empty_kind(index, pieces=drawn is not None) for index in range(limit)]
    note = f"{len(there):,} {what} against {limit:,} scenes without a digit"
    if drawn is None:
        note = (
            f"{len(there):,} {what} against {limit:,} scenes of walls, textures, signs and letters"
            " (all count as empty, even if one shows one of your classes)"
        )
    return measure_rejection(
        predictor,
        there,
        nothing,
        thresholds=thresholds,
        note=note,
        kinds=(_surfaces(len(there)).tolist() if photos is not None else (), kinds),
    )


def _surfaces(count: int) -> NDArray[np.str_]:
    return np.array([surface_of(index).name for index in range(count)])


def _something(dataset: Dataset) -> Dataset:
    """The images that are not of the class `nothing`."""
    if NOTHING not in dataset.classes:
        return dataset
    return dataset.subset(np.flatnonzero(dataset.labels != dataset.classes.index(NOTHING)))


def _drawings(dataset: Dataset) -> tuple[Dataset | None, str]:
    """The images to simulate photos of; None and the reason if it is not possible."""
    what = "camera (simulated photos): "
    other = [name for name in dataset.classes if name not in (*DIGITS, NOTHING)]
    if other:
        return None, f"{what}only possible for the digits 0 to 9; the data has {listed(other)}"
    drawn = _something(dataset)
    try:
        check_drawings(drawn)
    except DataError as error:
        return None, f"{what}{error}"
    return drawn, ""


def _canvas(predictor: Predictor, dataset: Dataset) -> tuple[int, int]:
    """Height and width for transformed images: the larger of the images' and the model's."""
    spec = predictor.input_spec
    return max(dataset.images.shape[1], spec.height), max(dataset.images.shape[2], spec.width)


def _score(predictor: Predictor, dataset: Dataset, images: NDArray[np.uint8]) -> Score:
    return Score.of(evaluate(predictor, replace(dataset, images=images)))
