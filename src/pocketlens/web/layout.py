"""Operators that move elements: all of them are copies with other strides."""

from __future__ import annotations

import numpy as np

from pocketlens.web.program import Ref, strides_of
from pocketlens.web.step import Step, broadcast_strides, placed, transposed

__all__ = ["concat", "expand", "identity", "pad", "reshape", "slice_", "split", "tile", "transpose"]


def identity(s: Step) -> list[Ref]:
    return [s.value(0)]


def reshape(s: Step) -> list[Ref]:
    """All operators that change the shape only: the tensor stays where it is."""
    x = s.value(0)
    return [Ref(s.shape, tensor=s.program.tensor(x), step=x.step)]


def transpose(s: Step) -> list[Ref]:
    x = s.value(0)
    order = [int(axis) for axis in s.attributes.get("perm", range(len(x.shape))[::-1])]
    return [transposed(s, x, order)]


def concat(s: Step) -> list[Ref]:
    axis = int(s.attributes["axis"]) % len(s.shape)
    parts, start = [], 0
    for index in range(len(s.inputs)):
        x = s.value(index)
        corner = [0] * len(s.shape)
        corner[axis] = start
        start += x.shape[axis]
        parts.append((x, corner))
    return [placed(s, parts, s.shape)]


def pad(s: Step) -> list[Ref]:
    x, mode = s.value(0), s.attributes.get("mode", b"constant").decode()
    pads, axes, value = s.integers(1, "pads"), s.integers(3, "axes"), s.constant(2)
    if pads is None or axes is not None or min(pads) < 0 or mode not in PAD_STEPS:
        raise s.unsupported(f"it pads with {mode}, or only some axes, or with negative sizes")
    rank = len(x.shape)
    if mode == "constant":
        fill = s.attributes.get("value", 0.0) if value is None else float(np.ravel(value)[0])
        return [placed(s, [(x, pads[:rank])], s.shape, fill=fill)]
    for axis, (before, after) in enumerate(zip(pads[:rank], pads[rank:], strict=True)):
        if before or after:
            x = _padded(s, x, axis, before, after, PAD_STEPS[mode])
    return [x]


PAD_STEPS = {"constant": 0, "edge": 0, "reflect": 1}
"""By how many elements a padded line goes back into the image with each element."""


def _padded(s: Step, x: Ref, axis: int, before: int, after: int, step: int) -> Ref:
    """Padded along one axis with its first and last elements."""
    strides, size = strides_of(x.shape), x.shape[axis]
    if before >= size + (1 - step) * before or after >= size + (1 - step) * after:
        raise s.unsupported(f"it reflects more than the size of axis {axis}")
    corner = [0] * len(x.shape)
    parts: list[tuple[Ref, list[int]]] = []
    for count, first, to, turn in (
        (before, step * before, 0, -step),
        (after, size - 1 - step, before + size, -step),
    ):
        if count:
            shape = [*x.shape[:axis], count, *x.shape[axis + 1 :]]
            steps = [*strides[:axis], turn * strides[axis], *strides[axis + 1 :]]
            part = s.program.moved(x, shape, start=first * strides[axis], from_strides=steps)
            parts.append((part, [*corner[:axis], to, *corner[axis + 1 :]]))
    parts.append((x, [*corner[:axis], before, *corner[axis + 1 :]]))
    shape = [*x.shape[:axis], before + size + after, *x.shape[axis + 1 :]]
    return placed(s, parts, shape)


def slice_(s: Step) -> list[Ref]:
    x = s.value(0)
    starts, ends = s.integers(1, "starts"), s.integers(2, "ends")
    if starts is None or ends is None:
        raise s.unsupported("it has no limits")
    axes = s.integers(3, "axes") or list(range(len(starts)))
    steps = s.integers(4, "steps") or [1] * len(starts)
    strides, from_strides, start = strides_of(x.shape), strides_of(x.shape), 0
    for axis, low, high, step in zip(axes, starts, ends, steps, strict=True):
        first = slice(low, high if high > -(2**62) else None, step).indices(x.shape[axis])[0]
        start += first * strides[axis]
        from_strides[axis] = step * strides[axis]
    if s.shape == x.shape and start == 0 and from_strides == strides:
        return [x]
    return [s.program.moved(x, s.shape, start=start, from_strides=from_strides)]


def split(s: Step) -> list[Ref]:
    x, axis = s.value(0), int(s.attributes.get("axis", 0)) % len(s.shape)
    strides, start, parts = strides_of(x.shape), 0, []
    for shape in s.shapes:
        parts.append(s.program.moved(x, shape, start=start * strides[axis], from_strides=strides))
        start += shape[axis]
    return parts


def expand(s: Step) -> list[Ref]:
    x = s.value(0)
    return [s.program.moved(x, s.shape, from_strides=broadcast_strides(x.shape, s.shape))]


def tile(s: Step) -> list[Ref]:
    x, repeats = s.value(0), s.integers(1, "repeats")
    if repeats is None:
        raise s.unsupported("it has no repeats")
    shape = [each for pair in zip(repeats, x.shape, strict=True) for each in pair]
    strides = [each for stride in strides_of(x.shape) for each in (0, stride)]
    result = s.program.moved(x, shape, from_strides=strides)
    return [Ref(s.shape, tensor=result.tensor, step=result.step)]
