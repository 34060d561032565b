"""Dead-code search: which nodes contribute to the outputs of a graph."""

from __future__ import annotations

from collections.abc import Iterable

from pocketlens.coreml.graph.builder import Graph
from pocketlens.coreml.graph.nodes import Node, Value

__all__ = ["inner_graphs", "live_nodes"]


def inner_graphs(node: Node) -> list[Graph]:
    """The branches of a branch, the body of a loop."""
    return [each for each in node.attributes.values() if isinstance(each, Graph)]


def live_nodes(graph: Graph, outputs: Iterable[Value]) -> dict[Graph, list[Node]]:
    """The nodes that `outputs` depend on, of the graph and of each graph inside it, in order.

    One pass from the last node to the first: it takes time in proportion to the graph.
    """
    live: dict[Graph, list[Node]] = {}
    _search(graph, set(outputs), live)
    return live


def _search(graph: Graph, wanted: set[Value], live: dict[Graph, list[Node]]) -> None:
    """Add the live nodes of the graph to `live`, and the values that they use to `wanted`."""
    kept = []
    for node in reversed(graph.nodes):
        if wanted.isdisjoint(node.outputs):
            continue
        kept.append(node)
        wanted.update(value for value in node.inputs if value is not None)
        for inner in inner_graphs(node):
            wanted.update(inner.outputs)
            _search(inner, wanted, live)
    live[graph] = kept[::-1]
