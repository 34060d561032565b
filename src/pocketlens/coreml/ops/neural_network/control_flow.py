"""Layers that run other layers, and custom layers, which only an app can run.

Nested layers write to outer tensors by name: `copy` overwrites an existing tensor, and a tensor
that both branches create exists after the branch. A tensor created by only one branch, or only by
the body of a loop, does not exist outside.
"""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.common.control import NOTHING, Block, choose, fail, repeat
from pocketlens.coreml.ops.registry import layer, unsupported
from pocketlens.errors import ModelFileError

unsupported("neural_network", "its code is in the app, not in the file", "custom")

# Two bool tensors that layers in a loop's body set: leave the loop, end the step. Names in a file
# cannot contain this character, so the names are free.
BREAK, ENDED = "\0break", "\0ended"

NEAR_ZERO = 1e-6
LAST = 2**63 - 1


def _true(g: Graph, value: Value) -> Value:
    """Whether a number counts as true: it differs from 0."""
    return g.Greater(g.Abs(g.reshape(value, [])), g.like(NEAR_ZERO, value))


@layer()
def branch(
    g: Graph, condition: Value, *, ifBranch: Block, elseBranch: Block | None = None
) -> tuple[Value, ...]:
    choose(g, _true(g, condition), _if_possible(ifBranch), _if_possible(elseBranch or NOTHING))
    return ()


def _if_possible(block: Block) -> Block:
    """The block, with invalid layers turned into an error at run time.

    coremltools writes lists with a branch that is never taken and whose layers do not fit.
    """

    def lower(g: Graph) -> tuple[Value, ...]:
        try:
            with g.local():
                block.lower(g)
                made = {name: g.tensors[name] for name in block.writes if name in g.tensors}
        except ModelFileError as error:
            fail(g, f"this branch cannot run: {error}")
        else:
            for name, value in made.items():
                g.assign(name, value)
        return ()

    return Block(lower, block.writes)


@layer(restrictions="tensors created only in the body do not exist after the loop")
def loop(
    g: Graph,
    count: Value | None = None,
    *,
    maxLoopIterations: int = 0,
    conditionVar: str = "",
    conditionNetwork: Block | None = None,
    bodyNetwork: Block,
) -> tuple[Value, ...]:
    # The body runs `count` times, or else `maxLoopIterations` times, while the condition is true.
    # With a condition, 0 means no limit.
    if not conditionVar and count is None and not maxLoopIterations:
        raise ModelFileError("it has neither a number of iterations nor a condition")
    tested = conditionNetwork or NOTHING
    if tested.writes and not conditionVar:
        raise ModelFileError("it has a 'conditionNetwork' but no 'conditionVar'")
    most = None
    if count is not None:
        most = g.cast(g.reshape(count, []), np.int64)
    elif maxLoopIterations:
        most = g.constant(min(maxLoopIterations, LAST), np.int64)

    def ask(g: Graph) -> list[Value]:
        tested.lower(g)
        if conditionVar not in g.tensors:
            raise ModelFileError(f"its condition {conditionVar!r} is not the output of any layer")
        return [_true(g, g.tensors[conditionVar])]

    def test(g: Graph, done: Value, broken: Value) -> list[Value]:
        go = g.Not(broken)
        if most is not None:
            go = g.And(go, g.Less(done, most))
        if not conditionVar:
            return [go]
        stop = Block(lambda g: [g.constant(False)])
        return choose(g, go, Block(ask, tested.writes), stop)

    def step(g: Graph, done: Value, _: Value) -> list[Value]:
        for name in (BREAK, ENDED):
            g.assign(name, g.constant(False))
        bodyNetwork.lower(g)
        return [g.Add(done, np.array(1, np.int64)), g.tensors[BREAK]]

    start = g.constant(0, np.int64), g.constant(False)
    body = Block(step, bodyNetwork.writes - {BREAK, ENDED})
    repeat(g, Block(test, tested.writes), body, *start)
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
            raise ModelFileError("it is not inside the body of a loop")
        g.assign(name, g.constant(True))
