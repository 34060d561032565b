"""The learning curve of a head on features, and what it advises."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pocketlens.history import LearningCurve
from pocketlens.training.learning_curve import MOST_ROWS, learning_curve


def cloud(counts: list[int], spread: list[float], width: int = 30) -> tuple[torch.Tensor, ...]:
    """Features of classes around unit vectors, and their labels."""
    random = np.random.default_rng(0)
    rows = [
        np.eye(width)[label] + s * random.normal(size=(count, width))
        for label, (count, s) in enumerate(zip(counts, spread, strict=True))
    ]
    labels = np.repeat(np.arange(len(counts)), counts)
    return torch.from_numpy(np.concatenate(rows)).float(), torch.from_numpy(labels)


def curve_of(
    counts: list[int], spread: list[float], groups: np.ndarray | None = None
) -> LearningCurve:
    x, labels = cloud(counts, spread)
    held_out = torch.nn.functional.one_hot(labels).float()
    held_out[labels == 0] = torch.tensor([0.0] * (len(counts) - 1) + [1.0])
    return learning_curve(
        x,
        labels,
        [f"class {at}" for at in range(len(counts))],
        held_out,
        strength=1e-3,
        sizes=[x.shape[1]],
        balanced=True,
        groups=np.arange(len(x)) if groups is None else groups,
    )


def test_more_images_are_better() -> None:
    curve = curve_of([40, 40, 40], [0.3, 0.3, 0.3])
    assert curve.images == (1, 2, 3, 5, 8, 12, 20, 32)
    assert curve.accuracy[-2] > 0.9 > curve.accuracy[0] > 0.5
    assert curve.accuracy[:3] == tuple(sorted(curve.accuracy[:3]))
    # The last point, and the recalls, are those of the given logits: class 0 is always misread.
    assert curve.accuracy[-1] == pytest.approx(2 / 3)
    assert curve.recalls == (0, 1, 1)
    assert curve == curve_of([40, 40, 40], [0.3, 0.3, 0.3])


def test_few_and_many_images() -> None:
    assert curve_of([2, 2], [0.1, 0.1]).images == (0.8 * 2,)
    uneven = curve_of([3, 30], [0.1, 0.1])
    assert uneven.images[0] == 1
    assert uneven.images[-1] == pytest.approx(0.8 * 33 / 2)
    large = curve_of([500, 500], [0.1, 0.1])
    assert max(large.images[:-1]) <= MOST_ROWS / 2 < large.images[-1]


def test_a_burst_is_never_on_both_sides() -> None:
    """Copies of random features are recognized only if a copy is trained on."""
    random = np.random.default_rng(0)
    bursts = random.normal(size=(12, 200))
    x = torch.from_numpy(np.repeat(bursts, 5, axis=0)).float()
    labels = torch.from_numpy(np.repeat(np.arange(12) % 2, 5))
    known = torch.nn.functional.one_hot(labels).float()

    def last_point(groups: np.ndarray) -> float:
        options = {"strength": 1e-4, "sizes": [200], "balanced": True, "groups": groups}
        return learning_curve(x, labels, ["a", "b"], known, **options).accuracy[-2]  # type: ignore[arg-type]

    assert last_point(np.arange(60)) == 1
    assert last_point(np.repeat(np.arange(12), 5)) < 0.8


@pytest.mark.parametrize(
    ("images", "accuracy", "recalls", "advice"),
    [
        (
            (5, 10, 20, 40), (0.5, 0.6, 0.7, 0.8), (0.9, 0.61, 0.7),
            "Twice as many photos added 10.0 percentage points, so more will probably help, above "
            "all of dog (61 % recognized) and fox (70 % recognized).",
        ),
        (
            (1, 10, 20, 40), (0.1, 0.85, 0.85, 0.85), (0.9, 0.85, 0.88),
            "The curve is flat: more photos of the same kind will hardly help. Take photos that "
            "differ in view, light and background.",
        ),
        (
            (10, 20, 40), (1.0, 1.0, 0.995), (1.0, 0.99, 1.0),
            "The curve is flat at the top: more photos of the same kind will hardly help.",
        ),
        (
            (1, 2), (0.4, 0.5), (1.0, 0.5, 0.0),
            "There are too few photos for a curve. Take more, above all of fox (0 % recognized) "
            "and dog (50 % recognized).",
        ),
    ],
)  # fmt: skip
def test_what_to_photograph_more_of(
    images: tuple[float, ...],
    accuracy: tuple[float, ...],
    recalls: tuple[float, ...],
    advice: str,
) -> None:
    assert LearningCurve(images, accuracy, ("cat", "dog", "fox"), recalls).advice == advice
