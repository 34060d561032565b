"""What `find_readings` tries: other values of an InputSpec, other labels, turned images."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.image import Color, InputSpec

__all__ = [
    "VIEWS",
    "InputChange",
    "drawn_ink",
    "input_changes",
    "label_orders",
    "numbers_text",
    "option_text",
    "option_values",
]

MEANS = (0.485, 0.456, 0.406)  # of ImageNet, red first, as PyTorch's models have them
DEVIATIONS = (0.229, 0.224, 0.225)
CAFFE = (123.68, 116.779, 103.939)  # the means of VGG, red first, of pixels 0-255
MNIST = (0.1307, 0.3081)  # mean and deviation, as PyTorch's example has them

LABELS_FILE = "LABELS"
"""Stands for a text file with the class names."""

Numbers = tuple[float, ...]

VIEWS: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "": lambda image: image,
    "images turned by 90°": lambda image: np.rot90(image),
    "images turned by 180°": lambda image: np.rot90(image, 2),
    "images turned by 270°": lambda image: np.rot90(image, 3),
    "mirrored images": lambda image: image[:, ::-1],
    "images upside down": lambda image: image[::-1],
    "images with rows and columns swapped": lambda image: image.transpose(1, 0, 2),
    "images mirrored along the other diagonal": lambda image: image[::-1, ::-1].transpose(1, 0, 2),
}
"""How an image `(H, W, C)` may be turned (counterclockwise) or mirrored; "" is as given."""


@dataclass(frozen=True)
class InputChange:
    """Other values of an InputSpec.

    Args:
        name: What is changed, such as `scale 1/255`.
        kinds: The kinds of change, of `color`, `scale` and `ink` (inverted pixels).
        values: The fields, for `InputSpec.with_values`.
    """

    name: str
    kinds: tuple[str, ...]
    values: dict[str, Any]


def input_changes(spec: InputSpec) -> list[InputChange]:
    """Every usual reading of pixels but the own one: first single changes, then combinations.

    These are the products of color order, scale with bias, and inverted pixels.
    """
    swapped: dict[Color, tuple[Color, ...]] = {"gray": (), "rgb": ("bgr",), "bgr": ("rgb",)}
    found: list[InputChange] = []
    for color in (*swapped[spec.color], spec.color):
        scalings = [
            (scale, bias)
            for scale, bias in _scalings(color)
            if not (
                np.allclose(scale, spec.scale, 1e-2) and np.allclose(bias, spec.bias, 1e-2, 1e-2)
            )
        ]
        for inverted in (False, True):
            found += (_change(spec, color, each, inverted=inverted) for each in (None, *scalings))
    return sorted((each for each in found if each.kinds), key=lambda each: len(each.kinds))


def _change(
    spec: InputSpec, color: Color, scaling: tuple[Numbers, Numbers] | None, *, inverted: bool
) -> InputChange:
    names, kinds = list[str](), list[str]()
    values: dict[str, Any] = {}
    if color != spec.color:
        names, kinds, values = [f"color {color}"], ["color"], {"color": color}
    scale, bias = scaling or (spec.scale, spec.bias)
    if inverted:  # 255 - pixel, then scale and bias
        bias = tuple(term + 255 * factor for factor, term in zip(scale, bias, strict=True))
        scale = tuple(-factor for factor in scale)
    text = f"scale {numbers_text(scale)}"
    if inverted:
        names.append(f"inverted pixels ({text}, bias {numbers_text(bias)})")
    elif scaling:
        names.append(f"{text}, bias {numbers_text(bias)}" if any(bias) else text)
    kinds += (["scale"] if scaling else []) + (["ink"] if inverted else [])
    if scaling or inverted:
        values |= {"scale": scale, "bias": bias}
    return InputChange(", ".join(names), tuple(kinds), values)


def _scalings(color: Color) -> list[tuple[Numbers, Numbers]]:
    """The usual scales and biases, the simplest first."""
    channels = 1 if color == "gray" else 3

    def same(scale: float, bias: float) -> tuple[Numbers, Numbers]:
        return (scale,) * channels, (bias,) * channels

    plain = [same(1, 0), same(1 / 255, 0), same(1 / 127.5, -1)]
    if color == "gray":
        mean, deviation = MNIST
        return [*plain, same(1 / 255 / deviation, -mean / deviation)]
    imagenet: tuple[Numbers, Numbers] = (
        tuple(1 / 255 / deviation for deviation in DEVIATIONS),
        tuple(-mean / deviation for mean, deviation in zip(MEANS, DEVIATIONS, strict=True)),
    )
    caffe: tuple[Numbers, Numbers] = ((1.0,) * 3, tuple(-mean for mean in CAFFE))
    if color == "bgr":
        imagenet, caffe = ((s[::-1], b[::-1]) for s, b in (imagenet, caffe))
    return [*plain, imagenet, caffe]


def label_orders(classes: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The orders in which labels are often given by mistake, each with its name."""
    given = tuple(classes)
    seen = {given}
    for name, order in (
        ("reversed", given[::-1]),
        ("in alphabetical order", tuple(sorted(given))),
        ("in alphabetical order, ignoring case", tuple(sorted(given, key=str.casefold))),
        ("in the order of their numbers", tuple(sorted(given, key=_natural))),
        ("shifted by one, the last one first", given[-1:] + given[:-1]),
        ("shifted by one, the first one last", given[1:] + given[:1]),
    ):
        if order not in seen:
            seen.add(order)
            yield f"labels {name}", order


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """A sort key by which 2 comes before 10."""
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(not p.isdecimal(), int(p) if p.isdecimal() else 0, p.casefold()) for p in parts]


def option_values(values: Mapping[str, Any], labels: Sequence[str] | None) -> dict[str, str]:
    """The command-line options for a reading with their values, such as `scale`: `1/255`.

    Labels with a comma have to be in a file, `LABELS`.
    """
    texts = {
        name: value if isinstance(value, str) else numbers_text(value)
        for name, value in values.items()
    }
    if labels is not None:
        texts["labels"] = LABELS_FILE if any("," in label for label in labels) else ",".join(labels)
    return texts


def option_text(values: Mapping[str, Any], labels: Sequence[str] | None) -> str:
    """The command-line options for a reading, such as `--color rgb --scale 1/255`."""
    texts = option_values(values, labels)
    words = [
        f"--{name}={text}" if text.startswith("-") else f"--{name} {shlex.quote(text)}"
        for name, text in texts.items()
    ]
    if texts.get("labels") == LABELS_FILE:
        words.append("(a file: one name per line, in the order of `labels` in --json)")
    return " ".join(words)


def numbers_text(numbers: Sequence[float]) -> str:
    """Numbers as an option takes them: `1/255`, or `0.5,0.4,0.3`; a single one if all are equal."""
    texts = [_number_text(number) for number in numbers]
    return texts[0] if len(set(texts)) == 1 else ",".join(texts)


def _number_text(number: float) -> str:
    for divisor in (255, 127.5):
        if math.isclose(abs(number * divisor), 1, rel_tol=1e-6):
            return f"{'-' if number < 0 else ''}1/{divisor:g}"
    return f"{number:.6g}"


def drawn_ink(images: NDArray[np.uint8]) -> str | None:
    """Whether images `(N, H, W, C)` are drawings in `dark` or `light` lines; None if neither.

    Drawings are without color, their edge is all paper, and most of their pixels are black or
    white.
    """
    planes = images.astype(np.int16)
    spread = planes.max(axis=3) - planes.min(axis=3)
    gray = planes.mean(axis=3)
    edge = np.concatenate([gray[:, 0], gray[:, -1], gray[:, :, 0], gray[:, :, -1]], axis=1)
    paper = np.median(edge, axis=1)
    plain = ((gray < 64) | (gray > 191)).mean() >= 0.7 and (spread < 24).mean() >= 0.95
    middle = float(gray.mean())
    for ink, paper_of_ink, fits in (
        ("light", paper < 64, middle < 110),
        ("dark", paper > 191, middle > 145),
    ):
        if plain and fits and paper_of_ink.mean() >= 0.8:
            return ink
    return None
