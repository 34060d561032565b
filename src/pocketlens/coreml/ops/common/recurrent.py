"""Recurrent layers: simple RNN, gated recurrent unit (GRU), and long short-term memory (LSTM).

Each becomes the ONNX operator with the same equations, with one exception: Core ML can limit the
cell state of an LSTM, and ONNX cannot (its `clip` limits the inputs of activations). If the state
could reach the limit, the steps are written out in a `Loop`.

Every function takes x [S, B, I] and returns the outputs [S, B, D H] (or only the last one,
[1, B, D H]), with D = 2 for two directions, and the last states, [B, H] each. All steps are
computed in float32, whatever the type of x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.common.cells import Activation, Cell
from pocketlens.coreml.ops.common.slicing import reverse as reversed_along
from pocketlens.errors import ModelFileError

__all__ = ["Recurrent", "gru", "lstm", "rnn"]

FLOAT = np.dtype(np.float32)
BOUNDED = ("HardSigmoid", "Sigmoid", "Tanh")  # the absolute value is at most 1


@dataclass(frozen=True)
class Recurrent:
    """The outputs of a recurrent layer.

    Attributes:
        output: [S or 1, B, D H], in the order of the steps (for two directions: of the input).
        hidden: The last output of each direction, [B, H].
        cell: The last cell state of each direction of an LSTM, [B, H].
    """

    output: Value
    hidden: list[Value]
    cell: list[Value]


def rnn(
    g: Graph,
    x: Value,
    cell: Cell,
    activation: Activation,
    h: Value | None,
    *,
    backwards: bool,
    sequence: bool,
    limit: float | None = None,
) -> Recurrent:
    """`h = f(W x + R h + b)`.

    Args:
        g: The graph.
        x: The inputs, [S, B, I].
        cell: The weights.
        activation: f.
        h: The output before the first step, [B, H]; None for 0.
        backwards: Process the steps from the last to the first.
        sequence: Return every output, not only the last.
        limit: The inputs of activations are clipped to -limit … limit; None: they are not.
    """
    return _run(
        g, "RNN", _turned(g, x, backwards), [cell], [activation], [[h]], sequence, clip=limit
    )


def gru(
    g: Graph,
    x: Value,
    cell: Cell,
    activations: Sequence[Activation],
    h: Value | None,
    *,
    backwards: bool,
    sequence: bool,
    limit: float | None = None,
    reset_after: bool = False,
) -> Recurrent:
    """`z, r = f(W x + R h + b)`, `o = g(W x + R (r h) + b)`, `h = (1 - z) o + z h`.

    Args:
        g: The graph.
        x: The inputs, [S, B, I].
        cell: The weights.
        activations: f and g.
        h: The output before the first step, [B, H]; None for 0.
        backwards: As in `rnn`.
        sequence: As in `rnn`.
        limit: As in `rnn`.
        reset_after: Reset after the product: `o = g(W x + b + r (R h + recursion_bias))`.
    """
    return _run(
        g,
        "GRU",
        _turned(g, x, backwards),
        [cell],
        activations,
        [[h]],
        sequence,
        clip=limit,
        linear_before_reset=int(reset_after),
    )


def lstm(
    g: Graph,
    x: Value,
    cells: Sequence[Cell],
    activations: Sequence[Activation],
    h: Sequence[Value | None],
    c: Sequence[Value | None],
    *,
    backwards: bool,
    sequence: bool,
    cell_limit: float | None = None,
    limit: float | None = None,
    coupled: bool = False,
) -> Recurrent:
    """`i, f, o = f(W x + R h + p c + b)`, `z = g(W x + R h + b)`, `c = f c + i z`, `h = o h(c)`.

    Args:
        g: The graph.
        x: The inputs, [S, B, I].
        cells: The weights of one direction, or of the forward and the backward direction.
        activations: f, g and h.
        h: The output before the first step of each direction, [B, H]; None for 0.
        c: The cell state before the first step of each direction, in the same way.
        backwards: With one direction, process the steps from the last to the first.
        sequence: As in `rnn`.
        cell_limit: c is clipped to -cell_limit … cell_limit; None: it is not.
        limit: As in `rnn`.
        coupled: The forget gate is 1 - i.
    """
    if cell_limit is not None and not cell_limit >= 0:
        raise ModelFileError(f"the limit of the cell state is {cell_limit}; expected 0 or more")
    x = _turned(g, x, backwards)
    if cell_limit is not None and _may_reach(cell_limit, x, activations, c):
        parts = [
            _lstm_loop(g, x, cell, activations, h[i], c[i], i == 1, cell_limit, limit, coupled)
            for i, cell in enumerate(cells)
        ]
        return _result(g, *map(list, zip(*parts, strict=True)), sequence=sequence)
    return _run(
        g,
        "LSTM",
        x,
        cells,
        activations,
        [h, c],
        sequence,
        clip=limit,
        input_forget=int(coupled),
    )


def _turned(g: Graph, x: Value, backwards: bool) -> Value:
    if x.rank != 3:
        raise ModelFileError(f"{x!r} has {x.rank} dimensions; expected 3")
    wide = g.cast(x, FLOAT)
    return reversed_along(g, wide, [0]) if backwards else wide


def _run(
    g: Graph,
    operator: str,
    x: Value,
    cells: Sequence[Cell],
    activations: Sequence[Activation],
    states: Sequence[Sequence[Value | None]],
    sequence: bool,
    **attributes: Any,
) -> Recurrent:
    """Add ONNX's operator for the layer."""
    for cell in cells:
        cell.check(operator, x.size(2))
    pairs = [(cell.bias, cell.recursion_bias) for cell in cells]
    none = np.zeros(len(cells[0].weight))
    biases = [np.concatenate([none if b is None else b for b in pair]) for pair in pairs]
    peepholes = [
        np.zeros(3 * cell.hidden) if cell.peephole is None else cell.peephole for cell in cells
    ]
    every = list(activations) * len(cells)
    inputs = [
        _stack([cell.weight for cell in cells]),
        _stack([cell.recursion for cell in cells]),
        _stack(biases) if any(b is not None for pair in pairs for b in pair) else None,
        None,
        *(_initial(g, each, x, cells[0].hidden) for each in states),
    ]
    if any(cell.peephole is not None for cell in cells):
        inputs.append(_stack(peepholes))
    y, *last = g.op(
        operator,
        x,
        *inputs,
        outputs=1 + len(states),
        hidden_size=cells[0].hidden,
        direction="forward" if len(cells) == 1 else "bidirectional",
        activations=[each.operator for each in every],
        activation_alpha=[each.alpha for each in every if each.alpha is not None] or None,
        activation_beta=[each.beta for each in every if each.beta is not None] or None,
        **attributes,
    )
    count = len(cells)
    hidden, *cell_states = (_split_directions(g, each, 0, count) for each in last)
    outputs = _split_directions(g, y, 1, count) if sequence else []
    return _result(g, outputs, hidden, cell_states[0] if cell_states else [], sequence=sequence)


def _stack(arrays: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    return np.stack(arrays).astype(np.float32)


def _initial(g: Graph, states: Sequence[Value | None], x: Value, hidden: int) -> Value | None:
    """The states [B, H] of all directions, stacked to [D, B, H]; None if there are none."""
    if all(state is None for state in states):
        return None
    first = np.array([0], np.int64)
    whole = [_state(g, state, x, hidden) for state in states]
    return g.Concat(*(g.Unsqueeze(each, first) for each in whole), axis=0)


def _state(g: Graph, state: Value | None, x: Value, hidden: int) -> Value:
    """An initial state [B, H] for the batch size B of x; zeros if `state` is None.

    If the state has more rows, the first B are used: coremltools writes packed sequences that way,
    and its own tests expect this.
    """
    batch = g.Slice(g.Shape(x), np.array([1], np.int64), np.array([2], np.int64))
    if state is None:
        size = g.Concat(batch, np.array([hidden], np.int64), axis=0)
        return g.Expand(g.constant(0, FLOAT), size)
    wide = g.cast(state, FLOAT)
    rows, steps = wide.shape and wide.shape[0], x.shape and x.shape[1]
    if rows is not None and rows == steps:
        return wide
    return g.Slice(wide, np.array([0], np.int64), batch, np.array([0], np.int64))


def _split_directions(g: Graph, value: Value, axis: int, count: int) -> list[Value]:
    """Split `value` into its directions, which are along `axis`; that axis is removed."""
    at = np.array([axis], np.int64)
    if count == 1:
        return [g.Squeeze(value, at)]
    parts = g.op("Split", value, np.ones(count, np.int64), outputs=count, axis=axis)
    return [g.Squeeze(part, at) for part in parts]


def _result(
    g: Graph,
    outputs: list[Value],
    hidden: list[Value],
    cell: list[Value],
    *,
    sequence: bool,
) -> Recurrent:
    if sequence:
        output = g.Concat(*outputs, axis=2) if len(outputs) > 1 else outputs[0]
    else:
        last = g.Concat(*hidden, axis=1) if len(hidden) > 1 else hidden[0]
        output = g.Unsqueeze(last, np.array([0], np.int64))
    return Recurrent(output, hidden, cell)


def _may_reach(
    limit: float, x: Value, activations: Sequence[Activation], c: Sequence[Value | None]
) -> bool:
    """Whether the cell state could exceed `limit`, from what is known before the run."""
    steps = x.shape[0] if x.shape is not None else None
    if steps is None or any(each.operator not in BOUNDED for each in activations[:2]):
        return True
    start = 0.0
    for state in c:
        if state is not None and state.const is None:
            return True
        if state is not None and state.const is not None and state.const.size:
            start = max(start, float(np.abs(state.const).max()))
    return not start + steps <= limit  # a step adds at most 1


def _lstm_loop(
    g: Graph,
    x: Value,
    cell: Cell,
    activations: Sequence[Activation],
    h: Value | None,
    c: Value | None,
    backwards: bool,
    cell_limit: float,
    limit: float | None,
    coupled: bool,
) -> tuple[Value, Value, Value]:
    """An LSTM in one direction as a loop: all outputs [S, B, H], the last one, the cell state."""
    cell.check("LSTM", x.size(2))
    given = g.MatMul(_turned(g, x, backwards), _transposed(g, cell.weight))
    if cell.bias is not None:
        given = g.Add(given, cell.bias.astype(np.float32))
    body = g.inner()
    step, go = body.unnamed_input("step", np.int64, ()), body.unnamed_input("go", np.bool_, ())
    size = x.shape[1] if x.shape is not None else None, cell.hidden
    old_h, old_c = (body.unnamed_input(name, FLOAT, size) for name in ("h", "c"))
    sums = body.Gather(given, step, axis=0)
    new = _lstm_step(body, cell, activations, sums, old_h, old_c, cell_limit, limit, coupled)
    body.outputs = [go, *new, new[0]]
    last_h, last_c, outputs = g.nested(
        "Loop",
        [
            g.Squeeze(g.Shape(x, end=1)),
            None,
            *(_state(g, state, x, cell.hidden) for state in (h, c)),
        ],
        {"body": body},
        [(FLOAT, size), (FLOAT, size), (FLOAT, (x.shape[0] if x.shape else None, *size))],
    )
    return reversed_along(g, outputs, [0]) if backwards else outputs, last_h, last_c


def _lstm_step(
    g: Graph,
    cell: Cell,
    activations: Sequence[Activation],
    sums: Value,
    h: Value,
    c: Value,
    cell_limit: float,
    limit: float | None,
    coupled: bool,
) -> tuple[Value, Value]:
    """One step of an LSTM: `sums` = W x + b [B, 4 H], h and c [B, H] -> the new h and c."""
    f, update, of_cell = activations

    def within(v: Value, bound: float | None) -> Value:
        return v if bound is None else g.Clip(v, g.like(-bound, v), g.like(bound, v))

    sums = g.Add(sums, g.MatMul(h, _transposed(g, cell.recursion)))
    i, o, forget, z = g.op("Split", sums, np.full(4, cell.hidden), outputs=4, axis=-1)
    if cell.peephole is not None:
        to_i, to_o, to_forget = np.split(cell.peephole.astype(np.float32), 3)
        i, forget = g.Add(i, g.Mul(c, to_i)), g.Add(forget, g.Mul(c, to_forget))
    i = f.of(g, within(i, limit))
    kept = g.Sub(g.like(1, i), i) if coupled else f.of(g, within(forget, limit))
    z = update.of(g, within(z, limit))
    new_c = within(g.Add(g.Mul(kept, c), g.Mul(i, z)), cell_limit)
    if cell.peephole is not None:
        o = g.Add(o, g.Mul(new_c, to_o))
    return g.Mul(f.of(g, within(o, limit)), of_cell.of(g, new_c)), new_c


def _transposed(g: Graph, matrix: NDArray[Any]) -> Value:
    return g.constant(np.ascontiguousarray(matrix.T), FLOAT)
