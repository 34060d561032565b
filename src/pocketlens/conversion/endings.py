"""How an exported network computes its outputs, read from its graph."""

from __future__ import annotations

import torch
from torch import fx

from pocketlens.conversion.exporting import output_of
from pocketlens.heads import Ending

__all__ = ["ending_of"]

# Ops are compared by name, without the overload: `aten.softmax.int` is `softmax`.
_SAME_VALUES = {
    "alias", "clone", "contiguous", "detach", "dropout", "feature_dropout", "expand", "flatten",
    "flip", "gather", "getitem", "index", "index_select", "lift_fresh_copy", "movedim",
    "native_dropout", "permute", "reshape", "roll", "select", "slice", "split", "squeeze", "t",
    "to", "transpose", "type_as", "unbind", "unflatten", "unsqueeze", "view", "_to_copy",
    "_unsafe_view", "_assert_tensor_metadata",
}  # fmt: skip
"""Ops whose output has some or all values of the input, in another shape or order."""

_WEIGHTED = {
    "addbmm", "addmm", "addmv", "baddbmm", "batch_norm", "bilinear", "bmm", "conv1d", "conv2d",
    "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "convolution", "einsum",
    "embedding", "group_norm", "gru", "instance_norm", "layer_norm", "linear", "lstm", "matmul",
    "mm", "mv", "rms_norm", "rnn_relu", "rnn_tanh", "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training", "native_batch_norm", "native_layer_norm",
}  # fmt: skip
"""Layers with weights: their outputs may be any numbers, whatever their inputs are."""

_UNLIMITED = {"add", "sub", "rsub", "mul", "div", "mean", "neg", "cat", "adaptive_avg_pool2d",
              "avg_pool2d", "amax", "max", "where", "constant_pad_nd"}  # fmt: skip
"""Ops after a weighted layer that do not turn its outputs into probabilities."""


def ending_of(program: torch.export.ExportedProgram) -> Ending:
    """How the only output of a program is computed.

    Args:
        program: As `torch.export` makes it, before PyTorch's ops are expressed in others.
    """
    node = output_of(program)
    while _name(node) in _SAME_VALUES and node.all_input_nodes:
        node = node.all_input_nodes[0]
    name = _name(node)
    if name == "log" and _is_softmax(node.all_input_nodes[0]):
        return "log_softmax"
    if name in ("softmax", "sigmoid", "log_softmax"):
        return name  # type: ignore[return-value]
    if name in _WEIGHTED:
        return "linear"
    reached = _reached(node)
    if reached & {"softmax", "sigmoid", "exp"}:
        return "normalized"
    # A bias or a temperature after the last layer, or a mean over positions.
    return "linear" if reached <= _UNLIMITED | _SAME_VALUES | _WEIGHTED | {""} else "unknown"


def _is_softmax(node: fx.Node) -> bool:
    while _name(node) in _SAME_VALUES:
        node = node.all_input_nodes[0]
    return _name(node) == "softmax"


def _reached(node: fx.Node) -> set[str]:
    """The names of this op and of those before it, up to the layers with weights."""
    names, waiting, seen = set[str](), [node], {node}
    while waiting:
        each = waiting.pop()
        names.add(_name(each))
        if _name(each) in _WEIGHTED:
            continue
        waiting += (before for before in each.all_input_nodes if before not in seen)
        seen |= set(each.all_input_nodes)
    return names


def _name(node: fx.Node) -> str:
    """The op's name without namespace, overload and underscores around it; "" for no op."""
    if node.op != "call_function":
        return ""
    packet = getattr(node.target, "overloadpacket", node.target)
    name: str = getattr(packet, "__name__", str(packet)).rstrip("_")
    return {"_softmax": "softmax", "_log_softmax": "log_softmax"}.get(name, name)
