"""The recurrences of simple RNNs, GRUs and LSTMs in NumPy, and data for their tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from arrays import Draw

S, B, D, H = 5, 2, 3, 4  # steps, batch, input size, output size
ROWS = {"rnn": 1, "gru": 3, "lstm": 4}


Function: TypeAlias = Callable[[np.ndarray], np.ndarray]

FUNCTIONS: dict[str, Function] = {
    "hard_sigmoid": lambda v: np.clip(0.2 * v + 0.5, 0, 1),
    "linear": lambda v: v,
    "relu": lambda v: np.maximum(v, 0),
    "scaled_tanh": np.tanh,  # with the default alpha and beta of 1
    "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    "tanh": np.tanh,
}

draw = Draw(23)
x, h0, c0 = draw.normal(S, B, D), draw.normal(B, H), draw.normal(B, H)


def step_rnn(
    at: np.ndarray,
    h: np.ndarray,
    c: np.ndarray,
    w: np.ndarray,
    r: np.ndarray,
    b: np.ndarray,
    f: list[Function],
) -> tuple[np.ndarray, np.ndarray]:
    return f[0](at @ w.T + h @ r.T + b), c


def step_gru(
    at: np.ndarray,
    h: np.ndarray,
    c: np.ndarray,
    w: np.ndarray,
    r: np.ndarray,
    b: np.ndarray,
    f: list[Function],
) -> tuple[np.ndarray, np.ndarray]:
    (wr, wo, wz), (rr, ro, rz), (br, bo, bz) = (np.split(each, 3) for each in (w, r, b))
    reset = f[0](at @ wr.T + h @ rr.T + br)
    update = f[0](at @ wz.T + h @ rz.T + bz)
    new = f[1](at @ wo.T + (reset * h) @ ro.T + bo)
    return (1 - update) * new + update * h, c


def step_lstm(
    at: np.ndarray,
    h: np.ndarray,
    c: np.ndarray,
    w: np.ndarray,
    r: np.ndarray,
    b: np.ndarray,
    f: list[Function],
    p: np.ndarray | None = None,
    limit: float = np.inf,
    coupled: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    i, forget, o, z = np.split(at @ w.T + h @ r.T + b, 4, axis=1)
    pi, pf, po = np.split(np.zeros(3 * H) if p is None else p, 3)
    i = f[0](i + c * pi)
    forget = 1 - i if coupled else f[0](forget + c * pf)
    c = np.clip(forget * c + i * f[1](z), -limit, limit)
    return f[0](o + c * po) * f[2](c), c


STEPS: dict[str, Callable[..., tuple[np.ndarray, np.ndarray]]] = {
    "rnn": step_rnn,
    "gru": step_gru,
    "lstm": step_lstm,
}


def recurrence(
    kind: str,
    given: np.ndarray,
    h: np.ndarray,
    c: np.ndarray,
    w: np.ndarray,
    r: np.ndarray,
    b: np.ndarray,
    functions: Sequence[str],
    *,
    backwards: bool = False,
    **more: Any,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All outputs in the order of the steps, the last output, and the last cell state."""
    f = [FUNCTIONS[name] for name in functions]
    outputs = []
    for at in given[::-1] if backwards else given:
        h, c = STEPS[kind](at, h, c, w, r, b, f, **more)
        outputs.append(h)
    return np.stack(outputs), h, c


def weights(kind: str, seed: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, draw = ROWS[kind] * H, Draw(seed)
    return 0.7 * draw.normal(rows, D), 0.3 * draw.normal(rows, H), draw.normal(rows)


def close(got: Sequence[np.ndarray], wanted: Sequence[np.ndarray], atol: float = 2e-6) -> None:
    assert len(got) == len(wanted)
    for each, expected in zip(got, wanted, strict=True):
        assert each.shape == expected.shape
        np.testing.assert_allclose(each, expected, rtol=1e-5, atol=atol)


DEFAULTS = {"rnn": ("tanh",), "gru": ("sigmoid", "tanh"), "lstm": ("sigmoid", "tanh", "tanh")}
