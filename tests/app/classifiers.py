"""Create small Core ML image classifiers with fixed weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.image import INPUT_SPEC_KEY, InputSpec


def _weights(outputs: int, inputs: int) -> NDArray[np.float32]:
    row, column = np.arange(outputs)[:, None], np.arange(inputs)[None, :]
    weights = 8 * np.sin(1.7 * row + 0.31 * column) / np.sqrt(inputs)
    return np.asarray(weights, np.float32)


def save_classifier(
    path: Path,
    *,
    spec: InputSpec,
    classes: tuple[str, ...],
    half: bool = True,
) -> Path:
    """Save a one-layer image classifier as an ML Program, or as a neural network (`.mlmodel`)."""
    import coremltools as ct
    from coremltools.converters.mil import Builder as mb

    height, width, channels = spec.shape
    shape = (1, channels, height, width)
    step = max(1, height // 28)  # limits the number of weights for large inputs
    count = channels * (height // step) * (width // step)
    weights = _weights(len(classes), count)

    def classify(image: Any) -> Any:
        size = [step, step]
        small = mb.avg_pool(x=image, kernel_sizes=size, strides=size, pad_type="valid")
        flat = mb.reshape(x=small, shape=(1, count))
        scores = mb.linear(x=flat, weight=weights, bias=np.zeros(len(classes), np.float32))
        return mb.softmax(x=scores, axis=-1, name="probabilities")

    as_program = mb.program(input_specs=[mb.TensorSpec(shape=shape)], opset_version=ct.target.iOS15)
    program = as_program(classify)

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
