"""The rule for the shown label, with the cases of the app's own tests in Swift."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import pocketlens
from pocketlens.app.spec import Display
from pocketlens.prediction import NOTHING
from pocketlens.preview.smoothing import NOT_SURE, Smoother
from preview.server import Quarters, quarter

SWIFT = (
    Path(pocketlens.__file__).parent
    / "app/templates/RecognizerKit/Tests/RecognizerKitTests/DecisionTests.swift"
)

DEFAULT = Display(show=0.7, keep=0.5, present=0.5, margin=0.2, hold=3, smoothing=1.0)
CLEAR = [0.9, 0.1]
OTHER = [0.2, 0.8]


@dataclass(frozen=True)
class Row:
    """One case: the shown class index after each frame; the last class may be the background."""

    swift_test: str
    frames: list[list[float]]
    shown: list[int | None]
    display: Display = DEFAULT
    background: bool = False


QUICK = replace(DEFAULT, show=0.4, keep=0.4, hold=1)
STRICT = Display(show=0.5, keep=0.3, present=0.9, margin=0.2, hold=1, smoothing=1.0)
MAYBE = [[0.8, 0.0, 0.2], [0.6, 0.35, 0.05], [0.4, 0.0, 0.6]]

ROWS = [
    Row("labelIsShownAfterThreeClearFrames", [CLEAR] * 4, [None, None, 0, 0]),
    Row(
        "unclearFrameRestartsTheCount",
        [CLEAR, CLEAR, [0.6, 0.4], CLEAR, CLEAR, CLEAR],
        [None, None, None, None, None, 0],
    ),
    Row(
        "shownLabelStaysAboveTheLowerThreshold",
        [CLEAR, CLEAR, CLEAR, [0.55, 0.45], [0.49, 0.51], [0.55, 0.45]],
        [None, None, 0, 0, None, None],
    ),
    Row(
        "newLabelReplacesTheOldOneAfterThreeFrames",
        [CLEAR, CLEAR, CLEAR, OTHER, OTHER, OTHER],
        [None, None, 0, 0, 0, 1],
        replace(DEFAULT, keep=0.1),
    ),
    Row("labelNeedsTheMargin", [[0.5, 0.45, 0.05], [0.6, 0.35, 0.05]], [None, 0], QUICK),
    Row("backgroundIsNeverShown", [[0.01, 0.99]] * 4, [None] * 4, background=True),
    Row("labelNeedsALowBackgroundProbability", MAYBE, [None, 0, 0], STRICT, background=True),
    Row("labelNeedsALowBackgroundProbability", MAYBE, [0, 0, 0], STRICT),
    Row("singleClassWorks", [[1.0]] * 3, [None, None, 0]),
]

TESTED_ELSEWHERE = {
    "emptyProbabilitiesHideTheLabel": "a Predictor always returns a probability for each class",
    "confidenceIsTheProbability": "test_confidence_belongs_to_the_shown_label",
    "resetHidesTheLabel": "test_reset_forgets_all_frames",
}


def class_names(count: int, *, background: bool) -> list[str]:
    names = [f"class {number}" for number in range(count)]
    return [*names[:-1], NOTHING] if background else names


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.swift_test)
def test_same_rule_as_in_the_app(row: Row) -> None:
    classes = class_names(len(row.frames[0]), background=row.background)
    smoother = Smoother(classes, row.display)
    shown = []
    for frame in row.frames:
        smoother.average = None  # the app's tests are without smoothing
        shown.append(smoother.add(np.array(frame, np.float64)))
    assert shown == [None if index is None else classes[index] for index in row.shown]


def test_every_case_of_the_app_is_listed() -> None:
    suite = SWIFT.read_text().partition("struct DecisionTests")[2].partition("@Suite")[0]
    swift_tests = re.findall(r"@Test func (\w+)\(\)", suite)
    assert set(swift_tests) == {row.swift_test for row in ROWS} | set(TESTED_ELSEWHERE)
    numbers = {float(n) for row in ROWS for frame in row.frames for n in frame}
    in_swift = {float(n) for n in re.findall(r"\d(?:\.\d+)?", suite)}
    assert numbers <= in_swift


@pytest.mark.parametrize(
    ("smoothing", "frames", "averages"),
    [
        (0.3, [[0.25, 0.75]], [[0.25, 0.75]]),
        (0.25, [[0, 1], [1, 0], [1, 0]], [[0, 1], [0.25, 0.75], [0.4375, 0.5625]]),
    ],
)
def test_smoothing(
    smoothing: float, frames: list[list[float]], averages: list[list[float]]
) -> None:
    smoother = Smoother(["one", "two"], replace(DEFAULT, smoothing=smoothing))
    for frame, average in zip(frames, averages, strict=True):
        smoother.add(np.array(frame, np.float32))
        assert smoother.average is not None
        assert smoother.average.tolist() == average


def test_input_array_is_not_changed() -> None:
    smoother = Smoother(["one", "two"], replace(DEFAULT, smoothing=0.5))
    first = np.array([0, 1], np.float64)
    smoother.add(first)
    smoother.add(np.array([1, 0], np.float64))
    assert first.tolist() == [0, 1]


def test_confidence_belongs_to_the_shown_label() -> None:
    smoother = Smoother(["one", "two"], replace(DEFAULT, smoothing=0.5, hold=2))
    assert smoother.confidence is None
    smoother.add(np.array([1, 0], np.float32))
    assert smoother.confidence is None
    assert smoother.add(np.array([0.75, 0.25], np.float32)) == "one"
    assert smoother.confidence == 0.875


@pytest.mark.parametrize(
    ("probabilities", "verdict"),
    [
        ([0.87, 0.1, 0.03], "six"),
        ([0.1, 0.2, 0.7], NOTHING),
        ([0.0, 0.0, 1.0], NOTHING),
        ([0.69, 0.01, 0.3], NOT_SURE),  # below `show`
        ([0.55, 0.45, 0.0], NOT_SURE),  # too close to the second class
        ([0.45, 0.0, 0.55], NOTHING),
    ],
)
def test_verdict_is_the_label_nothing_or_not_sure(probabilities: list[float], verdict: str) -> None:
    display = replace(DEFAULT, hold=1, smoothing=1.0)
    smoother = Smoother(["six", "zero", NOTHING], display)
    assert smoother.verdict == NOT_SURE
    smoother.add(np.array(probabilities, np.float32))
    assert smoother.verdict == verdict


def test_verdict_needs_a_high_probability_even_above_nothing() -> None:
    """The page used to say "nothing" above "six 87 %"."""
    strict = replace(DEFAULT, show=0.9, hold=1, smoothing=1.0)
    smoother = Smoother(["six", "zero", NOTHING], strict)
    assert smoother.add(np.array([0.87, 0.1, 0.03], np.float32)) is None
    assert smoother.verdict == NOT_SURE


def test_verdict_without_a_background_is_never_nothing() -> None:
    smoother = Smoother(["six", "zero"], replace(DEFAULT, hold=1, smoothing=1.0))
    smoother.add(np.array([0.6, 0.4], np.float32))
    assert smoother.verdict == NOT_SURE
    smoother.add(np.array([0.1, 0.9], np.float32))
    assert smoother.verdict == "zero"


def test_reset_forgets_all_frames() -> None:
    smoother = Smoother(["one", "two"], DEFAULT)
    for _ in range(3):
        shown = smoother.add(np.array(CLEAR, np.float32))
    assert shown == "one"
    smoother.reset()
    assert smoother.confidence is None
    assert smoother.add(np.array(CLEAR, np.float32)) is None


def test_still_image_is_not_smoothed() -> None:
    model = Quarters()
    images = np.stack([quarter("top right"), quarter(NOTHING), quarter("bottom left")])[..., None]
    rows = model.probabilities(images)
    assert [Smoother.for_model(model, still=True).add(row) for row in rows] == [
        "top right",
        None,
        "bottom left",
    ]
    moving = Smoother.for_model(model)
    assert [moving.add(rows[0]) for _ in range(3)] == [None, None, "top right"]
