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
    """A convolution, a pooling and three scores; `last` is an op after them."""
    random = np.random.default_rng(3)
    weights = {
        "w": random.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "b": random.normal(size=4).astype(np.float32),
        "d": random.normal(size=(3, 4)).astype(np.float32),
        "e": random.normal(size=3).astype(np.float32),
    }
    image = "x"
    nodes = []
    if channels_last:
        nodes.append(node("Transpose", "x", "planes", perm=[0, 3, 1, 2]))
        image = "planes"
    nodes += [
        node("Conv", f"{image} w b", "conv_out", name="conv", pads=[1, 1, 1, 1]),
        node("Relu", "conv_out", "relu_out", name="relu"),
        node("GlobalAveragePool", "relu_out", "pooled", name="pool"),
        node("Flatten", "pooled", "flat", name="flatten"),
        node("Gemm", "flat d e", "scores" if last else "y", name="dense", transB=1),
    ]
    if last:
        nodes.append(node(last, "scores", "y", name="last"))
    shape = [batch, side, side, 3] if channels_last else [batch, 3, side, side]
    return network(nodes, [("x", FLOAT, shape)], [("y", FLOAT, [batch, 3])], weights)
