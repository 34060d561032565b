"""`declared_input_spec`: how images are prepared for a model, as far as its file says it."""

from __future__ import annotations

from typing import Any

from pocketlens.coreml.file.features import Interface
from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.file.scaling import read_scaling
from pocketlens.errors import ModelFileError, OptionError
from pocketlens.image import INPUT_SPEC_KEY, Color, InputSpec

__all__ = ["declared_input_spec"]


def declared_input_spec(file: ModelFile, interface: Interface) -> InputSpec | None:
    """How images are prepared for the model, or None if its only input is not an image.

    A file that Pocketlens converted has its InputSpec in the user metadata. For any other file,
    size and color come from the image input, scale and bias from the preprocessing or the first ops
    of the model (see `scaling`). What the file does not say is assumed, and named in `assumed`.

    Raises:
        ModelFileError: The metadata are not a valid InputSpec, or contradict the image input.
    """
    image = interface.image
    text = file.spec.description.metadata.userDefined.get(INPUT_SPEC_KEY)
    if image is None:
        return None
    height, width = image.shape
    color: Color = "gray"
    if image.color == "rgb" or image.color == "bgr":  # mypy narrows `==`, not `in`
        color = image.color
    try:
        if text is None:
            scaling = read_scaling(file, interface)
            read: dict[str, Any] = {}
            if scaling is not None:
                read = {"scale": scaling.scale, "bias": scaling.bias}
            return InputSpec.assuming(height, width, color, **read)
        spec = InputSpec.from_json(text)
    except OptionError as error:
        raise ModelFileError(
            f"{file.path}: its metadata {INPUT_SPEC_KEY} or its image input cannot be used: {error}"
        ) from error
    if (spec.height, spec.width, spec.color) != (height, width, color):
        raise ModelFileError(
            f"{file.path}: its metadata {INPUT_SPEC_KEY} says {spec.width} × {spec.height} "
            f"{spec.color}, its image input '{image.name}' says {width} × {height} {color}; "
            "convert the model again"
        )
    return spec
