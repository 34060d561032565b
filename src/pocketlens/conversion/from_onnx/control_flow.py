"""Nodes with graphs inside, as plain nodes: an If becomes its branches, a Loop or Scan its steps.

Each function yields parts, one after another. The caller adds the nodes of a part, and computes
those whose inputs are constants, before it takes the next: what a part makes may decide it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.from_onnx.reading import MAX_NODES, graphs_of, node_text
from pocketlens.errors import ConversionError

__all__ = ["Part", "Values", "parts_of"]


@dataclass(frozen=True)
class Part:
    """Weights by name, and nodes in the order in which they run."""

    nodes: list[Any]
    weights: Mapping[str, Any]


@dataclass(frozen=True)
class Values:
    """What is known of the tensors so far: constants, and fixed shapes with the type."""

    constants: Mapping[str, NDArray[Any]]
    fixed: Callable[[str], tuple[np.dtype[Any], tuple[int, ...]] | None]


def parts_of(node: Any, mark: str, values: Values) -> Iterator[Part]:
    """The parts of an If, Loop or Scan.

    Args:
        node: The node.
        mark: Is added to the names inside of it, which others may have, too.
        values: What is known of tensors; it grows with each part.

    Raises:
        ConversionError: How often it runs, or what shape it returns, depends on the input.
    """
    return {"If": _if, "Loop": _loop, "Scan": _scan}[node.op_type](node, mark, values)


def _if(node: Any, mark: str, values: Values) -> Iterator[Part]:
    condition = values.constants.get(node.input[0])
    if condition is not None:
        chosen = "then_branch" if bool(condition.reshape(-1)[0]) else "else_branch"
        part, names = _inlined(_attribute(node, chosen).g, {}, mark)
        ends = [_same(name, out) for name, out in zip(names, node.output, strict=True)]
        yield Part(part.nodes + ends, part.weights)
        return
    then, ones = _inlined(_attribute(node, "then_branch").g, {}, f"{mark}, then")
    other, zeros = _inlined(_attribute(node, "else_branch").g, {}, f"{mark}, else")
    single = _make("Reshape", [node.input[0], f"no sizes {mark}"], f"condition {mark}")
    sizes = _constant(f"no sizes {mark}", np.zeros(0, np.int64))
    yield Part([*then.nodes, *other.nodes, sizes, single], {**then.weights, **other.weights})
    for one, zero in zip(ones, zeros, strict=True):
        if values.fixed(one) is None or values.fixed(one) != values.fixed(zero):
            raise ConversionError(
                f"{node_text(node)} returns tensors of different shapes or types in its branches, "
                "and its condition depends on the input; Core ML needs fixed ones; export the "
                "network again with branches of the same shape"
            )
    # Both branches run, and the condition chooses between their results.
    yield Part(
        [
            _make("Where", [f"condition {mark}", one, zero], out)
            for one, zero, out in zip(ones, zeros, node.output, strict=True)
        ],
        {},
    )


def _loop(node: Any, mark: str, values: Values) -> Iterator[Part]:
    body = _attribute(node, "body").g
    given = [*node.input, "", ""][: max(2, len(node.input))]
    limit = _number(given[0], values, MAX_NODES, node)
    running = bool(_number(given[1], values, 1, node))
    state = list(given[2:])
    stacked: list[list[str]] = [[] for _ in body.output[1 + len(state) :]]
    step = 0
    while running and step < limit:
        here = f"{mark}, step {step}"
        number, condition = f"number {here}", f"condition {here}"
        names = dict(
            zip((each.name for each in body.input), [number, condition, *state], strict=True)
        )
        part, outputs = _inlined(body, names, here)
        begin = [_constant(number, np.array(step)), _constant(condition, np.array(True))]
        yield Part(begin + part.nodes, part.weights)
        running = bool(_number(outputs[0], values, 1, node))
        state = outputs[1 : 1 + len(state)]
        for names_of, name in zip(stacked, outputs[1 + len(state) :], strict=True):
            names_of.append(name)
        step += 1
    yield from _ends(node, state, [(names, 0) for names in stacked], mark)


def _scan(node: Any, mark: str, values: Values) -> Iterator[Part]:
    body, count = _attribute(node, "body").g, int(_attribute(node, "num_scan_inputs").i)
    state, sources = list(node.input[:-count]), list(node.input[-count:])
    outputs = len(body.output) - len(state)
    axes, back = (_integers(node, f"scan_input_{each}", count) for each in ("axes", "directions"))
    shapes = [values.fixed(name) for name in sources]
    if None in shapes:
        raise _unknown(node)
    steps = min(shape[1][axis] for shape, axis in zip(shapes, axes, strict=True) if shape)
    stacked: list[list[str]] = [[] for _ in range(outputs)]
    for step in range(steps):
        here = f"{mark}, step {step}"
        begin, pieces = [], []
        for at, source in enumerate(sources):
            place, piece = f"place {at} {here}", f"piece {at} {here}"
            begin.append(_constant(place, np.array(steps - 1 - step if back[at] else step)))
            begin.append(_make("Gather", [source, place], piece, axis=axes[at]))
            pieces.append(piece)
        names = dict(zip((each.name for each in body.input), [*state, *pieces], strict=True))
        part, made = _inlined(body, names, here)
        yield Part(begin + part.nodes, part.weights)
        state = made[: len(state)]
        for names_of, name in zip(stacked, made[len(state) :], strict=True):
            names_of.append(name)
    out_axes = _integers(node, "scan_output_axes", outputs)
    backward = _integers(node, "scan_output_directions", outputs)
    ordered = [
        names[::-1] if turn else names for names, turn in zip(stacked, backward, strict=True)
    ]
    yield from _ends(node, state, list(zip(ordered, out_axes, strict=True)), mark)


def _ends(
    node: Any, state: list[str], stacked: list[tuple[list[str], int]], mark: str
) -> Iterator[Part]:
    """The results of the last step, and those of all steps, each along a new axis."""
    nodes = [_same(name, out) for name, out in zip(state, node.output, strict=False) if out]
    for (names, axis), out in zip(stacked, node.output[len(state) :], strict=False):
        if not out:
            continue
        if not names:
            raise ConversionError(
                f"{node_text(node)} runs no step, so '{out}' is empty; export the network "
                "without it"
            )
        nodes.append(_constant(f"axis of {out} {mark}", np.array([axis])))
        parts = [f"{out} {mark}, part {at}" for at in range(len(names))]
        nodes += [
            _make("Unsqueeze", [name, f"axis of {out} {mark}"], part)
            for name, part in zip(names, parts, strict=True)
        ]
        nodes.append(_make("Concat", parts, out, axis=axis))
    yield Part(nodes, {})


def _number(name: str, values: Values, otherwise: int, node: Any) -> int:
    """A constant number; `otherwise` if it is left out."""
    if not name:
        return otherwise
    if name not in values.constants:
        raise _unknown(node)
    return int(values.constants[name].reshape(-1)[0])


def _unknown(node: Any) -> ConversionError:
    return ConversionError(
        f"{node_text(node)} runs a number of steps that depends on the input; Core ML needs a "
        "fixed number here; export the network again with a loop of fixed length"
    )


def _attribute(node: Any, name: str) -> Any:
    return next(each for each in node.attribute if each.name == name)


def _integers(node: Any, name: str, count: int) -> list[int]:
    found = next((list(each.ints) for each in node.attribute if each.name == name), [])
    return [int(each) for each in found] or [0] * count


def _make(op: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    import onnx

    return onnx.helper.make_node(op, inputs, [output], **attributes)


def _constant(name: str, value: NDArray[Any]) -> Any:
    import onnx

    return _make("Constant", [], name, value=onnx.numpy_helper.from_array(value))


def _same(name: str, output: str) -> Any:
    return _make("Identity", [name], output)


def _inlined(graph: Any, given: Mapping[str, str], mark: str) -> tuple[Part, list[str]]:
    """The content of a graph under names of its own, and the names of its outputs.

    Args:
        graph: The graph.
        given: The name of each of its inputs outside of it.
        mark: Is added to the names of all else in it.
    """
    import onnx

    own = {name for each in graph.node for name in each.output if name}
    own |= {each.name for each in graph.initializer}
    names = {name: f"{name} {mark}" for name in own} | dict(given)
    nodes = []
    for each in graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(each)
        _rename(copy, names)
        nodes.append(copy)
    weights = {names[each.name]: each for each in graph.initializer}
    return Part(nodes, weights), [names.get(each.name, each.name) for each in graph.output]


def _rename(node: Any, names: Mapping[str, str]) -> None:
    """Rename the tensors of a node, also where graphs inside of it use them."""
    for tensors in (node.input, node.output):
        for at, name in enumerate(tensors):
            tensors[at] = names.get(name, name)
    for attribute in node.attribute:
        for graph in graphs_of(attribute):
            own = {name for each in graph.node for name in each.output}
            own |= {each.name for each in (*graph.input, *graph.initializer)}
            others = {name: new for name, new in names.items() if name not in own}
            for each in graph.node:
                _rename(each, others)
            for port in graph.output:
                port.name = others.get(port.name, port.name)
