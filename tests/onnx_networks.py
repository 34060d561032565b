"""Small ONNX networks for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL

Port = tuple[str, int, Sequence[Any] | None]


def network(
    nodes: Sequence[Any],
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    weights: Mapping[str, Any] | None = None,
    *,
    opset: int = 17,
    **more: Any,
) -> Any:
    """A `ModelProto`."""
    graph = helper.make_graph(
        list(nodes),
        "network",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(*each) for each in outputs],
        [numpy_helper.from_array(np.asarray(each), name) for name, each in (weights or {}).items()],
    )
    imports = more.pop("opset_imports", [helper.make_opsetid("", opset)])
    return helper.make_model(graph, opset_imports=imports, ir_version=8, **more)


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    """A node; names are separated by spaces, and `name` is an attribute like others."""
    return helper.make_node(op, inputs.split(" "), outputs.split(" "), **attributes)


def written(model: Any, folder: Path, name: str = "model.onnx") -> Path:
    """The path of the network in a file."""
    path = folder / name
    save(model, str(path))
    return path


def classifier(
    side: int = 12, *, batch: Any = "N", last: str = "", channels_last: bool = False
) -> Any:
    """A convolution, a pooling and three scores.

    Args:
        side: Height and width.
        batch: The size of the batch; 0 for a network of single images.
        last: An op after the scores.
        channels_last: Whether the input is `(N, H, W, 3)`.
    """
    random = np.random.default_rng(3)
    weights = {
        "w": random.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "b": random.normal(size=4).astype(np.float32),
        "d": random.normal(size=(3, 4)).astype(np.float32),
        "e": random.normal(size=3).astype(np.float32),
        "zero": np.zeros(1, np.int64),
    }
    image, scores = "x", "scores" if last or batch == 0 else "y"
    nodes = []
    if batch == 0:
        nodes.append(node("Unsqueeze", f"{image} zero", "batched"))
        image = "batched"
    if channels_last:
        nodes.append(node("Transpose", image, "planes", perm=[0, 3, 1, 2]))
        image = "planes"
    nodes += [
        node("Conv", f"{image} w b", "conv_out", name="conv", pads=[1, 1, 1, 1]),
        node("Relu", "conv_out", "relu_out", name="relu"),
        node("GlobalAveragePool", "relu_out", "pooled", name="pool"),
        node("Flatten", "pooled", "flat", name="flatten"),
        node("Gemm", "flat d e", scores, name="dense", transB=1),
    ]
    if last:
        nodes.append(node(last, scores, "final" if batch == 0 else "y", name="last"))
        scores = "final"
    if batch == 0:
        nodes.append(node("Squeeze", f"{scores} zero", "y"))
    shape = [side, side, 3] if channels_last else [3, side, side]
    front = [] if batch == 0 else [batch]
    return network(nodes, [("x", FLOAT, front + shape)], [("y", FLOAT, [*front, 3])], weights)
