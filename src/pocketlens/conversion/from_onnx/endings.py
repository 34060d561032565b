"""How an ONNX network computes its scores, read from its nodes."""

from __future__ import annotations

from typing import Any

from pocketlens.heads import Ending

__all__ = ["ending_of"]

_SAME_VALUES = {
    "Cast", "Dropout", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze",
    "Transpose", "Unsqueeze",
}  # fmt: skip
"""Ops whose output has some or all values of the input, in another shape or order."""

_WEIGHTED = {
    "BatchNormalization", "Conv", "ConvTranspose", "GRU", "Gemm", "GroupNormalization",
    "InstanceNormalization", "LSTM", "LayerNormalization", "MatMul", "QLinearConv",
    "QLinearMatMul", "RMSNormalization", "RNN",
}  # fmt: skip
"""Layers with weights: their outputs may be any numbers, whatever their inputs are."""

_UNLIMITED = {
    "Add", "AveragePool", "Concat", "DequantizeLinear", "Div", "GlobalAveragePool",
    "GlobalMaxPool", "MaxPool", "Mul", "Neg", "Pad", "QuantizeLinear", "ReduceMax", "ReduceMean",
    "Sub", "Sum", "Where",
}  # fmt: skip
"""Ops after a weighted layer that do not turn its outputs into probabilities."""

_NAMES: dict[str, Ending] = {
    "LogSoftmax": "log_softmax", "Sigmoid": "sigmoid", "Softmax": "softmax"
}  # fmt: skip


def ending_of(model: Any, output: str) -> Ending:
    """How an output of a network is computed.

    Args:
        model: The `ModelProto`.
        output: The name of the output.
    """
    makers = {name: node for node in model.graph.node for name in node.output if name}
    node = _skip(makers.get(output), makers)
    if node is None:
        return "unknown"
    if node.op_type == "Log":
        before = _skip(makers.get(node.input[0]), makers)
        if before is not None and before.op_type == "Softmax":
            return "log_softmax"
    if node.op_type in _NAMES:
        return _NAMES[node.op_type]
    if node.op_type in _WEIGHTED:
        return "linear"
    reached, waiting, seen = set[str](), [node], set[str]()
    while waiting:
        each = waiting.pop()
        reached.add(each.op_type)
        if each.op_type in _WEIGHTED:
            continue
        for name in each.input:
            if name in makers and name not in seen:
                seen.add(name)
                waiting.append(makers[name])
    if reached & {"Softmax", "Sigmoid", "Exp"}:
        return "normalized"
    known = _UNLIMITED | _SAME_VALUES | _WEIGHTED | {"Constant"}
    return "linear" if reached <= known else "unknown"


def _skip(node: Any, makers: dict[str, Any]) -> Any:
    """The node before those that only move values."""
    while node is not None and node.op_type in _SAME_VALUES:
        node = makers.get(node.input[0])
    return node
