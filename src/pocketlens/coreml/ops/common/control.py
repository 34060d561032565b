"""Choosing between two blocks of operations, and repeating one.

A block may give new values to tensors around it: a NeuralNetwork copies over them, an ML Program
writes states. Such a tensor leaves a branch as one more output and goes round a loop as one more
variable.

All loops of a run together may take `MAX_STEPS` steps. What is left of them goes through every loop
as `Graph.steps`. A loop that has used them up ends, but its results are not what the model means:
it leaves its number among `Graph.faults` there, negative, and whoever runs the graph asks `fault`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketlens.coreml.graph import MAX_TENSOR_BYTES, Graph, Value
from pocketlens.coreml.graph.nodes import Shape
from pocketlens.errors import ModelFileError

__all__ = ["MAX_STEPS", "NOTHING", "Block", "choose", "fail", "fault", "repeat"]

MAX_STEPS = 1_000_000


@dataclass(frozen=True)
class Block:
    """Operations that run under a condition or repeatedly.

    Attributes:
        lower: Adds them to a graph: takes the graph and the block's inputs, gives its outputs.
        gives: The names of tensors outside that they may give a new value.
    """

    lower: Callable[..., Sequence[Value]]
    gives: frozenset[str] = frozenset()


NOTHING = Block(lambda _: ())


def choose(g: Graph, condition: Value, then: Block, otherwise: Block) -> list[Value]:
    """The outputs of `then` where `condition` is true, else those of `otherwise`.

    Args:
        condition: bool, one element.
    """
    graphs = [g.inner(), g.inner()]
    outputs = [
        list(block.lower(inner)) for block, inner in zip((then, otherwise), graphs, strict=True)
    ]
    count = len(outputs[0])
    if count != len(outputs[1]):
        raise ModelFileError(f"one branch gives {count} tensors, the other {len(outputs[1])}")
    first, second = graphs
    names = [
        name
        for name in sorted(then.gives | otherwise.gives)
        if name in first.tensors
        and name in second.tensors
        and first.tensors[name] is not second.tensors[name]
    ]
    stepped = any(inner.steps is not g.steps for inner in graphs)
    for inner, given in zip(graphs, outputs, strict=True):
        inner.outputs = [*given, *(inner.tensors[name] for name in names)]
        if stepped:
            inner.outputs.append(_steps(inner))
    if not first.outputs:
        return []
    types = [
        (_same_type(one, other), _common(one.shape, other.shape))
        for one, other in zip(first.outputs, second.outputs, strict=True)
    ]
    branches = {"then_branch": first, "else_branch": second}
    results = g.nested("If", [g.reshape(condition, [])], branches, types)
    if stepped:
        g.steps = results.pop()
    for name, value in zip(names, results[count:], strict=True):
        g.assign(name, value)
    return results[:count]


def repeat(g: Graph, condition: Block, body: Block, *values: Value) -> list[Value]:
    """`values` once `body` has run on them as long as `condition` is true of them.

    Args:
        condition: Takes the values, gives one bool.
        body: Takes the values, gives as many of the same types; sizes may change.
    """
    place = g.place
    names = sorted(each for each in condition.gives | body.gives if each in g.tensors)
    count = len(values)

    def run(inner: Graph, block: Block, given: Sequence[Value]) -> list[Value]:
        """The block's outputs and what is now known by `names`; `given` is the like of it."""
        for each, value in zip(names, given[count:], strict=True):
            inner.assign(each, value)
        with inner.local():
            outputs = block.lower(inner, *given[:count])
            return [*outputs, *(inner.tensors[each] for each in names)]

    def test(inner: Graph, given: Sequence[Value]) -> list[Value]:
        """Whether to go on, then the values."""
        answers = run(inner, condition, given)
        if len(answers) != 1 + len(names):
            raise ModelFileError(
                f"the loop's condition gives {len(answers) - len(names)} tensors; expected one"
            )
        asked, *assigned = answers
        left = inner.GreaterOrEqual(_steps(inner), np.array(0, np.int64))
        go = inner.And(inner.reshape(asked, []), left)
        return [go, *given[:count], *assigned]

    start = test(g, [*values, *(g.tensors[each] for each in names)])
    shapes = [value.shape for value in start[1:]]
    number = _fault_number(
        g,
        f"the loop '{place}' does not end on these inputs: it was stopped after {MAX_STEPS} "
        "steps, the most that the model's loops may take together",
    )
    while True:  # each time round at least one size more is left open
        inner = g.inner()
        inner.unnamed_input("step", np.int64, ())
        inner.unnamed_input("go", np.bool_, ())
        left = inner.unnamed_input("steps", np.int64, ())
        inner.steps = inner.Sub(left, np.array(1, np.int64))
        given = [
            inner.unnamed_input("variable", value.dtype, shape)
            for value, shape in zip(start[1:], shapes, strict=True)
        ]
        results = run(inner, body, given)
        if len(results) != len(given):
            raise ModelFileError(
                f"the loop's body gives {len(results) - len(names)} tensors; expected {count}"
            )
        _bound(inner, place, results)
        go, *results = test(inner, results)
        for one, other in zip(given, results, strict=True):
            _same_type(one, other)
        _check_narrowed(shapes, given, results)
        wider = [_common(shape, value.shape) for shape, value in zip(shapes, results, strict=True)]
        if wider == shapes:
            break
        shapes = wider
    inner.outputs = [go, _steps(inner), *results]
    types: list[tuple[np.dtype[Any], Shape]] = [(np.dtype(np.int64), ())]
    types += [(value.dtype, shape) for value, shape in zip(start[1:], shapes, strict=True)]
    left, *results = g.nested(
        "Loop", [None, start[0], _steps(g), *start[1:]], {"body": inner}, types
    )
    here = g.Equal(left, np.array(-1, np.int64))
    g.steps = g.Where(here, np.array(number, np.int64), left)
    for each, value in zip(names, results[count:], strict=True):
        g.assign(each, value)
    return results[:count]


def _check_narrowed(
    shapes: Sequence[Shape], given: Sequence[Value], results: Sequence[Value]
) -> None:
    """A size that is left open here is known to the file: then the loop must not change it."""
    for shape, one, other in zip(shapes, given, results, strict=True):
        if one.shape != shape and one.shape is not None and other.shape is not None:
            pairs = zip(one.shape, other.shape, strict=False)
            same = all(a == b or None in (a, b) for a, b in pairs)
            if len(one.shape) != len(other.shape) or not same:
                raise ModelFileError(
                    f"the loop changes the sizes of {one!r} to {list(other.shape)}"
                )


def _bound(g: Graph, place: str, values: Sequence[Value]) -> None:
    """Have the run fail once one of `values`, of a size known only then, is too large."""
    for value in values:
        if value.shape is None or None in value.shape:
            most = MAX_TENSOR_BYTES // value.dtype.itemsize
            number = _fault_number(
                g, f"a tensor of the loop '{place}' grows beyond {MAX_TENSOR_BYTES} bytes"
            )
            large = g.Greater(g.Size(value), np.array(most, np.int64))
            g.steps = g.Where(large, np.array(number, np.int64), _steps(g))


def fail(g: Graph, message: str) -> None:
    """Have a run that comes here end with an error."""
    g.steps = g.constant(_fault_number(g, message), np.int64)


def fault(g: Graph, steps: int) -> str | None:
    """What went wrong in a run that gave `steps` as `Graph.steps`, or None."""
    return g.faults[-2 - steps] if steps < 0 else None


def _fault_number(g: Graph, message: str) -> int:
    g.faults.append(message)
    return -1 - len(g.faults)  # -1 is what a loop has left that is stopped


def _steps(g: Graph) -> Value:
    return g.constant(MAX_STEPS, np.int64) if g.steps is None else g.steps


def _same_type(one: Value, other: Value) -> np.dtype[Any]:
    if one.dtype != other.dtype:
        raise ModelFileError(
            f"{one!r} and {other!r} come from two branches, or from before and after a step of a "
            "loop; expected one type"
        )
    return one.dtype


def _common(one: Shape, other: Shape) -> Shape:
    """What the two shapes have in common: None for what differs."""
    if one is None or other is None or len(one) != len(other):
        return None
    return tuple(a if a == b else None for a, b in zip(one, other, strict=True))
