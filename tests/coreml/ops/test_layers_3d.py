"""Convolution and pooling over three dimensions, compared with PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from arrays import Draw, Run, t
from pocketlens.errors import ModelFileError, UnsupportedParameter

Expected: TypeAlias = Callable[[torch.Tensor], torch.Tensor]

draw = Draw(51)
x = draw.normal(2, 4, 6, 7, 5)
weight, bias = draw.normal(6, 4, 3, 2, 3), draw.normal(6)
grouped = draw.normal(6, 2, 3, 2, 3)
transposed = draw.normal(4, 3, 2, 3, 2)  # Cin, Cout / groups


def sides(name: str, *sizes: int) -> dict[str, int]:
    return {f"{name}{d}": size for d, size in zip(("Depth", "Height", "Width"), sizes, strict=True)}


def around(*amounts: int) -> dict[str, int]:
    """Front, back, top, bottom, left, right."""
    names = ("Front", "Back", "Top", "Bottom", "Left", "Right")
    return {f"customPadding{name}": amount for name, amount in zip(names, amounts, strict=True)}


UNIT = sides("stride", 1, 1, 1) | sides("dilation", 1, 1, 1) | {"nGroups": 1}
SIZES = {"outputChannels": 6, "inputChannels": 4, "weights": weight} | sides("kernel", 3, 2, 3)
CUSTOM = around(1, 2, 0, 1, 2, 0)
PADDED = (2, 0, 0, 1, 1, 2)  # the same in PyTorch's order, last dimension first

CONVOLUTIONS: list[tuple[dict[str, Any], Expected, str]] = [
    ({}, lambda v: F.conv3d(v, t(weight)), "defaults"),
    ({"paddingType": "VALID"} | CUSTOM, lambda v: F.conv3d(v, t(weight)), "valid"),
    ({"hasBias": True, "bias": bias}, lambda v: F.conv3d(v, t(weight), t(bias)), "bias"),
    (CUSTOM, lambda v: F.conv3d(F.pad(v, PADDED), t(weight)), "custom"),
    (
        sides("stride", 2, 1, 3) | sides("dilation", 1, 2, 1),
        lambda v: F.conv3d(v, t(weight), stride=(2, 1, 3), dilation=(1, 2, 1)),
        "stride and dilation",
    ),
    # Padding: size 6, stride 2, window 3: 1 after; 7, 1, 2: 1 after; 5, 2, 3: 1 on each side.
    (
        {"paddingType": "SAME"} | sides("stride", 2, 1, 2),
        lambda v: F.conv3d(F.pad(v, (1, 1, 0, 1, 0, 1)), t(weight), stride=(2, 1, 2)),
        "same",
    ),
    (
        {"nGroups": 2, "weights": grouped},
        lambda v: F.conv3d(v, t(grouped), groups=2),
        "groups",
    ),
]


@pytest.mark.parametrize(("fields", "wanted", "note"), CONVOLUTIONS, ids=lambda v: str(v)[:20])
def test_convolution(run_layer: Run, fields: dict[str, Any], wanted: Expected, note: str) -> None:
    expected = wanted(t(x)).numpy()
    (y,) = run_layer("convolution3d", [x], SIZES | UNIT | fields, [expected.shape])
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=2e-5, err_msg=note)


def test_convolution_of_rank_6(run_layer: Run) -> None:
    deep = Draw(52).normal(2, 3, 4, 4, 4, 4)
    expected = F.conv3d(t(deep.reshape(6, 4, 4, 4, 4)), t(weight)).numpy().reshape(2, 3, 6, 2, 3, 2)
    (y,) = run_layer("convolution3d", [deep], SIZES | UNIT, [expected.shape])
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=2e-5)


OF_TRANSPOSED = {"isDeconvolution": True, "outputChannels": 3, "weights": transposed}
OF_TRANSPOSED |= {"inputChannels": 4} | sides("kernel", 2, 3, 2)
STRIDES = sides("stride", 2, 2, 1)


def full(v: torch.Tensor, **more: Any) -> torch.Tensor:
    return F.conv_transpose3d(v, t(transposed), stride=(2, 2, 1), **more)


DECONVOLUTIONS: list[tuple[dict[str, Any], Expected, str]] = [
    ({"paddingType": "VALID"}, full, "valid"),
    (around(1, 0, 0, 2, 1, 0), lambda v: full(v)[:, :, 1:, :-2, 1:], "custom"),
    # 12 of 12, 14 of 15, 5 of 6: the extra elements are cropped at the end.
    ({"paddingType": "SAME"}, lambda v: full(v)[:, :, :12, :14, :5], "same"),
    (
        around(1, 1, 1, 1, 0, 0) | {"outputShape": [11, 14, 6]},
        lambda v: full(v, padding=(1, 1, 0), output_padding=(1, 1, 0)),
        "output shape",
    ),
    (
        {"nGroups": 2, "outputChannels": 6, "paddingType": "VALID"},
        lambda v: full(v, groups=2),
        "groups",
    ),
]


@pytest.mark.parametrize(("fields", "wanted", "note"), DECONVOLUTIONS, ids=lambda v: str(v)[:20])
def test_deconvolution(run_layer: Run, fields: dict[str, Any], wanted: Expected, note: str) -> None:
    expected = wanted(t(x)).numpy()
    given = OF_TRANSPOSED | UNIT | STRIDES | fields
    (y,) = run_layer("convolution3d", [x], given, [expected.shape])
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=2e-5, err_msg=note)


POOL = sides("kernel", 2, 3, 2) | sides("stride", 2, 2, 1)
WINDOW: dict[str, Any] = {"kernel_size": (2, 3, 2), "stride": (2, 2, 1)}
EDGES = around(1, 1, 0, 1, 1, 0)
AROUND = (1, 0, 0, 1, 1, 1)


def counted(v: torch.Tensor, padding: tuple[int, ...] = AROUND) -> torch.Tensor:
    """The average of the elements without the padding."""
    ones = F.avg_pool3d(F.pad(torch.ones_like(v), padding), **WINDOW)
    return F.avg_pool3d(F.pad(v, padding), **WINDOW) / ones


POOLS: list[tuple[dict[str, Any], Expected, str]] = [
    ({}, lambda v: F.max_pool3d(v, **WINDOW), "max"),
    (
        EDGES,
        lambda v: F.max_pool3d(F.pad(v, AROUND, value=-99), **WINDOW),
        "max custom",
    ),
    ({"type": "AVERAGE"}, lambda v: F.avg_pool3d(v, **WINDOW), "average"),
    (
        {"type": "AVERAGE"} | EDGES,
        lambda v: F.avg_pool3d(F.pad(v, AROUND), **WINDOW),
        "average custom",
    ),
    ({"type": "AVERAGE", "countExcludePadding": True} | EDGES, counted, "average without padding"),
    # Padding: size 6, stride 2, window 2: 0; 7, 2, 3: 2; 5, 1, 2: 1 after.
    (
        {"type": "AVERAGE", "paddingType": "SAME"},
        lambda v: F.avg_pool3d(F.pad(v, (0, 1, 1, 1, 0, 0)), **WINDOW),
        "average same",
    ),
    (
        {"type": "AVERAGE", "paddingType": "SAME", "countExcludePadding": True},
        lambda v: counted(v, (0, 1, 1, 1, 0, 0)),
        "average same without padding",
    ),
]


@pytest.mark.parametrize(("fields", "wanted", "note"), POOLS, ids=lambda v: str(v)[:20])
def test_pooling(run_layer: Run, fields: dict[str, Any], wanted: Expected, note: str) -> None:
    expected = wanted(t(x)).numpy()
    (y,) = run_layer("pooling3d", [x], POOL | fields, [expected.shape])
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=2e-6, err_msg=note)


@pytest.mark.parametrize(("kind", "wanted"), [("MAX", np.max), ("AVERAGE", np.mean)])
def test_global_pooling(run_layer: Run, kind: str, wanted: Callable[..., Any]) -> None:
    (y,) = run_layer("globalPooling3d", [x], {"type": kind}, [(2, 4, 1, 1, 1)])
    np.testing.assert_allclose(y, wanted(x, axis=(2, 3, 4), keepdims=True), rtol=1e-5, atol=1e-6)


INVALID: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("convolution3d", {"nGroups": 0}, ModelFileError, "it has no 'nGroups'"),
    ("convolution3d", {"strideDepth": -1}, ModelFileError, r"stride is \[-1, 1, 1\]; expected pos"),
    ("convolution3d", {"inputChannels": 3}, ModelFileError, "has 432 values; expected 324"),
    ("convolution3d", {"customPaddingTop": -1}, ModelFileError, r"\[0, 0, -1, 0, 0, 0\]; expected"),
    (
        "convolution3d",
        {"weights": transposed} | OF_TRANSPOSED | {"outputShape": [50, 9, 6]},
        UnsupportedParameter,
        r"the output size \[50, 9, 6\] is impossible for the input size",
    ),
]


@pytest.mark.parametrize(("layer", "wrong", "error", "text"), INVALID)
def test_invalid_fields(
    run_layer: Run, layer: str, wrong: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        run_layer(layer, [x], SIZES | UNIT | wrong, [(1, 1, 1, 1, 1)])


def test_invalid_pooling(run_layer: Run) -> None:
    with pytest.raises(ModelFileError, match=r"the window is \[-2, 3, 2\]; expected positive"):
        run_layer("pooling3d", [x], POOL | {"kernelDepth": -2}, [(1, 1, 1, 1, 1)])
    with pytest.raises(ModelFileError, match="has 3 dimensions; expected at least 4"):
        run_layer("globalPooling3d", [x[0, 0]], {}, [(1, 1, 1)])
