"""Recurrent ML Program ops, compared with the formulas in NumPy and with PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from arrays import Draw, Run, f32
from pocketlens.coreml import load
from pocketlens.errors import ModelFileError, UnsupportedParameter
from recurrences import (
    DEFAULTS,
    FUNCTIONS,
    B,
    D,
    H,
    S,
    c0,
    close,
    h0,
    recurrence,
    weights,
    x,
)

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
    (
        {
            "weight_ih": np.ones(
                (
                    4 * H,
                    D + 1,
                ),
                np.float32,
            )
        },
        ModelFileError,
        r"\(16, 4\); expected \(16, 3\)",
    ),
    (
        {
            "weight_ih": np.ones(
                (
                    4 * H + 1,
                    D,
                ),
                np.float32,
            )
        },
        ModelFileError,
        r"\(17, 3\) do not divide into 4 gates",
    ),
    (
        {"bias": np.ones((4,), np.float32)},
        ModelFileError,
        r"the bias weights have the shape \(4,\)",
    ),
    (
        {"peephole": np.ones((3,), np.float32)},
        ModelFileError,
        r"peephole weights have the shape \(3,\)",
    ),
    ({"clip": -1.0}, ModelFileError, "the limit of the cell state is -1.0; expected 0 or more"),
    ({"direction": "bidirectional"}, ModelFileError, "without 'weight_ih_back'"),
]


@pytest.mark.parametrize(("wrong", "error", "text"), INVALID)
def test_invalid_mil(run_op: Run, wrong: dict[str, Any], error: type[Exception], text: str) -> None:
    w, r, b = weights("lstm")
    fields = {"weight_ih": w, "weight_hh": r, "bias": b} | wrong
    with pytest.raises(error, match=text):
        run_mil(run_op, "lstm", fields, shapes("lstm", False))


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
