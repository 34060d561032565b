"""float16 is real float16: rounded where the file declares it, infinite on overflow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pocketlens.coreml import CoreMLModel, load
from pocketlens.coreml.graph import Graph
from pocketlens.coreml.graph.export import onnx_model
from pocketlens.coreml.runtime.graph_model import GraphModel


def chain(files: Any, x: np.ndarray, ops: list[tuple[str, dict[str, Any], tuple[int, ...]]]) -> Any:
    """A program of one op after another, all in float16; every tensor is an output."""
    first, fields, shape = ops[0]
    spec = files.program_spec(first, {"x": x}, fields, [("float16", shape)])
    block = spec.mlProgram.functions["main"].block_specializations["CoreML6"]
    for number, (op, fields, shape) in enumerate(ops[1:], 1):
        one = files.program_spec(
            op, {"x": np.zeros(shape, np.float16)}, fields, [("float16", shape)]
        )
        inner = one.mlProgram.functions["main"].block_specializations["CoreML6"]
        for operation in inner.operations:
            for output in operation.outputs:
                output.name = output.name.replace("y0", f"y{number}")
                output.name = output.name.replace("_value", f"_value{number}")
            for argument in operation.inputs.values():
                name = argument.arguments[0].name
                argument.arguments[0].name = (
                    f"y{number - 1}" if name == "x" else name.replace("_value", f"_value{number}")
                )
            block.operations.append(operation)
        block.outputs.append(f"y{number}")
        output = spec.description.output.add()
        output.CopyFrom(one.description.output[0])
        output.name = f"y{number}"
    return spec


def graph_of(model: CoreMLModel) -> Graph:
    """The ONNX graph of a model that is a single graph."""
    assert isinstance(model, GraphModel)
    return model._lowered.graph


def test_overflow_is_infinite_as_on_the_device(save: Callable[..., Path], files: Any) -> None:
    """300 × 300 exceeds 65504. A runtime that skips the rounding in between would return 90."""
    x = np.full((1, 3), 300, np.float16)
    ops: list[Any] = [("square", {}, (1, 3)), ("mul", {"y": np.float16(0.001)}, (1, 3))]
    answers = load(save(chain(files, x, ops))).run({"x": x})
    assert np.isposinf(answers["y0"]).all()
    assert np.isposinf(answers["y1"]).all()


def test_only_the_last_output_overflows_too(save: Callable[..., Path], files: Any) -> None:
    """The same if the tensor in between is not an output, so that it could be optimized away."""
    x = np.full((1, 3), 300, np.float16)
    spec = chain(files, x, [("square", {}, (1, 3)), ("mul", {"y": np.float16(0.001)}, (1, 3))])
    block = spec.mlProgram.functions["main"].block_specializations["CoreML6"]
    block.outputs.remove("y0")
    del spec.description.output[0]
    assert np.isposinf(load(save(spec)).run({"x": x})["y1"]).all()


def test_each_tensor_is_rounded_once(save: Callable[..., Path], files: Any) -> None:
    """Convolution, ReLU6, pooling, sigmoid: the same as rounding after every op."""
    random = np.random.default_rng(0)
    x = random.standard_normal((1, 2, 8, 8)).astype(np.float16)
    weight = random.standard_normal((3, 2, 3, 3)).astype(np.float16)
    ops: list[Any] = [
        ("conv", {"weight": weight}, (1, 3, 6, 6)),
        ("relu6", {}, (1, 3, 6, 6)),
        (
            "max_pool",
            {"kernel_sizes": [2, 2], "strides": [2, 2], "pad_type": "valid"},
            (1, 3, 3, 3),
        ),
        ("sigmoid", {}, (1, 3, 3, 3)),
        ("square", {}, (1, 3, 3, 3)),
    ]
    model = load(save(chain(files, x, ops)))
    answers = model.run({"x": x})

    def half(t: torch.Tensor) -> torch.Tensor:
        return t.half().float()

    wide = torch.from_numpy(x.astype(np.float32))
    y0 = half(F.conv2d(wide, torch.from_numpy(weight.astype(np.float32))))
    y1 = half(F.relu6(y0))
    y2 = half(F.max_pool2d(y1, 2))
    y3 = half(torch.sigmoid(y2))
    y4 = half(y3 * y3)
    for name, expected in zip(("y0", "y1", "y2", "y3", "y4"), (y0, y1, y2, y3, y4), strict=True):
        assert answers[name].dtype == np.float16
        # A sum in another order may round differently, by one unit at most.
        np.testing.assert_allclose(answers[name], expected.numpy(), rtol=2**-10, atol=2**-14)
    exact = np.mean(answers["y4"] == y4.numpy())
    assert exact > 0.9
    # A computation without rounding gives other numbers, so this test detects it.
    free = torch.sigmoid(
        F.max_pool2d(F.relu6(F.conv2d(wide, torch.from_numpy(weight.astype(np.float32)))), 2)
    )
    assert np.mean((free * free).numpy().astype(np.float16) == y4.numpy()) < exact


@pytest.mark.parametrize(("op", "node"), [("relu", "Relu"), ("relu6", "Clip")])
def test_ops_that_commute_with_rounding_are_not_rounded_again(
    save: Callable[..., Path], files: Any, op: str, node: str
) -> None:
    """The rounding after a convolution is delayed to the op that needs it: one, not three."""
    x = np.zeros((1, 2, 8, 8), np.float16)
    weight = np.ones((3, 2, 3, 3), np.float16)
    pool = {"kernel_sizes": [2, 2], "strides": [2, 2], "pad_type": "valid"}
    ops: list[Any] = [
        ("conv", {"weight": weight}, (1, 3, 6, 6)),
        (op, {}, (1, 3, 6, 6)),
        ("max_pool", pool, (1, 3, 3, 3)),
        ("sigmoid", {}, (1, 3, 3, 3)),
    ]
    graph = graph_of(load(save(chain(files, x, ops))))
    nodes = [n.op_type for n in onnx_model(graph, graph.outputs[-1:]).graph.node]
    assert nodes == ["Cast", "Conv", node, "MaxPool", "Cast", "Cast", "Sigmoid", "Cast"]


@pytest.mark.parametrize("op", ["linear", "conv"])
def test_weights_between_quantized_activations_stay_as_they_are(op: str, tmp_path: Path) -> None:
    """ONNX Runtime would round these weights to 8 bits, which changes results by whole steps."""
    import coremltools as ct
    from coremltools.converters.mil.mil import Builder as mb

    random = np.random.default_rng(1)
    weight = random.uniform(-128, 128, (40, 8)).astype(np.float32)
    bias = random.uniform(-1, 1, 40).astype(np.float32)
    space = () if op == "linear" else (1, 1)

    def build(x: Any) -> Any:
        one = {"scale": np.float32(1), "zero_point": np.uint8(0)}
        x = mb.dequantize(input=mb.quantize(input=x, output_dtype="uint8", **one), **one)
        if op == "linear":
            x = mb.linear(x=x, weight=weight, bias=bias)
        else:
            x = mb.conv(x=x, weight=weight.reshape(40, 8, 1, 1), bias=bias, pad_type="valid")
        return mb.dequantize(
            input=mb.quantize(input=x, output_dtype="uint8", **one), **one, name="y"
        )

    specs = [mb.TensorSpec((6, 8, *space))]
    program = mb.program(input_specs=specs, opset_version=ct.target.iOS17)(build)
    path = tmp_path / "quantized.mlpackage"
    precision = ct.precision.FLOAT32
    target = ct.target.iOS17
    ct.convert(program, compute_precision=precision, minimum_deployment_target=target).save(path)
    x = random.integers(0, 3, (6, 8, *space)).astype(np.float32)
    exact = x.reshape(6, 8).astype(np.float64) @ weight.T + bias
    clear = np.abs(exact % 1 - 0.5) > 1e-3  # near a half, the order of a sum decides
    answer = load(path).run({"x": x})["y"].reshape(6, 40)
    np.testing.assert_array_equal(answer[clear], np.clip(np.rint(exact), 0, 255)[clear])
    assert clear.mean() > 0.9
