"""Distance fields of drawings: distances, center lines, blots."""

from __future__ import annotations

import numpy as np

from pocketlens.evaluation.robustness.distance_fields import (
    FINE,
    GRID,
    MARGIN,
    REACH,
    distance_fields,
)


def bar(width: int) -> np.ndarray:
    """A vertical bar in the middle of a 28 × 28 image."""
    image = np.zeros((1, 28, 28), np.uint8)
    image[:, 4:24, 14 - width // 2 : 14 - width // 2 + width] = 255
    return image


def test_pen_field_is_the_distance_to_the_center_line() -> None:
    fields = distance_fields(bar(4))
    assert fields.pen.shape == fields.drawn.shape == (1, GRID, GRID)
    row = fields.pen[0, GRID // 2]  # a row across the bar, whose center line is at 14 units
    units = (np.arange(GRID) + 0.5) / FINE - MARGIN
    away = np.abs(units - 14)
    near = (away > 0.7) & (away < REACH - 0.7)
    assert np.abs(row - away)[near].max() < 0.35
    assert row[away > REACH + 1].min() >= REACH - 0.1


def test_thick_and_thin_lines_have_the_same_center_line() -> None:
    thin, thick = distance_fields(bar(2)), distance_fields(bar(6))
    middle = slice(GRID // 2 - 10, GRID // 2 + 10)
    assert np.abs(thin.pen[0, middle] - thick.pen[0, middle]).max() < 0.5
    assert (thick.drawn < 0).sum() > 2 * (thin.drawn < 0).sum()


def test_filled_loop_stays_filled() -> None:
    image = bar(2)
    image[0, 16:24, 10:18] = 255  # a blot at the end of the stroke
    rows = slice((19 + MARGIN) * FINE, (21 + MARGIN) * FINE)
    columns = slice((12 + MARGIN) * FINE, (16 + MARGIN) * FINE)
    assert distance_fields(image).pen[0, rows, columns].max() < 0.5


def test_width_of_a_drawings_own_strokes() -> None:
    images = np.concatenate([bar(2), bar(4), bar(6)])
    assert np.abs(distance_fields(images).own - (1, 2, 3)).max() < 0.4


def test_field_of_a_dot() -> None:
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 14, 14] = 255
    assert 0 <= distance_fields(image).pen.min() < 0.6


def test_size_of_the_image_does_not_change_the_fields() -> None:
    large = np.kron(bar(4)[0], np.ones((4, 4), np.uint8))[None]
    small, fine = distance_fields(bar(4)), distance_fields(large)
    assert np.abs(small.pen - fine.pen).mean() < 0.1
