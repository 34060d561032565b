"""Recurrent ops. x is [s, b, I]; an initial state is [b, H], for two directions [b, 2 H].

All steps are computed in float32, whatever the type of x. In reverse direction, the outputs are in
the order of the steps: the output for the last element comes first.
"""

from __future__ import annotations

from dataclasses import replace

from pocketlens.coreml.graph import Array, Graph, Value
from pocketlens.coreml.ops.common import recurrent as common
from pocketlens.coreml.ops.common.cells import ACTIVATIONS, Activation, Cell, reorder_gates
from pocketlens.coreml.ops.registry import IOS18, mil
from pocketlens.errors import ModelFileError, UnsupportedParameter

# The position in MIL's order of ONNX's gates (GRU: z r o; LSTM: i o f z; peepholes: i o f).
GRU_GATES = (2, 0, 1)  # MIL: r o z
LSTM_GATES = (0, 2, 1, 3)  # MIL: i f o z
PEEPHOLES = (0, 2, 1)  # MIL: i f o


def _activation(name: str) -> Activation:
    known = {**ACTIVATIONS, "sigmoid_hard": ACTIVATIONS["hard_sigmoid"]}
    if name.lower() not in known:
        raise UnsupportedParameter(
            f"an activation is {name!r}; expected one of {', '.join(sorted(known))}"
        )
    return known[name.lower()]


def _backwards(direction: str, known: tuple[str, ...] = ("forward", "reverse")) -> bool:
    if direction not in known:
        raise UnsupportedParameter(f"'direction' is {direction!r}; expected {' or '.join(known)}")
    return direction == "reverse"


def _cell(
    weight_ih: Array,
    weight_hh: Array,
    bias: Array | None,
    order: tuple[int, ...],
    peephole: Array | None = None,
) -> Cell:
    return Cell(
        reorder_gates(weight_ih, order),
        reorder_gates(weight_hh, order),
        None if bias is None else reorder_gates(bias, order),
        None if peephole is None else reorder_gates(peephole, PEEPHOLES),
    )


def _directions(g: Graph, state: Value, count: int) -> list[Value]:
    """Split the state [b, count H] into one [b, H] per direction."""
    if count == 1:
        return [state]
    return g.op("Split", state, outputs=count, axis=1, num_outputs=count)


def _narrow(g: Graph, x: Value, *values: Value) -> tuple[Value, ...]:
    return tuple(g.cast(value, x.dtype) for value in values)


@mil()
def rnn(
    g: Graph,
    x: Value,
    initial_h: Value,
    weight_ih: Array,  # [H, I]
    weight_hh: Array,  # [H, H]
    bias: Array | None = None,  # [H]
    direction: str = "forward",
    output_sequence: bool = False,
    activation: str = "tanh",
) -> tuple[Value, ...]:
    result = common.rnn(
        g,
        x,
        Cell(weight_ih, weight_hh, bias),
        _activation(activation),
        initial_h,
        backwards=_backwards(direction),
        sequence=output_sequence,
    )
    return _narrow(g, x, result.output, *result.hidden)


@mil()
def gru(
    g: Graph,
    x: Value,
    initial_h: Value,
    weight_ih: Array,  # [3 H, I], the gates r, o, z
    weight_hh: Array,  # [3 H, H]
    bias: Array | None = None,  # [3 H]
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    activation: str = "tanh",
) -> tuple[Value, ...]:
    return gru_ios18(
        g,
        x,
        initial_h,
        weight_ih,
        weight_hh,
        bias,
        direction,
        output_sequence,
        recurrent_activation,
        activation,
    )


@mil(since=IOS18, name="gru")
def gru_ios18(
    g: Graph,
    x: Value,
    initial_h: Value,
    weight_ih: Array,
    weight_hh: Array,
    bias: Array | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    activation: str = "tanh",
    reset_after: bool = False,  # r (R h + bias), as in PyTorch, instead of R (r h) + bias
    input_bias: Array | None = None,  # [3 H]
) -> tuple[Value, ...]:
    cell = _cell(weight_ih, weight_hh, input_bias, GRU_GATES)
    if bias is not None:
        cell = replace(cell, recursion_bias=reorder_gates(bias, GRU_GATES))
    result = common.gru(
        g,
        x,
        cell,
        [_activation(recurrent_activation), _activation(activation)],
        initial_h,
        backwards=_backwards(direction),
        sequence=output_sequence,
        reset_after=reset_after,
    )
    return _narrow(g, x, result.output, *result.hidden)


@mil()
def lstm(
    g: Graph,
    x: Value,
    initial_h: Value,
    initial_c: Value,
    weight_ih: Array,  # [4 H, I], the gates i, f, o, z
    weight_hh: Array,  # [4 H, H]
    bias: Array | None = None,  # [4 H]
    peephole: Array | None = None,  # [3 H], for i, f, o
    weight_ih_back: Array | None = None,
    weight_hh_back: Array | None = None,
    bias_back: Array | None = None,
    peephole_back: Array | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    cell_activation: str = "tanh",
    activation: str = "tanh",
    clip: float | None = None,
) -> tuple[Value, ...]:
    backwards = _backwards(direction, ("forward", "reverse", "bidirectional"))
    cells = [_cell(weight_ih, weight_hh, bias, LSTM_GATES, peephole)]
    if direction == "bidirectional":
        if weight_ih_back is None or weight_hh_back is None:
            raise ModelFileError(
                "'direction' is 'bidirectional' without 'weight_ih_back' and 'weight_hh_back'"
            )
        back = _cell(weight_ih_back, weight_hh_back, bias_back, LSTM_GATES, peephole_back)
        cells.append(back)
    count = len(cells)
    result = common.lstm(
        g,
        x,
        cells,
        [_activation(name) for name in (recurrent_activation, cell_activation, activation)],
        _directions(g, initial_h, count),
        _directions(g, initial_c, count),
        backwards=backwards,
        sequence=output_sequence,
        cell_limit=clip,
    )
    states = (
        g.Concat(*each, axis=1) if count > 1 else each[0] for each in (result.hidden, result.cell)
    )
    return _narrow(g, x, result.output, *states)
