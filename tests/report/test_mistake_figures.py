"""Why images are misread, similar training images, and the learning curve, as figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pocketlens.data import Dataset
from pocketlens.evaluation import Evaluation, evaluate
from pocketlens.history import LearningCurve
from pocketlens.image import InputSpec
from pocketlens.report import mistake_figures
from pocketlens.report.figures import draw_learning_curve
from pocketlens.report.mistake_figures import draw_confusions, draw_explained
from predictors import Table, numbered

CLASSES = ("cat", "dog", "fox")
TEST = numbered([0, 0, 0, 1, 2], CLASSES, size=9)
# Images 0 and 1 are cats read as dogs, image 2 a cat read as nothing, image 3 a dog read as a fox.
ROWS: list[list[float]] = [
    [0, 0.9, 0, 0.1],
    [0, 0.8, 0, 0.2],
    [0, 0, 0, 1],
    [0, 0, 0.95, 0.05],
    [0, 0, 1, 0],
]
MODEL = Table(ROWS, (*CLASSES, "nothing"), InputSpec(9, 9))
TRAIN = numbered([0, 0, 1, 1, 2, 2], CLASSES, size=9)


class Drawn:
    """Takes the place of `gallery`, and keeps what is drawn."""

    def __call__(
        self,
        images: Sequence[np.ndarray],
        captions: Sequence[Sequence[tuple[str, str]]],
        columns: int,
        title: str,
        subtitle: str,
        path: Path,
    ) -> Path:
        self.images, self.subtitle = images, subtitle
        self.texts = [" | ".join(text for text, _ in caption) for caption in captions]
        return path


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    found = Drawn()
    monkeypatch.setattr(mistake_figures, "gallery", found)
    return found


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluate(MODEL, TEST)


def test_mistakes_are_explained_for_both_classes(drawn: Drawn, evaluation: Evaluation) -> None:
    draw_explained(MODEL, TEST, evaluation, Path("x.png"))
    assert drawn.texts[:6] == [
        "the image | is cat", "for nothing | 100.00 %", "for cat | 0.00 %",
        "the image | is dog", "for fox | 95.00 %", "for dog | 0.00 %",
    ]  # fmt: skip
    assert len(drawn.texts) == 12
    assert {image.shape for image in drawn.images} == {(9, 9, 3)}
    assert "parts of the image covered in turn" in drawn.subtitle


def test_confusions_are_shown_with_similar_images(drawn: Drawn, evaluation: Evaluation) -> None:
    """The most frequent confusion first; nothing resembles `nothing`."""
    # Test image k has the direction of training image 5 - k; so image 0 is like fox 5, and so on.
    angles = {"train": np.arange(6.0), "test": np.array([3.1, 2.0, 9.0, 0.9, 0.0])}

    def features(images: np.ndarray) -> np.ndarray:
        part = angles["train" if len(images) == 6 else "test"]
        at = part[images[:, 0, 0, 0]]
        return np.stack([np.cos(at), np.sin(at)], 1).astype(np.float32)

    draw_confusions(TEST, TRAIN, evaluation, features, Path("x.png"))
    assert drawn.texts == [
        "test image | cat → dog", "training image | is dog", "training image | is cat",
        "test image | dog → fox", "training image | is fox", "training image | is dog",
    ]  # fmt: skip
    numbers = [int(image[0, 0, 0]) for image in drawn.images]
    assert numbers[0] == 0, "the more confident of the two"
    assert numbers[1] == 3, "training image 3 has almost the same direction"
    assert numbers[3] == 3
    assert numbers[4:] == [5, 2]


def test_without_mistakes_there_is_only_a_title(tmp_path: Path) -> None:
    right = Table([[1, 0, 0, 0]] * 5, MODEL.classes, InputSpec(9, 9))
    data = Dataset(TEST.images[:1], TEST.labels[:1], CLASSES, "one")
    found = evaluate(right, data)
    for path in (
        draw_explained(right, data, found, tmp_path / "a.svg"),
        draw_confusions(
            data, TRAIN, found, lambda _: np.zeros((0, 2), np.float32), tmp_path / "b.svg"
        ),
    ):
        assert path.stat().st_size > 1000


def test_figures_are_drawn(tmp_path: Path, evaluation: Evaluation) -> None:
    def features(images: np.ndarray) -> np.ndarray:
        found: np.ndarray = images.mean((1, 2)).astype(np.float32)
        return found

    made = [
        draw_explained(MODEL, TEST, evaluation, tmp_path / "a.png"),
        draw_confusions(TEST, TRAIN, evaluation, features, tmp_path / "b.png"),
    ]
    curve = LearningCurve((1, 2, 4.5), (0.5, 0.6, 0.7), CLASSES, (0.9, 0.5, 0.7))
    made += [draw_learning_curve(curve, tmp_path / f"{name}.svg") for name in "cd"]
    assert all(path.is_file() for path in made)
    assert made[2].read_bytes() == made[3].read_bytes()
