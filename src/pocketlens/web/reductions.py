"""Operators that make one number of many, and softmax."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pocketlens.web.program import Ref
from pocketlens.web.step import Step, binary_step, reduced, unary_step

__all__ = ["global_pool", "reduce", "softmax"]


def reduce(s: Step, kind: str) -> list[Ref]:
    x = s.value(0)
    axes = s.integers(1, "axes")
    if not axes:
        axes = [] if s.attributes.get("noop_with_empty_axes") else list(range(len(x.shape)))
    axes = [axis % len(x.shape) for axis in axes]
    if kind in ("log_sum", "log_sum_exp"):
        result = _log_sum(s, x, axes, exp=kind == "log_sum_exp")
    else:
        result = reduced(s, kind, x, axes)
    return [Ref(s.shape, tensor=result.tensor, step=result.step)]


def global_pool(s: Step, kind: str) -> list[Ref]:
    x = s.value(0)
    return [reduced(s, kind, x, range(2, len(x.shape)))]


def _log_sum(s: Step, x: Ref, axes: Sequence[int], *, exp: bool) -> Ref:
    if not exp:
        return unary_step(s, "log", reduced(s, "sum", x, axes))
    largest = reduced(s, "max", x, axes)
    shares = unary_step(s, "exp", binary_step(s, "sub", x, largest, x.shape))
    total = unary_step(s, "log", reduced(s, "sum", shares, axes))
    return binary_step(s, "add", total, largest, largest.shape)


def softmax(s: Step, *, log: bool) -> list[Ref]:
    x = s.value(0)
    axis = int(s.attributes.get("axis", -1)) % len(x.shape)
    outer, inner = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    return [
        s.program.add(
            "softmax", x.shape, x=s.tensor(0), outer=outer, count=x.shape[axis], inner=inner,
            log=log,
        )
    ]  # fmt: skip
