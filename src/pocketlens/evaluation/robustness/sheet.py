"""Sheets: paper and boards with their texture, printed lines and edges, without what is written."""

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
    blend,
    chance,
    coordinates,
    half_plane,
    slow_noise,
    span,
    usual,
)
from pocketlens.evaluation.robustness.ranges import RANGES, SIDE, Surface
from pocketlens.evaluation.robustness.view import Box

__all__ = ["blank_sheet", "faint_lines", "ruled", "sheet_edge"]


def blank_sheet(surface: Surface, tone: float, random: Random) -> Array:
    """A sheet with nothing on it, of reflectance about `tone`."""
    sheet = np.full((SIDE, SIDE), tone, np.float32)
    rough = surface.rough * usual(random, RANGES.texture)
    cells = int(random.integers(30, 100))
    if surface.rough > 2:  # corrugated: ribs one way
        ribs = (cells, max(3, cells // 12))
        sheet += rough * slow_noise(random, *(ribs if chance(random, 0.5) else ribs[::-1]))
    else:
        sheet += rough * slow_noise(random, cells)
    if surface.chalk:  # wiped, not washed
        angle = (int(random.integers(2, 5)), int(random.integers(6, 14)))
        smear = slow_noise(random, *(angle if chance(random, 0.5) else angle[::-1]))
        sheet += span(random, (0.01, 0.06)) * np.maximum(smear, 0)
    return sheet


def ruled(sheet: Array, kind: str, on: Homography, random: Random) -> Array:
    """Print lines on a sheet.

    Args:
        sheet: Reflectance.
        kind: `squared`, `lined`, or nothing for no lines.
        on: From heights of the digit, along the lines, to pixels.
        random: Draws distance, width and tone.
    """
    if not kind:
        return sheet
    u, v = coordinates(on)
    pitch = usual(random, RANGES.squares if kind == "squared" else RANGES.lines)
    height = float(abs(np.linalg.det(on[:2, :2])) ** 0.5)  # pixels
    width = span(random, (0.008, 0.022)) * height
    lines = _lines(v / pitch + random.random(), pitch * height, width)
    if kind == "squared":
        lines = np.maximum(lines, _lines(u / pitch + random.random(), pitch * height, width))
    return sheet * (1 - usual(random, RANGES.ruling) * lines)


def _lines(phase: Array, pitch: float, width: float) -> Array:
    return band((phase - np.round(phase)) * pitch, width)


def sheet_edge(sheet: Array, keep: Box | None, random: Random) -> Array:
    """Let a sheet end somewhere: beyond an edge there is a table of another tone.

    Args:
        sheet: Reflectance.
        keep: What must stay on the sheet; the edge is left out where there is no room for it.
        random: Draws the edge.
    """
    angle = random.integers(4) * math.pi / 2 + math.radians(span(random, (-20, 20)))
    way = np.array([math.cos(angle), math.sin(angle)])
    far = float((np.array([(0, 0), (0, SIDE), (SIDE, 0), (SIDE, SIDE)]) @ way).max())
    near = far - 0.6 * SIDE
    if keep is not None:
        near = max(near, float((keep.corners @ way).max()) + RANGES.gap * SIDE)
    far -= 0.05 * SIDE
    if far <= near:
        return sheet
    place = span(random, (near, far))
    other = span(random, (0.05, 0.95))
    table = other + span(random, (0, 0.06)) * slow_noise(random, int(random.integers(4, 40)))
    shade = 1 - span(random, (0, 0.4)) * half_plane(angle, place, 1) * (
        1 - half_plane(angle, place + span(random, (2, 8)), 6)
    )
    return blend(sheet, table, half_plane(angle, place, 1.2)) * shade


def faint_lines(sheet: Array, random: Random) -> Array:
    """Folds, faint crosses and other people's lines, right across the frame."""
    middle = span(random, (0, 1)) * SIDE, span(random, (0, 1)) * SIDE
    angle = span(random, (0, math.pi))
    for _ in range(int(random.integers(1, 4))):
        away = (X - middle[0]) * math.sin(angle) - (Y - middle[1]) * math.cos(angle)
        sign = 1 if chance(random, 0.4) else -1
        strength = sign * usual(random, RANGES.faint)
        sheet = sheet * (1 + strength * band(away, span(random, (0.6, 3))))
        angle += math.pi / 2 if chance(random, 0.5) else span(random, (0.3, 2.8))
    return sheet
