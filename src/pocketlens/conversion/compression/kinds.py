"""The kinds of compression that are tried, and what each needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pocketlens.conversion.compression.encodings import (
    Encoding,
    encode_linear,
    encode_palette,
    prune,
)
from pocketlens.conversion.compression.weights import Weight
from pocketlens.errors import OptionError, did_you_mean

__all__ = ["KINDS", "Kind", "by_name", "encode", "mixed_widths"]

OVERHEAD = 128
"""Bytes that a compressed weight costs besides its numbers: headers in the weights file."""

LARGE_SHARE = 0.9
"""The share of all numbers, in the largest weights, that `mixed-4` stores with 4 bits."""

GROUP = 16
"""How many channels share a table in palettes by groups, as coremltools suggests."""

Encode = Callable[[Weight], Encoding | None]


@dataclass(frozen=True)
class Kind:
    """A way to compress the weights of a file.

    Args:
        name: Its name, such as `palette-4`.
        text: What it does, in a few words.
        encode: The smaller form of a weight; None: the weight stays as it is.
        ios: The iOS version that an ML Program needs for it.
        networks: Whether a neural network (`.mlmodel`) can have it.
        bits: Of the palettes that are learned with the training data; None if nothing is learned.
    """

    name: str
    text: str
    encode: Encode
    ios: int = 16
    networks: bool = False
    bits: int | None = None


def _linear(weight: Weight) -> Encoding:
    return encode_linear(weight.array, weight.axis)


def _palette(width: int) -> Encode:
    return lambda weight: encode_palette(weight.array, width)


def _grouped(width: int) -> Encode:
    def encode(weight: Weight) -> Encoding:
        channels = weight.array.shape[weight.axis]
        group = math.gcd(channels, GROUP)
        # Tables of a few numbers each cost more than they gain.
        if group * weight.array.size // channels < 1 << (width + 2):
            return encode_palette(weight.array, width)
        return encode_palette(weight.array, width, axis=weight.axis, group=group)

    return encode


def _pruned(share: float, width: int | None = None) -> Encode:
    return lambda weight: prune(weight.array, share, width)


def _rows() -> list[Kind]:
    rows = [Kind("linear-8", "8-bit numbers, a scale per channel", _linear, networks=True)]
    for width in (8, 6, 4, 2):
        text = f"palettes of {1 << width} numbers"
        rows.append(Kind(f"palette-{width}", text, _palette(width), networks=True))
    rows.append(
        Kind(
            "mixed-4",
            "palettes of 16 numbers for large weights, of 256 for others",
            _palette(4),
            networks=True,
        )
    )
    for width in (4, 2):
        text = f"palettes of {1 << width} numbers per {GROUP} channels"
        rows.append(Kind(f"grouped-{width}", text, _grouped(width), ios=18))
    for percent in (50, 75):
        text = f"the smallest {percent} % of the numbers are 0"
        rows.append(Kind(f"pruned-{percent}", text, _pruned(percent / 100)))
        name = f"pruned-{percent}-palette-4"
        more = f"{text}, the others in palettes of 16"
        rows.append(Kind(name, more, _pruned(percent / 100, 4), ios=18))
    for width in (4, 2):
        text = f"palettes of {1 << width} numbers, learned with the training data"
        rows.append(Kind(f"trained-{width}", text, _palette(width), networks=True, bits=width))
    return rows


KINDS = {kind.name: kind for kind in _rows()}
"""All kinds, by name."""


def by_name(names: Sequence[str]) -> list[Kind]:
    """The kinds of these names.

    Raises:
        OptionError: There is none, or a name is unknown.
    """
    if not names:
        raise OptionError(f"no kind of compression is named; expected some of: {', '.join(KINDS)}")
    for name in names:
        if name not in KINDS:
            raise OptionError(
                f"there is no kind of compression '{name}'; {did_you_mean(name, KINDS)}"
            )
    return [KINDS[name] for name in dict.fromkeys(names)]


def mixed_widths(weights: Sequence[Weight]) -> dict[str, int]:
    """Bits per index for each weight: 4 for the largest ones, 8 for the others.

    The small ones cost little, and a network is most sensitive to them: its first layer, and
    convolutions of one channel each.
    """
    total = sum(each.array.size for each in weights)
    found, seen = {}, 0
    for each in sorted(weights, key=lambda each: -each.array.size):
        found[each.key] = 4 if seen < LARGE_SHARE * total else 8
        seen += each.array.size
    return found


def encode(kind: Kind, weights: Sequence[Weight]) -> Mapping[str, Encoding]:
    """The smaller forms of the weights that get smaller by it, by their keys."""
    widths = mixed_widths(weights) if kind.name == "mixed-4" else {}
    found = {}
    for each in weights:
        if not np.isfinite(each.array).all():
            continue
        encoding = _palette(widths[each.key])(each) if widths else kind.encode(each)
        if encoding is not None and _is_smaller(encoding, each):
            found[each.key] = encoding
    return found


def _is_smaller(encoding: Encoding, weight: Weight) -> bool:
    return encoding.bits * weight.array.size / 8 + OVERHEAD < weight.array.nbytes
