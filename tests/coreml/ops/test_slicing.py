"""Slices with bounds that are known only at run time, and repeated sequences."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pytest

from arrays import Run, f32
from pocketlens.errors import ModelFileError, UnsupportedParameter

R = np.random.default_rng(71)
x = R.standard_normal((5, 6, 4)).astype(np.float32)

# begin, end, stride, begin mask, end mask
Row: TypeAlias = tuple[list[int], list[int], list[int], list[bool], list[bool]]
ROWS: list[Row] = [
    ([1, 0, 2], [4, 6, 4], [1, 1, 1], [False] * 3, [False] * 3),
    ([-4, 1, -1], [-1, 6, -4], [1, 2, -1], [False] * 3, [False] * 3),
    ([3, 2, 1], [1, 5, 2], [1, 1, 1], [True, False, True], [False, True, True]),
    ([3, 4, 3], [4, 1, 0], [-2, -1, -3], [True, False, False], [True, False, True]),
]
NAMES = ("endIds", "strides", "beginMasks", "endMasks")


def sliced(
    begin: list[int],
    end: list[int],
    stride: list[int],
    from_start: list[bool],
    to_end: list[bool],
) -> np.ndarray:
    rows = zip(begin, end, stride, from_start, to_end, strict=True)
    return x[tuple(slice(None if m else b, None if n else e, s) for b, e, s, m, n in rows)]


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("given", range(1, 6))
def test_slice(run_layer: Run, row: Row, given: int) -> None:
    """The first `given` of the five arguments are inputs, the others are fields in the file."""
    expected = sliced(*row)
    assert expected.size
    inputs = [x, *(f32(each) for each in row[:given])]
    fields = dict(zip(NAMES[given - 1 :], row[given:], strict=True))
    (y,) = run_layer("sliceDynamic", inputs, fields, [expected.shape])
    np.testing.assert_array_equal(y, expected)


def test_slice_with_five_of_each_field(run_layer: Run) -> None:
    """As coremltools writes it, whatever the number of dimensions."""
    begin, end, *_ = ROWS[0]
    fields = {"endIds": [1] * 5, "strides": [1] * 5} | dict.fromkeys(NAMES[2:], [False] * 5)
    inputs = [x, f32(begin), f32(end)]
    (y,) = run_layer("sliceDynamic", inputs, fields, [(3, 6, 2)])
    np.testing.assert_array_equal(y, x[1:4, :, 2:])


def test_slice_that_drops_dimensions(run_layer: Run) -> None:
    """For a dropped dimension, the element at `begin` is taken; -1 is the last."""
    fields = {"endIds": [5, 0, 3], "squeezeMasks": [False, True, True]}
    fields |= {"beginMasks": [False, True, False], "endMasks": [True, False, False]}
    (y,) = run_layer("sliceDynamic", [x, f32([2, 3, -1])], fields, [(3,)])
    np.testing.assert_array_equal(y, x[2:, 3, -1])


def test_invalid_bounds(run_layer: Run) -> None:
    begin = f32([0, 0, 0])
    with pytest.raises(ModelFileError, match="must have 3 numbers each, one per dimension of x"):
        run_layer("sliceDynamic", [x, begin[:2]], {"endIds": [1, 1, 1]}, [(1, 1, 1)])
    with pytest.raises(ModelFileError, match="must have 3 numbers each, one per dimension of x"):
        run_layer("sliceDynamic", [x, begin], {}, [(1, 1, 1)])
    six = [begin + 1, begin + 1, begin, begin, begin]
    with pytest.raises(UnsupportedParameter, match="squeezeMasks is computed .* expected a const"):
        run_layer("sliceDynamic", [x, begin, *six], {}, [(1, 1, 1)])


SEQUENCE = R.standard_normal((3, 2, 4, 1, 2)).astype(np.float32)


@pytest.mark.parametrize(
    ("fields", "count"), [({"nRepetitions": 3}, 3), ({"nRepetitions": 1}, 1), ({}, 1)]
)
def test_sequence_repeat(run_layer: Run, fields: dict[str, Any], count: int) -> None:
    """The whole sequence, then the whole sequence again."""
    (y,) = run_layer("sequenceRepeat", [SEQUENCE], fields, [(3 * count, 2, 4, 1, 2)])
    np.testing.assert_array_equal(y, np.concatenate([SEQUENCE] * count))


@pytest.mark.parametrize(
    ("given", "count"), [(SEQUENCE[0], 2), (SEQUENCE, 2**31), (SEQUENCE, 2**30)]
)
def test_invalid_sequence_repeat(run_layer: Run, given: np.ndarray, count: int) -> None:
    with pytest.raises(ModelFileError, match="expected at (least 5 dim|most 2147483648 bytes)"):
        run_layer("sequenceRepeat", [given], {"nRepetitions": count}, [(1, 1, 1, 1, 1)])
