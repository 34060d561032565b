"""Lowerings of recurrent layers: one step after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pocketlens.conversion.from_onnx.lowerings.registry import (
    Var,
    constant,
    lowers,
    mb,
    number,
    sizes,
)
from pocketlens.errors import ConversionError

MOST_STEPS = 512
"""Of a recurrent layer: each step takes about ten ops."""

_ACTIVATIONS: dict[str, Callable[[Var], Var]] = {
    "sigmoid": lambda x: mb.sigmoid(x=x),
    "tanh": lambda x: mb.tanh(x=x),
    "relu": lambda x: mb.relu(x=x),
}


def _activations(given: Sequence[str], default: Sequence[str]) -> list[Callable[[Var], Var]]:
    names = [each.lower() for each in given or default]
    if unknown := [each for each in names if each not in _ACTIVATIONS]:
        raise ConversionError(
            f"the activation {unknown[0]!r} is not converted; expected Sigmoid, Tanh or Relu"
        )
    return [_ACTIVATIONS[each] for each in names]


def _steps(
    x: Var,
    directions: int,
    direction: str,
    layout: int,
    lengths: Var,
    states: Sequence[Var],
    hidden: int,
    step: Callable[[int, Var, list[Var]], list[Var]],
) -> tuple[Var, ...]:
    """Run a layer: `step` takes the direction, the input `(N, I)` and the states `(N, H)`."""
    if layout:
        x = mb.transpose(x=x, perm=[1, 0, 2])
    count, batch, _ = sizes(x)
    if count > MOST_STEPS:
        raise ConversionError(f"it has {count} steps; at most {MOST_STEPS} are converted")
    known = constant(lengths, "sequence_lens")
    if known is not None and (np.asarray(known) != count).any():
        raise ConversionError("sequences of different lengths (sequence_lens) are not converted")
    parts = [x] if count == 1 else list(mb.split(x=x, num_splits=count, axis=0))
    inputs = [mb.squeeze(x=part, axes=[0]) for part in parts]
    made: list[list[Var]] = []
    last: list[list[Var]] = []
    for index in range(directions):
        now = []
        for each in states:
            if each is None:
                now.append(np.zeros((batch, hidden), np.float32))
                continue
            axis = 1 if layout else 0
            part = mb.gather(x=each, indices=np.int32(index), axis=axis)
            now.append(part)
        back = direction == "reverse" or index == 1
        outputs = []
        for each in inputs[::-1] if back else inputs:
            now = step(index, each, now)
            outputs.append(now[0])
        made.append(outputs[::-1] if back else outputs)
        last.append(now)
    if layout:
        y = mb.stack(values=[mb.stack(values=list(each), axis=1) for each in
                             zip(*made, strict=True)], axis=1)  # fmt: skip
    else:
        y = mb.stack(values=[mb.stack(values=list(each), axis=0) for each in
                             zip(*made, strict=True)], axis=0)  # fmt: skip
    ends = [
        mb.stack(values=[each[at] for each in last], axis=1 if layout else 0)
        for at in range(len(states))
    ]
    return y, *ends


def _weights(w: Var, r: Var, b: Var, gates: int, hidden: int) -> tuple[np.ndarray, ...]:
    kernel, recurrent = constant(w, "W"), constant(r, "R")
    assert kernel is not None
    assert recurrent is not None
    bias = constant(b, "B")
    if bias is None:
        bias = np.zeros((len(kernel), 2 * gates * hidden), kernel.dtype)
    return kernel, recurrent, bias[:, : gates * hidden], bias[:, gates * hidden :]


@lowers("RNN")
def rnn(
    x: Var,
    w: Var,
    r: Var,
    b: Var = None,
    lengths: Var = None,
    initial: Var = None,
    *,
    hidden_size: int,
    activations: Sequence[str] = (),
    direction: str = "forward",
    layout: int = 0,
) -> tuple[Var, ...]:
    kernel, recurrent, wb, rb = _weights(w, r, b, 1, hidden_size)
    chosen = _activations(activations, ["tanh"] * len(kernel))

    def step(index: int, each: Var, states: list[Var]) -> list[Var]:
        own = mb.linear(x=each, weight=kernel[index], bias=wb[index] + rb[index])
        return [chosen[index](mb.add(x=own, y=_times(states[0], recurrent[index])))]

    return _steps(x, len(kernel), direction, layout, lengths, [initial], hidden_size, step)


@lowers("GRU")
def gru(
    x: Var,
    w: Var,
    r: Var,
    b: Var = None,
    lengths: Var = None,
    initial: Var = None,
    *,
    hidden_size: int,
    activations: Sequence[str] = (),
    direction: str = "forward",
    layout: int = 0,
    linear_before_reset: int = 0,
) -> tuple[Var, ...]:
    kernel, recurrent, wb, rb = _weights(w, r, b, 3, hidden_size)
    chosen = _activations(activations, ["sigmoid", "tanh"] * len(kernel))
    h = hidden_size

    def step(index: int, each: Var, states: list[Var]) -> list[Var]:
        (state,) = states
        gate, new = chosen[2 * index : 2 * index + 2]
        own = mb.linear(x=each, weight=kernel[index], bias=wb[index])
        z_in, r_in, n_in = mb.split(x=own, num_splits=3, axis=1)
        zr = mb.linear(x=state, weight=recurrent[index][: 2 * h], bias=rb[index][: 2 * h])
        z_of, r_of = mb.split(x=zr, num_splits=2, axis=1)
        update = gate(mb.add(x=z_in, y=z_of))
        reset = gate(mb.add(x=r_in, y=r_of))
        matrix, bias = recurrent[index][2 * h :], rb[index][2 * h :]
        if linear_before_reset:
            inner = mb.mul(x=reset, y=mb.linear(x=state, weight=matrix, bias=bias))
        else:
            inner = mb.linear(x=mb.mul(x=reset, y=state), weight=matrix, bias=bias)
        found = new(mb.add(x=n_in, y=inner))
        kept = mb.mul(x=update, y=mb.sub(x=state, y=found))
        return [mb.add(x=kept, y=found)]

    return _steps(x, len(kernel), direction, layout, lengths, [initial], h, step)


@lowers("LSTM")
def lstm(
    x: Var,
    w: Var,
    r: Var,
    b: Var = None,
    lengths: Var = None,
    initial: Var = None,
    initial_cell: Var = None,
    peepholes: Var = None,
    *,
    hidden_size: int,
    activations: Sequence[str] = (),
    direction: str = "forward",
    input_forget: int = 0,
    layout: int = 0,
) -> tuple[Var, ...]:
    kernel, recurrent, wb, rb = _weights(w, r, b, 4, hidden_size)
    chosen = _activations(activations, ["sigmoid", "tanh", "tanh"] * len(kernel))
    peep = constant(peepholes, "P")

    def step(index: int, each: Var, states: list[Var]) -> list[Var]:
        state, cell = states
        gate, candidate, out = chosen[3 * index : 3 * index + 3]
        own = mb.linear(x=each, weight=kernel[index], bias=wb[index] + rb[index])
        both = mb.add(x=own, y=_times(state, recurrent[index]))
        i, o, f, c = mb.split(x=both, num_splits=4, axis=1)
        p_i = p_o = p_f = None
        if peep is not None:
            p_i, p_o, p_f = np.split(peep[index], 3)
            i = mb.add(x=i, y=mb.mul(x=cell, y=p_i))
            f = mb.add(x=f, y=mb.mul(x=cell, y=p_f))
        i = gate(i)
        f = mb.sub(x=number(i, 1), y=i) if input_forget else gate(f)
        cell = mb.add(x=mb.mul(x=f, y=cell), y=mb.mul(x=i, y=candidate(c)))
        if p_o is not None:
            o = mb.add(x=o, y=mb.mul(x=cell, y=p_o))
        return [mb.mul(x=gate(o), y=out(cell)), cell]

    return _steps(
        x, len(kernel), direction, layout, lengths, [initial, initial_cell], hidden_size, step
    )


def _times(state: Var, matrix: np.ndarray) -> Var:
    return mb.matmul(x=state, y=matrix, transpose_y=True)
