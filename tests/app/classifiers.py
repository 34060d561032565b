"""Create small Core ML image classifiers with fixed weights, and one as Create ML writes it."""

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


def save_create_ml_classifier(
    path: Path, classes: tuple[str, ...], *, custom: bool = False
) -> Path:
    """Save a pipeline as Create ML writes it: Vision's feature print and a linear classifier.

    With `custom`, a custom model takes the place of the feature print.
    """
    from coremltools.proto import Model_pb2

    spec = Model_pb2.Model(specificationVersion=3)
    first, second = (spec.pipelineClassifier.pipeline.models.add() for _ in range(2))
    for part in (spec, first):
        image = part.description.input.add(name="image")
        image.type.imageType.width = image.type.imageType.height = 299
        image.type.imageType.colorSpace = image.type.imageType.RGB
    for part in (spec, second):
        part.description.output.add(name="classLabel").type.stringType.SetInParent()
        found = part.description.output.add(name="classLabelProbs")
        found.type.dictionaryType.stringKeyType.SetInParent()
        part.description.predictedFeatureName = "classLabel"
        part.description.predictedProbabilitiesName = "classLabelProbs"
    for features in (first.description.output, second.description.input):
        array = features.add(name="sceneprint").type.multiArrayType
        array.shape.append(2048)
        array.dataType = array.DOUBLE
    first.specificationVersion = second.specificationVersion = 3
    if custom:
        first.customModel.className = "Own"
    else:
        first.visionFeaturePrint.scene.version = first.visionFeaturePrint.scene.SCENE_VERSION_1
    second.glmClassifier.stringClassLabels.vector.extend(classes)
    for _ in classes[1:]:
        second.glmClassifier.weights.add().value.extend([0.001] * 2048)
        second.glmClassifier.offset.append(0)
    path.write_bytes(spec.SerializeToString())
    return path
