"""Every form of pooling, compared window by window with NumPy.

PyTorch cannot be the reference: it does not count what a last window lacks (`ceil_mode`), and a
device does.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from arrays import Draw, Run, f32
from layer_cases.case import edges
from pocketlens.errors import UnsupportedParameter

draw = Draw(140)
Sides = list[tuple[int, int]]

REDUCTIONS = {
    "max": lambda window: window.max(),
    "l2": lambda window: np.sqrt((window**2).sum()),
}


def windows_of(length: int, kernel: int, stride: int, sides: tuple[int, int], ceil: bool) -> range:
    """Where the windows start; 0 is the first element of the tensor, not of its padding."""
    before, after = sides
    count, rest = divmod(length + before + after - kernel, stride)
    starts = [stride * i - before for i in range(count + 1 + (ceil and rest > 0))]
    # Apple's text: a window that begins after the elements is dropped.
    while ceil and starts[-1] >= length:
        starts.pop()
    return range(starts[0], starts[-1] + 1, stride)


def pooled(
    kind: str, x: np.ndarray, kernel: list[int], strides: list[int], pads: Sides, *,
    ceil: bool = False, exclude: bool = False,
) -> np.ndarray:  # fmt: skip
    """Pool x [n, C, *D]; a missing element is a 0 that counts, unless `exclude` is true."""
    sizes = x.shape[2:]
    starts = [windows_of(*each, ceil) for each in zip(sizes, kernel, strides, pads, strict=True)]
    result = np.zeros((*x.shape[:2], *map(len, starts)))
    for place in np.ndindex(*result.shape):
        first = [begin[i] for begin, i in zip(starts, place[2:], strict=True)]
        part = tuple(
            slice(max(begin, 0), min(begin + size, whole))
            for begin, size, whole in zip(first, kernel, sizes, strict=True)
        )
        window = x[place[:2]][part].astype(np.float64)
        if kind == "average":
            result[place] = window.sum() / (window.size if exclude else np.prod(kernel))
        else:
            result[place] = REDUCTIONS[kind](window)
    return result


PUBLISHED = [
    # coremltools issues 2844 and 2772: what a Mac prints
    ((1, 1, 7, 7), [2, 2], [3, 3], [[4, 7, 4.75], [25, 28, 15.25], [21.25, 22.75, 12]]),
    ((1, 1, 3, 3), [2, 2], [2, 2], [[2, 1.75], [3.25, 2]]),
    ((1, 1, 7), [2], [3], [0.5, 3.5, 3]),
]


@pytest.mark.parametrize(("shape", "kernel", "strides", "expected"), PUBLISHED)
def test_numbers_that_a_mac_prints(
    shape: tuple[int, ...], kernel: list[int], strides: list[int], expected: Any, run_op: Run
) -> None:
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    fields = {"kernel_sizes": kernel, "strides": strides, "pad_type": "valid", "ceil_mode": True}
    y = f32(expected)
    (answer,) = run_op("avg_pool", {"x": x}, fields, [("float32", (1, 1, *y.shape))])
    np.testing.assert_allclose(answer[0, 0], y, rtol=1e-6)


MIL_OPS = {"average": "avg_pool", "max": "max_pool", "l2": "l2_pool"}
SHAPES = [
    ((2, 3, 11), [3], [2]),
    ((1, 2, 10), [4], [3]),
    ((1, 2, 7, 8), [3, 2], [2, 3]),
    ((1, 2, 9, 6), [2, 4], [2, 3]),
]


@pytest.mark.parametrize(("kind", "exclude"), [*((k, False) for k in MIL_OPS), ("average", True)])
@pytest.mark.parametrize(("shape", "kernel", "strides"), SHAPES)
@pytest.mark.parametrize("padding", [0, 1])
def test_ceil_mode(
    shape: tuple[int, ...], kernel: list[int], strides: list[int], padding: int, kind: str,
    exclude: bool, run_op: Run,
) -> None:  # fmt: skip
    x = draw.normal(*shape)
    fields: dict[str, Any] = {"kernel_sizes": kernel, "strides": strides, "ceil_mode": True}
    fields |= {"pad_type": "custom", "pad": [padding] * 2 * len(kernel)}
    if kind == "average":
        fields["exclude_padding_from_average"] = exclude
    pads = [(padding, padding)] * len(kernel)
    expected = pooled(kind, x, kernel, strides, pads, ceil=True, exclude=exclude)
    (answer,) = run_op(MIL_OPS[kind], {"x": x}, fields, [("float32", expected.shape)])
    np.testing.assert_allclose(answer, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("pad_type", ["same", "same_lower"])
def test_same_padding_is_complete_without_ceil_mode(pad_type: str, run_op: Run) -> None:
    """With windows further apart than they are long, `same` ends before the last elements."""
    x = draw.normal(1, 2, 8)
    fields = {"kernel_sizes": [1], "strides": [3], "pad_type": pad_type, "ceil_mode": True}
    (answer,) = run_op("avg_pool", {"x": x}, fields, [("float32", (1, 2, 3))], "CoreML6")
    np.testing.assert_allclose(answer, x[..., ::3], rtol=1e-6)


@pytest.mark.parametrize(("kind", "exclude"), [*((k, False) for k in MIL_OPS), ("average", True)])
@pytest.mark.parametrize("amounts", [[0, 0], [1, 1], [0, 1], [1, 0]])
def test_include_last_pixel(kind: str, exclude: bool, amounts: list[int], run_layer: Run) -> None:
    for kernel, strides in itertools.product(([3, 2], [2, 2]), ([2, 2], [2, 3])):
        x = draw.normal(1, 2, 8, 7)
        fields = {
            "type": kind.upper(), "kernelSize": kernel, "stride": strides,
            "includeLastPixel": {"paddingAmounts": amounts}, "avgPoolExcludePadding": exclude,
        }  # fmt: skip
        pads = [(amount, amount) for amount in amounts]
        expected = pooled(kind, x, kernel, strides, pads, ceil=True, exclude=exclude)
        (answer,) = run_layer("pooling", [x], fields, [expected.shape])
        np.testing.assert_allclose(answer, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("exclude", [False, True])
def test_uneven_valid_padding(exclude: bool, run_layer: Run) -> None:
    """A window that lacks elements on one side only, up to one that is as large as the padding."""
    x = draw.normal(1, 2, 7, 6)
    for pads in ([(0, 1), (1, 0)], [(2, 0), (0, 3)], [(0, 2), (2, 2)]):
        fields = {
            "type": "AVERAGE", "kernelSize": [3, 4], "stride": [2, 2],
            "valid": {"paddingAmounts": edges(*pads[0], *pads[1])},
            "avgPoolExcludePadding": exclude,
        }  # fmt: skip
        expected = pooled("average", x, [3, 4], [2, 2], pads, exclude=exclude)
        (answer,) = run_layer("pooling", [x], fields, [expected.shape])
        np.testing.assert_allclose(answer, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("exclude", [False, True])
def test_padding_of_three_dimensions(exclude: bool, run_layer: Run) -> None:
    x = draw.normal(1, 2, 5, 6, 4)
    pads = [(1, 0), (0, 2), (1, 1)]
    sides = ("Front", "Back", "Top", "Bottom", "Left", "Right")
    fields = {
        "type": "AVERAGE", "paddingType": "CUSTOM", "countExcludePadding": exclude,
        "kernelDepth": 2, "kernelHeight": 3, "kernelWidth": 2,
        "strideDepth": 2, "strideHeight": 2, "strideWidth": 1,
    }  # fmt: skip
    amounts = [amount for pair in pads for amount in pair]
    fields |= {f"customPadding{side}": n for side, n in zip(sides, amounts, strict=True)}
    expected = pooled("average", x, [2, 3, 2], [2, 2, 1], pads, exclude=exclude)
    (answer,) = run_layer("pooling3d", [x], fields, [expected.shape])
    np.testing.assert_allclose(answer, expected, rtol=2e-5, atol=2e-6)


def test_a_window_after_the_elements_needs_padding_along_its_own_dimension(run_op: Run) -> None:
    """As coremltools computes the shape of an ML Program's pooling."""
    x = draw.normal(1, 1, 6, 7)
    fields = {"kernel_sizes": [1, 3], "strides": [4, 2], "pad_type": "custom", "ceil_mode": True}
    for pad in ([0, 0, 1, 1], [0, 0, 0, 0]):
        with pytest.raises(UnsupportedParameter, match="starts after the 6 elements"):
            run_op("avg_pool", {"x": x}, fields | {"pad": pad}, [("float32", (1, 1, 3, 4))])
    expected = pooled("average", x, [1, 3], [4, 2], [(1, 1), (0, 0)], ceil=True)
    (answer,) = run_op(
        "avg_pool", {"x": x}, fields | {"pad": [1, 1, 0, 0]}, [("float32", expected.shape)]
    )
    np.testing.assert_allclose(answer, expected, rtol=2e-5, atol=2e-6)
