"""How pixels become the input of a Keras 3 model: what the model shows, and what is assumed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from pocketlens.compat import keras_constants_of, keras_layers_of
from pocketlens.conversion.pixel_scaling import (
    FAR,
    RAW,
    assumed_spec,
    double_scaling,
    scales_pixels,
)
from pocketlens.errors import printable
from pocketlens.image import InputSpec

__all__ = ["OwnScaling", "assumed_input", "own_scaling", "scaling_warning"]

_ARITHMETIC = {
    "Add": "add", "Divide": "div", "Multiply": "mul", "Subtract": "sub", "TrueDivide": "div"
}  # fmt: skip
"""Keras's operation -> its short name."""


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


def scaling_warning(model: Any, input_spec: InputSpec) -> str | None:
    """What is wrong if the InputSpec scales pixels that the model scales again; else None."""
    own = own_scaling(model)
    if own is None:
        return None
    return double_scaling("the Keras model", f"in the layer {own.layer}", input_spec)


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
    if kind in _ARITHMETIC:
        sizes = [_size(value) for value in keras_constants_of(operation) if _is_number(value)]
        return scales_pixels(_ARITHMETIC[kind], sizes)
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
