"""Find the first op of a Core ML file that differs from the network it was converted from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from pocketlens.conversion.exporting import input_planes
from pocketlens.conversion.metadata import IMAGE_FEATURE
from pocketlens.conversion.places import op_name, place_of
from pocketlens.coreml import CoreMLModel
from pocketlens.image import InputSpec

__all__ = ["first_difference", "first_overflow"]

_MOVES = {
    "_assert_tensor_metadata", "clone", "flatten", "getitem", "permute", "reshape", "squeeze",
    "unsqueeze", "view",
}  # fmt: skip
"""Ops that compute nothing."""

_TOLERANCE = 1e-4
"""The largest difference that rounding in float32 explains, as a share of the largest number."""


def first_difference(
    program: torch.export.ExportedProgram,
    model: CoreMLModel,
    image: NDArray[np.uint8],
    input_spec: InputSpec,
    probabilities: NDArray[np.float32],
) -> str:
    """The first op whose tensor differs between PyTorch and the Core ML file, as a sentence.

    coremltools names the tensors of the file after the nodes of the program. Not every node has its
    tensor there, because ops are fused.

    Args:
        program: The program that was converted.
        model: The Core ML file, in float32.
        image: An image `(H, W, C)` uint8 for which the outputs differ.
        input_spec: How it becomes the input.
        probabilities: What the network itself computes for it, `(K,)`.
    """
    wanted = _values(program, input_planes(input_spec, image))
    if _error(probabilities, list(wanted.values())[-1].reshape(-1)) > _TOLERANCE:
        return "PyTorch's export of the network differs from the network already"
    tensors = _tensors(model, image)
    errors: dict[fx.Node, float] = {}
    for node, value in wanted.items():
        got = tensors.get(node.name)
        if got is not None and got.size == value.size:
            errors[node] = _error(value.reshape(-1), got.reshape(-1))
    agrees = {node: error <= _TOLERANCE for node, error in errors.items()}
    # A tensor that only has the same name does not count: later ones agree nevertheless.
    reached = {node for node, error in errors.items() if error <= _TOLERANCE / 30}
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
    model: CoreMLModel, image: NDArray[np.uint8], program: torch.export.ExportedProgram
) -> str:
    """The first tensor of the file that has values that are not finite, as a part of a sentence."""
    nodes = {node.name: node for node in program.graph.nodes}
    for name, value in _tensors(model, image).items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            node = nodes.get(name.removesuffix("_cast_fp16"))
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


def _values(program: torch.export.ExportedProgram, planes: Tensor) -> dict[fx.Node, NDArray[Any]]:
    """The tensor of each op, as PyTorch computes it."""
    module = program.graph_module
    values: dict[fx.Node, NDArray[Any]] = {}

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            result = super().run_node(n)
            first = result[0] if isinstance(result, (tuple, list)) and result else result
            if n.op == "call_function" and isinstance(first, Tensor):
                values[n] = first.detach().cpu().numpy()
            return result

    signature = program.graph_signature
    given: list[Any] = []
    for spec in signature.input_specs:
        if spec.target is None:
            given.append(planes)
        elif spec.target in program.state_dict:
            given.append(program.state_dict[spec.target])
        else:
            given.append(program.constants[spec.target])
    with torch.no_grad():
        Recorder(module).run(*given)
    return values


def _tensors(model: CoreMLModel, image: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    from PIL import Image

    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    results = model.run({IMAGE_FEATURE: picture}, intermediate=True)
    return {name: value for name, value in results.items() if isinstance(value, np.ndarray)}
