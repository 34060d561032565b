"""The page's engine against ONNX Runtime, one small network per row."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from pocketlens.errors import UnsupportedModelError, UnsupportedOp
from pocketlens.web.engines import choose_engine
from pocketlens.web.lowerings import LOWERINGS
from pocketlens.web.network import network_file
from pocketlens.web.program import Program
from web.graphs import floats, ints, network, resized, rng, weights
from web.network_cases import CASES
from web.page_modules import answers

TOLERANCE = 1e-4


def expected(model: onnx.ModelProto, values: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    result: NDArray[np.float32] = session.run(None, {"x": values})[0]
    return result


def test_every_operator_gives_what_onnx_runtime_gives(tmp_path: Path) -> None:
    inputs, cases, files = {}, [], {}
    for name, model in CASES.items():
        shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
        # Twice: nothing of the first run may change the second.
        inputs[name] = [rng.standard_normal(shape).astype(np.float32) for _ in range(2)]
        files[f"{name}.bin"] = network_file(model, name)
        given = [each.ravel().tolist() for each in inputs[name]]
        cases.append({"kind": "network", "file": f"{name}.bin", "inputs": given})
    wrong = {}
    for (name, model), found in zip(CASES.items(), answers(cases, tmp_path, files), strict=True):
        if "error" in found:
            wrong[name] = found
            continue
        for values, result in zip(inputs[name], found, strict=True):
            want = expected(model, values).ravel()
            if not np.allclose(np.array(result, np.float32), want, atol=TOLERANCE, rtol=TOLERANCE):
                wrong[name] = np.abs(np.array(result, np.float32) - want).max()
    assert not wrong
    tested = {node.op_type for model in CASES.values() for node in model.graph.node}
    assert tested - LOWERINGS.keys() == {"Shrink"}  # a constant
    assert tested >= LOWERINGS.keys()


def test_rounding_to_float16_is_exact(tmp_path: Path) -> None:
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float64)
    between = (halves[:-1] + halves[1:]) / 2  # ties
    edges = [65504, 65519.99, 65520, 1e9, np.inf, 2.0**-25, 2.0**-26, 5.9e-8]
    values = np.concatenate([halves[::7], between[::7], between[::11] * (1 + 1e-6), edges])
    given = np.concatenate([values, -values]).astype(np.float32)
    model = network(
        ("Cast", ["x"], {"to": onnx.TensorProto.FLOAT16}),
        ("Cast", [0], {"to": onnx.TensorProto.FLOAT}),
        shape=given.shape,
    )
    inputs = [[v if np.isfinite(v) else 1e38 * np.sign(v) for v in given.tolist()]]
    cases = [{"kind": "network", "file": "half.bin", "inputs": inputs}]
    ((found,),) = answers(cases, tmp_path, {"half.bin": network_file(model, "half")})
    with np.errstate(over="ignore"):
        want = given.astype(np.float16).astype(np.float32)
    # np.array reads the text "Infinity", which JSON has no number for.
    np.testing.assert_array_equal(np.array([float(each) for each in found], np.float32), want)


def test_a_result_that_is_no_number_stays_one(tmp_path: Path) -> None:
    half: Any = {"to": onnx.TensorProto.FLOAT16}
    clipped: Any = ("Clip", [0, floats(-1).reshape(()), floats(1).reshape(())], {})
    log: Any = ("Log", ["x"], {})
    models = [
        network(log, clipped),
        network(log, ("Cast", [0], half)),
        network(log, clipped, ("Cast", [1], half)),
    ]
    files = {str(number): network_file(model, "m") for number, model in enumerate(models)}
    given = [[-1.0] * 297]
    found = answers(
        [{"kind": "network", "file": name, "inputs": given} for name in files], tmp_path, files
    )
    assert found == [[["NaN"] * 297]] * len(models)


def test_weights_are_stored_as_float16_only_if_nothing_is_lost() -> None:
    full = weights(3, 9, 11)
    half = full.astype(np.float16).astype(np.float32)
    sizes = [len(network_file(network(("Mul", ["x", each], {})), "m")) for each in (half, full)]
    assert sizes[1] - sizes[0] == pytest.approx(2 * full.size, abs=16)


@pytest.mark.parametrize(
    ("model", "error", "text"),
    [
        (
            network(("Shrink", ["x"], {}), ("Hardmax", [0], {})),
            UnsupportedOp,
            "Net cannot run in the browser: the page's engine has no Hardmax, Shrink; it has Abs, ",
        ),
        (
            network(("MaxPool", ["x"], {"kernel_shape": [2, 2]}), shape=(2, 3, 9, 11)),
            UnsupportedModelError,
            "its input has the shape [2, 3, 9, 11]; expected one image",
        ),
        (
            network(("Cast", ["x"], {"to": onnx.TensorProto.INT32})),
            UnsupportedModelError,
            "it converts to int32; expected float16, float32 or bool",
        ),
        (
            network(("Pad", ["x", ints(0, 0, 1, 0, 0, 0, 0, 0)], {"mode": "wrap"})),
            UnsupportedModelError,
            "it pads with wrap",
        ),
        (
            network(("ConvTranspose", ["x", weights(3, 2, 2, 2)], {"auto_pad": "SAME_UPPER"})),
            UnsupportedModelError,
            "its pads are not given",
        ),
        (
            network(("ConvTranspose", ["x", weights(3, 2, 1, 1)], {"pads": [1, 0, 0, 0]})),
            UnsupportedModelError,
            "its pads are larger than its kernel",
        ),
        (
            resized((1, 3, 20, 20), keep_aspect_ratio_policy="not_larger"),
            UnsupportedModelError,
            "it crops, or keeps the aspect ratio",
        ),
        (
            network(("Conv", ["x", "x"], {}), shape=(1, 1, 3, 3)),
            UnsupportedModelError,
            "input 1 is computed; expected a constant",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_engine_lacks_is_said(
    model: onnx.ModelProto, error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as caught:
        network_file(model, "Net")
    assert text in str(caught.value)


def test_branches_on_a_constant_are_refused() -> None:
    branch = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["y"])], "branch", [], [onnx.ValueInfoProto(name="y")]
    )
    model = network(("Relu", ["x"], {}))
    chosen = helper.make_node("If", ["yes"], ["n0"], then_branch=branch, else_branch=branch)
    model.graph.node[0].CopyFrom(chosen)
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    with pytest.raises(UnsupportedOp, match="the page's engine has no If; it has"):
        network_file(model, "Net")


def test_memory_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(("Mul", ["x", weights(297, 1, 1, 1)], {}))
    memory = 4 * (297 * 297 + 2 * 297)  # result, input and constant
    monkeypatch.setattr("pocketlens.web.network.MAX_MEMORY", memory)
    text = "it needs 355.* KB of memory; expected at most 355"
    with pytest.raises(UnsupportedModelError, match=text):
        network_file(model, "Net")  # more, by what kernels may overwrite
    monkeypatch.setattr("pocketlens.web.network.MAX_MEMORY", memory + 200)
    assert network_file(model, "Net")


def test_graphs_that_cannot_be_read() -> None:
    model = network(("Reshape", [weights(11), ints(11)], {}), ("Mul", ["x", 0], {}))
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(ints(5), "c1"))
    with pytest.raises(
        UnsupportedModelError, match="Net cannot run in the browser: .*Inference error"
    ):
        network_file(model, "Net")
    # A constant by an operator that is computed nowhere but in ONNX Runtime.
    model = network(("Relu", ["x"], {}), ("Mul", [0, floats(2)], {}))
    made = helper.make_node("Gelu", ["c0"], ["two"], domain="com.microsoft")
    model.graph.node.insert(0, made)
    model.opset_import.append(helper.make_operatorsetid("com.microsoft", 1))
    with pytest.raises(UnsupportedModelError, match="'two' cannot be computed by Gelu: "):
        network_file(model, "Net")


def test_models_with_states_are_refused() -> None:
    model = network(("Add", ["x", "state"], {}))
    state = helper.make_tensor_value_info("state", onnx.TensorProto.FLOAT, [11])
    model.graph.input.append(state)
    with pytest.raises(UnsupportedModelError, match=r"inputs, outputs or states \(x, state, n0\)"):
        choose_engine(model, "Net", "auto", None)


def damage(header: Mapping[str, Any], **changes: Any) -> bytes:
    text = json.dumps({**header, **changes}).encode()
    return b"PLNET001" + struct.pack("<I", len(text)) + text


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    program = Program()
    given = program.given((4,))
    whole = program.to_bytes(given, program.limited(given, low=0.0))
    size = struct.unpack("<I", whole[8:12])[0]
    header = json.loads(whole[12 : 12 + size])
    huge = [{"count": 2**40, "at": 0}, header["tensors"][1]]
    far = [{"count": 4, "at": 10**6}, header["tensors"][1]]
    outside = [{"count": 4, "from": 100, "type": "float32"}, header["tensors"][1]]
    files = {
        "whole": whole,
        "magic": b"x" + whole[1:],
        "short": whole[:40],
        "huge": damage(header, tensors=huge),
        "far": damage(header, tensors=far),
        "outside": damage(header, tensors=outside),
        "memory": damage(header, arena=2**40),
        "step": damage(header, steps=[{"op": "alert", "out": 1}]),
    }
    cases = [{"kind": "network", "file": name, "inputs": [[1, -2, 3, -4]]} for name in files]
    found = dict(zip(files, answers(cases, tmp_path, files), strict=True))
    assert found.pop("whole") == [[1, 0, 3, 0]]
    assert all(
        each["error"].startswith("The model file is damaged: ") for each in found.values()
    ), found
