"""Recurrent ops and layers, compared with the documented formulas in NumPy and with PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch

from arrays import Draw, Run, f32
from pocketlens.coreml import load
from pocketlens.errors import ModelFileError, UnsupportedParameter

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
NAMES = {
    "rnn": ("activation",),
    "gru": ("recurrent_activation", "activation"),
    "lstm": ("recurrent_activation", "cell_activation", "activation"),
}


def run_mil(
    run_op: Run,
    kind: str,
    fields: dict[str, Any],
    outputs: list[tuple[str, tuple[int, ...]]],
    opset: str = "CoreML5",
    dtype: type = np.float32,
) -> list[np.ndarray]:
    inputs: dict[str, np.ndarray] = {"x": x.astype(dtype), "initial_h": h0.astype(dtype)}
    if kind == "lstm":
        inputs["initial_c"] = c0.astype(dtype)
    fields = {
        name: each.astype(dtype) if isinstance(each, np.ndarray) else each
        for name, each in fields.items()
    }
    return run_op(kind, inputs, fields, outputs, opset)


def shapes(kind: str, sequence: bool, name: str = "float32") -> list[tuple[str, tuple[int, ...]]]:
    last = [(name, (B, H))] * (2 if kind == "lstm" else 1)
    return [(name, (S if sequence else 1, B, H)), *last]


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("sequence", [True, False])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_mil(run_op: Run, kind: str, biased: bool, sequence: bool, direction: str) -> None:
    w, r, b = weights(kind)
    fields = {"weight_ih": w, "weight_hh": r, "output_sequence": sequence, "direction": direction}
    got = run_mil(run_op, kind, fields | ({"bias": b} if biased else {}), shapes(kind, sequence))
    outputs, h, c = recurrence(
        kind, x, h0, c0, w, r, b * biased, DEFAULTS[kind], backwards=direction == "reverse"
    )
    wanted = [outputs if sequence else outputs[-1:], h, c]
    close(got, wanted if kind == "lstm" else wanted[:2])


ACTIVATED = [
    ("rnn", ("relu",)),
    ("rnn", ("sigmoid",)),
    ("rnn", ("linear",)),
    ("rnn", ("scaled_tanh",)),
    ("gru", ("tanh", "sigmoid")),
    ("gru", ("hard_sigmoid", "relu")),
    ("gru", ("relu", "linear")),
    *(("lstm", ("sigmoid", "tanh", each)) for each in FUNCTIONS),
    *(("lstm", (each, "tanh", "linear")) for each in FUNCTIONS),
    *(("lstm", ("hard_sigmoid", each, "scaled_tanh")) for each in FUNCTIONS),
]


@pytest.mark.parametrize(("kind", "names"), ACTIVATED)
def test_mil_activations(run_op: Run, kind: str, names: tuple[str, ...]) -> None:
    w, r, b = weights(kind)
    fields = {"weight_ih": w, "weight_hh": r, "bias": b, "output_sequence": True}
    fields |= dict(zip(NAMES[kind], names, strict=True))
    got = run_mil(run_op, kind, fields, shapes(kind, True))
    wanted = recurrence(kind, x, h0, c0, w, r, b, names)
    np.testing.assert_allclose(got[0], wanted[0], rtol=1e-4, atol=1e-5)


def test_mil_sigmoid_hard_is_hard_sigmoid(run_op: Run) -> None:
    w, r, b = weights("rnn")
    fields = {"weight_ih": w, "weight_hh": r, "bias": b, "activation": "sigmoid_hard"}
    got = run_mil(run_op, "rnn", fields, shapes("rnn", False))
    close(got[1:], [recurrence("rnn", x, h0, c0, w, r, b, ("hard_sigmoid",))[1]])


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_mil_float16(run_op: Run, kind: str) -> None:
    """Only the inputs and the outputs are rounded."""
    w, r, b = (each.astype(np.float16).astype(np.float32) for each in weights(kind))
    fields = {"weight_ih": w, "weight_hh": r, "bias": b, "output_sequence": True}
    outputs = shapes(kind, True, "float16")
    got = run_mil(run_op, kind, fields, outputs, "CoreML7", np.float16)
    x16, h16, c16 = (each.astype(np.float16).astype(np.float32) for each in (x, h0, c0))
    wanted = recurrence(kind, x16, h16, c16, w, r, b, DEFAULTS[kind])
    for each, expected in zip(got, wanted, strict=False):
        assert each.dtype == np.float16
        np.testing.assert_allclose(each.astype(np.float32), expected, atol=6e-4)


@pytest.mark.parametrize("limit", [None, 0.3, 50.0, 0.0])
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_mil_peephole_and_clip(run_op: Run, direction: str, limit: float | None) -> None:
    draw = Draw(41)
    w, r, b = weights("lstm")
    p = draw.normal(3 * H)
    fields = {"weight_ih": w, "weight_hh": r, "bias": b, "peephole": p, "direction": direction}
    fields |= {"output_sequence": True} | ({} if limit is None else {"clip": limit})
    got = run_mil(run_op, "lstm", fields, shapes("lstm", True))
    more: dict[str, Any] = {} if limit is None else {"limit": limit}
    backwards = direction == "reverse"
    wanted = recurrence(
        "lstm", x, h0, c0, w, r, b, DEFAULTS["lstm"], backwards=backwards, p=p, **more
    )
    close(got, wanted)
    if limit == 0.3:  # the test reaches the limit
        assert np.isclose(abs(got[2]), 0.3).any()


@pytest.mark.parametrize("limit", [None, 0.2])
@pytest.mark.parametrize("sequence", [True, False])
def test_mil_bidirectional(run_op: Run, sequence: bool, limit: float | None) -> None:
    draw = Draw(42)
    (w, r, b), (w2, r2, b2) = weights("lstm"), weights("lstm", 25)
    p, p2 = draw.normal(3 * H), draw.normal(3 * H)
    fields: dict[str, Any] = {"weight_ih": w, "weight_hh": r, "bias": b, "peephole": p}
    fields |= {"weight_ih_back": w2, "weight_hh_back": r2, "bias_back": b2, "peephole_back": p2}
    fields |= {"direction": "bidirectional", "output_sequence": sequence}
    h2, c2 = draw.normal(B, H), draw.normal(B, H)
    inputs = {"x": x, "initial_h": np.hstack([h0, h2]), "initial_c": np.hstack([c0, c2])}
    outputs = [("float32", (S if sequence else 1, B, 2 * H)), *[("float32", (B, 2 * H))] * 2]
    more: dict[str, Any] = {} if limit is None else {"limit": limit}
    got = run_op("lstm", inputs, fields | ({} if limit is None else {"clip": limit}), outputs)
    out, h, c = recurrence("lstm", x, h0, c0, w, r, b, DEFAULTS["lstm"], p=p, **more)
    back, h_back, c_back = recurrence(
        "lstm", x, h2, c2, w2, r2, b2, DEFAULTS["lstm"], p=p2, backwards=True, **more
    )
    whole = np.concatenate([out, back[::-1]], 2)
    last = np.hstack([h, h_back])
    close(got, [whole if sequence else last[None], last, np.hstack([c, c_back])])


def test_mil_bidirectional_agrees_with_pytorch(run_op: Run) -> None:
    module = torch.nn.LSTM(D, H, bidirectional=True)
    state = {name: each.detach().numpy() for name, each in module.state_dict().items()}

    def ifoz(array: np.ndarray) -> np.ndarray:  # PyTorch's order of the gates is i, f, z, o
        i, f, z, o = np.split(array, 4)
        return np.concatenate([i, f, o, z])

    fields: dict[str, Any] = {"direction": "bidirectional", "output_sequence": True}
    for suffix, of in (("", ""), ("_back", "_reverse")):
        for name in ("ih", "hh"):
            fields[f"weight_{name}{suffix}"] = ifoz(state[f"weight_{name}_l0{of}"])
        biases = (state[f"bias_{name}_l0{of}"] for name in ("ih", "hh"))
        fields[f"bias{suffix}"] = ifoz(sum(biases))
    inputs = {"x": x, "initial_h": np.hstack([h0, -h0]), "initial_c": np.hstack([c0, -c0])}
    outputs = [("float32", (S, B, 2 * H)), *[("float32", (B, 2 * H))] * 2]
    got = run_op("lstm", inputs, fields, outputs)
    both = (torch.from_numpy(np.stack([each, -each])) for each in (h0, c0))
    with torch.no_grad():
        y, (h, c) = module(torch.from_numpy(x), tuple(both))
    close(got, [y.numpy(), *(np.hstack(each.numpy()) for each in (h, c))])


def test_mil_gru_resets_before_the_product(run_op: Run) -> None:
    """R (r h), as in coremltools' own tests; not r (R h), as in PyTorch."""
    # The reset gate is [0, 1] (from biases of -60 and 60), the update gate 1/2, the output linear;
    # R swaps the two numbers.
    fields = {
        "weight_ih": np.zeros((6, 1), np.float32),
        "weight_hh": f32([[0, 0], [0, 0], [0, 1], [1, 0], [0, 0], [0, 0]]),
        "bias": f32([-60, 60, 0, 0, 0, 0]),
        "activation": "linear",
    }
    inputs = {"x": np.zeros((1, 1, 1), np.float32), "initial_h": f32([[2.0, 6.0]])}
    _, last = run_op("gru", inputs, fields, [("float32", (1, 1, 2)), ("float32", (1, 2))])
    # r h = [0, 6] and R (r h) = [6, 0]; half of that plus half of h is [4, 3].
    np.testing.assert_allclose(last, [[4.0, 3.0]], atol=1e-6)


def rzo_to_roz(array: np.ndarray) -> np.ndarray:
    r, z, o = np.split(array, 3)
    return np.concatenate([r, o, z])


@pytest.mark.parametrize("biased", [True, False])
def test_mil_gru_since_ios18_agrees_with_pytorch(run_op: Run, biased: bool) -> None:
    """With the reset after the product, and one bias for each product."""
    module = torch.nn.GRU(D, H, bias=biased)
    weights = {n: rzo_to_roz(v.detach().numpy()) for n, v in module.state_dict().items()}
    fields: dict[str, Any] = {"reset_after": True, "output_sequence": True}
    fields |= {"weight_ih": weights["weight_ih_l0"], "weight_hh": weights["weight_hh_l0"]}
    if biased:
        fields |= {"input_bias": weights["bias_ih_l0"], "bias": weights["bias_hh_l0"]}
    got = run_mil(run_op, "gru", fields, shapes("gru", True), "CoreML8")
    with torch.no_grad():
        y, h = module(torch.from_numpy(x), torch.from_numpy(h0)[None])
    close(got, [y.numpy(), h[0].numpy()])


def test_mil_gru_since_ios18_by_default(run_op: Run) -> None:
    """The reset comes before the product, as in older versions, and both biases are added."""
    draw = Draw(43)
    w, r, b = weights("gru")
    more = draw.normal(3 * H)
    fields = {"weight_ih": w, "weight_hh": r, "bias": b, "input_bias": more}
    got = run_mil(run_op, "gru", fields, shapes("gru", False), "CoreML8")
    out, h, _ = recurrence("gru", x, h0, c0, w, r, b + more, DEFAULTS["gru"])
    close(got, [out[-1:], h])


@pytest.mark.parametrize("limit", [None, 0.3])
def test_mil_any_number_of_steps(
    files: Any, save: Callable[..., Path], limit: float | None
) -> None:
    """A sequence length and batch size that are known only at run time."""
    draw = Draw(44)
    w, r, b = weights("lstm")
    fields = {"weight_ih": w, "weight_hh": r, "bias": b, "output_sequence": True}
    fields |= {} if limit is None else {"clip": limit}
    inputs = {"x": x, "initial_h": h0, "initial_c": c0}
    spec = files.program_spec("lstm", inputs, fields, shapes("lstm", True))
    function = spec.mlProgram.functions["main"]
    results = function.block_specializations["CoreML6"].operations[-1].outputs
    open_axes = {"x": 2, "initial_h": 1, "initial_c": 1, "y0": 2, "y1": 1, "y2": 1}
    for each in (*function.inputs, *results):
        for axis in range(open_axes[each.name]):
            each.type.tensorType.dimensions[axis].unknown.variadic = False
    for feature in spec.description.input:
        array = feature.type.multiArrayType
        for axis, size in enumerate(array.shape):
            bounds = array.shapeRange.sizeRanges.add()
            is_open = axis < open_axes[feature.name]
            bounds.lowerBound, bounds.upperBound = (1, 9) if is_open else (size, size)
    model = load(save(spec))
    for steps, batch in ((5, 2), (2, 1), (9, 7)):
        given = {"x": draw.normal(steps, batch, D), "initial_h": draw.normal(batch, H)}
        given["initial_c"] = draw.normal(batch, H)
        answers = model.run(given)
        more: dict[str, Any] = {} if limit is None else {"limit": limit}
        h, c = given["initial_h"], given["initial_c"]
        wanted = recurrence("lstm", given["x"], h, c, w, r, b, DEFAULTS["lstm"], **more)
        close([answers[f"y{i}"] for i in range(3)], wanted)


INVALID: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"activation": "softplus"}, UnsupportedParameter, "an activation is 'softplus'; expected one"),
    ({"direction": "up"}, UnsupportedParameter, "'direction' is 'up'; expected forward or reverse"),
    ({"weight_ih": draw.normal(4 * H, D + 1)}, ModelFileError, r"\(16, 4\); expected \(16, 3\)"),
    (
        {"weight_ih": draw.normal(4 * H + 1, D)},
        ModelFileError,
        r"\(17, 3\) do not divide into 4 gates",
    ),
    ({"bias": draw.normal(4)}, ModelFileError, r"the bias weights have the shape \(4,\)"),
    ({"peephole": draw.normal(3)}, ModelFileError, r"peephole weights have the shape \(3,\)"),
    ({"clip": -1.0}, ModelFileError, "the limit of the cell state is -1.0; expected 0 or more"),
    ({"direction": "bidirectional"}, ModelFileError, "without 'weight_ih_back'"),
]


@pytest.mark.parametrize(("wrong", "error", "text"), INVALID)
def test_invalid_mil(run_op: Run, wrong: dict[str, Any], error: type[Exception], text: str) -> None:
    w, r, b = weights("lstm")
    fields = {"weight_ih": w, "weight_hh": r, "bias": b} | wrong
    with pytest.raises(error, match=text):
        run_mil(run_op, "lstm", fields, shapes("lstm", False))


# NeuralNetwork layers -----------------------------------------------------------------------------

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


def test_two_lstms_with_a_limit(files: Any, save: Callable[..., Path]) -> None:
    """Their tensors have the same names as those of the inner loops."""
    draw = Draw(48)
    w, r, b = weights("lstm")
    w2 = 0.7 * draw.normal(4 * H, H)
    fields = {"weight_ih": w, "weight_hh": r, "bias": b, "output_sequence": True, "clip": 0.3}
    inputs = {"x": x, "initial_h": h0, "initial_c": c0}
    spec = files.program_spec("lstm", inputs, fields, shapes("lstm", True))
    block = spec.mlProgram.functions["main"].block_specializations["CoreML6"]
    first = block.operations[-1]
    second = type(first)()
    second.CopyFrom(first)
    for output, name in zip(first.outputs, ("h", "c", "go"), strict=True):
        output.name = name
    constant = block.operations.add(type="const")
    message = files.value_message(w2)
    constant.outputs.add(name="second_weight").type.CopyFrom(message.type)
    constant.attributes["val"].CopyFrom(message)
    second.inputs["x"].arguments[0].name = "h"
    second.inputs["weight_ih"].arguments[0].name = "second_weight"
    block.operations.append(second)
    answers = load(save(spec)).run(inputs)
    middle, _, _ = recurrence("lstm", x, h0, c0, w, r, b, DEFAULTS["lstm"], limit=0.3)
    wanted = recurrence("lstm", middle, h0, c0, w2, r, b, DEFAULTS["lstm"], limit=0.3)
    close([answers[f"y{i}"] for i in range(3)], wanted)
