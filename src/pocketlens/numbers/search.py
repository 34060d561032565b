"""The search for the digits of a photo.

The steps: find the ink (`ink`), its components (`components`), the lines (`lines`), and places
where touching digits may be cut (`cuts`). Then each line is a row of pieces from left to right, and
every digit is one of them or a few in a row: a 5 may be written in two parts, and two touching
digits may be cut in two. The model reads each such group, and the row is divided so that the
product of its probabilities is highest. What the model takes for `nothing` is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pocketlens.numbers.components import Box, find_components, too_many
from pocketlens.numbers.cuts import find_cuts
from pocketlens.numbers.frames import draw_frame, outlines
from pocketlens.numbers.ink import InkMap
from pocketlens.numbers.lines import group_lines
from pocketlens.prediction import NOTHING, Prediction, Predictor

__all__ = ["Search"]

SPECK = 8
"""Ink that is neither as wide nor as high, in pixels, is a speck."""

LOWEST, SMALL = 14, 40
"""The lowest digit, in pixels, and how high one is that speaks for its ink color in full."""

LINE = 15
"""What is this many times as high as it is wide is a line, not a 1."""

STANDING = 0.35
"""Ink differs from the average around it by at least this share of its difference from the paper"""

SIZES = (0.4, 2.2)
"""The lowest and highest digit, in heights of the photo's usual digit."""

WIDEST = 1.3
"""The widest digit, in heights of the usual digit."""

FAINT = 0.4
"""Strokes with less of the usual digit's contrast times thickness are lines of the paper."""

PARTS = 3
"""The most components of one digit."""

ALONE = 1.7
"""The widest digit that is one component."""

GAP = 0.25
"""The widest gap between two of them, in heights of the usual digit."""

REACH = 8
"""How many pieces in a row are tried as one digit."""

MAX_GROUPS = 6000
"""The most groups of pieces that the model reads for one photo."""

MAX_AREA = 20
"""The most pixels that frames are drawn from, in sizes of the photo."""

BATCH_BYTES = 8_000_000
"""The memory of the images that the model reads at a time."""

NARROW, SLIM = 0.4, 0.9
"""Narrower components, in heights, are not cut; nor are those less wide than `SLIM` if they are
sure to be a digit, or nothing."""

DROPPED, LOST, JOINED, CUT, CUT_INK, CUT_AGAIN, WIDE, LOW = 1.5, 3.0, 0.3, 0.05, 1.0, 0.5, 2.5, 3.0
"""Costs, as logarithms of probabilities: of ink as high as a digit that is left out; of a part that
is cut off and left out; of two components that are one digit; of a cut, and more for a cut through
as much ink as a digit is high, and through each further stroke; of a digit that is wider, or lower,
than most."""

WIDTHS = {"0": 1.15, "1": 0.75, "2": 1.1, "4": 1.1, "6": 1.05, "7": 1.0}
WIDTH = 0.95
"""The widths of digits, in heights, from which they are wide; `WIDTH` for all others."""

LOW_FROM = 0.65
"""The height, in heights of the usual digit, below which a digit is low."""

LEAST = 1e-4


def _digit_probability(answer: Prediction | None) -> float:
    """The probability of the best digit; 0 for several of them."""
    if answer is None:
        return 0.0
    return max(p for name, p in answer.probabilities.items() if name != NOTHING)


def _weighted_median(values: Sequence[float], weights: Sequence[float]) -> float:
    order = np.argsort(values)
    below = np.asarray(weights)[order].cumsum()
    return float(np.asarray(values)[order][np.searchsorted(below, below[-1] / 2)])


@dataclass
class _Group:
    """Neighboring pieces of a line that may be one digit."""

    start: int
    end: int
    atoms: tuple[int, ...]
    box: Box
    cost: float
    cut: bool


@dataclass
class Search:
    """The search for digits in one photo, for one ink color."""

    model: Predictor
    ink: InkMap
    atoms: NDArray[np.int32] = field(init=False)
    contrast: NDArray[np.float64] = field(init=False)
    standing: NDArray[np.float64] = field(init=False)
    weight: NDArray[np.float64] = field(init=False)
    """Of each component: the mean of the ink's strength and of its standing, and how much ink the
    pen leaves, contrast times thickness."""

    boxes: dict[int, Box] = field(init=False)
    """The boxes of the atoms: at first the components, then also the parts of those that are cut"""

    owners: dict[int, int] = field(init=False)
    """The component that each atom is a part of."""

    pieces: dict[int, int] = field(init=False, default_factory=dict)
    """Into how many atoms a component is cut."""

    cuts: dict[tuple[int, int], float] = field(init=False, default_factory=dict)
    """What it costs to part two atoms of one component."""

    def __post_init__(self) -> None:
        found = find_components(self.ink.mask, smallest=SPECK)
        self.atoms = found.labels
        self.boxes = dict(enumerate(found.boxes, start=1))
        self.owners = {number: number for number in self.boxes}
        # Of all components at once: their boxes may overlap, as those of diagonal lines do.
        count, flat = len(self.boxes) + 1, self.atoms.ravel()
        area = np.maximum(np.bincount(flat, minlength=count), 1)
        self.contrast = np.bincount(flat, self.ink.strength.ravel(), count) / area
        self.standing = np.bincount(flat, self.ink.standing.ravel(), count) / area
        self.weight = self.contrast * 2 * area / np.maximum(outlines(self.atoms, count), 1)

    @cached_property
    def plausible(self) -> list[int]:
        """The components that may be digits, or several of them, by their shape and contrast."""
        high, wide = self.atoms.shape
        return [
            number
            for number, box in self.boxes.items()
            if LOWEST <= box.height <= LINE * box.width
            and (box.top > 0 or box.bottom < high)
            and (box.left > 0 or box.right < wide)
            and self.standing[number] >= STANDING
        ]

    @cached_property
    def alone(self) -> dict[int, Prediction]:
        """What the model says of each component of a digit's shape alone."""
        asked = [n for n in self.plausible if self.boxes[n].width <= 2 * self._height(n)]
        answers = self._predict([(number,) for number in asked])
        return dict(zip(asked, answers, strict=True))

    @cached_property
    def surest(self) -> list[int]:
        """The components that are digits without a doubt."""
        return [number for number, answer in self.alone.items() if answer.shown]

    @property
    def evidence(self) -> float:
        """How much speaks for this ink color: the contrast of the clearest digit."""
        return self.ink.likelihood * max(
            (
                (0.2 + 0.8 * _digit_probability(self.alone.get(number)))
                * min(1, self._height(number) / SMALL)
                * self.contrast[number]
                * self.standing[number] ** 2
                for number in self.plausible
            ),
            default=0.0,
        )

    def lines(self) -> list[list[tuple[Prediction, Box]]]:
        """The digits of each line."""
        height = self._usual_height()
        if height is None:
            return []
        kept = self._writing(height)
        found = []
        groups: list[_Group] = []
        rows = []
        for line in group_lines([self.boxes[number] for number in kept], height):
            row = self._row([kept[each] for each in line], height)
            rows.append((row, self._groups(row, height)))
            groups += rows[-1][1]
        if len(groups) > MAX_GROUPS:
            raise too_many(len(kept), "that is too much to try all ways to cut it")
        answers = self._predict([group.atoms for group in groups])
        by_group = {id(group): answer for group, answer in zip(groups, answers, strict=True)}
        for row, mine in rows:
            chosen = self._best(row, mine, by_group, height)
            if chosen:
                found.append([(by_group[id(group)], group.box) for group in chosen])
        return found

    def _usual_height(self) -> float | None:
        """The height of a digit in this photo; None if there is none."""
        digits = [n for n, answer in self.alone.items() if answer.label != NOTHING]
        numbers = self.surest or digits or self.plausible
        if not numbers:
            return None
        heights = [float(self._height(number)) for number in numbers]
        return _weighted_median(
            heights, [self.weight[each] * self._height(each) ** 2 for each in numbers]
        )

    def _writing(self, height: float) -> list[int]:
        """The components that may be digits or parts of them."""
        weight, contrast = self.weight, self.contrast
        usual = _weighted_median(
            [weight[each] for each in self.surest or self.boxes],
            [weight[each] * self._height(each) ** 2 for each in self.surest or self.boxes],
        )
        boldest = max(contrast[each] for each in self.surest or self.boxes)
        kept, plausible = [], set(self.plausible)
        for number, box in self.boxes.items():
            frame = any(
                box.contains(self.boxes[each])
                and number != each
                and self._height(each) > 0.4 * height
                for each in self.surest
            )
            small = box.height < LOWEST and box.width < height
            if not small and number not in plausible:
                continue
            if (
                box.height <= SIZES[1] * height
                and weight[number] >= FAINT * usual
                and contrast[number] >= FAINT * boldest
                and not frame
            ):
                kept.append(number)
        return kept

    def _row(self, line: list[int], height: float) -> list[int]:
        """The atoms of a line from left to right; components that may be several digits are cut."""
        row: list[int] = []
        for number in line:
            box = self.boxes[number]
            one = self.alone.get(number)
            sure = one is not None and one.shown and box.width <= SLIM * max(height, box.height)
            narrow = SLIM if one is not None and one.label == NOTHING else NARROW
            if sure or box.height < 0.5 * height or box.width < narrow * height:
                row.append(number)
            else:
                row += self._cut(number, height)
        return sorted(row, key=lambda each: self.boxes[each].left + self.boxes[each].right)

    def _cut(self, number: int, height: float) -> list[int]:
        """Cut a component; returns its parts as new atoms."""
        box = self.boxes[number]
        area = self.atoms[box.top : box.bottom, box.left : box.right]
        mask = area == number
        cuts = find_cuts(mask, min(height, box.height))
        if not cuts:
            return [number]
        columns = np.arange(mask.shape[1])
        part = sum((columns >= cut.columns[:, None]).astype(np.int32) for cut in cuts)
        parts: list[int] = []
        first, last = max(self.boxes) + 1, 0
        for index in range(len(cuts) + 1):
            own = mask & (part == index)
            rows, columns_ = np.nonzero(own)
            if not len(rows):
                continue
            name = first + len(parts)
            area[own] = name
            self.boxes[name] = Box(
                box.left + int(columns_.min()),
                box.top + int(rows.min()),
                box.left + int(columns_.max()) + 1,
                box.top + int(rows.max()) + 1,
            )
            self.owners[name] = number
            if parts:
                cost = min(
                    CUT + CUT_INK * each.ink + CUT_AGAIN * max(0, each.strokes - 1)
                    for each in cuts[last:index]
                )
                self.cuts[parts[-1], name] = cost
            parts.append(name)
            last = index
        self.pieces[number] = len(parts)
        return parts

    def _groups(self, row: list[int], height: float) -> list[_Group]:
        """All groups of neighboring atoms that may be one digit."""
        found = []
        for start in range(len(row)):
            box = self.boxes[row[start]]
            for end in range(start + 1, min(start + REACH, len(row)) + 1):
                atoms = tuple(row[start:end])
                box = box.joined(self.boxes[atoms[-1]])
                several = len({self.owners[atom] for atom in atoms}) > 1
                widest = WIDEST if several else ALONE
                if end > start + 1 and (
                    box.width > widest * max(height, box.height) or box.height > SIZES[1] * height
                ):
                    break
                if (cost := self._joining_cost(atoms, height)) is None:
                    continue
                cost += LOW * max(0.0, LOW_FROM - box.height / height)
                borders = (*row[max(0, start - 1) : start + 1], *row[end - 1 : end + 1])
                cuts = [self.cuts[pair] for pair in pairwise(borders) if pair in self.cuts]
                found.append(_Group(start, end, atoms, box, cost + sum(cuts) / 2, bool(cuts)))
        return found

    def _joining_cost(self, atoms: tuple[int, ...], height: float) -> float | None:
        """What it costs to take several components for one digit; None if they cannot be."""
        parts: dict[int, Box] = {}
        for atom in atoms:
            owner, box = self.owners[atom], self.boxes[atom]
            parts[owner] = parts[owner].joined(box) if owner in parts else box
        if len(parts) > PARTS:
            return None
        if len(parts) > 1 and sum(self.pieces.get(owner, 1) for owner in parts) > len(atoms):
            return None  # only whole components are joined
        boxes = list(parts.values())
        for one, other in pairwise(boxes):
            across = max(one.left, other.left) - min(one.right, other.right)
            down = max(one.top, other.top) - min(one.bottom, other.bottom)
            if max(across, down) > GAP * height:
                return None
            smaller = min(one.width, other.width)
            both_high = min(one.height, other.height) > 0.7 * height
            if both_high and -across < 0.3 * smaller:
                return None
        return JOINED * (len(parts) - 1)

    def _best(
        self,
        row: list[int],
        groups: list[_Group],
        answers: dict[int, Prediction],
        height: float,
    ) -> list[_Group]:
        """The groups that divide a line best."""
        best = [0.0] + [float("inf")] * len(row)
        chosen: list[tuple[int, _Group | None]] = [(0, None)] * (len(row) + 1)
        ending: dict[int, list[_Group]] = {}
        for group in groups:
            if id(group) in answers:
                ending.setdefault(group.end, []).append(group)
        for end in range(1, len(row) + 1):
            atom = row[end - 1]
            lost = LOST if atom != self.owners[atom] else DROPPED * self._height(atom) / height
            best[end], chosen[end] = best[end - 1] + lost, (end - 1, None)
            for group in ending.get(end, []):
                answer = answers[id(group)]
                tall = group.box.height >= SIZES[0] * height
                if answer.label == NOTHING or not tall or (group.cut and not answer.shown):
                    continue
                if group.cut and group.box.height < LOW_FROM * height:
                    continue
                wide = group.box.width / max(height, group.box.height)
                cost = group.cost + WIDE * max(0.0, wide - WIDTHS.get(answer.label, WIDTH))
                cost -= math.log(max(answer.confidence, LEAST))
                if best[group.start] + cost < best[end]:
                    best[end], chosen[end] = best[group.start] + cost, (group.start, group)
        found, end = [], len(row)
        while end:
            end, taken = chosen[end]
            if taken is not None:
                found.append(taken)
        return found[::-1]

    def _predict(self, groups: Sequence[tuple[int, ...]]) -> list[Prediction]:
        """What the model says of groups of atoms, each alone."""
        spec, answers = self.model.input_spec, []
        self._check_area(groups)
        batch = max(1, BATCH_BYTES // math.prod(spec.shape))
        for start in range(0, len(groups), batch):
            frames = []
            for atoms in groups[start : start + batch]:
                box = self.boxes[atoms[0]]
                for atom in atoms[1:]:
                    box = box.joined(self.boxes[atom])
                frames.append(draw_frame(self.ink.strength, self.atoms, atoms, box, spec))
            rows = self.model.probabilities(np.stack(frames))
            answers += [
                Prediction.from_array(self.model.classes, each, self.model.thresholds)
                for each in rows
            ]
        return answers

    def _check_area(self, groups: Sequence[tuple[int, ...]]) -> None:
        """Check how many pixels all frames together are drawn from."""
        area = sum(
            self.boxes[atom].width * self.boxes[atom].height for atoms in groups for atom in atoms
        )
        if area > MAX_AREA * self.atoms.size:
            raise too_many(len(self.boxes), "they are too large, or overlap too much, for digits")

    def _height(self, number: int) -> int:
        return self.boxes[number].height
