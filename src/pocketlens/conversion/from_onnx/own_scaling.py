"""Whether an ONNX network scales pixels itself, read from its first nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketlens.conversion.from_onnx.preparing import Prepared
from pocketlens.conversion.pixel_scaling import FAR, scales_pixels

__all__ = ["own_scaling"]

_ARITHMETIC = {"Add": "add", "Div": "div", "Mul": "mul", "Sub": "sub"}
_SAME = {"Cast", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}


def own_scaling(prepared: Prepared) -> str | None:
    """The node with which a network scales pixels itself, in words; None if there is none.

    Args:
        prepared: The network as it is in its file, with one input.
    """
    import onnx

    graph = prepared.model.graph
    constants = {each.name: each for each in graph.initializer}
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    name = graph.input[0].name
    while len(found := users.get(name, [])) == 1:
        (node,) = found
        sizes = [
            float(np.abs(onnx.numpy_helper.to_array(constants[each])).max(initial=0))
            for each in node.input
            if each in constants
        ]
        op = _ARITHMETIC.get(node.op_type, "")
        # Trained on pixels from 0 to 255, the mean of a BatchNormalization is far above 1.
        mean = node.op_type == "BatchNormalization" and len(sizes) == 4 and sizes[2] > FAR
        if mean or scales_pixels(op, sizes):
            return prepared.nodes[node.output[0]]
        if not op and node.op_type not in _SAME:
            return None
        name = node.output[0]
    return None
