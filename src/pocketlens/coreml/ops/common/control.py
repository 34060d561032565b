"""Branches and loops over blocks of operations.

A block may assign new values to tensors of the surrounding graph: a NeuralNetwork copies over them,
an ML Program writes states. Such a tensor becomes an additional output of a branch, and an
additional loop variable.

All loops of a run together may take `MAX_STEPS` steps. The number of remaining steps is passed
through every loop as `Graph.steps`. When none remain, the loop stops; its results are then wrong.
The loop reports this by storing a negative error number in `Graph.steps`, and the caller that runs
the graph must call `run_error` to check for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketlens.coreml.file.budget import memory_left
from pocketlens.coreml.graph import MAX_TENSOR_BYTES, Graph, Value
from pocketlens.coreml.graph.nodes import Shape
from pocketlens.errors import ModelFileError

__all__ = ["MAX_STEPS", "NOTHING", "Block", "choose", "fail", "repeat", "run_error"]

MAX_STEPS = 1_000_000
"""The number of steps that all loops of one run may take together."""


@dataclass(frozen=True)
class Block:
    """Operations that run conditionally or in a loop.

    Attributes:
        lower: Adds them to a graph; takes the graph and the block's inputs, returns its outputs.
        writes: The names of the outer tensors that they may assign.
    """

    lower: Callable[..., Sequence[Value]]
    writes: frozenset[str] = frozenset()


NOTHING = Block(lambda _: ())


def choose(g: Graph, condition: Value, then: Block, otherwise: Block) -> list[Value]:
    """Run `then` if `condition` is true, else `otherwise`, and return its outputs.

    Args:
        g: The graph.
        condition: bool, one element.
        then: One block.
        otherwise: The other block; its outputs must have the same types.
    """
    graphs = [g.inner(), g.inner()]
    outputs = [
        list(block.lower(inner)) for block, inner in zip((then, otherwise), graphs, strict=True)
    ]
    count = len(outputs[0])
    if count != len(outputs[1]):
        raise ModelFileError(f"one branch has {count} outputs, the other {len(outputs[1])}")
    first, second = graphs
    names = [
        name
        for name in sorted(then.writes | otherwise.writes)
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
    """Run `body` on `values` as long as `condition` is true, and return the final values.

    Args:
        g: The graph.
        condition: Takes the values, returns one bool.
        body: Takes the values, returns as many with the same types; sizes may change.
        values: The initial values of the loop variables.
    """
    place = g.place
    names = sorted(each for each in condition.writes | body.writes if each in g.tensors)
    count = len(values)

    def run(inner: Graph, block: Block, given: Sequence[Value]) -> list[Value]:
        """The block's outputs, then the new values of `names`; `given` has the same layout."""
        for each, value in zip(names, given[count:], strict=True):
            inner.assign(each, value)
        with inner.local():
            outputs = block.lower(inner, *given[:count])
            return [*outputs, *(inner.tensors[each] for each in names)]

    def test(inner: Graph, given: Sequence[Value]) -> list[Value]:
        """Whether the loop continues, then the values."""
        answers = run(inner, condition, given)
        if len(answers) != 1 + len(names):
            raise ModelFileError(
                f"the loop's condition has {len(answers) - len(names)} outputs; expected one"
            )
        asked, *assigned = answers
        left = inner.GreaterOrEqual(_steps(inner), np.array(0, np.int64))
        go = inner.And(inner.reshape(asked, []), left)
        return [go, *given[:count], *assigned]

    start = test(g, [*values, *(g.tensors[each] for each in names)])
    shapes = [value.shape for value in start[1:]]
    number = _error_number(
        g,
        f"the loop '{place}' does not end on these inputs: it was stopped after {MAX_STEPS} "
        "steps, the limit for all loops of the model together",
    )
    while True:  # each iteration leaves at least one more size unknown, so this ends
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
                f"the loop's body has {len(results) - len(names)} outputs; expected {count}"
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
    """Check that the loop does not change a size that the file declares as fixed."""
    for shape, one, other in zip(shapes, given, results, strict=True):
        if one.shape != shape and one.shape is not None and other.shape is not None:
            pairs = zip(one.shape, other.shape, strict=False)
            same = all(a == b or None in (a, b) for a, b in pairs)
            if len(one.shape) != len(other.shape) or not same:
                raise ModelFileError(
                    f"the loop changes the sizes of {one!r} to {list(other.shape)}"
                )


def _bound(g: Graph, place: str, values: Sequence[Value]) -> None:
    """Make the run fail if one of `values` with unknown sizes becomes too large."""
    for value in values:
        if value.shape is None or None in value.shape:
            limit = memory_left(MAX_TENSOR_BYTES)
            most = limit // value.dtype.itemsize
            number = _error_number(g, f"a tensor of the loop '{place}' grows beyond {limit} bytes")
            large = g.Greater(g.Size(value), np.array(most, np.int64))
            g.steps = g.Where(large, np.array(number, np.int64), _steps(g))


def fail(g: Graph, message: str) -> None:
    """Make a run that reaches this point end with an error."""
    g.steps = g.constant(_error_number(g, message), np.int64)


def run_error(g: Graph, steps: int) -> str | None:
    """The error message of a run that ended with `steps` in `Graph.steps`; None if it was fine."""
    return g.run_errors[-2 - steps] if steps < 0 else None


def _error_number(g: Graph, message: str) -> int:
    g.run_errors.append(message)
    return -1 - len(g.run_errors)  # -1 is the remaining step count of a stopped loop


def _steps(g: Graph) -> Value:
    return g.constant(MAX_STEPS, np.int64) if g.steps is None else g.steps


def _same_type(one: Value, other: Value) -> np.dtype[Any]:
    if one.dtype != other.dtype:
        raise ModelFileError(
            f"{one!r} and {other!r} come from two branches, or from before and after a step of a "
            "loop; expected the same type"
        )
    return one.dtype


def _common(one: Shape, other: Shape) -> Shape:
    """The common shape of two: None for each size (or for the whole) that differs."""
    if one is None or other is None or len(one) != len(other):
        return None
    return tuple(a if a == b else None for a, b in zip(one, other, strict=True))
