"""The arrays that are given for a model, as the inputs of one or several runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.errors import DataError
from pocketlens.evaluation.arrays import ArrayInput, ArrayModel, Arrays

__all__ = ["split_cases"]


def split_cases(model: ArrayModel, arrays: Arrays) -> list[dict[str, NDArray[Any]]]:
    """Arrays as the inputs of one or several runs of a model.

    Arrays that the model takes as they are are one run. If its inputs have a fixed first size, such
    as one image, arrays with several times as many rows are several runs; and a dimension of size 1
    in front may be left out.

    Args:
        model: The model.
        arrays: One array for each input, by name; a single array may have any name.

    Raises:
        DataError: Inputs are missing or unknown, or have a shape that the model does not take.
    """
    given = _named(model, arrays)
    if _fits(model, given):
        return [given]
    if _fits(model, batched := {name: array[None] for name, array in given.items()}):
        return [batched]
    sizes = {_first(each) for each in model.inputs}
    counts = {len(array) if array.ndim else 0 for array in given.values()}
    (size, *others), (count, *different) = sizes, counts
    if size and not others and not different and count and count % size == 0:
        parts = [
            {name: array[at : at + size] for name, array in given.items()}
            for at in range(0, count, size)
        ]
        if _fits(model, parts[0]):
            return parts
    wanted = ", ".join(f"{each.name} {each.expected}" for each in model.inputs)
    received = ", ".join(f"{name} {array.shape}" for name, array in given.items())
    raise DataError(f"the arrays do not fit the model: expected {wanted}; received: {received}")


def _named(model: ArrayModel, arrays: Arrays) -> dict[str, NDArray[Any]]:
    names = [each.name for each in model.inputs]
    if len(names) == 1 and len(arrays) == 1:
        arrays = {names[0]: next(iter(arrays.values()))}
    missing = [name for name in names if name not in arrays]
    extra = [name for name in arrays if name not in names]
    if missing or extra:
        raise DataError(
            f"expected one array for each input of the model: {', '.join(names)}; received: "
            f"{', '.join(arrays) or 'none'}"
        )
    given = {}
    for each in model.inputs:
        array = np.asarray(arrays[each.name])
        texts = each.dtype == "str"
        if array.dtype.kind not in ("OUS" if texts else "biuf"):
            raise DataError(
                f"the input {each.name!r} takes {'texts' if texts else 'numbers'}; received an "
                f"array of {array.dtype}"
            )
        given[each.name] = array.astype(object) if texts else _numbers(each, array)
        if not model.rows and not texts and np.isnan(given[each.name]).any():
            raise DataError(
                f"the input {each.name!r} has NaN, a missing value, among its numbers; the answer "
                "to it is NaN, so there is nothing to compare; expected a number in every place"
            )
    return given


def _numbers(each: ArrayInput, array: NDArray[Any]) -> NDArray[Any]:
    """An array of the type of an input.

    Raises:
        DataError: A number has no equal in that type: a fraction, or one that is too large.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        made = array.astype(each.dtype)
    whole = made.dtype.kind in "iu"
    lost = made != array if whole else np.isinf(made) & np.isfinite(array)
    if lost.any():
        raise DataError(
            f"the input {each.name!r} takes {'whole numbers of the type ' * whole}{each.dtype}; "
            f"received {array[lost][0]:.6g}"
        )
    return made


def _first(each: ArrayInput) -> int | None:
    size = each.shape[0] if each.shape else None
    return size if isinstance(size, int) else None


def _fits(model: ArrayModel, arrays: Arrays) -> bool:
    return all(each.allows(arrays[each.name].shape) for each in model.inputs)
