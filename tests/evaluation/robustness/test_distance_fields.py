"""Drawings as fields: distances, middle lines, blots."""

from __future__ import annotations

import numpy as np

from pocketlens.evaluation.robustness.distance_fields import FINE, GRID, MARGIN, REACH, ink_fields


def bar(width: int) -> np.ndarray:
    """An upright bar in the middle of 28 × 28."""
    image = np.zeros((1, 28, 28), np.uint8)
    image[:, 4:24, 14 - width // 2 : 14 - width // 2 + width] = 255
    return image


def test_the_pen_field_is_the_distance_to_the_middle_of_a_stroke() -> None:
    fields = ink_fields(bar(4))
    assert fields.pen.shape == fields.drawn.shape == (1, GRID, GRID)
    row = fields.pen[0, GRID // 2]  # halfway down, across the bar whose middle is at 14 units
    units = (np.arange(GRID) + 0.5) / FINE - MARGIN
    away = np.abs(units - 14)
    near = (away > 0.7) & (away < REACH - 0.7)
    assert np.abs(row - away)[near].max() < 0.35
    assert row[away > REACH + 1].min() >= REACH - 0.1


def test_the_same_line_under_a_thick_and_a_thin_pen() -> None:
    thin, thick = ink_fields(bar(2)), ink_fields(bar(6))
    middle = slice(GRID // 2 - 10, GRID // 2 + 10)
    assert np.abs(thin.pen[0, middle] - thick.pen[0, middle]).max() < 0.5
    assert (thick.drawn < 0).sum() > 2 * (thin.drawn < 0).sum()


def test_a_loop_that_ran_full_stays_full() -> None:
    image = bar(2)
    image[0, 16:24, 10:18] = 255  # a blot at the stroke's end
    rows = slice((19 + MARGIN) * FINE, (21 + MARGIN) * FINE)
    columns = slice((12 + MARGIN) * FINE, (16 + MARGIN) * FINE)
    assert ink_fields(image).pen[0, rows, columns].max() < 0.5


def test_the_width_of_a_drawings_own_strokes() -> None:
    images = np.concatenate([bar(2), bar(4), bar(6)])
    assert np.abs(ink_fields(images).own - (1, 2, 3)).max() < 0.4


def test_a_dot_has_a_field_too() -> None:
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 14, 14] = 255
    assert 0 <= ink_fields(image).pen.min() < 0.6


def test_drawings_of_any_size_have_the_same_fields() -> None:
    large = np.kron(bar(4)[0], np.ones((4, 4), np.uint8))[None]
    small, fine = ink_fields(bar(4)), ink_fields(large)
    assert np.abs(small.pen - fine.pen).mean() < 0.1
