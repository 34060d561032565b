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
from onnx import helper

from pocketlens.errors import UnsupportedModelError, UnsupportedOp
from pocketlens.web.engines import choose_engine
from pocketlens.web.lowerings import LOWERINGS
from pocketlens.web.network import network_file
from pocketlens.web.program import Program
from web.graphs import conv, floats, ints, network, rng, weights
from web.page_modules import answers

TOLERANCE = 1e-4

UNARY = [
    *("Abs", "Ceil", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish"),
    *("Identity", "LeakyRelu", "Neg", "Reciprocal", "Relu", "Sigmoid", "Sign", "Sin", "Softplus"),
    "Tanh",
]
POSITIVE: Any = ("Abs", ["x"], {})
BINARY = ["Add", "Div", "Max", "Min", "Mul", "PRelu", "Sub"]
REDUCTIONS = [name for name in LOWERINGS if name.startswith("Reduce")]
POOL = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}
CENTER: Any = ("Sub", ["x", floats(0.3)], {})

CASES: dict[str, onnx.ModelProto] = {
    "conv": network(conv(5, 3, (3, 3), pads=[1, 1, 1, 1])),
    "conv without bias": network(("Conv", ["x", weights(8, 3, 3, 3)], {})),
    "conv strides and uneven pads": network(
        conv(6, 3, (3, 2), pads=[2, 0, 1, 1], strides=[2, 3])
    ),
    "conv dilations": network(conv(4, 3, (3, 3), dilations=[2, 3])),
    "conv of one pixel": network(conv(4, 3, (1, 1), strides=[2, 2])),
    "conv larger than a panel": network(
        conv(7, 3, (5, 5), pads=[2, 2, 2, 2]), shape=(1, 3, 40, 41)
    ),
    "conv same size": network(conv(4, 3, (3, 3), auto_pad="SAME_UPPER", strides=[2, 2])),
    "conv same size, lower": network(conv(4, 3, (2, 2), auto_pad="SAME_LOWER")),
    "conv groups": network(conv(6, 2, (3, 3), group=2, pads=[1, 1, 1, 1]), shape=(1, 4, 9, 11)),
    "conv depthwise": network(conv(3, 1, (3, 3), group=3, pads=[1, 1, 1, 1])),
    "conv depthwise, strides": network(conv(3, 1, (5, 5), group=3, strides=[2, 3])),
    "conv depthwise, two outputs each": network(conv(6, 1, (3, 3), group=3, strides=[2, 2])),
    "conv of a line": network(conv(4, 3, (5,), pads=[2, 1], strides=[2]), shape=(1, 3, 30)),
    "gemm": network(
        ("Flatten", ["x"], {}),
        ("Gemm", [0, weights(7, 297), weights(7)], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    ),
    "gemm of rows": network(
        ("Reshape", ["x", ints(27, 11)], {}), ("Gemm", [0, weights(11, 5), weights(5)], {})
    ),
    "gemm transposed": network(
        ("Reshape", ["x", ints(27, 11)], {}), ("Gemm", [0, weights(27, 5)], {"transA": 1})
    ),
    "matmul of one row": network(
        ("ReduceMean", ["x", ints(2, 3)], {"keepdims": 0}), ("MatMul", [0, weights(3, 9)], {})
    ),
    "matmul of a batch": network(("MatMul", ["x", weights(11, 6)], {})),
    "matmul of constants by values": network(("MatMul", [weights(5, 9), "x"], {})),
    "attention": network(
        ("Transpose", ["x"], {"perm": [0, 1, 3, 2]}),
        ("MatMul", ["x", 0], {}),
        ("Softmax", [1], {"axis": -1}),
        ("MatMul", [2, "x"], {}),
    ),
    **{name: network(CENTER, (name, [0], {})) for name in UNARY},
    "Gelu tanh": network(CENTER, ("Gelu", [0], {"approximate": "tanh"})),
    "Log of Sqrt": network(POSITIVE, ("Sqrt", [0], {}), ("Log", [1], {})),
    "Pow": network(POSITIVE, ("Pow", [0, floats(1.7)], {})),
    **{
        f"{name} {list(other.shape)}": network((name, ["x", other], {}))
        for name in BINARY
        for other in (weights(3, 1, 1), weights(1, 1, 9, 1), weights(11))
    },
    "Sub of a constant": network(("Sub", [floats(1.0), "x"], {})),
    "Sum of three": network(("Sum", ["x", weights(3, 1, 1), weights(11)], {})),
    "Clip": network(("Clip", ["x", floats(-0.2).reshape(()), floats(0.4).reshape(())], {})),
    "Clip of a value that is used again": network(
        CENTER, ("Relu", [0], {}), ("Add", [0, 1], {}),
        ("Clip", [2, "", floats(0.5).reshape(())], {}),
    ),
    "Relu, then Clip": network(
        CENTER, ("Relu", [0], {}), ("Clip", [1, floats(0.1).reshape(()), ""], {})
    ),
    "max pool": network(("MaxPool", ["x"], POOL)),
    "max pool, dilations": network(
        ("MaxPool", ["x"], {"kernel_shape": [2, 2], "dilations": [2, 3]})
    ),
    "max pool, rounded up": network(
        ("MaxPool", ["x"], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1})
    ),
    "average pool": network(("AveragePool", ["x"], POOL)),
    "average pool with the pads": network(("AveragePool", ["x"], POOL | {"count_include_pad": 1})),
    "global average": network(("GlobalAveragePool", ["x"], {})),
    "global maximum": network(("GlobalMaxPool", ["x"], {})),
    **{
        f"{name}, {keep}": network(POSITIVE, (name, [0, ints(1, -1)], {"keepdims": keep}))
        for name in REDUCTIONS
        for keep in (0, 1)
    },
    "ReduceMean of all": network(("ReduceMean", ["x"], {})),
    "softmax of channels": network(("Softmax", ["x"], {"axis": 1})),
    "log softmax": network(("LogSoftmax", ["x"], {"axis": -1})),
    "batch norm": network(
        (
            "BatchNormalization",
            ["x", weights(3), weights(3), weights(3), np.abs(weights(3)) + 1],
            {"epsilon": 1e-3},
        )
    ),
    "layer norm": network(("LayerNormalization", ["x", weights(11), weights(11)], {})),
    "instance norm": network(("InstanceNormalization", ["x", weights(3), weights(3)], {})),
    "transpose": network(("Transpose", ["x"], {"perm": [3, 0, 2, 1]})),
    "squeeze and unsqueeze": network(
        ("Squeeze", ["x", ints(0)], {}), ("Unsqueeze", [0, ints(1, 3)], {}), ("Neg", [1], {})
    ),
    "concat": network(
        ("Transpose", ["x"], {"perm": [0, 1, 3, 2]}),
        ("Reshape", [0, ints(1, 3, 9, 11)], {}),
        ("Concat", ["x", 1, weights(1, 3, 2, 11)], {"axis": 2}),
        ("Relu", [2], {}),
    ),
    "slice": network(
        ("Slice", ["x", ints(8, 1), ints(-(2**63), 10), ints(2, 3), ints(-2, 3)], {})
    ),
    "split": network(
        ("Split", ["x"], {"axis": 3, "num_outputs": 2}), ("Transpose", [0], {}), outputs=2
    ),
    "pad": network(
        ("Pad", ["x", ints(0, 0, 1, 2, 0, 1, 0, 3), floats(0.5).reshape(())], {})
    ),
    "pad with the edge": network(
        ("Pad", ["x", ints(0, 0, 1, 20, 0, 0, 2, 3)], {"mode": "edge"})
    ),
    "pad by reflection": network(
        ("Pad", ["x", ints(0, 0, 8, 2, 0, 0, 0, 3)], {"mode": "reflect"})
    ),
    "expand": network(
        ("ReduceMax", ["x", ints(2)], {}), ("Expand", [0, ints(2, 3, 4, 11)], {})
    ),
    "tile": network(("Tile", ["x", ints(1, 2, 1, 3)], {})),
    "computed constants": network(
        ("Transpose", [weights(11, 5)], {}), ("Gemm", [weights(4, 11), 0], {"transB": 1}),
        ("ReduceSum", [1], {"keepdims": 0}), ("Mul", ["x", 2], {}),
    ),
    "constants by an operator that the engine lacks": network(
        ("Softsign", [weights(11)], {}), ("Mul", ["x", 0], {})
    ),
    "residual blocks share memory": network(
        conv(8, 3, (3, 3), pads=[1, 1, 1, 1]), ("Relu", [0], {}),
        ("Conv", [1, weights(8, 8, 3, 3), weights(8)], {"pads": [1, 1, 1, 1]}),
        ("Add", [1, 2], {}), ("Relu", [3], {}),
        ("Conv", [4, weights(5, 8, 1, 1)], {}), ("Sigmoid", [5], {}), ("Mul", [5, 6], {}),
        ("GlobalAveragePool", [7], {}), ("Flatten", [8], {}), ("Softmax", [9], {}),
    ),
}  # fmt: skip


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
    assert LOWERINGS.keys() - tested == {"Cast"}  # the next test


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


def test_weights_are_stored_as_float16_only_if_nothing_is_lost() -> None:
    full = weights(3, 9, 11)
    half = full.astype(np.float16).astype(np.float32)
    sizes = [len(network_file(network(("Mul", ["x", each], {})), "m")) for each in (half, full)]
    assert sizes[1] - sizes[0] == pytest.approx(2 * full.size, abs=16)


@pytest.mark.parametrize(
    ("model", "error", "text"),
    [
        (
            network(("Softsign", ["x"], {}), ("Celu", [0], {})),
            UnsupportedOp,
            "Net cannot run in the browser: the page's engine has no Celu, Softsign; it has Abs, ",
        ),
        (
            network(("MaxPool", ["x"], {"kernel_shape": [2, 2]}), shape=(2, 3, 9, 11)),
            UnsupportedModelError,
            "its input has the shape [2, 3, 9, 11]; expected one image",
        ),
        (
            network(("Cast", ["x"], {"to": onnx.TensorProto.INT32})),
            UnsupportedModelError,
            "it converts to int32; expected float16 or float32",
        ),
        (
            network(("Pad", ["x", ints(0, 0, 1, 0, 0, 0, 0, 0)], {"mode": "wrap"})),
            UnsupportedModelError,
            "it pads with wrap",
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
