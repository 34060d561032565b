"""Operators that pick elements at places that are known when the site is written."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pocketlens.web.program import Ref
from pocketlens.web.single_node import SingleNode
from pocketlens.web.step import Step, picked, transposed

__all__ = ["depth_to_space", "gather", "gather_by_values", "space_to_depth"]

MAX_INDICES = 1_000_000


def gather(s: Step) -> list[Ref]:
    x, indices = s.value(0), s.constant(1)
    if indices is None:
        raise s.unsupported("it has no indices")
    axis = int(s.attributes.get("axis", 0)) % len(x.shape)
    return [picked(s, x, axis, (np.ravel(indices) % x.shape[axis]).tolist(), s.shape)]


def gather_by_values(s: Step, op: str) -> list[Ref]:
    """Other operators that pick elements at constant places: those of a tensor of all places."""
    x, indices = s.value(0), s.constant(1)
    if indices is None or math.prod(s.shape) > MAX_INDICES:
        raise s.unsupported(f"it picks more than {MAX_INDICES} elements")
    places = np.arange(x.size).reshape(x.shape)
    found = SingleNode(op, [places, indices], s.attributes)(places, indices)
    return [
        picked(s, Ref((x.size,), tensor=s.program.tensor(x)), 0, found.ravel().tolist(), s.shape)
    ]


def depth_to_space(s: Step) -> list[Ref]:
    x, block = s.value(0), int(s.attributes["blocksize"])
    (_, _, height, width), inner = x.shape, s.shape[1]
    view: tuple[int, ...]
    order: tuple[int, ...]
    if s.attributes.get("mode", b"DCR") == b"CRD":
        view, order = (inner, block, block, height, width), (0, 3, 1, 4, 2)
    else:
        view, order = (block, block, inner, height, width), (2, 3, 0, 4, 1)
    return _blocks(s, view, order)


def space_to_depth(s: Step) -> list[Ref]:
    x, block = s.value(0), int(s.attributes["blocksize"])
    view = (x.shape[1], s.shape[2], block, s.shape[3], block)
    return _blocks(s, view, (2, 4, 0, 1, 3))


def _blocks(s: Step, view: Sequence[int], order: Sequence[int]) -> list[Ref]:
    x = s.value(0)
    if x.shape[0] != 1:
        raise s.unsupported(f"its input has the shape {list(x.shape)}; expected one image")
    result = transposed(s, Ref(tuple(view), tensor=s.program.tensor(x)), order)
    return [Ref(s.shape, tensor=result.tensor, step=result.step)]
