"""`CoreMLModel`: predictions, classes, the input spec and thresholds in the file, errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketlens.coreml import inspect, load, predict
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

H, W = 3, 5  # the size of the images that `averages` classifies
RED = np.zeros((H, W, 3), np.uint8)
RED[..., 0], RED[..., 1] = 255, 51


def test_gray_and_paths(
    averages: Callable[..., Any], save: Callable[..., Path], tmp_path: Path
) -> None:
    path = save(averages("gray", ["only"]))
    model = load(path)
    gray = np.full((H, W), 102, np.uint8)
    Image.fromarray(gray).save(tmp_path / "gray.png")
    expected = pytest.approx(0.4, abs=1e-6)
    for value in (gray, gray[..., None], Image.fromarray(gray), tmp_path / "gray.png"):
        assert model.run({"image": value}) == {"label": "only", "scores": {"only": expected}}
    assert predict(path, tmp_path / "gray.png").confidence == expected
    assert [p.label for p in predict(path, [gray, tmp_path / "gray.png"])] == ["only", "only"]
    # A color image is converted to gray as in Pillow: 0.299 R + 0.587 G + 0.114 B.
    scores = model.run({"image": RED})["scores"]
    assert scores["only"] == pytest.approx((0.299 * 255 + 0.587 * 51) / 255, abs=0.005)


def test_numbered_classes(averages: Callable[..., Any], save: Callable[..., Path]) -> None:
    model = load(save(averages("rgb", [10, 20, 30])))
    answer = model.run({"image": RED})
    assert answer["label"] == 10
    assert list(answer["scores"]) == [10, 20, 30]
    assert model.classes == ("10", "20", "30")
    assert model.predict(RED).label == "10"
    assert model.inspect()["classes"] == [10, 20, 30]


def test_classes_with_the_same_name(
    averages: Callable[..., Any], save: Callable[..., Path]
) -> None:
    model = load(save(averages("rgb", ["crane", "hen", "crane"])))
    for color, label in (((204, 102, 0), "crane"), ((0, 102, 204), "crane"), ((0, 9, 3), "hen")):
        picture = np.full((H, W, 3), color, np.uint8)
        results = model.run({"image": picture})
        red, green, blue = (number / 255 for number in color)
        assert results["label"] == label
        assert results["scores"] == pytest.approx({"crane": max(red, blue), "hen": green})
        answer = model.predict(picture)
        assert answer.label == label
        assert answer.confidence == pytest.approx(max(red, green, blue))
        assert answer.probabilities == pytest.approx(results["scores"])
        np.testing.assert_allclose(
            model.probabilities(picture[None]), [[red, green, blue]], rtol=1e-6
        )


def test_first_of_equal_classes_wins(
    averages: Callable[..., Any], save: Callable[..., Path]
) -> None:
    model = load(save(averages("rgb", ["a", "b", "c"])))
    gray = np.full((H, W, 3), 9, np.uint8)
    assert model.run({"image": gray})["label"] == model.predict(gray).label == "a"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "needs the input 'image' (image); received: nothing"),
        ({"imgae": RED}, "has no input 'imgae'; did you mean 'image'?"),
        ({"image": RED[:2]}, "height × width 3 × 5; received: 2 × 5"),
        ({"image": RED.astype(np.float32)}, "received: an array of float32 of shape (3, 5, 3)"),
        ({"image": 7}, "received: int"),
    ],
)
def test_wrong_inputs(
    inputs: dict[str, Any], message: str, averages: Callable[..., Any], save: Callable[..., Path]
) -> None:
    model = load(save(averages("rgb", ["a", "b", "c"])))
    with pytest.raises(FeatureError) as caught:
        model.run(inputs)
    assert message in str(caught.value)


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


def test_input_spec_is_read_from_the_file(
    averages: Callable[..., Any], save: Callable[..., Path]
) -> None:
    spec = averages("rgb", ["a", "b", "c"])
    read = load(save(spec)).input_spec
    assert read.scale == pytest.approx((1 / 255,) * 3)  # of the op `mul`, or the scaler
    assert read == InputSpec.assuming(H, W, "rgb", scale=read.scale, bias=(0.0,))
    own = InputSpec(H, W, "rgb", scale=(1 / 255,), bias=(0.5,), crop="fit")
    spec.description.metadata.userDefined[INPUT_SPEC_KEY] = own.to_json()
    path = save(spec)
    assert load(path).input_spec == own
    assert inspect(path)["input_spec"] == json.loads(own.to_json())
    # `fit` keeps the whole image: 2 × 10 becomes 1 × 5, with black rows above and below.
    wide = np.full((2, 10, 3), 255, np.uint8)
    assert load(path).predict(wide).confidence == pytest.approx(1 / 3, abs=0.01)


def test_thresholds_are_read_from_the_file(
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
    ("text", "message"),
    [
        (InputSpec(W, H, "rgb").to_json(), "says 3 × 5 rgb, its image input 'image' says 5 × 3"),
        (InputSpec(H, W, "bgr").to_json(), "says 5 × 3 bgr, its image input 'image' says 5 × 3"),
        ("{", "an InputSpec is a JSON object"),
        ('{"height": 3}', "input.width is missing"),
    ],
)
def test_input_spec_that_contradicts_the_image_input(
    text: str, message: str, averages: Callable[..., Any], save: Callable[..., Path]
) -> None:
    spec = averages("rgb", ["a", "b", "c"])
    spec.description.metadata.userDefined[INPUT_SPEC_KEY] = text
    with pytest.raises(ModelFileError) as caught:
        load(save(spec))
    assert message in str(caught.value)


def test_model_that_is_not_a_classifier(files: Any, save: Callable[..., Path]) -> None:
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


def test_onnx_is_not_overwritten(files: Any, save: Callable[..., Path], tmp_path: Path) -> None:
    x = np.zeros((1, 3), np.float32)
    model = load(save(files.program_spec("relu", {"x": x}, {}, [("float32", (1, 3))])))
    target = model.to_onnx(tmp_path / "m.onnx")
    before = target.read_bytes()
    with pytest.raises(OutputExistsError):
        model.to_onnx(target)
    assert model.to_onnx(target, force=True).read_bytes() == before
    assert [p.name for p in tmp_path.glob("*.part")] == []


def test_another_reading_changes_what_the_network_receives(
    averages: Callable[..., Any], save: Callable[..., Path]
) -> None:
    model = load(save(averages("bgr", ["a", "b", "c"])))
    given = model.probabilities(RED[None])[0]
    np.testing.assert_allclose(given, [0, 0.2, 1], atol=1e-6)  # blue, green, red
    for values, expected in (
        ({"color": "rgb"}, [1, 0.2, 0]),
        ({"scale": 0.5 / 255}, [0, 0.1, 0.5]),
        ({"scale": -1 / 255, "bias": 1}, [1, 0.8, 0]),  # inverted
        ({"scale": 1}, [0, 51, 255]),
        ({"color": "rgb", "scale": 0, "bias": (1, 2, 3)}, [1, 2, 3]),
    ):
        other = model.with_input(**values)
        np.testing.assert_allclose(other.probabilities(RED[None])[0], expected, atol=1e-4)
        assert other.input_spec.assumed == tuple(
            name for name in ("crop", "ink") if name not in values
        )
    assert model.with_input(ink="light").input_spec.assumed == ("crop",)
    # Two changes in a row are one, and nothing changes the model itself.
    twice = model.with_input(scale=1).with_input(scale=model.input_spec.scale)
    assert np.array_equal(twice.probabilities(RED[None])[0], given)
    assert np.array_equal(model.probabilities(RED[None])[0], given)


def test_other_labels(averages: Callable[..., Any], save: Callable[..., Path]) -> None:
    model = load(save(averages("rgb", ["a", "b", "c"]))).with_input(labels=["x", "y", "z"])
    assert model.classes == ("x", "y", "z")
    assert model.predict(RED).label == "x"
    for wrong in (["x"], ["x", "x", "y"], ["x", "", "z"], "xyz"):
        with pytest.raises(OptionError, match="labels must be 3 different names, one for each"):
            model.with_input(labels=wrong)


def test_readings_that_do_not_fit(averages: Callable[..., Any], save: Callable[..., Path]) -> None:
    model = load(save(averages("rgb", ["a", "b", "c"])))
    with pytest.raises(OptionError, match="3 channel.*so its color is rgb or bgr; received: gray"):
        model.with_input(color="gray")
    with pytest.raises(OptionError, match="unknown field 'colour'; did you mean 'color'?"):
        model.with_input(colour="bgr")
    with pytest.raises(OptionError, match="unknown field 'height'"):
        model.with_input(height=28)


def test_another_reading_of_a_pipeline(
    averages: Callable[..., Any], save: Callable[..., Path]
) -> None:
    inner = averages("bgr", ["a", "b", "c"])
    spec = generated("Model_pb2").Model(specificationVersion=7)
    spec.description.CopyFrom(inner.description)
    spec.pipelineClassifier.pipeline.models.add().CopyFrom(inner)
    model = load(save(spec))
    read = model.with_input(color="rgb", scale=0.5 / 255)
    np.testing.assert_allclose(read.probabilities(RED[None])[0], [0.5, 0.1, 0], atol=1e-6)


def test_pixels_times_zero(averages: Callable[..., Any], save: Callable[..., Path]) -> None:
    spec = averages("gray", ["only"])
    own = InputSpec(H, W, scale=(0.0,))
    spec.description.metadata.userDefined[INPUT_SPEC_KEY] = own.to_json()
    model = load(save(spec))
    with pytest.raises(OptionError, match="multiplies its pixels by 0"):
        model.with_input(scale=1)
    assert model.with_input(ink="light").input_spec.ink == "light"
