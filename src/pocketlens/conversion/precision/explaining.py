"""Explains why an op computes something else in float16 than in float32, from its own numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.precision.findings import Fault
from pocketlens.conversion.precision.search import Blame, Tensors, difference
from pocketlens.coreml.runtime.emulation import all_lost

__all__ = ["explained", "number_range"]

LARGEST = 65504
NORMAL = 2.0**-14
CANCELS = 1 / 16
"""A result of at most this part of what the op takes is a small difference."""

LOST = 1 / 128
"""From this error on, as a share of the largest result, digits are lost."""


def explained(blame: Blame) -> tuple[Fault, str, float, float]:
    """The fault of an op, what goes wrong in a sentence, and the range of its numbers."""
    operation, case = blame.operation, blame.case
    exact = dict(case.features) | case.emulation.run(case.features, (), intermediate=True)
    alone = case.emulation.run(
        case.features, [operation.name], flush=operation.loses_constants, intermediate=True
    )
    given = _floats(exact, operation.inputs)
    made = _floats(exact, operation.outputs)
    rounded = [alone[name] for name in operation.outputs if name in alone]
    low, high = number_range([*given, *made])
    fault, text = _fault(blame, given, made, rounded)
    if not blame.alone:
        text += "; it is too coarse only together with others"
    return fault, text, low, high


def number_range(arrays: list[NDArray[Any]]) -> tuple[float, float]:
    """The smallest and the largest finite number; 0 if there is none."""
    finite = [array[np.isfinite(array)] for array in arrays]
    finite = [array for array in finite if array.size]
    if not finite:
        return 0.0, 0.0
    return float(min(a.min() for a in finite)), float(max(a.max() for a in finite))


def _floats(tensors: Tensors, names: tuple[str, ...]) -> list[NDArray[Any]]:
    found = (tensors[name] for name in names if name in tensors)
    return [each for each in found if isinstance(each, np.ndarray) and each.dtype.kind == "f"]


def _fault(
    blame: Blame,
    given: list[NDArray[Any]],
    made: list[NDArray[Any]],
    rounded: list[NDArray[Any]],
) -> tuple[Fault, str]:
    most_given, most_made = _most(given), _most(made)
    spoiled = any(
        want.dtype.kind == "f" and not np.array_equal(np.isfinite(want), np.isfinite(got))
        for want, got in zip(made, [r for r in rounded if r.dtype.kind == "f"], strict=False)
    )
    ends = "float16 ends at 65,504, larger ones become infinite"
    if most_given > LARGEST:
        return "overflow", f"it takes numbers up to {_text(given)}; {ends}"
    if most_made > LARGEST:
        return "overflow", f"it computes numbers up to {_text(made)}; {ends}"
    for constant in blame.operation.constants:
        if all_lost(constant):
            least = float(np.abs(constant).max())
            then = "; then the result is not finite" if spoiled else ""
            if _is_smallest(least):
                return "constant", (
                    f"the constant {least:.1g} is the smallest number of float16, which stands "
                    f"for any smaller one, and which a device may take as 0{then}"
                )
            return "constant", (
                f"the constant {least:.3g} is too small for float16, where it becomes 6e-08 or 0"
                f"{then}"
            )
    for constant in blame.operation.constants:
        size = np.abs(constant[np.isfinite(constant)])
        if size.max(initial=0) > LARGEST:
            return "constant", f"the constant {size.max():.3g} becomes infinite in float16"
    if not made:
        return "order", (
            "numbers that differ in float32 become equal in float16, so the result is another one"
        )
    zeroed = _zeroed(given)
    if spoiled:
        why = f": {100 * zeroed:.3g} % of what it takes becomes 0" if zeroed else ""
        return ("underflow" if zeroed else "overflow"), f"its result is not finite in float16{why}"
    for numbers, verb in ((made, "computes"), (given, "takes")):
        share = _zeroed(numbers)
        if share > 0.01 or 0 < _most(numbers) < NORMAL:
            return "underflow", (
                f"it {verb} numbers down to {_least(numbers):.2g}; float16 has few digits below "
                f"6e-05 and none below 6e-08: {100 * share:.3g} % of them become 0"
            )
    step = 2.0 ** max(math.floor(math.log2(max(most_given, NORMAL))) - 10, -24)
    error = max((difference(one, other) for one, other in zip(made, rounded, strict=False)))
    subtracts = blame.operation.kind not in ("mul", "real_div", "exp", "exp2", "pow")
    if subtracts and most_made <= CANCELS * most_given and error > LOST * most_made:
        return "cancellation", (
            f"it takes numbers up to {most_given:.4g}, which float16 rounds to steps of "
            f"{step:.2g}; its results, up to {most_made:.2g}, are small differences of them and "
            "lose their digits"
        )
    return "rounding", (
        f"float16 rounds what it takes, up to {most_given:.4g}, to steps of {step:.2g}, and the "
        "outputs depend on more digits"
    )


def _most(arrays: list[NDArray[Any]]) -> float:
    low, high = number_range(arrays)
    return max(-low, high)


def _least(arrays: list[NDArray[Any]]) -> float:
    sizes = [np.abs(array[array != 0]) for array in arrays]
    return min((float(each.min()) for each in sizes if each.size), default=0.0)


def _zeroed(arrays: list[NDArray[Any]]) -> float:
    """The share of the numbers that are not 0 but become 0."""
    nonzero = sum(int((array != 0).sum()) for array in arrays)
    with np.errstate(over="ignore"):
        gone = sum(int(((array != 0) & (array.astype(np.float16) == 0)).sum()) for array in arrays)
    return gone / max(nonzero, 1)


def _text(arrays: list[NDArray[Any]]) -> str:
    low, high = number_range(arrays)
    return f"{low if -low > high else high:.4g}"


def _is_smallest(number: float) -> bool:
    return abs(number / 2.0**-24 - 1) < 1e-3
