"""Classifiers that take an image as an array."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import load
from pocketlens.coreml.file.features import Feature
from pocketlens.coreml.runtime.array_images import array_image
from pocketlens.errors import FeatureError
from pocketlens.image import InputSpec

H, W = 3, 5
RED = np.zeros((H, W, 3), np.uint8)
RED[..., 0], RED[..., 1] = 255, 51


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 3, 224, 200), (224, 200, 3, False)),
        ((1, 1, 3, 4, 5), (4, 5, 3, False)),
        ((3, 224, 224), (224, 224, 3, False)),
        ((1, 28, 28), (28, 28, 1, False)),
        ((1, 224, 200, 3), (224, 200, 3, True)),
        ((28, 28, 1), (28, 28, 1, True)),
        ((28, 30), (28, 30, 1, False)),
        ((784,), (28, 28, 1, False)),
        ((1, 784), (28, 28, 1, False)),
    ],
)
def test_shapes_of_images(shape: tuple[int, ...], expected: tuple[Any, ...]) -> None:
    found = array_image((Feature("x", "array", shape),))
    assert found
    assert (found.height, found.width, found.channels, found.last) == expected
    count = int(np.prod(shape))
    planes = np.arange(count, dtype=np.float32).reshape(
        1, found.channels, found.height, found.width
    )
    arranged = found.arranged(planes)
    assert arranged.shape == shape
    channels_first = arranged.reshape(-1, found.channels).T if found.last else arranged
    np.testing.assert_array_equal(channels_first.ravel(), planes.ravel())


@pytest.mark.parametrize("shape", [(), (4,), (1,), (1, 783), (2, 3, 4, 5), (5, 6, 7), (3, 5000, 2)])
def test_other_shapes(shape: tuple[int, ...]) -> None:
    found = array_image((Feature("x", "array", shape),))
    assert found is None or shape == (4,)  # 2 × 2 pixels
    assert array_image((Feature("x", "image", (28, 28)),)) is None
    assert array_image((Feature("x", "array", (28, 28)), Feature("y", "double"))) is None


def test_an_array_classifier_takes_images_if_its_scale_is_given(
    averages: Callable[..., Any], save: Callable[..., Path]
) -> None:
    spec = averages("rgb", ["a", "b", "c"])
    spec.description.input[0].type.multiArrayType.shape.extend([1, 3, H, W])
    spec.description.input[0].type.multiArrayType.dataType = 65568
    network = spec.WhichOneof("Type") == "neuralNetworkClassifier"
    if network:  # which would only scale an image
        del spec.neuralNetworkClassifier.preprocessing[:]
    inside = 1.0 if network else 1 / 255
    path = save(spec)
    model = load(path)
    with pytest.raises(FeatureError, match="takes image .array., not one image.*--scale 1/255"):
        model.predict(RED)
    with pytest.raises(FeatureError, match=r"with_input\(scale=1 / 255\)"):
        model.with_input(color="rgb")
    read = model.with_input(scale=1 / 255 / inside)
    assert read.input_spec == InputSpec.assuming(
        H, W, "rgb", scale=1 / 255 / inside, assumed=("color",)
    )
    np.testing.assert_allclose(read.probabilities(RED[None])[0], [1, 0.2, 0], atol=1e-6)
    swapped = read.with_input(color="bgr")
    np.testing.assert_allclose(swapped.probabilities(RED[None])[0], [0, 0.2, 1], atol=1e-6)
    assert swapped.predict(RED).label == "c"
    many = read.probabilities(np.repeat(RED[None], 100, axis=0))
    np.testing.assert_allclose(many, np.repeat([[1, 0.2, 0]], 100, axis=0), atol=1e-6)
