"""Choices, loops and lists."""

from __future__ import annotations

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.table import mil, unsupported

unsupported(
    "mil",
    "control flow is not lowered yet",
    *("cond", "while_loop"),
    *("make_list", "list_gather", "list_length", "list_read", "list_scatter", "list_write"),
)


@mil()
def select(g: Graph, cond: Value, a: Value, b: Value) -> Value:
    return g.Where(cond, a, b)
