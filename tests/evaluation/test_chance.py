"""Accuracy near chance is told from accuracy: balanced, unbalanced, one answer for all."""

from __future__ import annotations

import numpy as np
import pytest

from pocketlens.evaluation.chance import guessing

ABC = ("a", "b", "c")


def warning(table: list[list[int]], classes: tuple[str, ...] = ABC) -> str | None:
    confusion = np.array(table)
    return guessing(classes, confusion.sum(axis=1), confusion.sum(axis=0), confusion.diagonal())


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        # README's own command on 3 × 8 photos: exactly chance.
        (
            [[4, 2, 2], [3, 2, 3], [3, 3, 2]],
            "accuracy 33.3 % on 24 images is no better than guessing among 3 classes (33.3 %)",
        ),
        # Above a third, but not clearly.
        ([[4, 3, 1], [2, 4, 2], [2, 2, 4]], "no better than guessing among 3 classes"),
        ([[8, 0, 0], [8, 0, 0], [8, 0, 0]], "every one of 24 images gets the same label, 'a'"),
        # 90 % of the images are a, and so are the answers, or nearly so.
        ([[90, 0, 0], [5, 0, 0], [5, 0, 0]], "every one of 100 images gets the same label, 'a'"),
        ([[89, 1, 0], [5, 0, 0], [5, 0, 0]], "no better than always answering 'a' (90.0 %)"),
        ([[89, 1, 0], [4, 1, 0], [5, 0, 0]], "no better than always answering 'a' (90.0 %)"),
        # Everything wrong is no better either.
        ([[0, 9, 0], [0, 0, 9], [9, 0, 0]], "accuracy 0.0 % on 27 images is no better"),
    ],
)
def test_no_better_than_guessing(table: list[list[int]], expected: str) -> None:
    assert expected in (warning(table) or "")


@pytest.mark.parametrize(
    "table",
    [
        [[8, 0, 0], [1, 7, 0], [0, 2, 6]],
        [[90, 0, 0], [0, 5, 0], [0, 0, 5]],  # unbalanced, and right
        [[19, 0, 0], [0, 1, 0], [0, 0, 0]],
        [[880, 10, 10], [10, 40, 0], [10, 0, 40]],
        [[40, 30, 30], [25, 50, 25], [30, 20, 50]],
        [[20, 0, 0], [0, 0, 0], [0, 0, 0]],  # images of one class only: all of them right
    ],
)
def test_better_than_guessing(table: list[list[int]]) -> None:
    assert warning(table) is None


def test_images_of_one_class_only() -> None:
    assert "among 3 classes" in (warning([[3, 6, 0], [0, 0, 0], [0, 0, 0]]) or "")
    assert warning([[5]], ("only",)) is None
