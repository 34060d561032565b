"""Find the first op of a Core ML file that differs from the network it was converted from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from pocketlens.conversion.exporting import all_inputs
from pocketlens.conversion.places import op_name, place_of
from pocketlens.coreml import CoreMLModel

__all__ = ["first_difference", "first_overflow"]

_MOVES = {
    "_assert_tensor_metadata", "clone", "flatten", "getitem", "permute", "reshape", "squeeze",
    "unsqueeze", "view",
}  # fmt: skip
"""Ops that compute nothing."""

_TOLERANCE, _HALF_TOLERANCE = 1e-4, 1e-2
"""The largest difference that rounding explains, as a share of the largest number."""

_HALF = "_cast_fp16"
"""The end of the names that coremltools gives to tensors in float16."""


def first_difference(
    program: torch.export.ExportedProgram,
    model: CoreMLModel,
    inputs: list[Tensor],
    features: Mapping[str, Any],
    outputs: Sequence[NDArray[Any]],
) -> str:
    """The first op whose tensor differs between PyTorch and the Core ML file, as a sentence.

    coremltools names the tensors of the file after the nodes of the program. Not every node has its
    tensor there, because ops are fused.

    Args:
        program: The program that was converted.
        model: The Core ML file.
        inputs: Inputs of the program for which the outputs differ.
        features: The same as inputs of the Core ML file.
        outputs: What the network itself computes for them.
    """
    wanted = _values(program, inputs)
    exported = {node.name: value for node, value in wanted.items()}
    for name, output in zip(program.graph_signature.user_outputs, outputs, strict=True):
        value = exported.get(name)  # not an op if it is an input
        if value is not None and _error(output.reshape(-1), value.reshape(-1)) > _TOLERANCE:
            return "PyTorch's export of the network differs from the network already"
    tensors = _tensors(model, features)
    half = any(name.endswith(_HALF) for name in tensors)
    tolerance = _HALF_TOLERANCE if half else _TOLERANCE
    tensors = {name.removesuffix(_HALF): value for name, value in tensors.items()}
    errors: dict[fx.Node, float] = {}
    for node, value in wanted.items():
        got = tensors.get(node.name)
        if got is not None and got.size == value.size:
            errors[node] = _error(value.reshape(-1), got.reshape(-1))
    agrees = {node: error <= tolerance for node, error in errors.items()}
    # A tensor that only has the same name does not count: later ones agree nevertheless.
    reached = {node for node, error in errors.items() if error <= tolerance / 30}
    for node in reversed(wanted):
        if node in reached:
            reached.update(node.all_input_nodes)
    wrong = [node for node, right in agrees.items() if not right and node not in reached]
    if not wrong:
        return "no single op could be identified"
    first = wrong[0]
    suspects = [*_between(first, agrees), first]
    suspects = [node for node in suspects if op_name(node) not in _MOVES] or [first]
    places: dict[str, list[str]] = {}
    for node in suspects:
        named = places.setdefault(place_of(node), [])
        if op_name(node) not in named:
            named.append(op_name(node))
    listed = (
        " or ".join(map(repr, names)) + place for place, names in reversed(list(places.items()))
    )
    return f"the first op that differs is {'; or '.join(listed)}"


def first_overflow(
    model: CoreMLModel, features: Mapping[str, Any], program: torch.export.ExportedProgram
) -> str:
    """The first tensor of the file that has values that are not finite, as a part of a sentence."""
    nodes = {node.name: node for node in program.graph.nodes}
    for name, value in _tensors(model, features).items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            node = nodes.get(name.removesuffix(_HALF))
            return f", first at op '{op_name(node)}'{place_of(node)}" if node else ""
    return ""


def _between(node: fx.Node, agrees: dict[fx.Node, bool]) -> list[fx.Node]:
    """The ops before a node that have no tensor in the file to compare, up to those that have."""
    found: list[fx.Node] = []
    waiting = list(node.all_input_nodes)
    while waiting:
        each = waiting.pop()
        if each.op == "call_function" and each not in agrees and each not in found:
            found.append(each)
            waiting += each.all_input_nodes
    return found[::-1]


def _error(want: NDArray[Any], got: NDArray[Any]) -> float:
    """The largest difference, as a share of the largest number."""
    a, b = want.astype(np.float64), got.astype(np.float64)
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return math.inf
    finite = np.isfinite(a)
    if not finite.any():
        return 0.0
    a, b = a[finite], b[finite]
    return float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-6))


def _values(program: torch.export.ExportedProgram, inputs: list[Tensor]) -> dict[fx.Node, Any]:
    """The tensor of each op, as PyTorch computes it."""
    values: dict[fx.Node, NDArray[Any]] = {}

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            result = super().run_node(n)
            first = result[0] if isinstance(result, (tuple, list)) and result else result
            if n.op == "call_function" and isinstance(first, Tensor):
                values[n] = first.detach().cpu().numpy()
            return result

    with torch.no_grad():
        Recorder(program.graph_module).run(*all_inputs(program, inputs))
    return values


def _tensors(model: CoreMLModel, features: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    results = model.run(features, intermediate=True)
    return {name: value for name, value in results.items() if isinstance(value, np.ndarray)}
