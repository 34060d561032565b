"""Smaller forms of a weight: 8-bit numbers with a scale, palettes, and sparse numbers.

Each is computed in NumPy without any randomness, so the same weight always gives the same bytes.
With the same scales, tables or places of zeros, `like` is the form of other numbers, and `nearest`
what remains of one column of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Encoding",
    "Linear",
    "Palette",
    "Pruned",
    "assign",
    "encode_linear",
    "encode_palette",
    "fit_table",
    "prune",
]

ROUNDS = 200
"""The most rounds of k-means; one-dimensional data converges in fewer."""


@dataclass(frozen=True)
class Linear:
    """8-bit integers and one scale per channel: `codes * scale`.

    Args:
        codes: int8, from -127 to 127, in the shape of the weight.
        scale: One number per index of `axis`, of the weight's type.
        axis: The dimension of the output channels.
    """

    codes: NDArray[np.int8]
    scale: NDArray[Any]
    axis: int

    def dense(self) -> NDArray[Any]:
        """The numbers that the file stands for."""
        shape = [1] * self.codes.ndim
        shape[self.axis] = -1
        wide = self.codes.astype(np.float32) * self.scale.reshape(shape).astype(np.float32)
        return wide.astype(self.scale.dtype)

    def like(self, numbers: NDArray[Any]) -> Linear:
        """The form of other numbers with the same scales."""
        shape = [1] * self.codes.ndim
        shape[self.axis] = -1
        return replace(self, codes=_codes(numbers, self.scale.reshape(shape)))

    def nearest(self, numbers: NDArray[Any], column: int) -> NDArray[Any]:  # noqa: ARG002
        """What remains of numbers `(channels,)`, one input of each channel."""
        return _codes(numbers, self.scale) * self.scale.astype(np.float64)

    @property
    def bits(self) -> float:
        """Bits per number, tables included."""
        return 8 + 8 * self.scale.nbytes / self.codes.size


@dataclass(frozen=True)
class Palette:
    """Indices into a small table of numbers; or into one of several, by groups of channels.

    Args:
        indices: uint8, in the shape of the weight.
        table: `(groups, 2 ** width)`, of the weight's type, each row sorted.
        width: Bits per index: 1, 2, 4, 6 or 8.
        axis: The dimension that is divided into groups.
    """

    indices: NDArray[np.uint8]
    table: NDArray[Any]
    width: int
    axis: int = 0

    def dense(self) -> NDArray[Any]:
        """The numbers that the file stands for."""
        groups = np.arange(self.indices.shape[self.axis])
        groups = groups * len(self.table) // self.indices.shape[self.axis]
        shape = [1] * self.indices.ndim
        shape[self.axis] = -1
        found: NDArray[Any] = self.table[groups.reshape(shape), self.indices]
        return found

    def like(self, numbers: NDArray[Any]) -> Palette:
        """The form of other numbers with the same tables."""
        channels = np.moveaxis(numbers, self.axis, 0)
        parts = np.split(channels, len(self.table))
        found = np.concatenate([assign(*pair) for pair in zip(parts, self.table, strict=True)])
        return replace(self, indices=np.ascontiguousarray(np.moveaxis(found, 0, self.axis)))

    def nearest(self, numbers: NDArray[Any], column: int) -> NDArray[Any]:  # noqa: ARG002
        """What remains of numbers `(channels,)`, one input of each channel."""
        parts = np.split(numbers, len(self.table))
        pairs = zip(parts, self.table, strict=True)
        return np.concatenate([table[assign(part, table)] for part, table in pairs])

    @property
    def bits(self) -> float:
        """Bits per number, tables included."""
        return self.width + 8 * self.table.nbytes / self.indices.size


@dataclass(frozen=True)
class Pruned:
    """Only the numbers that are not 0, and where they are.

    Args:
        mask: bool, in the shape of the weight.
        values: The numbers where the mask is true, in order.
        palette: The same numbers as a palette, `indices` `(len(values),)`; None if they are stored
            as they are.
        axis: The dimension of the output channels.
    """

    mask: NDArray[np.bool_]
    values: NDArray[Any]
    palette: Palette | None = None
    axis: int = 0

    def dense(self) -> NDArray[Any]:
        """The numbers that the file stands for."""
        values = self.values if self.palette is None else self.palette.dense()
        whole = np.zeros(self.mask.shape, values.dtype)
        whole[self.mask] = values
        return whole

    def like(self, numbers: NDArray[Any]) -> Pruned:
        """The form of other numbers with zeros in the same places, and the same table."""
        values = numbers[self.mask].astype(self.values.dtype)
        palette = None if self.palette is None else self.palette.like(values)
        return replace(self, values=values, palette=palette)

    def nearest(self, numbers: NDArray[Any], column: int) -> NDArray[Any]:
        """What remains of numbers `(channels,)`, one input of each channel."""
        kept = np.moveaxis(self.mask, self.axis, 0).reshape(len(numbers), -1)[:, column]
        near = numbers if self.palette is None else self.palette.nearest(numbers, column)
        return np.where(kept, near, 0)

    @property
    def bits(self) -> float:
        """Bits per number, tables included."""
        each = 8 * self.values.itemsize if self.palette is None else self.palette.bits
        return 1 + each * len(self.values) / self.mask.size


Encoding: TypeAlias = Linear | Palette | Pruned


def encode_linear(weight: NDArray[Any], axis: int) -> Linear:
    """8-bit numbers with one scale per channel along `axis`; the largest is 127 scales away."""
    rest = tuple(each for each in range(weight.ndim) if each != axis)
    largest = np.abs(weight.astype(np.float32)).max(axis=rest)
    scale = (largest / 127).astype(weight.dtype)
    shape = [1] * weight.ndim
    shape[axis] = -1
    return Linear(_codes(weight, scale.reshape(shape)), scale, axis)


def _codes(numbers: NDArray[Any], scale: NDArray[Any]) -> NDArray[np.int8]:
    # A scale that is rounded down to 0 stands for a channel of zeros.
    divisor = np.where(scale == 0, 1, scale.astype(np.float32))
    codes: NDArray[np.int8] = (
        np.rint(numbers.astype(np.float32) / divisor).clip(-127, 127).astype(np.int8)
    )
    return codes


def encode_palette(
    weight: NDArray[Any],
    width: int,
    *,
    axis: int = 0,
    group: int | None = None,
    importance: NDArray[Any] | None = None,
) -> Palette:
    """The palette of `2 ** width` numbers with the smallest squared error that k-means finds.

    Args:
        weight: The numbers.
        width: Bits per index.
        axis: The dimension of the channels.
        group: How many channels share a table, a divisor of their number; None: all of them.
        importance: How much the squared error of each number counts, in the shape of `weight`;
            None: all the same.
    """
    channels = weight.shape[axis]
    count = channels // (group or channels)
    moved = np.moveaxis(weight, axis, 0)
    rows = moved.reshape(count, -1)
    counts = (
        [None] * count
        if importance is None
        else list(np.moveaxis(importance, axis, 0).reshape(count, -1))
    )
    tables = np.stack(
        [fit_table(row, width, importance=own) for row, own in zip(rows, counts, strict=True)]
    )
    indices = np.stack([assign(row, table) for row, table in zip(rows, tables, strict=True)])
    shaped = np.moveaxis(indices.reshape(moved.shape), 0, axis)
    return Palette(np.ascontiguousarray(shaped), tables, width, axis)


def prune(
    weight: NDArray[Any],
    share: float,
    width: int | None = None,
    *,
    axis: int = 0,
    importance: NDArray[Any] | None = None,
) -> Pruned:
    """Set the numbers to 0 that give the smallest squared error.

    Args:
        weight: The numbers.
        share: Which share of them.
        width: Store the others as a palette with indices of this many bits; None: as they are.
        axis: The dimension of the channels.
        importance: See `encode_palette`.
    """
    size = np.abs(weight.astype(np.float32)).reshape(-1)
    if importance is not None:
        size = size * np.sqrt(importance.reshape(-1))
    kept = np.ones(weight.size, np.bool_)
    kept[np.argsort(size, kind="stable")[: round(share * weight.size)]] = False
    mask = kept.reshape(weight.shape) & (weight != 0)
    values = weight[mask]
    palette = None
    if width is not None and len(values):
        counts = None if importance is None else importance[mask]
        palette = encode_palette(values, width, importance=counts)
    return Pruned(mask, values, palette, axis)


def fit_table(
    numbers: NDArray[Any],
    width: int,
    *,
    start: NDArray[Any] | None = None,
    rounds: int = ROUNDS,
    importance: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """A sorted table of `2 ** width` numbers, by k-means in one dimension.

    On sorted numbers, a round is a binary search and a difference of cumulative sums. The best of
    three starts counts: evenly spaced, at quantiles, and with a density of the cube root, which is
    the best one for many numbers (Panter and Dite, "Quantization distortion in pulse-count
    modulation with nonuniform spacing of levels", Proceedings of the IRE 39, 1951).

    Args:
        numbers: Any shape, at least one.
        width: Bits per index.
        start: Another start, in place of the three.
        rounds: The most rounds.
        importance: How much the squared error of each number counts; None: all the same.

    Returns:
        `(2 ** width,)`, rounded to the type of `numbers`.
    """
    flat = numbers.astype(np.float64).reshape(-1)
    if importance is None:
        ordered, counts = np.sort(flat), np.ones(len(flat))
    else:
        order = np.argsort(flat, kind="stable")
        ordered, counts = flat[order], importance.astype(np.float64).reshape(-1)[order]
    sums = np.stack(
        [np.concatenate([[0.0], np.cumsum(counts * ordered**power)]) for power in range(3)]
    )
    starts = _starts(ordered, 1 << width) if start is None else [np.sort(start.astype(np.float64))]
    found = [_k_means(ordered, sums, table, rounds) for table in starts]
    best = min(found, key=lambda each: each[0])[1]
    return np.sort(best.astype(numbers.dtype))


def assign(numbers: NDArray[Any], table: NDArray[Any]) -> NDArray[np.uint8]:
    """The index of the nearest entry of a sorted table; of two as near, the lower one."""
    wide = table.astype(np.float64)
    middle = (wide[1:] + wide[:-1]) / 2
    return np.searchsorted(middle, numbers.astype(np.float64)).astype(np.uint8)


def _starts(ordered: NDArray[np.float64], size: int) -> list[NDArray[np.float64]]:
    quantiles = (np.arange(size) + 0.5) / size
    even = ordered[0] + quantiles * (ordered[-1] - ordered[0])
    counts, edges = np.histogram(ordered, bins=min(1024, max(16, len(ordered) // 4)))
    density = np.concatenate([[0.0], np.cumsum(np.cbrt(counts))])
    curved = np.interp(quantiles * density[-1], density, edges)
    return [even, np.quantile(ordered, quantiles), curved]


def _k_means(
    ordered: NDArray[np.float64],
    sums: NDArray[np.float64],
    table: NDArray[np.float64],
    rounds: int,
) -> tuple[float, NDArray[np.float64]]:
    """The squared error and the table after some rounds, or when nothing changes any more.

    `sums` are cumulative: of the importance of each number, times the number, times its square.
    """
    for _ in range(rounds):
        parts = np.searchsorted(ordered, (table[1:] + table[:-1]) / 2, side="right")
        ends = np.concatenate([[0], parts, [len(ordered)]])
        counts, firsts, squares = np.diff(sums[:, ends])
        means = firsts / np.where(counts > 0, counts, 1)
        moved = np.sort(np.where(counts > 0, means, table))  # an entry without numbers stays
        if np.array_equal(moved, table):
            break
        table = moved
    return float((squares - counts * means**2).sum()), table
