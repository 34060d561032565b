"""Sheets without writing: paper and boards with texture, printed lines and edges."""

from __future__ import annotations

import math

import numpy as np

from pocketlens.evaluation.robustness.drawing import (
    Array,
    Homography,
    Random,
    X,
    Y,
    band,
    bernoulli,
    blend,
    coordinates,
    half_plane,
    slow_noise,
    triangular,
    uniform,
)
from pocketlens.evaluation.robustness.ranges import RANGES, SIDE, Surface
from pocketlens.evaluation.robustness.view import Box

__all__ = ["blank_sheet", "faint_lines", "ruled", "sheet_edge"]


def blank_sheet(surface: Surface, tone: float, random: Random) -> Array:
    """An empty sheet with a reflectance of about `tone`."""
    sheet = np.full((SIDE, SIDE), tone, np.float32)
    rough = surface.rough * triangular(random, RANGES.texture)
    cells = int(random.integers(30, 100))
    if surface.rough > 2:  # corrugated, with ribs in one direction
        ribs = (cells, max(3, cells // 12))
        sheet += rough * slow_noise(random, *(ribs if bernoulli(random, 0.5) else ribs[::-1]))
    else:
        sheet += rough * slow_noise(random, cells)
    if surface.chalk:  # smears of wiped chalk
        angle = (int(random.integers(2, 5)), int(random.integers(6, 14)))
        smear = slow_noise(random, *(angle if bernoulli(random, 0.5) else angle[::-1]))
        sheet += uniform(random, (0.01, 0.06)) * np.maximum(smear, 0)
    return sheet


def ruled(sheet: Array, kind: str, on: Homography, random: Random) -> Array:
    """Print lines on a sheet.

    Args:
        sheet: Reflectance.
        kind: `squared`, `lined`, or empty for no lines.
        on: From the sheet, in heights of the digit and along the lines, to pixels.
        random: Draws distance, width and tone.
    """
    if not kind:
        return sheet
    u, v = coordinates(on)
    pitch = triangular(random, RANGES.squares if kind == "squared" else RANGES.lines)
    height = float(abs(np.linalg.det(on[:2, :2])) ** 0.5)  # pixels
    width = uniform(random, (0.008, 0.022)) * height
    lines = _lines(v / pitch + random.random(), pitch * height, width)
    if kind == "squared":
        lines = np.maximum(lines, _lines(u / pitch + random.random(), pitch * height, width))
    return sheet * (1 - triangular(random, RANGES.ruling) * lines)


def _lines(phase: Array, pitch: float, width: float) -> Array:
    return band((phase - np.round(phase)) * pitch, width)


def sheet_edge(sheet: Array, keep: Box | None, random: Random) -> Array:
    """Add an edge to a sheet, with a table of another tone beyond it.

    Args:
        sheet: Reflectance.
        keep: A box that must stay on the sheet; if there is no room for an edge, none is added.
        random: Draws the edge.
    """
    angle = random.integers(4) * math.pi / 2 + math.radians(uniform(random, (-20, 20)))
    way = np.array([math.cos(angle), math.sin(angle)])
    far = float((np.array([(0, 0), (0, SIDE), (SIDE, 0), (SIDE, SIDE)]) @ way).max())
    near = far - 0.6 * SIDE
    if keep is not None:
        near = max(near, float((keep.corners @ way).max()) + RANGES.gap * SIDE)
    far -= 0.05 * SIDE
    if far <= near:
        return sheet
    place = uniform(random, (near, far))
    other = uniform(random, (0.05, 0.95))
    table = other + uniform(random, (0, 0.06)) * slow_noise(random, int(random.integers(4, 40)))
    shade = 1 - uniform(random, (0, 0.4)) * half_plane(angle, place, 1) * (
        1 - half_plane(angle, place + uniform(random, (2, 8)), 6)
    )
    return blend(sheet, table, half_plane(angle, place, 1.2)) * shade


def faint_lines(sheet: Array, random: Random) -> Array:
    """Add folds, faint crosses and other lines across the whole frame."""
    middle = uniform(random, (0, 1)) * SIDE, uniform(random, (0, 1)) * SIDE
    angle = uniform(random, (0, math.pi))
    for _ in range(int(random.integers(1, 4))):
        away = (X - middle[0]) * math.sin(angle) - (Y - middle[1]) * math.cos(angle)
        sign = 1 if bernoulli(random, 0.4) else -1
        strength = sign * triangular(random, RANGES.faint)
        sheet = sheet * (1 + strength * band(away, uniform(random, (0.6, 3))))
        angle += math.pi / 2 if bernoulli(random, 0.5) else uniform(random, (0.3, 2.8))
    return sheet
