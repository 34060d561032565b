"""What a loaded model takes and gives: names, sizes, colors, types, classes, errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketlens.coreml import describe, load, predict
from pocketlens.coreml.file.proto import generated
from pocketlens.errors import (
    FeatureError,
    ImageError,
    ModelFileError,
    OptionError,
    OutputExistsError,
    UnsupportedModelError,
)
from pocketlens.image import INPUT_SPEC_KEY, InputSpec
from pocketlens.prediction import THRESHOLDS_KEY, Thresholds

COLORS = {"gray": 10, "rgb": 20, "bgr": 30}
H, W = 3, 5


@pytest.fixture(params=["program", "network"])
def averages(request: pytest.FixtureRequest, files: Any) -> Callable[..., Any]:
    """Makes a classifier whose probabilities are the means of the image's channels, over 255.

    The picture is H × W pixels; gray gives one class, a color three, in the file's own order.
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
    given = function.inputs.add(name="image")
    given.type.CopyFrom(files.type_message("float32", (1, len(labels), H, W)))

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
        axes=np.int32([2, 3]),
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
    """The classifier as a NeuralNetwork: scaled by its preprocessing, pooled."""
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


RED = np.zeros((H, W, 3), np.uint8)
RED[..., 0], RED[..., 1] = 255, 51


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_color_order(color: str, averages: Callable[..., Any], save: Callable[..., Path]) -> None:
    """Channels reach the network in the order that the file declares, whichever way they come."""
    model = load(save(averages(color, ["first", "second", "third"])))
    order = [0, 1, 2] if color == "rgb" else [2, 1, 0]
    expected = np.float32([1, 0.2, 0])[order]
    np.testing.assert_allclose(model.probabilities(RED[None])[0], expected, atol=1e-6)
    assert model.input_spec.color == color
    for given in (RED, Image.fromarray(RED)):
        scores = model.run({"image": given})["scores"]
        np.testing.assert_allclose(list(scores.values()), expected, atol=1e-6)
    assert model.predict(Image.fromarray(RED)).label == ("first" if color == "rgb" else "third")


def test_gray_and_paths(
    averages: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    path = save(averages("gray", ["only"]))
    model = load(path)
    gray = np.full((H, W), 102, np.uint8)
    Image.fromarray(gray).save(tmp_path / "gray.png")
    expected = pytest.approx(0.4, abs=1e-6)
    for given in (gray, gray[..., None], Image.fromarray(gray), tmp_path / "gray.png"):
        assert model.run({"image": given}) == {"label": "only", "scores": {"only": expected}}
    assert predict(path, tmp_path / "gray.png").confidence == expected
    assert [p.label for p in predict(path, [gray, tmp_path / "gray.png"])] == ["only", "only"]
    # A color picture is made gray as Pillow does: 0.299 R + 0.587 G + 0.114 B.
    scores = model.run({"image": RED})["scores"]
    assert scores["only"] == pytest.approx((0.299 * 255 + 0.587 * 51) / 255, abs=0.005)


def test_floating_point_gray(files: Any, save: Callable[..., Path]) -> None:
    """Gray of 16-bit floating point: such images go in and come out as they are."""
    spec = files.program_spec(
        "linear_activation",
        {"x": np.zeros((1, 1, H, W), np.float16)},
        {"alpha": np.float16(1), "beta": np.float16(0.25)},
        [("float16", (1, 1, H, W))],
    )
    for feature in (spec.description.input[0], spec.description.output[0]):
        image = feature.type.imageType
        image.height, image.width, image.colorSpace = H, W, 40
    model = load(save(spec))
    fine = np.random.default_rng(1).uniform(-2, 300, (H, W)).astype(np.float16)
    whole = np.arange(H * W, dtype=np.uint8).reshape(H, W)
    for given, values in (
        (fine, fine),
        (fine.astype(np.float32), fine),
        (Image.fromarray(fine.astype(np.float32)), fine),
        (whole, whole.astype(np.float16)),
    ):
        answer = model.run({"x": given})["y0"]
        assert answer.mode == "F"
        np.testing.assert_array_equal(np.asarray(answer), values + np.float16(0.25))
    with pytest.raises(FeatureError, match="height × width 3 × 5; received: 2 × 5"):
        model.run({"x": fine[:2]})


def test_numbered_classes(averages: Callable[..., Any], save: Callable[..., Path]) -> None:
    model = load(save(averages("rgb", [10, 20, 30])))
    answer = model.run({"image": RED})
    assert answer["label"] == 10
    assert list(answer["scores"]) == [10, 20, 30]
    assert model.classes == ("10", "20", "30")
    assert model.predict(RED).label == "10"
    assert model.describe()["classes"] == [10, 20, 30]


def test_classes_of_one_name(averages: Callable[..., Any], save: Callable[..., Path]) -> None:
    model = load(save(averages("rgb", ["crane", "hen", "crane"])))
    for color, label in (((204, 102, 0), "crane"), ((0, 102, 204), "crane"), ((0, 9, 3), "hen")):
        picture = np.full((H, W, 3), color, np.uint8)
        results = model.run({"image": picture})
        red, green, blue = (number / 255 for number in color)
        assert results["label"] == label
        assert results["scores"] == pytest.approx({"crane": max(red, blue), "hen": green})
        answer = model.predict(picture)
        assert (answer.label, answer.confidence) == (label, pytest.approx(max(red, green, blue)))
        assert answer.probabilities == pytest.approx(results["scores"])
        np.testing.assert_allclose(
            model.probabilities(picture[None]), [[red, green, blue]], rtol=1e-6
        )


def test_first_of_equals_wins(averages: Callable[..., Any], save: Callable[..., Path]) -> None:
    model = load(save(averages("rgb", ["a", "b", "c"])))
    gray = np.full((H, W, 3), 9, np.uint8)
    assert model.run({"image": gray})["label"] == model.predict(gray).label == "a"


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "needs the input 'image' (image); received: nothing"),
        ({"imgae": RED}, "has no input 'imgae'; did you mean 'image'?"),
        ({"image": RED[:2]}, "height × width 3 × 5; received: 2 × 5"),
        ({"image": RED.astype(np.float32)}, "received: an array of float32 of shape (3, 5, 3)"),
        ({"image": 7}, "received: int"),
    ],
)
def test_wrong_inputs(
    inputs: dict[str, Any], words: str, averages: Callable[..., Any], save: Callable[..., Path]
) -> None:
    model = load(save(averages("rgb", ["a", "b", "c"])))
    with pytest.raises(FeatureError) as caught:
        model.run(inputs)
    assert words in str(caught.value)


def test_wrong_images(
    averages: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    model = load(save(averages("rgb", ["a", "b", "c"])))
    with pytest.raises(FeatureError, match=r"images of shape \(N, 3, 5, 3\) uint8; received"):
        model.probabilities(np.zeros((2, 5, 3, 3), np.uint8))
    with pytest.raises(ImageError, match="does not exist"):
        model.run({"image": tmp_path / "none.png"})
    with pytest.raises(FeatureError, match="keeps no state"):
        model.run({"image": RED}, state=object())
    with pytest.raises(UnsupportedModelError, match="keeps no state"):
        model.make_state()


def test_input_spec_travels_in_the_file(
    averages: Callable[..., Any], save: Callable[..., Path]
) -> None:
    spec = averages("rgb", ["a", "b", "c"])
    assert load(save(spec)).input_spec == InputSpec(H, W, "rgb", scale=(1.0,), crop="center-crop")
    own = InputSpec(H, W, "rgb", scale=(1 / 255,), bias=(0.5,), crop="fit")
    spec.description.metadata.userDefined[INPUT_SPEC_KEY] = own.to_json()
    path = save(spec)
    assert load(path).input_spec == own
    assert describe(path)["input_spec"] == json.loads(own.to_json())
    # `fit` keeps the whole picture: 10 columns become 5, one row stays of 3, black around it.
    wide = np.full((2, 10, 3), 255, np.uint8)
    assert load(path).predict(wide).confidence == pytest.approx(1 / 3, abs=0.01)


def test_thresholds_travel_in_the_file(
    averages: Callable[..., Any], save: Callable[..., Path]
) -> None:
    spec = averages("rgb", ["a", "b", "c"])
    assert load(save(spec)).thresholds == Thresholds(0.7, 0.5)
    spec.description.metadata.userDefined[THRESHOLDS_KEY] = '{"show":0.83,"keep":0.61}'
    assert load(save(spec)).thresholds == Thresholds(0.83, 0.61)
    spec.description.metadata.userDefined[THRESHOLDS_KEY] = '{"show":2}'
    with pytest.raises(ModelFileError, match=f"metadata {THRESHOLDS_KEY} cannot be used: thresh"):
        load(save(spec))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (InputSpec(W, H, "rgb").to_json(), "says 3 × 5 rgb, its image input 'image' says 5 × 3"),
        (InputSpec(H, W, "bgr").to_json(), "says 5 × 3 bgr, its image input 'image' says 5 × 3"),
        ("{", "an InputSpec is a JSON object"),
        ('{"height": 3}', "input.width is missing"),
    ],
)
def test_input_spec_that_contradicts(
    text: str, words: str, averages: Callable[..., Any], save: Callable[..., Path]
) -> None:
    spec = averages("rgb", ["a", "b", "c"])
    spec.description.metadata.userDefined[INPUT_SPEC_KEY] = text
    with pytest.raises(ModelFileError) as caught:
        load(save(spec))
    assert words in str(caught.value)


def test_classes_that_do_not_fit(averages: Callable[..., Any], save: Callable[..., Path]) -> None:
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
    with pytest.raises(ModelFileError, match="expected 2, one a class"):
        load(save(spec))


def test_no_classifier(files: Any, save: Callable[..., Path]) -> None:
    x = np.zeros((1, 3), np.float32)
    path = save(files.program_spec("relu", {"x": x}, {}, [("float32", (1, 3))]))
    model = load(path)
    assert model.classes == ()
    with pytest.raises(FeatureError, match=r"takes x \(array\), not one image; call run"):
        model.predict(RED)


def test_image_model_without_classes(
    averages: Callable[..., Any], save: Callable[..., Path]
) -> None:
    spec = averages("rgb", ["a", "b", "c"])
    if spec.WhichOneof("Type") == "mlProgram":
        block = spec.mlProgram.functions["main"].block_specializations["CoreML6"]
        del block.operations[-1], block.outputs[:]
        block.outputs.append("means")
        name = "means"
    else:
        net = generated("NeuralNetwork_pb2").NeuralNetwork()
        net.ParseFromString(spec.neuralNetworkClassifier.SerializeToString())
        net.DiscardUnknownFields()
        spec.neuralNetwork.CopyFrom(net)
        name = "scores"
    del spec.description.output[:]
    output = spec.description.output.add(name=name).type.multiArrayType
    output.dataType = 65600  # double
    model = load(save(spec))
    answer = model.run({"image": RED})[name]
    assert answer.dtype == np.float64
    np.testing.assert_allclose(answer.reshape(-1), [1, 0.2, 0], atol=1e-6)
    with pytest.raises(FeatureError, match="is not a classifier: it has no classes"):
        model.predict(RED)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((2, 3)), "has the shape 1 × 3; received: 2 × 3"),
        (np.float32(3), "received: a single number"),
        ("text", "received: str"),
        ([[1, 2], [3]], "is no array"),
    ],
)
def test_wrong_arrays(given: Any, words: str, files: Any, save: Callable[..., Path]) -> None:
    x = np.zeros((1, 3), np.float32)
    model = load(save(files.program_spec("relu", {"x": x}, {}, [("float32", (1, 3))])))
    with pytest.raises(FeatureError) as caught:
        model.run({"x": given})
    assert words in str(caught.value)


def test_whole_numbers_only(files: Any, save: Callable[..., Path]) -> None:
    x = np.zeros((1, 2), np.int32)
    fields = {"y": np.int32([1, 1])}
    model = load(save(files.program_spec("add", {"x": x}, fields, [("int32", (1, 2))])))
    answer = model.run({"x": [[2.0, 3.0]]})["y0"]
    np.testing.assert_array_equal(answer, [[3, 4]])
    assert answer.dtype == np.int32
    with pytest.raises(FeatureError, match="values that int32 cannot hold"):
        model.run({"x": [[2.5, 3.0]]})


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
def test_an_output_declared_without_rows(
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
    assert describe(path)["functions"] == ["main", "second"]
    with pytest.raises(OptionError, match="has no function 'secnd'; did you mean 'second'"):
        load(path, function="secnd")


@pytest.mark.parametrize("declared", [True, False])
def test_rank_five_network(declared: bool, save: Callable[..., Path]) -> None:
    """The older mapping: [C, H, W] is [1, 1, C, H, W] inside, and outside where it is not declared.

    So users saw it: https://github.com/CMU-Perceptual-Computing-Lab/openpose/issues/224 and
    https://github.com/hollance/CoreMLHelpers/issues/31.
    """
    spec = generated("Model_pb2").Model()
    spec.specificationVersion = 1
    given = spec.description.input.add(name="x").type.multiArrayType
    given.shape.extend([2, 2, 3])
    given.dataType = 65600
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
    """Each bias belongs to its color, wherever the color's channel is."""
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


def test_onnx_is_not_overwritten(files: Any, save: Callable[..., Path], tmp_path: Path) -> None:
    x = np.zeros((1, 3), np.float32)
    model = load(save(files.program_spec("relu", {"x": x}, {}, [("float32", (1, 3))])))
    target = model.to_onnx(tmp_path / "m.onnx")
    before = target.read_bytes()
    with pytest.raises(OutputExistsError):
        model.to_onnx(target)
    assert model.to_onnx(target, force=True).read_bytes() == before
    assert [p.name for p in tmp_path.glob("*.part")] == []


def test_an_input_goes_out_under_its_own_name(files: Any, save: Callable[..., Path]) -> None:
    x = np.float32([[1, 2, 3]])
    spec = files.program_spec("relu", {"x": x}, {}, [("float32", x.shape)])
    spec.description.output.add().CopyFrom(spec.description.input[0])
    block = spec.mlProgram.functions["main"].block_specializations["CoreML6"]
    block.outputs.append("x")
    answer = load(save(spec)).run({"x": -x})
    assert np.array_equal(answer["x"], -x)
    assert np.array_equal(answer["y0"], 0 * x)


def test_a_single_number_comes_as_an_array_of_one(files: Any, save: Callable[..., Path]) -> None:
    x = np.float32([[1, 2, 3]])
    spec = files.program_spec("reduce_sum", {"x": x}, {}, [("float32", ())])
    assert load(save(spec)).run({"x": x})["y0"].tolist() == [6]
