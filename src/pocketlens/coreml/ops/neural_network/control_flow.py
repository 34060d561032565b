# ruff: noqa: N802, N803 (layers and fields are named as the specification names them)
"""Layers that run other layers, or that only an app can run.

Layers inside write to the tensors around them by name: `copy` over a tensor that is there already;
and what both branches make is there after the branch. What only one branch or only a loop's body
makes is unknown outside.
"""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.common.control import NOTHING, Block, choose, fail, repeat
from pocketlens.coreml.ops.registry import layer, unsupported
from pocketlens.errors import ModelFileError

unsupported("neural_network", "its code is in the app, not in the file", "custom")

# What the layers of a loop's body say of the step that runs: bool tensors under names that no
# layer has, since a name in a file has no such character.
BREAK, ENDED = "\0break", "\0ended"

NEAR_ZERO = 1e-6
LAST = 2**63 - 1


def _true(g: Graph, value: Value) -> Value:
    """Whether a number counts as true."""
    return g.Greater(g.Abs(g.reshape(value, [])), g.like(NEAR_ZERO, value))


@layer()
def branch(
    g: Graph, condition: Value, *, ifBranch: Block, elseBranch: Block | None = None
) -> tuple[Value, ...]:
    choose(g, _true(g, condition), _if_possible(ifBranch), _if_possible(elseBranch or NOTHING))
    return ()


def _if_possible(block: Block) -> Block:
    """Layers that do not fit the tensors are an error only where they come to run: coremltools
    writes lists with such a branch, which is never taken."""

    def lower(g: Graph) -> tuple[Value, ...]:
        try:
            with g.local():
                block.lower(g)
                made = {name: g.tensors[name] for name in block.gives if name in g.tensors}
        except ModelFileError as error:
            fail(g, f"this branch cannot run: {error}")
        else:
            for name, value in made.items():
                g.assign(name, value)
        return ()

    return Block(lower, block.gives)


@layer(restrictions="what only the body makes is unknown after the loop")
def loop(
    g: Graph,
    count: Value | None = None,
    *,
    maxLoopIterations: int = 0,
    conditionVar: str = "",
    conditionNetwork: Block | None = None,
    bodyNetwork: Block,
) -> tuple[Value, ...]:
    # The body runs `count` or else `maxLoopIterations` times, as long as the condition holds; with
    # a condition, 0 is no limit.
    if not conditionVar and count is None and not maxLoopIterations:
        raise ModelFileError("it has neither a number of iterations nor a condition")
    tested = conditionNetwork or NOTHING
    if tested.gives and not conditionVar:
        raise ModelFileError("it has a 'conditionNetwork' and no 'conditionVar'")
    most = None
    if count is not None:
        most = g.cast(g.reshape(count, []), np.int64)
    elif maxLoopIterations:
        most = g.constant(min(maxLoopIterations, LAST), np.int64)

    def ask(g: Graph) -> list[Value]:
        tested.lower(g)
        if conditionVar not in g.tensors:
            raise ModelFileError(f"its condition {conditionVar!r} is given by no layer")
        return [_true(g, g.tensors[conditionVar])]

    def test(g: Graph, done: Value, broken: Value) -> list[Value]:
        go = g.Not(broken)
        if most is not None:
            go = g.And(go, g.Less(done, most))
        if not conditionVar:
            return [go]
        stop = Block(lambda g: [g.constant(False)])
        return choose(g, go, Block(ask, tested.gives), stop)

    def step(g: Graph, done: Value, _: Value) -> list[Value]:
        for name in (BREAK, ENDED):
            g.assign(name, g.constant(False))
        bodyNetwork.lower(g)
        return [g.Add(done, np.array(1, np.int64)), g.tensors[BREAK]]

    start = g.constant(0, np.int64), g.constant(False)
    body = Block(step, bodyNetwork.gives - {BREAK, ENDED})
    repeat(g, Block(test, tested.gives), body, *start)
    return ()


@layer()
def loopBreak(g: Graph) -> tuple[Value, ...]:
    _end(g, BREAK, ENDED)
    return ()


@layer()
def loopContinue(g: Graph) -> tuple[Value, ...]:
    _end(g, ENDED)
    return ()


def _end(g: Graph, *names: str) -> None:
    for name in names:
        if name not in g.tensors:
            raise ModelFileError("it is in no loop's body")
        g.assign(name, g.constant(True))
