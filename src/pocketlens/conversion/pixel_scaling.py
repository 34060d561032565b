"""How pixels become the input of a network: whether it scales them itself, and what is assumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pocketlens.image import InputSpec

__all__ = ["FAR", "RAW", "assumed_spec", "double_scaling", "scales_pixels"]

RAW = 0.05
"""A layer that multiplies by less than this expects pixels from 0 to 255, not from 0 to 1."""

FAR = 1.5
"""A larger mean is that of pixels from 0 to 255, not of numbers from 0 to 1."""


def scales_pixels(op: str, sizes: Sequence[float]) -> bool:
    """Whether an arithmetic op with constants expects pixels from 0 to 255.

    It is a division by 255, a factor of 1/255, or the mean of pixels is subtracted or added.

    Args:
        op: `mul`, `div`, `add` or `sub`; any other does not scale.
        sizes: The largest absolute value of each constant.
    """
    if op == "mul":
        return any(size < RAW for size in sizes)
    return op in ("div", "add", "sub") and any(size > 1 / RAW for size in sizes)


def double_scaling(what: str, place: str, input_spec: InputSpec) -> str | None:
    """What is wrong if the InputSpec scales pixels that the network scales again; else None.

    Args:
        what: How the network is called, such as `the network`.
        place: Where it scales pixels, such as `at op 'div'`.
        input_spec: How pixels become its input.
    """
    if max(map(abs, input_spec.scale)) > RAW:
        return None
    return (
        f"{what} scales pixels itself, {place}, and the InputSpec scales them by "
        f"{input_spec.scale[0]:.4g} before: they are scaled twice; use scale 1 and bias 0 "
        "(--scale 1)"
    )


def assumed_spec(
    height: int, width: int, channels: int, scales: bool, known: Mapping[str, Any]
) -> InputSpec:
    """An InputSpec of which some fields are known; the others are marked as assumed.

    Without a scale, it is 1 if the network scales pixels itself; otherwise 1/255 is assumed.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        channels: 1 or 3.
        scales: Whether the network scales pixels itself.
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
