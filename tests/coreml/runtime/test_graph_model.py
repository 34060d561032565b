"""`GraphModel`: shapes, outputs, functions, and the older array mapping."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import inspect, load
from pocketlens.coreml.file.proto import generated
from pocketlens.errors import (
    FeatureError,
    ModelFileError,
    OptionError,
)

COLORS = {"gray": 10, "rgb": 20, "bgr": 30}
H, W = 3, 5
RED = np.zeros((H, W, 3), np.uint8)
RED[..., 0], RED[..., 1] = 255, 51


def test_wrong_number_of_classes(averages: Callable[..., Any], save: Callable[..., Path]) -> None:
    labels = ["a", "b"]
    spec = averages("rgb", ["a", "b", "c"])
    if spec.WhichOneof("Type") == "mlProgram":
        block = spec.mlProgram.functions["main"].block_specializations["CoreML6"]
        values = block.operations[-1].inputs["classes"].arguments[0].value.immediateValue.list
        for value, label in zip(values.values, labels, strict=False):
            value.immediateValue.tensor.strings.values[0] = label
        del values.values[len(labels) :]
    else:
        del spec.neuralNetworkClassifier.stringClassLabels.vector[:]
        spec.neuralNetworkClassifier.stringClassLabels.vector.extend(labels)
    with pytest.raises(ModelFileError, match="expected 2, one per class"):
        load(save(spec))


def test_flexible_shape(files: Any, save: Callable[..., Path]) -> None:
    x = np.zeros((1, 3), np.float32)
    spec = files.program_spec("softmax", {"x": x}, {}, [("float32", (1, 3))])
    function = spec.mlProgram.functions["main"]
    open_type = files.type_message("float32", (1, None))
    function.inputs[0].type.CopyFrom(open_type)
    operation = function.block_specializations["CoreML6"].operations[0]
    operation.outputs[0].type.CopyFrom(open_type)
    ranges = spec.description.input[0].type.multiArrayType.shapeRange.sizeRanges
    ranges.add(lowerBound=1, upperBound=1)
    ranges.add(lowerBound=2, upperBound=4)
    del spec.description.output[0].type.multiArrayType.shape[:]
    model = load(save(spec))
    for width in (2, 4):
        np.testing.assert_allclose(model.run({"x": np.ones((1, width))})["y0"], 1 / width)
    with pytest.raises(FeatureError, match="has the shape 1 × 2–4; received: 1 × 5"):
        model.run({"x": np.ones((1, 5))})


@pytest.mark.parametrize("ranges", [[(0, -1), (3, 3)], []])
def test_output_declared_with_zero_rows(
    ranges: list[tuple[int, int]], files: Any, save: Callable[..., Path]
) -> None:
    x = np.array([[-1, 2, 3], [4, -5, 6]], np.float32)
    spec = files.network_spec("activation", [x], {"ReLU": {}}, [(0, 3)])
    declared = spec.description.output[0].type.multiArrayType.shapeRange.sizeRanges
    for low, high in ranges:
        declared.add(lowerBound=low, upperBound=high)
    model = load(save(spec))
    np.testing.assert_array_equal(model.run({"x0": x})["y0"], np.maximum(x, 0))
    assert model.interface.outputs[0].shape == ((1, 3) if ranges else ())


def test_function_by_name(files: Any, save: Callable[..., Path]) -> None:
    x = np.array([[-1.0, 2.0]], np.float32)
    spec = files.program_spec("relu", {"x": x}, {}, [("float32", (1, 2))], "CoreML8")
    other = files.program_spec("abs", {"x": x}, {}, [("float32", (1, 2))], "CoreML8")
    spec.mlProgram.functions["second"].CopyFrom(other.mlProgram.functions["main"])
    for name in ("main", "second"):
        function = spec.description.functions.add(name=name)
        function.input.extend(spec.description.input)
        function.output.extend(spec.description.output)
    spec.description.defaultFunctionName = "main"
    del spec.description.input[:], spec.description.output[:]
    path = save(spec)
    np.testing.assert_array_equal(load(path).run({"x": x})["y0"], [[0, 2]])
    np.testing.assert_array_equal(load(path, function="second").run({"x": x})["y0"], [[1, 2]])
    assert inspect(path)["functions"] == ["main", "second"]
    with pytest.raises(OptionError, match="has no function 'secnd'; did you mean 'second'"):
        load(path, function="secnd")


@pytest.mark.parametrize("declared", [True, False])
def test_rank_five_network(declared: bool, save: Callable[..., Path]) -> None:
    """In the older mapping, an output without declared shape is [1, 1, C, H, W].

    Users report this for Core ML: https://github.com/CMU-Perceptual-Computing-Lab/openpose/issues/224
    and https://github.com/hollance/CoreMLHelpers/issues/31.
    """
    spec = generated("Model_pb2").Model()
    spec.specificationVersion = 1
    array = spec.description.input.add(name="x").type.multiArrayType
    array.shape.extend([2, 2, 3])
    array.dataType = 65600
    for name, shape in (("flat", [4]), ("planes", [2, 2, 3])):
        result = spec.description.output.add(name=name).type.multiArrayType
        result.dataType = 65600
        result.shape.extend(shape if declared else [])
    net = spec.neuralNetwork
    scaled = net.layers.add(name="l1", input=["x"], output=["planes"])
    scaled.multiply.alpha = 2.0
    flat = net.layers.add(name="l2", input=["planes"], output=["row"])
    flat.flatten.SetInParent()
    dense = net.layers.add(name="l3", input=["row"], output=["flat"])
    dense.innerProduct.inputChannels, dense.innerProduct.outputChannels = 12, 4
    matrix = np.arange(48, dtype=np.float32).reshape(4, 12)
    dense.innerProduct.weights.floatValue.extend(matrix.reshape(-1).tolist())
    x = np.arange(12, dtype=np.float64).reshape(2, 2, 3)
    answer = load(save(spec)).run({"x": x})
    doubled, product = 2 * x, matrix @ (2 * x).reshape(12)
    if not declared:
        doubled, product = doubled[None, None], product[None, None, :, None, None]
    np.testing.assert_array_equal(answer["planes"], doubled, strict=True)
    np.testing.assert_array_equal(answer["flat"], product, strict=True)


def test_rank_five_image_with_mean(save: Callable[..., Path]) -> None:
    spec = generated("Model_pb2").Model()
    spec.specificationVersion = 1
    image = spec.description.input.add(name="image").type.imageType
    image.height, image.width, image.colorSpace = H, W, COLORS["bgr"]
    output = spec.description.output.add(name="y").type.multiArrayType
    output.shape.extend([3, H, W])
    output.dataType = 65568
    net = spec.neuralNetwork
    mean = np.arange(3 * H * W, dtype=np.float32)
    net.preprocessing.add(featureName="image").meanImage.meanImage.extend(mean.tolist())
    layer = net.layers.add(name="l", input=["image"], output=["y"])
    layer.activation.linear.alpha = 1.0
    answer = load(save(spec)).run({"image": RED})["y"]
    np.testing.assert_array_equal(answer, RED.transpose(2, 0, 1)[::-1] - mean.reshape(3, H, W))


@pytest.mark.parametrize("color", ["gray", "rgb", "bgr"])
def test_scaler_biases(color: str, save: Callable[..., Path]) -> None:
    """Each bias is added to its own color, in any channel order."""
    spec = generated("Model_pb2").Model()
    spec.specificationVersion = 5
    image = spec.description.input.add(name="image").type.imageType
    image.height, image.width, image.colorSpace = H, W, COLORS[color]
    spec.description.output.add(name="y").type.multiArrayType.dataType = 65568
    net = spec.neuralNetwork
    net.arrayInputShapeMapping = net.imageInputShapeMapping = 1
    scaler = net.preprocessing.add(featureName="image").scaler
    scaler.channelScale, scaler.grayBias = 0.5, 9.0
    scaler.redBias, scaler.greenBias, scaler.blueBias = 1.0, 2.0, 3.0
    layer = net.layers.add(name="l", input=["image"], output=["y"])
    layer.activation.linear.alpha = 1.0
    picture = RED[..., 0] if color == "gray" else RED
    answer = load(save(spec)).run({"image": picture})["y"][0, :, 0, 0]
    values = {"red": 255 / 2 + 1, "green": 51 / 2 + 2, "blue": 3.0, "gray": 255 / 2 + 9}
    order = {"gray": ["gray"], "rgb": ["red", "green", "blue"], "bgr": ["blue", "green", "red"]}
    np.testing.assert_array_equal(answer, [values[name] for name in order[color]])


def test_input_is_also_an_output(files: Any, save: Callable[..., Path]) -> None:
    x = np.array([[1, 2, 3]], np.float32)
    spec = files.program_spec("relu", {"x": x}, {}, [("float32", x.shape)])
    spec.description.output.add().CopyFrom(spec.description.input[0])
    block = spec.mlProgram.functions["main"].block_specializations["CoreML6"]
    block.outputs.append("x")
    answer = load(save(spec)).run({"x": -x})
    assert np.array_equal(answer["x"], -x)
    assert np.array_equal(answer["y0"], 0 * x)


def test_scalar_output_is_an_array_of_one_element(files: Any, save: Callable[..., Path]) -> None:
    x = np.array([[1, 2, 3]], np.float32)
    spec = files.program_spec("reduce_sum", {"x": x}, {}, [("float32", ())])
    assert load(save(spec)).run({"x": x})["y0"].tolist() == [6]
