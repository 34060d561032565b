"""Published faults of Apple's Neural Engine: ops that compute something else there, silently.

They do not happen here, nor on an iPhone's CPU and GPU, and so they are found by the kind of the op
and the range of its numbers. An op in float32 does not run on the Neural Engine.

- softplus returns 0 for inputs above 10.39: https://github.com/apple/coremltools/issues/2687
- log-sum-exp returns 0 where the sum of the exponentials passes 65,504, for 32 equal inputs above
  7.63: https://github.com/apple/coremltools/issues/2690
- log of a softmax is -infinity where a probability is below 6e-5:
  https://github.com/apple/coremltools/issues/2728
- hard-swish after a matrix product is off by 4 %: https://github.com/apple/coreai-torch/issues/51
- argmax returns other indices: https://github.com/apple/coreai-torch/issues/116
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.runtime.emulation import Operation

__all__ = ["DeviceFault", "device_faults", "suspects"]

COREMLTOOLS = "https://github.com/apple/coremltools/issues/"
COREAI = "https://github.com/apple/coreai-torch/issues/"

SOFTPLUS_LIMIT = 10.39
SUM_EXP_LIMIT = 7.6
LOG_LIMIT = math.log(65504)
SMALLEST_NORMAL = 2.0**-14

SOFTPLUS = ("softplus", "softplus_parametric", "parametricSoftplus")
LOG_SUM_EXP = ("reduce_log_sum_exp", "reduceLogSumExp")
SOFTMAX = ("softmax", "softmaxND")
ARGMAX = ("reduce_argmax", "reduce_argmin", "argMax", "argMin")
PRODUCTS = ("linear", "matmul", "innerProduct", "batchedMatmul")
GATES = ("sigmoid_hard", "sigmoidHard", "relu6", "clip", "clamped_relu", "minimum", "min")
TIMES = ("mul", "multiply")
BETWEEN = (
    *("add", "real_div", "sub", "maximum", "max", "relu", "thresholded_relu", "thresholdedReLU"),
    *("scale", "linear_activation", *TIMES),
)
LONGEST_SWISH = 6
"""How many ops a hard-swish has at most."""


@dataclass(frozen=True)
class DeviceFault:
    """What goes wrong on the Neural Engine, and the ops that float32 keeps away from it."""

    ops: tuple[Operation, ...]
    text: str
    source: str


def suspects(operations: Sequence[Operation]) -> bool:
    """Whether there is any op of which a fault is known, so that the ranges are needed."""
    kinds = {each.kind for each in operations}
    products = [each for each in operations if each.kind in PRODUCTS]
    return bool(
        kinds.intersection((*SOFTPLUS, *LOG_SUM_EXP, *ARGMAX))
        or (kinds.intersection(SOFTMAX) and "log" in kinds)
        or any(_hard_swish(operations, each) for each in products)
    )


def device_faults(
    operations: Sequence[Operation], tensors: Mapping[str, NDArray[Any]]
) -> Iterator[DeviceFault]:
    """The faults that happen with these tensors of a run."""
    makers = {name: each for each in operations for name in each.outputs}
    for each in operations:
        if each.kind not in (*SOFTPLUS, *LOG_SUM_EXP, "log", *ARGMAX, *PRODUCTS):
            continue
        given = [tensors[name] for name in each.inputs if name in tensors]
        largest = max((_largest(array) for array in given), default=-math.inf)
        if each.kind in SOFTPLUS:
            # `softplus_parametric` multiplies by a constant first.
            factor = max((float(np.abs(c).max(initial=0)) for c in each.constants), default=1.0)
            if largest * factor > SOFTPLUS_LIMIT:
                yield DeviceFault(
                    (each,),
                    f"its input is up to {largest:.4g}; the Neural Engine returns 0 above "
                    f"{SOFTPLUS_LIMIT}",
                    f"{COREMLTOOLS}2687",
                )
        elif each.kind in LOG_SUM_EXP:
            result = max((_largest(tensors[name]) for name in each.outputs), default=-math.inf)
            if largest > SUM_EXP_LIMIT or result > LOG_LIMIT:
                yield DeviceFault(
                    (each,),
                    f"its input is up to {largest:.4g}; the Neural Engine returns 0 where the sum "
                    f"of the exponentials passes 65,504, for 32 numbers above {SUM_EXP_LIMIT}",
                    f"{COREMLTOOLS}2690",
                )
        elif each.kind == "log":
            before = [makers[name] for name in each.inputs if name in makers]
            softmaxes = [other for other in before if other.kind in SOFTMAX]
            least = min((float(array.min(initial=1)) for array in given), default=1.0)
            if softmaxes and least < SMALLEST_NORMAL:
                yield DeviceFault(
                    (each, *softmaxes),
                    f"it takes probabilities down to {least:.2g} from a softmax; on the Neural "
                    "Engine those below 6e-05 become 0, and their logarithm -infinity",
                    f"{COREMLTOOLS}2728",
                )
        elif each.kind in ARGMAX:
            yield DeviceFault(
                (each,),
                "the Neural Engine returns other indices than the CPU; return the scores, and find "
                "the largest one in the app",
                f"{COREAI}116",
            )
        elif each.kind in PRODUCTS and (swish := _hard_swish(operations, each)):
            yield DeviceFault(
                (each, *swish),
                "a hard-swish follows this matrix product; on the Neural Engine the result is off "
                "by up to 4 %",
                f"{COREAI}51",
            )


def _largest(array: NDArray[Any]) -> float:
    finite = array[np.isfinite(array)]
    return float(finite.max(initial=-math.inf))


def _hard_swish(operations: Sequence[Operation], product: Operation) -> tuple[Operation, ...]:
    """The ops of `y * clip(y + 3, 0, 6) / 6` for the product y; none if something else follows."""
    gated = dict.fromkeys(product.outputs, False)  # what is computed from y -> through a gate?
    found: list[Operation] = []
    for each in operations[operations.index(product) + 1 :]:
        if each.kind not in (*GATES, *BETWEEN) or not gated.keys() >= set(each.inputs):
            continue
        behind = {gated[name] for name in each.inputs}
        found.append(each)
        if each.kind in TIMES and len(behind) == 2:
            return tuple(found)
        if len(found) > LONGEST_SWISH:
            return ()
        gated.update(dict.fromkeys(each.outputs, each.kind in GATES or True in behind))
    return ()
