"""Groups pieces of ink by the lines they are written in."""

from __future__ import annotations

from collections.abc import Sequence

from pocketlens.numbers.components import Box

__all__ = ["group_lines"]

NEXT = 2.5
"""The largest gap between neighbors of one line, in heights of a digit."""

LEVEL = 0.3
"""How much two neighbors of one line overlap vertically, as a share of the lower one."""

SMALL = 0.5
"""Smaller pieces, in heights of a digit, belong to the nearest digit's line."""

NEAREST = 0.7
"""How near that digit is at least, in heights of a digit."""


def group_lines(boxes: Sequence[Box], height: float) -> list[list[int]]:
    """Group boxes by lines, from top to bottom, each from left to right.

    A line may be tilted: each digit need only be about as high as the one before it.

    Args:
        boxes: The boxes of pieces of ink.
        height: The height of a digit in pixels.

    Returns:
        The places of the boxes in `boxes`. Small pieces far from all digits are in no line.
    """
    large = sorted(
        (each for each, box in enumerate(boxes) if box.height >= SMALL * height),
        key=lambda each: boxes[each].left,
    )
    lines: list[list[int]] = []
    for each in large:
        near = [line for line in lines if _follows(boxes[line[-1]], boxes[each], height)]
        if near:
            best = min(near, key=lambda line: abs(_middle(boxes[line[-1]]) - _middle(boxes[each])))
            best.append(each)
        else:
            lines.append([each])
    lines = _joined(lines, boxes)
    for each in set(range(len(boxes))) - set(large):
        distances = [
            (_distance(boxes[each], boxes[member]), number)
            for number, line in enumerate(lines)
            for member in line
            if boxes[member].height >= SMALL * height
        ]
        nearest, number = min(distances, default=(float("inf"), 0))
        if nearest <= NEAREST * height:
            lines[number].append(each)
    for line in lines:
        line.sort(key=lambda each: boxes[each].left + boxes[each].right)
    return lines


def _joined(lines: list[list[int]], boxes: Sequence[Box]) -> list[list[int]]:
    """Lines from top to bottom; parts at the same height, with a wide gap between, are one line."""
    found: list[list[int]] = []
    for line in sorted(lines, key=lambda line: _mean_middle(line, boxes)):
        if found:
            apart = _mean_middle(line, boxes) - _mean_middle(found[-1], boxes)
            heights = [boxes[each].height for each in (*line, *found[-1])]
            if apart < 0.5 * sum(heights) / len(heights) and not _overlap(line, found[-1], boxes):
                found[-1] += line
                continue
        found.append(line)
    return found


def _overlap(one: list[int], other: list[int], boxes: Sequence[Box]) -> bool:
    """Whether two lines have a place in common horizontally."""
    spans = [
        (min(boxes[each].left for each in line), max(boxes[each].right for each in line))
        for line in (one, other)
    ]
    return max(spans[0][0], spans[1][0]) < min(spans[0][1], spans[1][1])


def _follows(last: Box, box: Box, height: float) -> bool:
    """Whether a box is the next one to the right in a line that ends with `last`."""
    level = min(last.bottom, box.bottom) - max(last.top, box.top)
    enough = LEVEL * min(last.height, box.height)
    return box.left - last.right <= NEXT * height and level >= enough


def _middle(box: Box) -> float:
    return (box.top + box.bottom) / 2


def _mean_middle(line: list[int], boxes: Sequence[Box]) -> float:
    return sum(_middle(boxes[each]) for each in line) / len(line)


def _distance(one: Box, other: Box) -> float:
    """The gap between two boxes, 0 if they overlap."""
    across = max(one.left, other.left) - min(one.right, other.right)
    down = max(one.top, other.top) - min(one.bottom, other.bottom)
    return float(max(across, down, 0))
