"""The rule of what is shown: the rows of the app's own tests, which its Swift must pass, too."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import pocketlens
from pocketlens.app.spec import Display
from pocketlens.prediction import NOTHING
from pocketlens.preview.smoothing import Steady
from preview.server import Quarters, quarter

SWIFT = (
    Path(pocketlens.__file__).parent
    / "app/templates/RecognizerKit/Tests/RecognizerKitTests/DecisionTests.swift"
)

USUAL = Display(show=0.7, keep=0.5, present=0.5, margin=0.2, hold=3, smoothing=1.0)
CLEAR = [0.9, 0.1]
OTHER = [0.2, 0.8]


@dataclass(frozen=True)
class Row:
    """What is shown after each frame, by its index; the last class may be the background."""

    swift: str
    frames: list[list[float]]
    shown: list[int | None]
    display: Display = USUAL
    background: bool = False


QUICK = replace(USUAL, show=0.4, keep=0.4, hold=1)
STRICT = Display(show=0.5, keep=0.3, present=0.9, margin=0.2, hold=1, smoothing=1.0)
MAYBE = [[0.8, 0.0, 0.2], [0.6, 0.35, 0.05], [0.4, 0.0, 0.6]]

ROWS = [
    Row("aLabelIsShownAfterThreeClearFrames", [CLEAR] * 4, [None, None, 0, 0]),
    Row(
        "anUnclearFrameStartsTheCountAgain",
        [CLEAR, CLEAR, [0.6, 0.4], CLEAR, CLEAR, CLEAR],
        [None, None, None, None, None, 0],
    ),
    Row(
        "aShownLabelStaysUntilTheLowerThreshold",
        [CLEAR, CLEAR, CLEAR, [0.55, 0.45], [0.49, 0.51], [0.55, 0.45]],
        [None, None, 0, 0, None, None],
    ),
    Row(
        "anotherLabelTakesOverAfterThreeFrames",
        [CLEAR, CLEAR, CLEAR, OTHER, OTHER, OTHER],
        [None, None, 0, 0, 0, 1],
        replace(USUAL, keep=0.1),
    ),
    Row("theLeadOverTheSecondCounts", [[0.5, 0.45, 0.05], [0.6, 0.35, 0.05]], [None, 0], QUICK),
    Row("theBackgroundIsNeverShown", [[0.01, 0.99]] * 4, [None] * 4, background=True),
    Row("whatMayBeBackgroundIsNotShown", MAYBE, [None, 0, 0], STRICT, background=True),
    Row("whatMayBeBackgroundIsNotShown", MAYBE, [0, 0, 0], STRICT),
    Row("aSingleClassNeedsNoSecond", [[1.0]] * 3, [None, None, 0]),
]

ELSEWHERE = {
    "noProbabilitiesShowNothing": "a Predictor gives a probability for each class",
    "theConfidenceIsTheProbabilityGiven": "test_the_confidence_is_that_of_what_is_shown",
    "resetForgets": "test_reset_forgets",
}


def names(count: int, *, background: bool) -> list[str]:
    found = [f"class {number}" for number in range(count)]
    return [*found[:-1], NOTHING] if background else found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.swift)
def test_the_same_as_the_app(row: Row) -> None:
    classes = names(len(row.frames[0]), background=row.background)
    steady = Steady(classes, row.display)
    shown = []
    for frame in row.frames:
        steady.average = None  # the app's rows are of the rule alone
        shown.append(steady.add(np.float64(frame)))
    assert shown == [None if index is None else classes[index] for index in row.shown]


def test_every_row_of_the_app_is_here() -> None:
    suite = SWIFT.read_text().partition("struct DecisionTests")[2].partition("@Suite")[0]
    tests = re.findall(r"@Test func (\w+)\(\)", suite)
    assert set(tests) == {row.swift for row in ROWS} | set(ELSEWHERE)
    numbers = {float(n) for row in ROWS for frame in row.frames for n in frame}
    written = {float(n) for n in re.findall(r"\d(?:\.\d+)?", suite)}
    assert numbers <= written


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
    steady = Steady(["one", "two"], replace(USUAL, smoothing=smoothing))
    for frame, average in zip(frames, averages, strict=True):
        steady.add(np.float32(frame))
        assert steady.average is not None
        assert steady.average.tolist() == average


def test_what_is_given_is_left_as_it_was() -> None:
    steady = Steady(["one", "two"], replace(USUAL, smoothing=0.5))
    first = np.float64([0, 1])
    steady.add(first)
    steady.add(np.float64([1, 0]))
    assert first.tolist() == [0, 1]


def test_the_confidence_is_that_of_what_is_shown() -> None:
    steady = Steady(["one", "two"], replace(USUAL, smoothing=0.5, hold=2))
    assert steady.confidence is None
    steady.add(np.float32([1, 0]))
    assert steady.confidence is None
    assert steady.add(np.float32([0.75, 0.25])) == "one"
    assert steady.confidence == 0.875


def test_reset_forgets() -> None:
    steady = Steady(["one", "two"], USUAL)
    for _ in range(3):
        shown = steady.add(np.float32(CLEAR))
    assert shown == "one"
    steady.reset()
    assert steady.confidence is None
    assert steady.add(np.float32(CLEAR)) is None


def test_a_still_picture_needs_not_hold_and_is_not_smoothed() -> None:
    model = Quarters()
    images = np.stack([quarter("top right"), quarter(NOTHING), quarter("bottom left")])[..., None]
    rows = model.probabilities(images)
    assert [Steady.of(model, still=True).add(row) for row in rows] == [
        "top right",
        None,
        "bottom left",
    ]
    moving = Steady.of(model)
    assert [moving.add(rows[0]) for _ in range(3)] == [None, None, "top right"]
