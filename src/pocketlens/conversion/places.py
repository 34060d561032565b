"""Where in the source of a network an op of its exported program comes from."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import fx

from pocketlens.errors import printable

__all__ = ["KERAS_LAYER", "op_name", "place_in", "place_of"]

KERAS_LAYER = "keras layer"
"""The key, in a node's annotations, of the Keras layer that it is part of."""

_OWN = ("", *(".".join(["network"] * depth) for depth in (1, 2, 3)))
"""The paths of Pocketlens' own wrappers around the network."""

_LINE = re.compile(r'File "([^"]+)", line (\d+), in (\w+)\n\s*(.+)')


def op_name(node: fx.Node) -> str:
    """The name of a node's op in PyTorch, such as `rms_norm`."""
    return re.sub(r"_\d+$", "", node.name)


def place_of(node: fx.Node) -> str:
    """The layer and the line of a node, as the end of a sentence; "" if they are not known."""
    layer = _layer(node)
    line = _line(node.meta.get("stack_trace") or "")
    return printable(f"{layer}{line}")


def place_in(program: torch.export.ExportedProgram, op: str) -> str:
    """`place_of` the node that an op of the Core ML file was named after; "" if there is none.

    The name of an op that is a part of a node begins like that of the node.
    """
    nodes = {node.name: node for node in program.graph.nodes if node.op == "call_function"}
    base = re.sub(r"_cast_fp16(_\d+)?$", "", op).strip("_")
    found = [name for name in nodes if base == name or base.startswith(f"{name}_")]
    return place_of(nodes[max(found, key=len)]) if found else ""


def _layer(node: fx.Node) -> str:
    annotation: dict[str, Any] = node.meta.get("custom") or {}
    if KERAS_LAYER in annotation:
        return f" in the layer {annotation[KERAS_LAYER]}"
    stack: dict[str, tuple[str, Any]] = node.meta.get("nn_module_stack") or {}
    for path, kind in reversed(list(stack.values())):
        if path not in _OWN:
            name = kind if isinstance(kind, str) else kind.__qualname__
            inner = re.sub(r"^(network\.)+", "", path)
            return f" in the layer '{inner}' ({name.rpartition('.')[2]})"
    return ""


def _line(trace: str) -> str:
    """The innermost line of code outside the installed packages."""
    for file, number, _, code in reversed(_LINE.findall(trace)):
        if not re.search(r"(site|dist)-packages|pocketlens.conversion|<eval_with_key>", file):
            shown = code.strip()
            return f", line {number}: {shown[:100]}{'…' if len(shown) > 100 else ''}"
    return ""
