"""The texts in a Core ML file: author, license, descriptions of features, InputSpec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from typing import Any

from pocketlens.errors import OptionError
from pocketlens.evaluation.arrays import ArrayModel
from pocketlens.image import INPUT_SPEC_KEY, InputSpec
from pocketlens.prediction import NOTHING, THRESHOLDS_KEY, Thresholds

__all__ = [
    "IMAGE_FEATURE",
    "LABEL_FEATURE",
    "PROBABILITIES_FEATURE",
    "VERSION_KEY",
    "ModelMetadata",
    "describe",
    "describe_arrays",
    "model_text",
]

IMAGE_FEATURE = "image"
LABEL_FEATURE = "classLabel"
PROBABILITIES_FEATURE = "classLabel_probs"

VERSION_KEY = "org.pocketlens.version"
"""The key, in the user-defined metadata, of the Pocketlens version that wrote the file."""

_COLORS = {"gray": "gray", "rgb": "RGB", "bgr": "BGR"}


@dataclass(frozen=True)
class ModelMetadata:
    """Texts that `convert` writes to a Core ML file and that Xcode shows with the model.

    All of them are optional; an empty string means that there is none.

    Args:
        author: Who created the model.
        license: Its license, such as `MIT`.
        version: Version of the model, such as `1.0`.
        description: What the model does, in one sentence; if empty, a sentence that lists the
            classes is written.

    Raises:
        OptionError: A field that is not a string.
    """

    author: str = ""
    license: str = ""
    version: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, str):
                raise OptionError(f"metadata.{field.name} must be a string; received: {value!r}")


def describe(
    model: Any,
    metadata: ModelMetadata,
    labels: Sequence[str],
    input_spec: InputSpec,
    thresholds: Thresholds | None = None,
) -> None:
    """Write metadata, feature descriptions, InputSpec and thresholds to a model.

    The date of conversion that coremltools has written is removed, so that the same weights give
    the same file.

    Args:
        model: The `Model` message, changed in place.
        metadata: Author, license, version and description.
        labels: The class names.
        input_spec: How an image becomes the network's input.
        thresholds: How confident a prediction must be to be shown; None writes none.
    """
    description = model.description
    texts = {
        IMAGE_FEATURE: _image_text(input_spec),
        LABEL_FEATURE: _label_text(labels),
        PROBABILITIES_FEATURE: "The probability of each class, from 0 to 1, by class name.",
    }
    for feature in (*description.input, *description.output):
        feature.shortDescription = texts[feature.name]
    about = _write(description, metadata, model_text(labels))
    about.userDefined[INPUT_SPEC_KEY] = input_spec.to_json()
    if thresholds:
        about.userDefined[THRESHOLDS_KEY] = thresholds.to_json()


def describe_arrays(
    model: Any, metadata: ModelMetadata, source: ArrayModel, input_spec: InputSpec | None = None
) -> None:
    """Write metadata and feature descriptions to a model from arrays to arrays.

    Args:
        model: The `Model` message, changed in place. Descriptions that it has are kept.
        metadata: Author, license, version and description.
        source: What it was converted from.
        input_spec: How an image becomes its only input; None if the inputs are arrays.
    """
    description = model.description
    shapes = {each.name: f"{each.dtype} {each.expected}" for each in source.inputs}
    texts = {name: f"The array {shape}." for name, shape in shapes.items()}
    if input_spec is not None:
        texts[IMAGE_FEATURE] = _image_text(input_spec)
    texts[source.label] = _label_text(tuple(map(str, source.labels)))
    texts[source.probabilities] = "The probability of each class, from 0 to 1, by class."
    for feature in (*description.input, *description.output):
        feature.shortDescription = feature.shortDescription or texts.get(feature.name, "")
    inputs, outputs = (", ".join(names) for names in (shapes, source.outputs))
    about = _write(description, metadata, f"Computes {outputs} from {inputs}.")
    if input_spec is not None:
        about.userDefined[INPUT_SPEC_KEY] = input_spec.to_json()


def _write(description: Any, metadata: ModelMetadata, default: str) -> Any:
    """Write the metadata; the date of conversion is removed."""
    about = description.metadata
    about.author = metadata.author
    about.license = metadata.license
    about.versionString = metadata.version
    about.shortDescription = metadata.description or default
    about.userDefined.pop("com.github.apple.coremltools.conversion_date", None)
    about.userDefined[VERSION_KEY] = version("pocketlens")
    return about


def _image_text(spec: InputSpec) -> str:
    return (
        f"The image: {spec.width} × {spec.height} pixels, {_COLORS[spec.color]}, upright. "
        f"An image of another shape is fitted with '{spec.crop}'."
    )


def _label_text(labels: Sequence[str]) -> str:
    text = f"The most probable of the {len(labels)} classes."
    return f"{text} '{NOTHING}': none of the others is in view." if NOTHING in labels else text


def model_text(labels: Sequence[str]) -> str:
    """What a classifier does, if nothing else is said."""
    shown = ", ".join(labels[:10])
    return f"Distinguishes {len(labels)} classes: {shown}{', …' if len(labels) > 10 else ''}."
