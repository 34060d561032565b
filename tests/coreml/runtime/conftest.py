"""A small image classifier, as an ML Program and as a neural network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml.file.proto import generated

COLORS = {"gray": 10, "rgb": 20, "bgr": 30}
H, W = 3, 5


@pytest.fixture(params=["program", "network"])
def averages(request: pytest.FixtureRequest, files: Any) -> Callable[..., Any]:
    """Build a classifier whose probabilities are the means of the image's channels, over 255.

    The image has H × W pixels. There is one class per channel: one for gray, three for color, in
    the channel order of the file.
    """

    def make(color: str, labels: list[str] | list[int]) -> Any:
        spec = generated("Model_pb2").Model()
        description = spec.description
        image = description.input.add(name="image").type.imageType
        image.height, image.width, image.colorSpace = H, W, COLORS[color]
        label = description.output.add(name="label").type
        scores = description.output.add(name="scores").type.dictionaryType
        if isinstance(labels[0], str):
            label.stringType.SetInParent()
            scores.stringKeyType.SetInParent()
        else:
            label.int64Type.SetInParent()
            scores.int64KeyType.SetInParent()
        description.predictedFeatureName = "label"
        description.predictedProbabilitiesName = "scores"
        if request.param == "program":
            return program(files, spec, labels)
        return network(spec, labels)

    return make


def program(files: Any, spec: Any, labels: list[Any]) -> Any:
    """The classifier as an ML Program: mul, reduce_mean, classify."""
    spec.specificationVersion = 7
    function = spec.mlProgram.functions["main"]
    function.opset = "CoreML6"
    block = function.block_specializations["CoreML6"]
    image = function.inputs.add(name="image")
    image.type.CopyFrom(files.type_message("float32", (1, len(labels), H, W)))

    def operation(kind: str, outputs: list[tuple[str, Any]], **arguments: Any) -> None:
        made = block.operations.add(type=kind)
        for name, value in arguments.items():
            binding = made.inputs[name].arguments.add()
            if isinstance(value, str):
                binding.name = value
            else:
                binding.value.CopyFrom(files.value_message(value))
        for name, type_message in outputs:
            made.outputs.add(name=name).type.CopyFrom(type_message)

    whole, row = (1, len(labels), H, W), (1, len(labels))
    operation(
        "mul",
        [("scaled", files.type_message("float32", whole))],
        x="image",
        y=np.float32(1 / 255),
    )
    operation(
        "reduce_mean",
        [("means", files.type_message("float32", row))],
        x="scaled",
        axes=np.array([2, 3], np.int32),
    )
    table = generated("MIL_pb2").ValueType()
    key = "str" if isinstance(labels[0], str) else "int64"
    table.dictionaryType.keyType.CopyFrom(files.type_message(key, ()))
    table.dictionaryType.valueType.CopyFrom(files.type_message("float32", ()))
    classes = labels if key == "str" else np.array(labels, np.int64)
    operation(
        "classify",
        [("label", files.type_message(key, ())), ("scores", table)],
        probabilities="means",
        classes=classes,
    )
    block.outputs.extend(["label", "scores"])
    return spec


def network(spec: Any, labels: list[Any]) -> Any:
    """The classifier as a NeuralNetwork: scaling as preprocessing, then pooling."""
    spec.specificationVersion = 5
    net = spec.neuralNetworkClassifier
    net.arrayInputShapeMapping = net.imageInputShapeMapping = 1
    preprocessing = net.preprocessing.add(featureName="image")
    preprocessing.scaler.channelScale = 1 / 255
    pool = net.layers.add(name="means", input=["image"], output=["scores"])
    pool.pooling.type = 1
    pool.pooling.globalPooling = True
    if isinstance(labels[0], str):
        net.stringClassLabels.vector.extend(labels)
    else:
        net.int64ClassLabels.vector.extend(labels)
    return spec
