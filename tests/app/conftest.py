"""Core ML files made here, with fixed weights: small, and the same on every machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.app import create_app
from pocketlens.image import INPUT_SPEC_KEY, InputSpec

DIGITS = (*"0123456789", "nothing")


def _weights(outputs: int, inputs: int) -> np.ndarray:
    row, column = np.arange(outputs)[:, None], np.arange(inputs)[None, :]
    return (8 * np.sin(1.7 * row + 0.31 * column) / np.sqrt(inputs)).astype(np.float32)


def save_classifier(
    path: Path,
    *,
    spec: InputSpec,
    classes: tuple[str, ...],
    half: bool = True,
) -> Path:
    """A one-layer classifier of images, saved at `path` as an ML Program or a neural network."""
    import coremltools as ct
    from coremltools.converters.mil import Builder as mb

    height, width, channels = spec.shape
    shape = (1, channels, height, width)
    step = max(1, height // 28)  # keeps a large picture's weights few
    count = channels * (height // step) * (width // step)
    weights = _weights(len(classes), count)

    @mb.program(input_specs=[mb.TensorSpec(shape=shape)], opset_version=ct.target.iOS15)
    def program(image: Any) -> Any:
        size = [step, step]
        small = mb.avg_pool(x=image, kernel_sizes=size, strides=size, pad_type="valid")
        flat = mb.reshape(x=small, shape=(1, count))
        scores = mb.linear(x=flat, weight=weights, bias=np.zeros(len(classes), np.float32))
        return mb.softmax(x=scores, axis=-1, name="probabilities")

    if path.suffix == ".mlmodel":
        options: dict[str, Any] = {"convert_to": "neuralnetwork"}
    else:
        precision = ct.precision.FLOAT16 if half else ct.precision.FLOAT32
        options = {"minimum_deployment_target": ct.target.iOS16, "compute_precision": precision}
    layout = {
        "gray": ct.colorlayout.GRAYSCALE,
        "rgb": ct.colorlayout.RGB,
        "bgr": ct.colorlayout.BGR,
    }[spec.color]
    model = ct.convert(
        program,
        inputs=[
            ct.ImageType(
                name="image",
                shape=shape,
                scale=spec.scale[0],
                bias=spec.bias[0] if channels == 1 else list(spec.bias),
                color_layout=layout,
            )
        ],
        classifier_config=ct.ClassifierConfig(list(classes)),
        **options,
    )
    model.user_defined_metadata[INPUT_SPEC_KEY] = spec.to_json()
    model.save(str(path))
    return path


@pytest.fixture(scope="session")
def make_classifier() -> Callable[..., Path]:
    """`save_classifier`, for tests that need a model of their own."""
    return save_classifier


@pytest.fixture(scope="session")
def digits_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gray 28 × 28 classifier of ten digits and `nothing`."""
    path = tmp_path_factory.mktemp("models") / "Digits.mlpackage"
    return save_classifier(path, spec=InputSpec(28, 28), classes=DIGITS)


@pytest.fixture(scope="session")
def digits_app(digits_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app of `digits_model`, as written; tests must not change it."""
    return create_app(digits_model, tmp_path_factory.mktemp("apps") / "Digits", name="Digits")
