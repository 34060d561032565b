"""Replace nodes of an exported program by their lowerings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from pocketlens.conversion.lowerings.registry import LOWERINGS
from pocketlens.conversion.places import op_name, place_of
from pocketlens.errors import ConversionError

__all__ = ["inline", "lower", "trace"]


_SIZES = (32, 48)
"""Dimensions of any size are tried with these; a lowering must be the same for both."""


def lower(
    program: torch.export.ExportedProgram,
    lowerings: Mapping[Any, Callable[..., Any]] = LOWERINGS,
) -> None:
    """Replace, in place, the nodes for whose op there is a lowering.

    Args:
        program: Whose nodes are replaced.
        lowerings: The lowering of each op.

    Raises:
        ConversionError: A lowering needs the size of a dimension that may have any.
    """
    module = program.graph_module
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target in lowerings:
            _check_layout(node)
            traced = _traced(lowerings[node.target], node)
            if traced is None:
                continue
            result, name = inline(module, traced, _tensors(node), node), node.name
            node.replace_all_uses_with(result)
            module.graph.erase_node(node)
            if result.op == "call_function":
                result.name = name
                result.meta["val"] = node.meta["val"]  # of any size, if the node's is
    module.recompile()


def _check_layout(node: fx.Node) -> None:
    """Refuse `as_strided` of a view: it reads the memory behind it, which a lowering cannot see.

    Raises:
        ConversionError: The input of an `as_strided` has gaps or another order in memory.
    """
    if node.target != torch.ops.aten.as_strided.default:
        return
    value = node.all_input_nodes[0].meta["val"]
    if not value.is_contiguous() or value.storage_offset() != 0:
        raise ConversionError(
            f"the op {op_name(node)!r}{place_of(node)} reads the memory behind a view; call "
            "contiguous() before it"
        )


def _tensors(node: fx.Node) -> list[fx.Node]:
    """The inputs of a node that are tensors; others are sizes."""
    return [each for each in node.all_input_nodes if isinstance(each.meta["val"], Tensor)]


def _traced(lowering: Callable[..., Any], node: fx.Node) -> fx.GraphModule | None:
    """The lowering as a graph whose inputs are the node's tensors; None if it does not apply."""
    values = [each.meta["val"] for each in node.all_input_nodes]
    if not any(_is_open(value) for value in values):
        return _traced_at(lowering, node, 0)
    one, other = (_traced_at(lowering, node, size) for size in _SIZES)
    if one is None or other is None:
        if one is not other:
            raise _needs_size(node)
        return None
    if not _same(one, other):
        raise _needs_size(node)
    return one


def _is_open(value: Any) -> bool:
    return isinstance(value, torch.SymInt) or any(
        isinstance(size, torch.SymInt) for size in getattr(value, "shape", ())
    )


def _needs_size(node: fx.Node) -> ConversionError:
    return ConversionError(
        f"the op {op_name(node)!r}{place_of(node)} needs an input of a fixed size; export the "
        "network without dimensions of any size"
    )


def _same(one: fx.GraphModule, other: fx.GraphModule) -> bool:
    """Whether two graphs compute the same: the same ops with the same constants."""
    constants = [list(each.buffers()) + list(each.parameters()) for each in (one, other)]
    return (
        one.code == other.code
        and len(constants[0]) == len(constants[1])
        and all(torch.equal(a, b) for a, b in zip(*constants, strict=True))
    )


def _traced_at(lowering: Callable[..., Any], node: fx.Node, size: int) -> fx.GraphModule | None:
    applies, nodes = True, _tensors(node)

    def call(*tensors: Tensor) -> Any:
        nonlocal applies
        sizes = {each: each.meta["val"] for each in node.all_input_nodes if each not in nodes}
        given = {each: _concrete(value, size) for each, value in sizes.items()}
        given |= dict(zip(nodes, tensors, strict=True))
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), given.__getitem__)
        result = lowering(*args, **kwargs)
        applies = result is not NotImplemented
        return result if applies else tensors[0]

    result = trace(call, nodes, size)
    return result if applies else None


def _concrete(value: Any, size: int) -> Any:
    """A size, with `size` in place of each that may be any."""
    if not isinstance(value, torch.SymInt):
        return value
    expression = value.node.expr
    return int(expression.subs(dict.fromkeys(expression.free_symbols, size)))


def trace(
    function: Callable[..., Any], inputs: Sequence[fx.Node], size: int = _SIZES[0]
) -> fx.GraphModule:
    """The graph of a function of tensors, for inputs like those of the nodes.

    Dimensions that may have any size have `size`.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    values = [node.meta["val"] for node in inputs]
    examples = [
        torch.ones([_concrete(side, size) for side in value.shape], dtype=value.dtype)
        for value in values
    ]
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
