"""The first node of an ONNX network whose result differs in the Core ML file made from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.from_onnx.running import Runner
from pocketlens.coreml import CoreMLModel

__all__ = ["first_difference", "first_overflow"]

_TOLERANCE = 1e-4
"""The largest difference that rounding in float32 explains, as a share of the largest number."""


def first_difference(
    runner: Runner,
    arrays: Mapping[str, NDArray[Any]],
    model: CoreMLModel,
    features: Mapping[str, Any],
    names: Mapping[str, str],
) -> str:
    """The first node whose result differs, as a sentence.

    Args:
        runner: The ONNX network.
        arrays: Its inputs.
        model: The Core ML file, in float32.
        features: The same inputs for it.
        names: The name of a tensor in the ONNX file -> that in the Core ML file.
    """
    wanted = runner.tensors(arrays)
    got = model.run(dict(features), intermediate=True)
    errors: dict[str, float] = {}
    for name, value in wanted.items():
        other = got.get(names.get(name, ""))
        if (
            isinstance(other, np.ndarray)
            and other.size == value.size
            and value.dtype.kind in "biuf"
        ):
            errors[name] = _error(value.reshape(-1), other.reshape(-1))
    # What an agreeing tensor is computed from agrees, too, or it does not matter.
    reached = {name for name, error in errors.items() if error <= _TOLERANCE / 30}
    inputs = {name: list(node.input) for node in runner.model.graph.node for name in node.output}
    for name in reversed(wanted):
        if name in reached:
            reached.update(inputs.get(name, ()))
    wrong = [name for name, error in errors.items() if error > _TOLERANCE and name not in reached]
    if not wrong:
        return "no single node could be identified"
    between = _between(wrong[0], inputs, errors)
    places = list(dict.fromkeys(runner.place(name) for name in (wrong[0], *between)))
    return f"the first node that differs is {' or '.join(places[:3])}"


def first_overflow(
    runner: Runner, model: CoreMLModel, features: Mapping[str, Any], names: Mapping[str, str]
) -> str:
    """Where a value that is not finite appears first, as the end of a sentence."""
    sources = {there: here for here, there in names.items()}
    for name, value in model.run(dict(features), intermediate=True).items():
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            continue
        source = sources.get(name.removesuffix("_cast_fp16"))
        if source is not None and not np.isfinite(value).all():
            return f", first at {runner.place(source)}"
    return ""


def _between(name: str, inputs: Mapping[str, list[str]], errors: Mapping[str, float]) -> list[str]:
    """The tensors before one that the Core ML file does not have, up to those that it has."""
    found: list[str] = []
    waiting = list(inputs.get(name, ()))
    while waiting:
        each = waiting.pop()
        if each in inputs and each not in errors and each not in found:
            found.append(each)
            waiting += inputs[each]
    return found


def _error(want: NDArray[Any], got: NDArray[Any]) -> float:
    """The largest difference, as a share of the largest number."""
    a, b = want.astype(np.float64), got.astype(np.float64)
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return math.inf
    finite = np.isfinite(a)
    if not finite.any():
        return 0.0
    return float(np.abs(a[finite] - b[finite]).max() / max(np.abs(a[finite]).max(), 1e-6))
