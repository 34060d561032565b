"""How pixels become the input of a Keras 3 model: what the model shows, and what is assumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from pocketlens.compat import keras_constants_of, keras_layers_of
from pocketlens.errors import printable
from pocketlens.image import InputSpec

__all__ = [
    "FAR",
    "RAW",
    "OwnScaling",
    "assumed_input",
    "assumed_spec",
    "own_scaling",
    "scaling_warning",
]

RAW = 0.05
"""A layer that multiplies by less than this expects pixels from 0 to 255, not from 0 to 1."""

FAR = 1.5
"""A larger mean is that of pixels from 0 to 255, not of numbers from 0 to 1."""


class OwnScaling(NamedTuple):
    """A layer with which a model scales pixels from 0 to 255 itself.

    Attributes:
        layer: Its name and type, such as `'rescaling' (Rescaling)`.
    """

    layer: str


def own_scaling(model: Any) -> OwnScaling | None:
    """The layer with which a Keras model scales pixels itself; None if there is none.

    Such a layer, Rescaling or Normalization or BatchNormalization, a Lambda or a division by a
    constant, comes before the first layer with a kernel. One that expects numbers from 0 to 1 does
    not count.

    Args:
        model: A Keras 3 model in memory.
    """
    for operation in _first_operations(model):
        if _scales_pixels(operation):
            return OwnScaling(printable(f"'{operation.name}' ({type(operation).__name__})"))
    return None


def assumed_input(model: Any, height: int, width: int, channels: int, **known: Any) -> InputSpec:
    """The InputSpec of a Keras model; the fields that nobody says are marked as assumed.

    Without a scale, it is 1 if the model scales pixels itself; otherwise 1/255 is assumed.

    Args:
        model: A Keras 3 model in memory.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        channels: 1 or 3.
        known: The fields that are known.

    Raises:
        OptionError: A field of the wrong type or out of range.
    """
    return assumed_spec(height, width, channels, own_scaling(model) is not None, known)


def assumed_spec(
    height: int, width: int, channels: int, scales: bool, known: Mapping[str, Any]
) -> InputSpec:
    """An InputSpec of which some fields are known; the others are marked as assumed.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        channels: 1 or 3.
        scales: Whether the model scales pixels itself.
        known: The fields that are known.

    Raises:
        OptionError: A field of the wrong type or out of range.
    """
    known = dict(known)
    assumed: list[str] = []
    if "color" not in known:
        known["color"] = "gray" if channels == 1 else "rgb"
        assumed += ["color"] if channels == 3 else []
    if "scale" not in known:
        known["scale"] = 1.0 if scales else 1 / 255
        assumed += [] if scales else ["scale"]
        if scales and "bias" not in known:
            known["bias"] = 0.0
    return InputSpec.assuming(height, width, known.pop("color"), **known, assumed=tuple(assumed))


def scaling_warning(model: Any, input_spec: InputSpec) -> str | None:
    """What is wrong if the InputSpec scales pixels that the model scales again; else None."""
    own = own_scaling(model)
    if own is None or max(map(abs, input_spec.scale)) > RAW:
        return None
    return (
        f"the Keras model scales pixels itself, in the layer {own.layer}, and the InputSpec scales "
        f"them by {input_spec.scale[0]:.4g} before: they are scaled twice; use scale 1 and bias 0 "
        "(--scale 1)"
    )


def _first_operations(model: Any) -> Iterator[Any]:
    """The operations before the first with a kernel, those of inner models among them."""
    operations = list(getattr(model, "operations", None) or keras_layers_of(model))
    for operation in operations:
        if getattr(operation, "operations", None) or hasattr(operation, "layers"):
            for inner in _first_operations(operation):
                yield inner
                if _has_kernel(inner):
                    return
        else:
            yield operation
        if _has_kernel(operation):
            return


def _has_kernel(operation: Any) -> bool:
    return any(
        len(weight.shape) > 1 and type(operation).__name__ != "Normalization"
        for weight in getattr(operation, "weights", ())
    ) and not hasattr(operation, "operations")


def _scales_pixels(operation: Any) -> bool:
    kind = type(operation).__name__
    if kind == "Rescaling":
        return _size(operation.scale) < RAW
    if kind == "Normalization":
        return _size(_number(operation, "mean")) > FAR
    if kind == "BatchNormalization":
        return _size(_number(operation, "moving_mean")) > FAR
    if kind in ("TrueDivide", "Divide", "Multiply", "Add", "Subtract"):
        sizes = [_size(value) for value in keras_constants_of(operation) if _is_number(value)]
        # A division by 255, a factor of 1/255, or a mean of pixels from 0 to 255.
        return any(size < RAW if kind == "Multiply" else size > 1 / RAW for size in sizes)
    return kind == "Lambda" and _slope(operation) < RAW


def _slope(operation: Any) -> float:
    """How much the output of a layer grows for each step of a pixel; infinite if it is unknown."""
    shape = [1 if side is None else side for side in operation.input.shape]
    try:
        black, white = (_number_of(operation(np.full(shape, v, "float32"))) for v in (0, 255))
    except Exception:  # the model's own code runs here; the conversion will say what is wrong
        return float("inf")
    return _size(white - black) / 255


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or hasattr(value, "__array__")


def _number(operation: Any, name: str) -> Any:
    value = getattr(operation, name, None)
    if value is None:
        return 0.0
    return _number_of(value)


def _number_of(value: Any) -> Any:
    value = getattr(value, "value", value)  # of a variable
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def _size(value: Any) -> float:
    return float(np.abs(np.asarray(value, dtype=np.float64)).max())
