"""The branch of an `If` whose condition is known, in place of the node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pocketlens.conversion.from_onnx.reading import inner_graphs_of

__all__ = ["branch_of"]


def branch_of(node: Any, condition: bool, mark: str) -> tuple[dict[str, Any], list[Any]]:
    """The weights by name, and the nodes, of the branch that runs.

    Args:
        node: The `If`.
        condition: Which branch it is.
        mark: Is added to the names inside of the branch, which others may have, too.
    """
    import onnx

    wanted = "then_branch" if condition else "else_branch"
    graph = next(each.g for each in node.attribute if each.name == wanted)
    own = {name for each in graph.node for name in each.output if name}
    own |= {each.name for each in graph.initializer}
    names = {name: f"{name} {mark}" for name in own}
    nodes = []
    for each in graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(each)
        _rename(copy, names)
        nodes.append(copy)
    for inner, outer in zip(graph.output, node.output, strict=True):
        given = names.get(inner.name, inner.name)
        nodes.append(onnx.helper.make_node("Identity", [given], [outer], name=node.name))
    return {names[each.name]: each for each in graph.initializer}, nodes


def _rename(node: Any, names: Mapping[str, str]) -> None:
    """Rename the tensors of a node, also where graphs inside of it use them."""
    for tensors in (node.input, node.output):
        for at, name in enumerate(tensors):
            tensors[at] = names.get(name, name)
    for attribute in node.attribute:
        for graph in inner_graphs_of(attribute):
            for each in graph.node:
                for at, name in enumerate(each.input):
                    each.input[at] = names.get(name, name)
            for port in graph.output:
                port.name = names.get(port.name, port.name)
