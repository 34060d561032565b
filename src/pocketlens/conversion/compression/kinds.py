"""The kinds of compression that are tried, and what each needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.compression.encodings import (
    Encoding,
    encode_linear,
    encode_palette,
    prune,
)
from pocketlens.conversion.compression.fitting import Fitted, fit, importance, noise
from pocketlens.conversion.compression.moments import Moments
from pocketlens.conversion.compression.weights import Weight
from pocketlens.errors import OptionError, did_you_mean

__all__ = ["KINDS", "Kind", "by_name", "encode", "mixed_widths"]

OVERHEAD = 128
"""Bytes that a compressed weight costs besides its numbers: headers in the weights file."""

GROUP = 16
"""How many channels share a table in palettes by groups, as coremltools suggests."""

WIDTHS = (2, 4, 6, 8)
"""Bits per index of the palettes that a file can have."""

TESTED = 4
"""Bits per index for which the error is computed; it is 16 times smaller with two bits more."""

Encode = Callable[[Weight, NDArray[Any] | None], Encoding]


@dataclass(frozen=True)
class Kind:
    """A way to compress the weights of a file.

    Args:
        name: Its name, such as `palette-4`.
        text: What it does, in a few words.
        encode: The smaller form of a weight; its second argument is the importance of each number,
            or None.
        ios: The iOS version that an ML Program needs for it.
        networks: Whether a neural network (`.mlmodel`) can have it.
        bits: Of the palettes that are learned with the training data; None if nothing is learned.
        average: Bits per number on average, if each weight has its own; else None.
    """

    name: str
    text: str
    encode: Encode
    ios: int = 16
    networks: bool = False
    bits: int | None = None
    average: float | None = None


def _linear(weight: Weight, importance: NDArray[Any] | None) -> Encoding:  # noqa: ARG001
    return encode_linear(weight.array, weight.axis)


def _palette(width: int) -> Encode:
    return lambda weight, importance: encode_palette(weight.array, width, importance=importance)


def _grouped(width: int) -> Encode:
    def encode(weight: Weight, importance: NDArray[Any] | None) -> Encoding:
        channels = weight.array.shape[weight.axis]
        group = math.gcd(channels, GROUP)
        # Tables of a few numbers each cost more than they gain.
        if group * weight.array.size // channels < 1 << (width + 2):
            return encode_palette(weight.array, width, importance=importance)
        return encode_palette(
            weight.array, width, axis=weight.axis, group=group, importance=importance
        )

    return encode


def _pruned(share: float, width: int | None = None) -> Encode:
    return lambda weight, importance: prune(
        weight.array, share, width, axis=weight.axis, importance=importance
    )


def _rows() -> list[Kind]:
    rows = [Kind("linear-8", "8-bit numbers, a scale per channel", _linear, networks=True)]
    for width in (8, 6, 4, 2):
        text = f"palettes of {1 << width} numbers"
        rows.append(Kind(f"palette-{width}", text, _palette(width), networks=True))
    for name, average in (("mixed-4", 4.6), ("mixed-6", 6.0)):
        text = f"palettes of 4 to 256 numbers, {average:g} bits per number on average"
        rows.append(Kind(name, text, _palette(TESTED), networks=True, average=average))
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


def encode(
    kind: Kind, weights: Sequence[Weight], moments: Mapping[str, Moments] | None = None
) -> Fitted:
    """The smaller forms of the weights that get smaller by it, and the biases for them.

    Args:
        kind: The kind of compression.
        weights: The weights of a file.
        moments: Of their inputs, by the key of the weight; without those of a weight, the errors of
            all its numbers count the same.
    """
    seen = moments or {}
    weights = [each for each in weights if np.isfinite(each.array).all()]
    widths = {} if kind.average is None else mixed_widths(weights, kind.average, seen)
    encodings, biases = {}, {}
    for each in weights:
        own = seen.get(each.key)
        make = _palette(widths[each.key]) if widths else kind.encode
        encoding = make(each, importance(each, own))
        if not _is_smaller(encoding, each):
            continue
        if own is not None:
            encoding, bias = fit(each, encoding, own)
            if bias is not None:
                biases[each.places[0]] = bias
        encodings[each.key] = encoding
    return Fitted(encodings, biases)


def mixed_widths(
    weights: Sequence[Weight], average: float, moments: Mapping[str, Moments]
) -> dict[str, int]:
    """Bits per index for each weight: more where they reduce the noise most.

    The noise of all operations, as a share of their results, counts the same. From the least bits
    on, those are added that reduce it most for their size, as long as the average allows them.
    """
    noises = {
        each.key: noise(each, encoding if own is None else fit(each, encoding, own)[0], own)
        for each in weights
        for own in [moments.get(each.key)]
        for encoding in [_palette(TESTED)(each, importance(each, own))]
    }
    found = {each.key: WIDTHS[0] for each in weights}
    left = sum(average * each.array.size - _cost(each, WIDTHS[0]) for each in weights)
    while True:
        steps = [
            (noises[each.key] * (_share(found[each.key]) - _share(width)) / cost, each.key, width)
            for each in weights
            for width in WIDTHS
            if width > found[each.key]
            and (cost := _cost(each, width) - _cost(each, found[each.key])) <= left
        ]
        if not steps:
            return found
        _, key, width = max(steps)
        weight = next(each for each in weights if each.key == key)
        left -= _cost(weight, width) - _cost(weight, found[key])
        found[key] = width


def _share(width: int) -> float:
    """The noise with this many bits, as a share of that with `TESTED`."""
    return float(4.0 ** (TESTED - width))


def _cost(weight: Weight, width: int) -> int:
    """Bits that a palette takes."""
    return width * weight.array.size + 8 * weight.array.itemsize * (1 << width)


def _is_smaller(encoding: Encoding, weight: Weight) -> bool:
    return encoding.bits * weight.array.size / 8 + OVERHEAD < weight.array.nbytes
