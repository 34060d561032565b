"""Recurrent NeuralNetwork layers, compared with the formulas in NumPy."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from arrays import Draw, Run, f32
from pocketlens.errors import ModelFileError, UnsupportedParameter
from recurrences import (
    DEFAULTS,
    FUNCTIONS,
    B,
    D,
    Function,
    H,
    S,
    c0,
    close,
    h0,
    recurrence,
    weights,
    x,
)

LAYER_ACTIVATIONS = {
    "hard_sigmoid": {"sigmoidHard": {"alpha": 0.2, "beta": 0.5}},
    "linear": {"linear": {}},  # as coremltools writes it, without alpha and beta
    "relu": {"ReLU": {}},
    "scaled_tanh": {"scaledTanh": {}},
    "sigmoid": {"sigmoid": {}},
    "tanh": {"tanh": {}},
}


def expanded(array: np.ndarray) -> np.ndarray:
    return array[..., None, None]


def state(array: np.ndarray) -> np.ndarray:
    return array[None, ..., None, None]


def gates(array: np.ndarray, kind: str, names: str) -> dict[str, np.ndarray]:
    letters = {"gru": "roz", "lstm": "ifoz"}[kind]
    called = {"r": "resetGate", "o": "outputGate", "z": "updateGate", "i": "inputGate"}
    called |= {"f": "forgetGate"} | ({"z": "blockInput"} if kind == "lstm" else {})
    parts = zip(letters, np.split(array, len(letters)), strict=True)
    return {f"{called[letter]}{names}": part for letter, part in parts}


def layer_weights(kind: str, w: np.ndarray, r: np.ndarray, b: np.ndarray | None) -> dict[str, Any]:
    fields = gates(w, kind, "WeightMatrix") | gates(r, kind, "RecursionMatrix")
    return fields | ({} if b is None else gates(b, kind, "BiasVector"))


@pytest.mark.parametrize(
    ("name", "sequence", "backwards", "biased"),
    [
        *product(["tanh", "relu"], *[[True, False]] * 3),
        *((n, True, False, True) for n in FUNCTIONS),
    ],
)
def test_simple_recurrent(
    run_layer: Run, name: str, sequence: bool, backwards: bool, biased: bool
) -> None:
    w, r, b = weights("rnn")
    fields = {"inputVectorSize": D, "outputVectorSize": H, "activation": LAYER_ACTIVATIONS[name]}
    fields |= {"weightMatrix": w, "recursionMatrix": r, "sequenceOutput": sequence}
    fields |= {"reverseInput": backwards} | (
        {"hasBiasVector": True, "biasVector": b} if biased else {}
    )
    got = run_layer(
        "simpleRecurrent",
        [expanded(x), state(h0)],
        fields,
        [(S if sequence else 1, B, H, 1, 1), (1, B, H, 1, 1)],
    )
    out, h, _ = recurrence("rnn", x, h0, c0, w, r, b * biased, (name,), backwards=backwards)
    close(got, [expanded(out if sequence else out[-1:]), state(h)])


@pytest.mark.parametrize("backwards", [True, False])
@pytest.mark.parametrize(
    ("names", "sequence", "biased"),
    [
        (("sigmoid", "tanh"), True, True),
        (("hard_sigmoid", "relu"), False, True),
        (("tanh", "linear"), True, False),
    ],
)
def test_gru(
    run_layer: Run, names: tuple[str, ...], sequence: bool, biased: bool, backwards: bool
) -> None:
    w, r, b = weights("gru")
    fields = layer_weights("gru", w, r, b if biased else None)
    fields |= {"inputVectorSize": D, "outputVectorSize": H, "sequenceOutput": sequence}
    fields |= {"activations": [LAYER_ACTIVATIONS[name] for name in names]}
    fields |= {"hasBiasVectors": biased, "reverseInput": backwards}
    got = run_layer(
        "gru",
        [expanded(x), state(h0)],
        fields,
        [(S if sequence else 1, B, H, 1, 1), (1, B, H, 1, 1)],
    )
    out, h, _ = recurrence("gru", x, h0, c0, w, r, b * biased, names, backwards=backwards)
    close(got, [expanded(out if sequence else out[-1:]), state(h)])


def lstm_fields(
    w: np.ndarray, r: np.ndarray, b: np.ndarray, p: np.ndarray | None = None
) -> dict[str, Any]:
    peepholes = {} if p is None else zip(("input", "forget", "output"), np.split(p, 3), strict=True)
    return layer_weights("lstm", w, r, b) | {
        f"{name}GatePeepholeVector": each for name, each in dict(peepholes).items()
    }


LSTM_PARAMS = [
    ({"hasBiasVectors": True}, DEFAULTS["lstm"], {}),
    ({"hasBiasVectors": True, "sequenceOutput": True}, ("hard_sigmoid", "linear", "relu"), {}),
    ({"hasPeepholeVectors": True, "hasBiasVectors": True}, DEFAULTS["lstm"], {}),
    ({"forgetBias": True, "hasBiasVectors": True}, DEFAULTS["lstm"], {}),
    ({"forgetBias": True}, DEFAULTS["lstm"], {}),
    ({"coupledInputAndForgetGate": True}, DEFAULTS["lstm"], {"coupled": True}),
    ({"cellClipThreshold": 0.25, "sequenceOutput": True}, DEFAULTS["lstm"], {"limit": 0.25}),
    (
        {"cellClipThreshold": 0.25, "coupledInputAndForgetGate": True, "hasPeepholeVectors": True},
        ("tanh", "hard_sigmoid", "scaled_tanh"),
        {"limit": 0.25, "coupled": True},
    ),
    ({"cellClipThreshold": 50000.0}, ("relu", "relu", "relu"), {"limit": 50000.0}),
]


@pytest.mark.parametrize("backwards", [True, False])
@pytest.mark.parametrize(("params", "names", "more"), LSTM_PARAMS)
def test_lstm(
    run_layer: Run,
    params: dict[str, Any],
    names: tuple[str, ...],
    more: dict[str, Any],
    backwards: bool,
) -> None:
    draw = Draw(45)
    (w, r, b), p = weights("lstm"), 0.5 * draw.normal(3 * H)
    fields = {"inputVectorSize": D, "outputVectorSize": H, "params": params}
    fields |= {"activations": [LAYER_ACTIVATIONS[name] for name in names]}
    fields |= {"weightParams": lstm_fields(w, r, b, p), "reverseInput": backwards}
    sequence = params.get("sequenceOutput", False)
    got = run_layer(
        "uniDirectionalLSTM",
        [expanded(x), state(h0), state(c0)],
        fields,
        [(S if sequence else 1, B, H, 1, 1), *[(1, B, H, 1, 1)] * 2],
    )
    bias = b * params.get("hasBiasVectors", False)
    bias = bias + np.repeat([0, params.get("forgetBias", False), 0, 0], H)
    if params.get("hasPeepholeVectors"):
        more = more | {"p": p}
    out, h, c = recurrence("lstm", x, h0, c0, w, r, bias, names, backwards=backwards, **more)
    close(got, [expanded(out if sequence else out[-1:]), state(h), state(c)], atol=1e-5)


@pytest.mark.parametrize("sequence", [True, False])
@pytest.mark.parametrize("limit", [None, 0.25])
def test_lstm_in_both_directions(run_layer: Run, sequence: bool, limit: float | None) -> None:
    draw = Draw(46)
    (w, r, b), (w2, r2, b2) = weights("lstm"), weights("lstm", 25)
    h2, c2 = draw.normal(B, H), draw.normal(B, H)
    defaults = [LAYER_ACTIVATIONS[name] for name in DEFAULTS["lstm"]]
    fields: dict[str, Any] = {"inputVectorSize": D, "outputVectorSize": H}
    fields |= {"weightParams": [lstm_fields(w, r, b), lstm_fields(w2, r2, b2)]}
    fields |= {"activationsForwardLSTM": defaults, "activationsBackwardLSTM": defaults}
    params: dict[str, Any] = {"hasBiasVectors": True, "sequenceOutput": sequence}
    fields["params"] = params | ({} if limit is None else {"cellClipThreshold": limit})
    got = run_layer(
        "biDirectionalLSTM",
        [expanded(x), *map(state, (h0, c0, h2, c2))],
        fields,
        [(S if sequence else 1, B, 2 * H, 1, 1), *[(1, B, H, 1, 1)] * 4],
    )
    more: dict[str, Any] = {} if limit is None else {"limit": limit}
    out, h, c = recurrence("lstm", x, h0, c0, w, r, b, DEFAULTS["lstm"], **more)
    back, h_back, c_back = recurrence(
        "lstm", x, h2, c2, w2, r2, b2, DEFAULTS["lstm"], backwards=True, **more
    )
    whole = np.concatenate([out, back[::-1]], 2) if sequence else np.hstack([h, h_back])[None]
    close(got, [expanded(whole), *map(state, (h, c, h_back, c_back))])


def test_a_layer_without_initial_states_starts_from_zero(run_layer: Run) -> None:
    w, r, b = weights("lstm")
    fields = {"inputVectorSize": D, "outputVectorSize": H, "weightParams": lstm_fields(w, r, b)}
    fields |= {"activations": [LAYER_ACTIVATIONS[name] for name in DEFAULTS["lstm"]]}
    zeros = np.zeros((B, H), np.float32)
    for limit in (0.0, 0.25):  # 0 means not set: 50
        fields["params"] = {"hasBiasVectors": True, "cellClipThreshold": limit}
        got = run_layer("uniDirectionalLSTM", [expanded(x)], fields, [(1, B, H, 1, 1)] * 3)
        _, h, c = recurrence(
            "lstm", x, zeros, zeros, w, r, b, DEFAULTS["lstm"], limit=limit or np.inf
        )
        close(got, [state(h), state(h), state(c)])


@pytest.mark.parametrize("limit", [0.0, 0.25])
def test_extra_rows_of_a_state_are_ignored(run_layer: Run, limit: float) -> None:
    """coremltools writes packed sequences with one row per step of the longest sequence."""
    draw = Draw(47)
    w, r, b = weights("lstm")
    fields = {"inputVectorSize": D, "outputVectorSize": H, "weightParams": lstm_fields(w, r, b)}
    fields |= {"activations": [LAYER_ACTIVATIONS[name] for name in DEFAULTS["lstm"]]}
    fields["params"] = {"hasBiasVectors": True, "cellClipThreshold": limit}
    more = [state(np.concatenate([each, draw.normal(4, H)])) for each in (h0, c0)]
    got = run_layer("uniDirectionalLSTM", [expanded(x), *more], fields, [(1, B, H, 1, 1)] * 3)
    _, h, c = recurrence("lstm", x, h0, c0, w, r, b, DEFAULTS["lstm"], limit=limit or np.inf)
    close(got, [state(h), state(h), state(c)])


def test_layers_clip_inputs_of_activations(run_layer: Run) -> None:
    """To ±50, and also an LSTM's cell state if the file sets no other limit."""
    ones = np.ones((1, 1), np.float32)
    given = np.full((3, 1, 1, 1, 1), 40, np.float32)
    fields = {"inputVectorSize": 1, "outputVectorSize": 1, "activation": {"linear": {}}}
    fields |= {"weightMatrix": ones, "recursionMatrix": ones, "sequenceOutput": True}
    zero = np.zeros((1, 1, 1, 1, 1), np.float32)
    outputs = [(3, 1, 1, 1, 1), (1, 1, 1, 1, 1)]
    y, _ = run_layer("simpleRecurrent", [given, zero], fields, outputs)
    assert y.reshape(-1).tolist() == [40, 50, 50]
    # i = f = o = 1 (the hard sigmoid of 50) and z = 30, so without a limit c is 30, 60, 90.
    fields = {"inputVectorSize": 1, "outputVectorSize": 1, "params": {"sequenceOutput": True}}
    w, r = f32([[2], [2], [2], [1]]), np.zeros((4, 1), np.float32)
    fields["weightParams"] = layer_weights("lstm", w, r, None)
    fields["activations"] = [LAYER_ACTIVATIONS[n] for n in ("hard_sigmoid", "linear", "linear")]
    given = np.full((3, 1, 1, 1, 1), 30, np.float32)
    y, _, c = run_layer("uniDirectionalLSTM", [given], fields, [outputs[0], *outputs[1:] * 2])
    assert y.reshape(-1).tolist() == [30, 50, 50]
    assert c.item() == 50


def test_alpha_and_beta_of_a_layers_activation(run_layer: Run) -> None:
    w, r, b = weights("rnn")
    fields = {"inputVectorSize": D, "outputVectorSize": H, "weightMatrix": w, "recursionMatrix": r}
    fields |= {"hasBiasVector": True, "biasVector": b}
    rows: list[tuple[dict[str, Any], Function]] = [
        ({"scaledTanh": {"alpha": 1.7159, "beta": 2 / 3}}, lambda v: 1.7159 * np.tanh(2 / 3 * v)),
        ({"linear": {"alpha": 0.5, "beta": 0.25}}, lambda v: 0.5 * v + 0.25),
        ({"sigmoidHard": {"alpha": 0.1, "beta": 0.4}}, lambda v: np.clip(0.1 * v + 0.4, 0, 1)),
    ]
    for message, f in rows:
        got = run_layer(
            "simpleRecurrent",
            [expanded(x), state(h0)],
            fields | {"activation": message},
            [(1, B, H, 1, 1)] * 2,
        )
        h = h0
        for at in x:
            h = f(at @ w.T + h @ r.T + b)
        close(got, [state(h), state(h)])


def test_invalid_layer(run_layer: Run) -> None:
    w, r, b = weights("gru")
    fields = layer_weights("gru", w, r, b) | {"inputVectorSize": D, "outputVectorSize": H}
    outputs = [(1, B, H, 1, 1)] * 2
    defaults = [LAYER_ACTIVATIONS["sigmoid"], LAYER_ACTIVATIONS["tanh"]]
    with pytest.raises(ModelFileError, match="it has 1 activations; expected 2"):
        run_layer("gru", [expanded(x)], fields | {"activations": defaults[:1]}, outputs)
    wrong = fields | {"activations": [*defaults[:1], {"ELU": {"alpha": 1.0}}]}
    with pytest.raises(UnsupportedParameter, match="an activation is ELU; expected one of ReLU"):
        run_layer("gru", [expanded(x)], wrong, outputs)
    with pytest.raises(ModelFileError, match="has 3 dimensions; expected 5"):
        run_layer("gru", [x], fields | {"activations": defaults}, outputs)
    wrong = fields | {"activations": defaults, "inputVectorSize": D + 1}
    with pytest.raises(ModelFileError, match="has 12 values; expected 16"):
        run_layer("gru", [expanded(x)], wrong, outputs)
