"""The values that callers may pass for a feature of each type, and how they are converted."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketlens.coreml import CoreMLModel, inspect, load
from pocketlens.errors import (
    FeatureError,
)

Open = Callable[[Any], CoreMLModel]
H, W = 3, 5  # the size of the images that `averages` classifies
RED = np.zeros((H, W, 3), np.uint8)
RED[..., 0], RED[..., 1] = 255, 51


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("double", 3, 3.0),
        ("double", np.float32(0.5), 0.5),
        ("double", np.array([2.5]), 2.5),
        ("double", math.inf, math.inf),
        ("int64", 3.0, 3),
        ("int64", np.int8(-3), -3),
        ("int64", 2**63 - 1, 2**63 - 1),
        ("int64", np.array([7]), 7),
        ("string", "ä", "ä"),
        ("dictionary string", {"a": 1}, {"a": 1.0}),
        ("dictionary int64", {np.int64(3): np.float32(0.5)}, {3: 0.5}),
        ("dictionary int64", {}, {}),
        ("sequence string", ("a", "b"), ["a", "b"]),
        ("sequence int64", np.array([4, 5]), [4, 5]),
    ],
)
def test_accepted_values(
    kind: str, value: Any, expected: Any, spec_of: Callable[..., Any], open_spec: Open
) -> None:
    answer = open_spec(spec_of("identity", {"x": kind}, {"x": kind})).run({"x": value})["x"]
    assert answer == expected
    assert type(answer) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("double", "3", "is a number (double); received: '3'"),
        ("double", [1, 2], "is a number (double); received: list"),
        ("double", None, "is a number (double); received: NoneType"),
        ("int64", 2.5, "is an integer (int64); received: 2.5"),
        ("int64", math.nan, "is an integer (int64); received: nan"),
        ("int64", 2**70, "is an integer (int64); received: 118059"),
        ("int64", 1e30, "is an integer (int64); received: 1e+30"),
        ("string", 3, "is a string; received: 3"),
        ("string", b"x", "is a string; received: bytes"),
        ("dictionary string", [1], "is a dictionary of numbers with string keys; received: list"),
        ("dictionary string", {1.5: 1}, "'x' (dictionary) is a string; received: 1.5"),
        ("dictionary int64", {1: "a"}, "'x' (dictionary) is a number (double); received: 'a'"),
        ("sequence string", "abc", "'x' (sequence) is a sequence of string; received: 'abc'"),
        ("sequence int64", [1, "a"], "'x' (sequence) is an integer (int64); received: 'a'"),
        ("sequence int64", 3, "'x' (sequence) is a sequence of int64; received: 3"),
        (("int32", 2), [1.5, 2], "is an array of int32; received float64 with values that"),
        ((2,), [1, 2, 3], "has the shape 2; received: 3"),
    ],
)
def test_rejected_values(
    kind: Any, value: Any, message: str, spec_of: Callable[..., Any], open_spec: Open
) -> None:
    model = open_spec(spec_of("identity", {"x": kind}, {"x": kind}))
    with pytest.raises(FeatureError) as caught:
        model.run({"x": value})
    assert str(caught.value).startswith("the input 'x'")
    assert message in str(caught.value)


def test_length_of_a_sequence(spec_of: Callable[..., Any], open_spec: Open) -> None:
    spec = spec_of("identity", {"x": "sequence int64"}, {"x": "sequence int64"})
    size = spec.description.input[0].type.sequenceType.sizeRange
    size.lowerBound, size.upperBound = 2, 3
    model = open_spec(spec)
    assert model.run({"x": [1, 2, 3]}) == {"x": [1, 2, 3]}
    with pytest.raises(FeatureError, match="is a sequence of length 2–3; received: 1"):
        model.run({"x": [1]})


def test_image(spec_of: Callable[..., Any], open_spec: Open, tmp_path: Path) -> None:
    spec = spec_of("identity", {"x": "double"}, {"x": "double"})
    for feature in (spec.description.input[0], spec.description.output[0]):
        image = feature.type.imageType
        image.height, image.width, image.colorSpace = 2, 3, 30
    picture = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    Image.fromarray(picture).save(tmp_path / "x.png")
    model = open_spec(spec)
    for value in (picture, tmp_path / "x.png"):
        np.testing.assert_array_equal(np.asarray(model.run({"x": value})["x"]), picture)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [("floatDefaultValue", 1.5, [1.5, 1.5]), (None, None, [0, 0])],
)
@pytest.mark.parametrize("dialect", ["program", "network"])
def test_optional_array_of_a_graph(
    dialect: str,
    field: str | None,
    value: Any,
    expected: Any,
    files: Any,
    save: Callable[..., Path],
) -> None:
    """An omitted array is filled with the file's default, or zeros if there is none."""
    x = np.zeros((1, 2), np.float32)
    if dialect == "program":
        spec = files.program_spec("add", {"x": x}, {"y": np.float32(0)}, [("float32", (1, 2))])
    else:
        linear = {"linear": {"alpha": 1.0, "beta": 0.0}}
        spec = files.network_spec("activation", [x], linear, [(1, 2)])
    feature = spec.description.input[0]
    feature.type.isOptional = True
    if field is not None:
        setattr(feature.type.multiArrayType, field, value)
    path = save(spec)
    model = load(path)
    np.testing.assert_array_equal(model.run({})["y0"], [expected])
    np.testing.assert_array_equal(model.run({feature.name: [[3, 4]]})["y0"], [[3, 4]])
    assert inspect(path)["inputs"][0].get("default") == value
    assert inspect(path)["inputs"][0]["optional"] is True


def test_optional_array_of_a_classic_model(spec_of: Callable[..., Any], open_spec: Open) -> None:
    spec = spec_of("scaler", {"x": ("int32?", 2)}, {"y": (2,)})
    spec.description.input[0].type.multiArrayType.intDefaultValue = 7
    spec.scaler.shiftValue.append(0.5)
    np.testing.assert_array_equal(open_spec(spec).run({})["y"], [7.5, 7.5])


def test_optional_image(files: Any, save: Callable[..., Path]) -> None:
    """An image has no default, so it cannot be omitted."""
    x = np.zeros((1, 3, 2, 2), np.float32)
    spec = files.program_spec("relu", {"x": x}, {}, [("float32", (1, 3, 2, 2))])
    feature = spec.description.input[0]
    feature.type.isOptional = True
    image = feature.type.imageType
    image.height, image.width, image.colorSpace = 2, 2, 20
    with pytest.raises(FeatureError, match=r"'x' \(image\) is optional, but the file has no defau"):
        load(save(spec)).run({})


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_color_order(color: str, averages: Callable[..., Any], save: Callable[..., Path]) -> None:
    """The network gets the channels in the order that the file declares, from any kind of image."""
    model = load(save(averages(color, ["first", "second", "third"])))
    order = [0, 1, 2] if color == "rgb" else [2, 1, 0]
    expected = np.array([1, 0.2, 0], np.float32)[order]
    np.testing.assert_allclose(model.probabilities(RED[None])[0], expected, atol=1e-6)
    assert model.input_spec.color == color
    for value in (RED, Image.fromarray(RED)):
        scores = model.run({"image": value})["scores"]
        np.testing.assert_allclose(list(scores.values()), expected, atol=1e-6)
    assert model.predict(Image.fromarray(RED)).label == ("first" if color == "rgb" else "third")


def test_floating_point_gray(files: Any, save: Callable[..., Path]) -> None:
    """Images of 16-bit floating-point gray are not converted, neither inputs nor outputs."""
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
    for value, values in (
        (fine, fine),
        (fine.astype(np.float32), fine),
        (Image.fromarray(fine.astype(np.float32)), fine),
        (whole, whole.astype(np.float16)),
    ):
        answer = model.run({"x": value})["y0"]
        assert answer.mode == "F"
        np.testing.assert_array_equal(np.asarray(answer), values + np.float16(0.25))
    with pytest.raises(FeatureError, match="height × width 3 × 5; received: 2 × 5"):
        model.run({"x": fine[:2]})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((2, 3)), "has the shape 1 × 3; received: 2 × 3"),
        (np.float32(3), "received: a single number"),
        ("text", "received: str"),
        ([[1, 2], [3]], "is not an array"),
    ],
)
def test_wrong_arrays(value: Any, message: str, files: Any, save: Callable[..., Path]) -> None:
    x = np.zeros((1, 3), np.float32)
    model = load(save(files.program_spec("relu", {"x": x}, {}, [("float32", (1, 3))])))
    with pytest.raises(FeatureError) as caught:
        model.run({"x": value})
    assert message in str(caught.value)


def test_integer_array(files: Any, save: Callable[..., Path]) -> None:
    x = np.zeros((1, 2), np.int32)
    fields = {"y": np.array([1, 1], np.int32)}
    model = load(save(files.program_spec("add", {"x": x}, fields, [("int32", (1, 2))])))
    answer = model.run({"x": [[2.0, 3.0]]})["y0"]
    np.testing.assert_array_equal(answer, [[3, 4]])
    assert answer.dtype == np.int32
    with pytest.raises(FeatureError, match="values that int32 cannot hold"):
        model.run({"x": [[2.5, 3.0]]})


def test_none_is_the_same_as_leaving_out(
    spec_of: Callable[..., Any], open_spec: Open, files: Any, save: Callable[..., Path]
) -> None:
    """For optional inputs; a required one that is None has the wrong type."""
    spec = spec_of("identity", {"x": ("float32?", 2)}, {"x": ("float32", 2)})
    spec.description.input[0].type.multiArrayType.floatDefaultValue = 1.5
    assert open_spec(spec).run({"x": None})["x"].tolist() == [1.5, 1.5]
    network = files.network_spec("softmaxND", [np.zeros((1, 2), np.float32)], {"axis": 1}, [(1, 2)])
    network.description.input[0].type.isOptional = True
    model = load(save(network))
    assert model.run({"x0": None})["y0"].tolist() == model.run({})["y0"].tolist() == [[0.5, 0.5]]
    with pytest.raises(FeatureError, match=r"is a number \(double\); received: NoneType"):
        open_spec(spec_of("identity", {"x": "double"}, {"x": "double"})).run({"x": None})
