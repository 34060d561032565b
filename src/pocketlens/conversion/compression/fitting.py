"""Fit the smaller form of a weight to what the weight is multiplied with.

The numbers of a weight are rounded input by input, and those that are not rounded yet make up for
the error, as far as their inputs go together with the rounded ones (Frantar and Alistarh, "Optimal
Brain Compression", 2022; Frantar et al., "GPTQ", 2022). The bias takes what is left of the mean
(Nagel et al., "Data-Free Quantization through Weight Equalization and Bias Correction", 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.compression.encodings import Encoding
from pocketlens.conversion.compression.moments import Moments, matrix
from pocketlens.conversion.compression.weights import Weight

__all__ = ["Fitted", "fit", "importance", "noise"]

DAMPING = 0.05
"""Added to the mean square of each input, as a share of their average: images are few."""

COLUMNS = 64
"""Inputs that are rounded before the error is carried over to all the others."""

Round = Callable[[NDArray[np.float64], int], NDArray[Any]]


@dataclass(frozen=True)
class Fitted:
    """The new weights of a file.

    Args:
        encodings: Smaller forms by the key of the weight.
        biases: New biases `(channels,)` by the operation.
    """

    encodings: Mapping[str, Encoding]
    biases: Mapping[str, NDArray[Any]]


def importance(weight: Weight, moments: Moments | None) -> NDArray[np.float64] | None:
    """How much the squared error of each number counts, in the shape of the weight."""
    if moments is None:
        return None
    energy = moments.energy()
    energy += 1e-6 * energy.mean() + 1e-30  # what no image has may still be seen one day
    moved = np.moveaxis(weight.array, weight.axis, 0).shape
    rows = np.repeat(energy, moved[0] // moments.groups, axis=0)
    return np.moveaxis(rows.reshape(moved), 0, weight.axis)


def noise(weight: Weight, encoding: Encoding, moments: Moments | None) -> float:
    """The power of the error after the operation, as a share of the power of its result."""
    rows = matrix(weight)
    error = matrix(replace(weight, array=encoding.dense())) - rows
    if moments is None:
        power = [float((each**2).sum()) for each in (error, rows)]
    else:
        power = [moments.power(each, centered=weight.bias is not None) for each in (error, rows)]
    return power[0] / power[1] if power[1] else 0.0


def fit(
    weight: Weight, encoding: Encoding, moments: Moments
) -> tuple[Encoding, NDArray[Any] | None]:
    """The same form with numbers that suit the inputs better, and the bias for them.

    Args:
        weight: The weight.
        encoding: Its smaller form, whose scales, tables and places of zeros stay.
        moments: Of its inputs.

    Returns:
        The form; and the bias, None if it stays.
    """
    rows, bias = matrix(weight), weight.bias
    whole = rows if bias is None else np.concatenate([rows, bias[:, None].astype(np.float64)], 1)
    rounded = np.empty_like(rows)
    for block, part in zip(moments.blocks, moments.parts, strict=True):
        columns = [*range(part.start, part.stop)] + ([] if bias is None else [rows.shape[1]])
        size = len(columns)
        own, last = _rounded(
            whole[:, columns],
            block[:, :size, :size],
            encoding.nearest,
            first=part.start,
            fixed=part.stop - part.start,
        )
        rounded[:, part] = own
        if bias is not None:
            whole[:, -1] = last
    moved = np.moveaxis(weight.array, weight.axis, 0)
    found = encoding.like(np.moveaxis(rounded.reshape(moved.shape), 0, weight.axis))
    if bias is None:
        return found, None
    with np.errstate(over="ignore"):
        changed = whole[:, -1].astype(bias.dtype)
    return (found, changed) if np.isfinite(changed).all() else (encoding, None)


def _rounded(
    rows: NDArray[np.float64],
    moments: NDArray[np.float64],
    nearest: Round,
    *,
    first: int,
    fixed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The first `fixed` columns rounded, and the last column after that.

    Args:
        rows: `(channels, n)`.
        moments: `(groups, n, n)` of their inputs.
        nearest: Rounds a column of numbers, given its place in the whole weight.
        first: The place of the first column.
        fixed: How many columns are rounded: all, or all but a bias.
    """
    groups, count = len(moments), rows.shape[1]
    upper = _factor(moments, fixed)
    left = rows.reshape(groups, -1, count).transpose(0, 2, 1).copy()  # (groups, n, channels)
    found = np.empty((groups, fixed, left.shape[2]))
    for start in range(0, fixed, COLUMNS):
        stop = min(start + COLUMNS, fixed)
        errors = np.empty((groups, stop - start, left.shape[2]))
        for at in range(start, stop):
            own = left[:, at]
            found[:, at] = nearest(own.reshape(-1), first + at).reshape(own.shape)
            errors[:, at - start] = error = (own - found[:, at]) / upper[:, at, at, None]
            left[:, at + 1 : stop] -= upper[:, at, at + 1 : stop, None] * error[:, None]
        left[:, stop:] -= upper[:, start:stop, stop:].transpose(0, 2, 1) @ errors
    rounded = found.transpose(0, 2, 1).reshape(len(rows), fixed)
    return rounded, left[:, -1].reshape(-1)


def _factor(moments: NDArray[np.float64], fixed: int) -> NDArray[np.float64]:
    """The upper Cholesky factor of the inverse of the moments, damped, `(groups, n, n)`."""
    damped = moments.copy()
    diagonal = np.einsum("gii->gi", damped)
    diagonal += 1e-9
    mean = diagonal[:, :fixed].mean(1, keepdims=True)
    diagonal[:, :fixed] += DAMPING * mean
    return np.linalg.cholesky(np.linalg.inv(damped)).transpose(0, 2, 1)
