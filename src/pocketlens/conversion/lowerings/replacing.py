"""Replace nodes of an exported program by their lowerings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from pocketlens.conversion.lowerings.registry import LOWERINGS

__all__ = ["inline", "lower", "trace"]


def lower(program: torch.export.ExportedProgram) -> None:
    """Replace, in place, the nodes for whose op there is a lowering."""
    module = program.graph_module
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target in LOWERINGS:
            traced = _traced(LOWERINGS[node.target], node)
            if traced is None:
                continue
            result, name = inline(module, traced, node.all_input_nodes, node), node.name
            node.replace_all_uses_with(result)
            module.graph.erase_node(node)
            if result.op == "call_function":
                result.name = name
    module.recompile()


def _traced(lowering: Callable[..., Any], node: fx.Node) -> fx.GraphModule | None:
    """The lowering as a graph whose inputs are the node's tensors; None if it does not apply."""
    applies = True

    def call(*tensors: Tensor) -> Any:
        nonlocal applies
        given = dict(zip(node.all_input_nodes, tensors, strict=True))
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), given.__getitem__)
        result = lowering(*args, **kwargs)
        applies = result is not NotImplemented
        return result if applies else tensors[0]

    result = trace(call, node.all_input_nodes)
    return result if applies else None


def trace(function: Callable[..., Any], inputs: Sequence[fx.Node]) -> fx.GraphModule:
    """The graph of a function of tensors, for inputs like those of the nodes."""
    from torch.fx.experimental.proxy_tensor import make_fx

    values = [node.meta["val"] for node in inputs]
    examples = [torch.ones(value.shape, dtype=value.dtype) for value in values]
    with torch.no_grad():
        traced = make_fx(function, pre_dispatch=True)(*examples)
    traced.graph.eliminate_dead_code()
    return traced


def inline(
    module: fx.GraphModule, traced: fx.GraphModule, inputs: Sequence[fx.Node], before: fx.Node
) -> fx.Node:
    """Insert a traced graph before a node; what depends on no input is computed now.

    Args:
        module: The graph that gets the nodes.
        traced: The graph to insert, made by `make_fx`.
        inputs: The nodes that are its inputs.
        before: The node before which it goes; the new nodes are named after it.

    Returns:
        The node of its output.
    """
    graph = module.graph
    copies = dict(zip(traced.graph.find_nodes(op="placeholder"), inputs, strict=True))
    constants: dict[fx.Node, Any] = {}

    def copy_of(each: fx.Node) -> Any:
        if each not in copies:
            constant = graph.create_node("get_attr", f"{before.name}_{each.name}")
            constant.target = constant.name  # coremltools expects it to be the same
            module.register_buffer(constant.name, constants[each].clone().contiguous())
            constant.meta["val"] = constants[each]
            copies[each] = constant
        return copies[each]

    # So that messages name the layer and line of the network.
    origin = {
        key: before.meta[key]
        for key in ("nn_module_stack", "stack_trace", "custom")
        if key in before.meta
    }
    result: fx.Node = before
    with graph.inserting_before(before):
        for each in traced.graph.nodes:
            if each.op == "get_attr":
                constants[each] = getattr(traced, each.target)
            elif each.op == "call_function" and constants.keys() >= set(each.all_input_nodes):
                args, kwargs = fx.node.map_arg((each.args, each.kwargs), constants.__getitem__)
                constants[each] = each.target(*args, **kwargs)
            elif each.op == "call_function":
                copies[each] = graph.node_copy(each, copy_of)
                copies[each].meta |= origin
            elif each.op == "output":
                result = copy_of(each.args[0])
    return result
