"""What a Core ML file says of itself: author, license, features, and the InputSpec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from typing import Any

from pocketlens.errors import OptionError
from pocketlens.image import INPUT_SPEC_KEY, InputSpec
from pocketlens.prediction import NOTHING, THRESHOLDS_KEY, Thresholds

__all__ = [
    "IMAGE_FEATURE",
    "LABEL_FEATURE",
    "PROBABILITIES_FEATURE",
    "VERSION_KEY",
    "ModelMetadata",
    "describe",
]

IMAGE_FEATURE = "image"
LABEL_FEATURE = "classLabel"
PROBABILITIES_FEATURE = "classLabel_probs"

VERSION_KEY = "org.pocketlens.version"
"""The user metadata key of the Pocketlens version that wrote the file."""

_COLORS = {"gray": "gray", "rgb": "RGB", "bgr": "BGR"}


@dataclass(frozen=True)
class ModelMetadata:
    """What Xcode shows above a model: plain text, all optional.

    Args:
        author: Who made the model.
        license: Under which terms it may be used.
        version: The model's own version, such as `1.0`.
        description: What it does, in a sentence; empty: a sentence that names its classes.

    Raises:
        OptionError: A field that is not text.
    """

    author: str = ""
    license: str = ""
    version: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, str):
                raise OptionError(f"metadata.{field.name} is text; received: {value!r}")


def describe(
    model: Any,
    metadata: ModelMetadata,
    labels: Sequence[str],
    input_spec: InputSpec,
    thresholds: Thresholds | None = None,
) -> None:
    """Write metadata, feature descriptions, InputSpec and thresholds into the spec message `model`.

    The date of conversion, which coremltools notes, is left out: equal weights give equal files.
    """
    description = model.description
    texts = {
        IMAGE_FEATURE: _image_text(input_spec),
        LABEL_FEATURE: _label_text(labels),
        PROBABILITIES_FEATURE: "The probability of every class, from 0 to 1, by class name.",
    }
    for feature in (*description.input, *description.output):
        feature.shortDescription = texts[feature.name]
    about = description.metadata
    about.author = metadata.author
    about.license = metadata.license
    about.versionString = metadata.version
    about.shortDescription = metadata.description or _model_text(labels)
    about.userDefined.pop("com.github.apple.coremltools.conversion_date", None)
    about.userDefined[INPUT_SPEC_KEY] = input_spec.to_json()
    if thresholds:
        about.userDefined[THRESHOLDS_KEY] = thresholds.to_json()
    about.userDefined[VERSION_KEY] = version("pocketlens")


def _image_text(spec: InputSpec) -> str:
    return (
        f"The picture: {spec.width} × {spec.height} pixels, {_COLORS[spec.color]}, upright. "
        f"A picture of another shape is fitted by '{spec.crop}'."
    )


def _label_text(labels: Sequence[str]) -> str:
    text = f"The likeliest of the {len(labels)} classes."
    return f"{text} '{NOTHING}': nothing to recognize is in view." if NOTHING in labels else text


def _model_text(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:10])
    return f"Tells {len(labels)} classes apart: {shown}{', …' if len(labels) > 10 else ''}."
