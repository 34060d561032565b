"""What a foreign file itself says about its pixels is read; only the rest is assumed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import inspect
from pocketlens.coreml.file.proto import generated

H, W = 3, 5
COLORS = {"gray": 10, "rgb": 20, "bgr": 30}
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)

Op = tuple[str, dict[str, Any]]
ASSUMED = ["scale", "bias", "crop", "ink"]
"""Of a file that says nothing about its pixels."""


def image_model(color: str) -> Any:
    spec = generated("Model_pb2").Model()
    spec.specificationVersion = 7
    image = spec.description.input.add(name="image").type.imageType
    image.height, image.width, image.colorSpace = H, W, COLORS[color]
    spec.description.output.add(name="out").type.multiArrayType.dataType = 65568
    return spec


def program(files: Any, color: str, ops: list[Op], out: tuple[str, ...] = ("out",)) -> Any:
    """An ML Program of one op after the other; "@" stands for the tensor before the op.

    The tensors are image, t0, t1, ...; the last op makes `out`.
    """
    spec = image_model(color)
    function = spec.mlProgram.functions["main"]
    function.opset = "CoreML6"
    block = function.block_specializations["CoreML6"]
    channels = 1 if color == "gray" else 3
    kind = files.type_message("float32", (1, channels, H, W))
    function.inputs.add(name="image").type.CopyFrom(kind)
    name = "image"
    for number, (op, arguments) in enumerate(ops):
        made = block.operations.add(type=op)
        for key, value in arguments.items():
            binding = made.inputs[key].arguments.add()
            if isinstance(value, str) and (value == "@" or value[0] == "%"):
                binding.name = name if value == "@" else value[1:]
            else:
                binding.value.CopyFrom(files.value_message(value))
        name = "out" if number == len(ops) - 1 else f"t{number}"
        made.outputs.add(name=name).type.CopyFrom(kind)
    block.outputs.extend(out)
    return spec


END: Op = ("reduce_mean", {"x": "@", "axes": np.array([2, 3], np.int32)})


def per_channel(values: Any, axis: int = 1) -> np.ndarray:
    shape = [1, 1, 1, 1]
    shape[axis] = 3
    return np.array(values, np.float32).reshape(shape)


NHWC = np.array([0, 2, 3, 1], np.int32)


@pytest.mark.parametrize(
    ("color", "ops", "scale", "bias"),
    [
        ("gray", [("mul", {"x": "@", "y": np.float32(1 / 255)})], [1 / 255], [0]),
        ("gray", [("mul", {"x": np.float32(0.5), "y": "@"})], [0.5], [0]),
        (
            "rgb",
            [
                ("cast", {"x": "@", "dtype": "fp16"}),
                ("mul", {"x": "@", "y": np.float16(1 / 255)}),
                ("sub", {"x": "@", "y": per_channel(MEAN)}),
                ("real_div", {"x": "@", "y": per_channel(STD)}),
            ],
            1 / 255 / STD,
            -MEAN / STD,
        ),
        ("bgr", [("add", {"x": "@", "y": per_channel([-1, -2, -3])})], [1] * 3, [-1, -2, -3]),
        ("gray", [("sub", {"x": np.float32(255), "y": "@"})], [-1], [255]),
        (
            "rgb",
            [("transpose", {"x": "@", "perm": NHWC}), ("mul", {"x": "@", "y": STD})],
            STD,
            [0] * 3,
        ),
        (
            "gray",
            [("linear_activation", {"x": "@", "alpha": np.float32(2), "beta": np.float32(-1)})],
            [2],
            [-1],
        ),
        # A constant plane is one number per channel, too.
        ("gray", [("sub", {"x": "@", "y": np.full((1, 1, H, W), 7, np.float32)})], [1], [-7]),
    ],
)
def test_leading_arithmetic_of_a_program(
    files: Any, save: Callable[..., Path], color: str, ops: list[Op], scale: Any, bias: Any
) -> None:
    found = inspect(save(program(files, color, [*ops, END])))["input_spec"]
    np.testing.assert_allclose(found["scale"], scale, rtol=1e-3)
    np.testing.assert_allclose(found["bias"], bias, rtol=1e-3)
    assert found["assumed"] == ["crop", "ink"]


@pytest.mark.parametrize(
    "ops",
    [
        [],
        [("cast", {"x": "@", "dtype": "int32"}), ("mul", {"x": "@", "y": np.int32(2)})],
        [("relu", {"x": "@"}), ("mul", {"x": "@", "y": np.float32(0.5)})],
        [("real_div", {"x": np.float32(1), "y": "@"})],
        [("real_div", {"x": "@", "y": np.float32(0)})],
        [("mul", {"x": "@", "y": "@"})],
        [("mul", {"x": "@", "y": np.float32(1)})],
        # A mean image: not one number per channel, so the scale before it is not the whole story.
        [
            ("mul", {"x": "@", "y": np.float32(0.5)}),
            ("sub", {"x": "@", "y": np.arange(H * W, dtype=np.float32).reshape(1, 1, H, W)}),
        ],
        [("batch_norm", {"x": "@", "mean": MEAN, "variance": STD, "epsilon": np.float32(1e-5)})],
        # Two ops take the pixels: what the network receives is not one thing.
        [("mul", {"x": "@", "y": np.float32(0.5)}), ("add", {"x": "@", "y": "%image"})],
    ],
)
def test_what_is_not_said_is_assumed(files: Any, save: Callable[..., Path], ops: list[Op]) -> None:
    found = inspect(save(program(files, "rgb", [*ops, END])))["input_spec"]
    assert found["scale"] == [1.0] * 3
    assert found["bias"] == [0.0] * 3
    assert found["assumed"] == ASSUMED


def test_pixels_that_are_also_an_output(files: Any, save: Callable[..., Path]) -> None:
    ops = [("mul", {"x": "@", "y": np.float32(0.5)}), ("add", {"x": "@", "y": np.float32(1)}), END]
    found = inspect(save(program(files, "gray", ops, ("out", "t0"))))["input_spec"]
    assert (found["scale"], found["bias"]) == ([0.5], [0.0])


def network(color: str, *, older: bool = False) -> Any:
    spec = image_model(color)
    net = spec.neuralNetwork
    net.arrayInputShapeMapping = net.imageInputShapeMapping = 0 if older else 1
    return spec


@pytest.mark.parametrize(("color", "bias"), [("gray", [4]), ("rgb", [1, 2, 3]), ("bgr", [3, 2, 1])])
def test_the_scaler_of_a_neural_network(
    save: Callable[..., Path], color: str, bias: list[float]
) -> None:
    spec = network(color)
    scaler = spec.neuralNetwork.preprocessing.add().scaler  # no name: the only image
    scaler.channelScale = 0.5
    scaler.redBias, scaler.greenBias, scaler.blueBias, scaler.grayBias = 1, 2, 3, 4
    spec.neuralNetwork.layers.add(name="end", input=["image"], output=["out"]).softmax.SetInParent()
    found = inspect(save(spec))["input_spec"]
    assert (found["scale"], found["bias"]) == ([0.5] * len(bias), bias)
    assert found["assumed"] == ["crop", "ink"]


@pytest.mark.parametrize("older", [True, False])
def test_leading_layers_of_a_neural_network(save: Callable[..., Path], older: bool) -> None:
    spec = network("rgb", older=older)
    net = spec.neuralNetwork
    net.preprocessing.add(featureName="image").scaler.channelScale = 0.5
    scale = net.layers.add(name="scale", input=["image"], output=["a"]).scale
    scale.shapeScale.append(3)
    scale.scale.floatValue.extend([2, 4, 8])
    scale.hasBias = True
    scale.shapeBias.append(1)
    scale.bias.floatValue.append(-1)
    mean = net.layers.add(name="mean", output=["m"])
    if older:
        mean.loadConstant.shape.extend([3, 1, 1])
        mean.loadConstant.data.floatValue.extend([1, 2, 3])
    else:
        mean.loadConstantND.shape.extend([1, 3, 1, 1])
        mean.loadConstantND.data.float16Value = np.array([1, 2, 3], np.float16).tobytes()
    minus = net.layers.add(name="minus", input=["m"], output=["n"]).activation.linear
    minus.alpha = -1
    net.layers.add(name="sum", input=["a", "n"], output=["b"]).add.SetInParent()
    net.layers.add(name="half", input=["b"], output=["c"]).multiply.alpha = 0.5
    net.layers.add(name="end", input=["c"], output=["out"]).softmax.SetInParent()
    found = inspect(save(spec))["input_spec"]
    assert (found["scale"], found["bias"]) == ([0.5, 1.0, 2.0], [-1.0, -1.5, -2.0])


def test_a_mean_image(save: Callable[..., Path]) -> None:
    spec = network("gray")
    mean = spec.neuralNetwork.preprocessing.add().meanImage
    mean.meanImage.extend([9.0] * (H * W))
    spec.neuralNetwork.layers.add(name="end", input=["image"], output=["out"]).softmax.SetInParent()
    assert inspect(save(spec))["input_spec"]["bias"] == [-9.0]
    mean.meanImage[0] = 1
    assert inspect(save(spec))["input_spec"]["assumed"] == ASSUMED


def test_a_batch_norm_is_no_scaler(save: Callable[..., Path]) -> None:
    spec = network("gray")
    norm = spec.neuralNetwork.layers.add(name="n", input=["image"], output=["out"]).batchnorm
    norm.channels = 1
    for each, value in ((norm.gamma, 2), (norm.beta, 1), (norm.mean, 3), (norm.variance, 4)):
        each.floatValue.append(value)
    assert inspect(save(spec))["input_spec"]["assumed"] == ASSUMED


def test_the_first_model_of_a_pipeline(files: Any, save: Callable[..., Path]) -> None:
    stage = network("bgr")
    scaler = stage.neuralNetwork.preprocessing.add(featureName="image").scaler
    scaler.channelScale, scaler.blueBias = 2, 5
    stage.neuralNetwork.layers.add(name="e", input=["image"], output=["out"]).softmax.SetInParent()
    spec = image_model("bgr")
    spec.pipeline.models.add().CopyFrom(stage)
    found = inspect(save(spec))["input_spec"]
    assert (found["scale"], found["bias"]) == ([2.0] * 3, [5.0, 0.0, 0.0])
    ops = [("mul", {"x": "@", "y": np.float32(0.25)}), END]
    spec.pipeline.models[0].CopyFrom(program(files, "bgr", ops))
    assert inspect(save(spec))["input_spec"]["scale"] == [0.25] * 3


def test_a_constant_that_cannot_be_read_is_assumed(files: Any, save: Callable[..., Path]) -> None:
    spec = program(files, "gray", [("mul", {"x": "@", "y": np.float32(0.5)}), END])
    block = spec.mlProgram.functions["main"].block_specializations["CoreML6"]
    value = block.operations[0].inputs["y"].arguments[0].value
    value.blobFileValue.fileName, value.blobFileValue.offset = "@model_path/weights/none.bin", 64
    assert inspect(save(spec))["input_spec"]["assumed"] == ASSUMED
