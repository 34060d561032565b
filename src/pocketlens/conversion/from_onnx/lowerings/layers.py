"""Lowerings of convolutions and pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np

from pocketlens.conversion.from_onnx.lowerings.registry import (
    Var,
    dtype_of,
    is_float,
    lowers,
    mb,
    number,
    sizes,
)
from pocketlens.errors import ConversionError

MOST_SLICES = 64
"""The largest window of a max pooling with dilation, which takes one slice for each element."""


@lowers("Conv")
def conv(
    x: Var,
    weight: Var,
    bias: Var = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] = (),
    group: int = 1,
    pads: Sequence[int] = (),
    strides: Sequence[int] = (),
) -> Var:
    kernel = sizes(weight)[2:]
    count = len(kernel)
    strides, dilations = strides or [1] * count, dilations or [1] * count
    sides = explicit_pads(sizes(x)[2:], kernel, strides, dilations, auto_pad, pads)
    known = bias is not None and bias.val is not None
    y = mb.conv(
        x=x,
        weight=weight,
        **({"bias": bias} if known else {}),
        strides=list(strides),
        dilations=list(dilations),
        groups=group,
        pad_type="custom",
        pad=interleaved(sides),
    )
    if bias is None or known:
        return y
    return mb.add(x=y, y=mb.reshape(x=bias, shape=[1, -1, *[1] * count]))


@lowers("ConvTranspose")
def conv_transpose(
    x: Var,
    weight: Var,
    bias: Var = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sequence[int] = (),
    group: int = 1,
    output_padding: Sequence[int] = (),
    output_shape: Sequence[int] = (),
    pads: Sequence[int] = (),
    strides: Sequence[int] = (),
) -> Var:
    kernel, inner = sizes(weight)[2:], sizes(x)[2:]
    count = len(kernel)
    strides, dilations = strides or [1] * count, dilations or [1] * count
    more = list(output_padding) or [0] * count
    reach = [
        s * (side - 1) + (k - 1) * d + 1
        for s, side, k, d in zip(strides, inner, kernel, dilations, strict=True)
    ]
    if auto_pad in ("SAME_UPPER", "SAME_LOWER") and not output_shape:
        output_shape = [side * s for side, s in zip(inner, strides, strict=True)]
    if output_shape:
        before, after = [], []
        for full, extra, wanted in zip(reach, more, list(output_shape)[-count:], strict=True):
            total = full + extra - wanted
            half = total // 2
            before.append(half if auto_pad == "SAME_UPPER" else total - half)
            after.append(total - half if auto_pad == "SAME_UPPER" else half)
    else:
        given = list(pads) or [0] * (2 * count)
        before, after = given[:count], given[count:]
    # All that the kernel reaches, then what the padding adds or takes away.
    ends = [extra - end for extra, end in zip(more, after, strict=True)]
    simple = not any(more) and min(*before, *after, 0) >= 0
    known = bias is not None and bias.val is not None
    y = mb.conv_transpose(
        x=x,
        weight=weight,
        **({"bias": bias} if known and simple else {}),
        strides=list(strides),
        dilations=list(dilations),
        groups=group,
        pad_type="custom",
        pad=interleaved([*before, *after]) if simple else [0] * (2 * count),
    )
    if not simple:
        y = crop_or_pad(y, [-begin for begin in before], ends)
    if bias is None or (known and simple):
        return y
    return mb.add(x=y, y=mb.reshape(x=bias, shape=[1, -1, *[1] * count]))


def crop_or_pad(x: Var, before: Sequence[int], after: Sequence[int], value: float = 0.0) -> Var:
    """The last axes of a tensor with elements added at both ends, or removed for negative ones."""
    count, shape = len(before), sizes(x)
    first = len(shape) - count
    begin, end = [0] * len(shape), list(shape)
    for axis, (low, high) in enumerate(zip(before, after, strict=True), start=first):
        begin[axis] = max(0, -low)
        end[axis] = shape[axis] - max(0, -high)
    if begin != [0] * len(shape) or end != shape:
        x = mb.slice_by_index(x=x, begin=begin, end=end)
    sides = [max(0, side) for pair in zip(before, after, strict=True) for side in pair]
    if not any(sides):
        return x
    # Core ML pads two axes of any rank, or all of them.
    return mb.pad(
        x=x, pad=[0] * (2 * first) + sides, mode="constant", constant_val=number(x, value)
    )


def explicit_pads(
    inner: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    auto_pad: str,
    pads: Sequence[int],
) -> list[int]:
    """ONNX's padding in numbers: first those before each axis, then those after."""
    if auto_pad == "NOTSET":
        return list(pads) or [0] * (2 * len(kernel))
    if auto_pad == "VALID":
        return [0] * (2 * len(kernel))
    before, after = [], []
    for side, k, s, d in zip(inner, kernel, strides, dilations, strict=True):
        total = max(0, (-(-side // s) - 1) * s + (k - 1) * d + 1 - side)
        small, large = total // 2, total - total // 2
        before.append(small if auto_pad == "SAME_UPPER" else large)
        after.append(large if auto_pad == "SAME_UPPER" else small)
    return before + after


def interleaved(pads: Sequence[int]) -> list[int]:
    """ONNX's padding in Core ML's order: before and after each axis."""
    count = len(pads) // 2
    return [pads[at + half] for at in range(count) for half in (0, count)]


def _windows(
    inner: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
    ceil_mode: int,
) -> list[int]:
    """How many windows a pooling has along each axis."""
    counts = []
    half = len(kernel)
    for at, (side, k, s, d) in enumerate(zip(inner, kernel, strides, dilations, strict=True)):
        room = side + pads[at] + pads[at + half] - ((k - 1) * d + 1)
        windows = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (windows - 1) * s >= side + pads[at]:
            windows -= 1  # the last window would begin in the padding behind
        counts.append(windows)
    return counts


@lowers("MaxPool")
def max_pool(
    x: Var,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] = (),
    pads: Sequence[int] = (),
    strides: Sequence[int] = (),
) -> Var:
    if not is_float(x):
        y = max_pool(
            mb.cast(x=x, dtype="fp32"), kernel_shape=kernel_shape, auto_pad=auto_pad,
            ceil_mode=ceil_mode, dilations=dilations, pads=pads, strides=strides,
        )  # fmt: skip
        return mb.cast(x=y, dtype="int32")
    kernel, inner = list(kernel_shape), sizes(x)[2:]
    count = len(kernel)
    strides, dilations = strides or [1] * count, dilations or [1] * count
    sides = explicit_pads(inner, kernel, strides, dilations, auto_pad, pads)
    windows = _windows(inner, kernel, strides, dilations, sides, ceil_mode)
    half = [k > side for k, side in zip(kernel * 2, sides, strict=True)]
    if all(d == 1 for d in dilations) and not ceil_mode and count <= 3 and all(half):
        return mb.max_pool(
            x=x,
            kernel_sizes=kernel,
            strides=list(strides),
            pad_type="custom",
            pad=interleaved(sides),
        )
    ends = _ends(inner, kernel, strides, dilations, sides, windows)
    least = float(np.finfo(dtype_of(x)).min)
    x = crop_or_pad(x, sides[:count], ends, least)
    if all(d == 1 for d in dilations) and count <= 3:
        return mb.max_pool(x=x, kernel_sizes=kernel, strides=list(strides), pad_type="valid")
    if math.prod(kernel) > MOST_SLICES:
        raise ConversionError(f"a dilated window of {kernel} elements is too large for Core ML")
    parts = []
    for offset in product(*(range(k) for k in kernel)):
        begin = [0, 0, *(o * d for o, d in zip(offset, dilations, strict=True))]
        end = [
            *sizes(x)[:2],
            *(b + (n - 1) * s + 1 for b, n, s in zip(begin[2:], windows, strides, strict=True)),
        ]
        parts.append(mb.slice_by_index(x=x, begin=begin, end=end, stride=[1, 1, *strides]))
    y = parts[0]
    for part in parts[1:]:
        y = mb.maximum(x=y, y=part)
    return y


def _ends(
    inner: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
    windows: Sequence[int],
) -> list[int]:
    """The padding behind each axis so that the windows fit exactly; negative if some is left."""
    return [
        (n - 1) * s + (k - 1) * d + 1 - side - pads[at]
        for at, (side, k, s, d, n) in enumerate(
            zip(inner, kernel, strides, dilations, windows, strict=True)
        )
    ]


@lowers("AveragePool")
def average_pool(
    x: Var,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: Sequence[int] = (),
    pads: Sequence[int] = (),
    strides: Sequence[int] = (),
) -> Var:
    kernel, inner = list(kernel_shape), sizes(x)[2:]
    count = len(kernel)
    strides, dilations = strides or [1] * count, dilations or [1] * count
    sides = explicit_pads(inner, kernel, strides, dilations, auto_pad, pads)
    half = [2 * side <= k for k, side in zip(kernel * 2, sides, strict=True)]
    plain = all(d == 1 for d in dilations) and not ceil_mode and count <= 3 and all(half)
    if plain:
        return mb.avg_pool(
            x=x,
            kernel_sizes=kernel,
            strides=list(strides),
            pad_type="custom",
            pad=interleaved(sides),
            exclude_padding_from_average=not count_include_pad,
        )
    windows = _windows(inner, kernel, strides, dilations, sides, ceil_mode)
    ends = _ends(inner, kernel, strides, dilations, sides, windows)
    summed = _window_sums(crop_or_pad(x, sides[:count], ends), kernel, strides, dilations)
    # How many elements of each window count.
    counted = np.ones((1,), np.float32)
    for at, (side, k, s, d, n) in enumerate(
        zip(inner, kernel, strides, dilations, windows, strict=True)
    ):
        places = np.arange(n)[:, None] * s - sides[at] + np.arange(k)[None] * d
        low, high = (-sides[at], side + sides[at + count]) if count_include_pad else (0, side)
        along = ((places >= low) & (places < high)).sum(1).astype(np.float32)
        counted = np.multiply.outer(counted, along)
    return mb.real_div(x=summed, y=counted[None].astype(dtype_of(x)))


def _window_sums(
    x: Var, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Var:
    """The sum of each window of a padded tensor."""
    channels = sizes(x)[1]
    ones = np.ones((channels, 1, *kernel), dtype_of(x))
    return mb.conv(
        x=x,
        weight=ones,
        strides=list(strides),
        dilations=list(dilations),
        groups=channels,
        pad_type="valid",
    )


@lowers("LpPool")
def lp_pool(
    x: Var,
    *,
    kernel_shape: Sequence[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sequence[int] = (),
    p: int = 2,
    pads: Sequence[int] = (),
    strides: Sequence[int] = (),
) -> Var:
    kernel, inner = list(kernel_shape), sizes(x)[2:]
    count = len(kernel)
    strides, dilations = strides or [1] * count, dilations or [1] * count
    sides = explicit_pads(inner, kernel, strides, dilations, auto_pad, pads)
    windows = _windows(inner, kernel, strides, dilations, sides, ceil_mode)
    ends = _ends(inner, kernel, strides, dilations, sides, windows)
    powers = mb.pow(x=mb.abs(x=x), y=number(x, p))
    summed = _window_sums(crop_or_pad(powers, sides[:count], ends), kernel, strides, dilations)
    return mb.pow(x=summed, y=number(x, 1 / p))


@lowers("GlobalLpPool")
def global_lp_pool(x: Var, *, p: int = 2) -> Var:
    powers = mb.pow(x=mb.abs(x=x), y=number(x, p))
    summed = mb.reduce_sum(x=powers, axes=list(range(2, len(sizes(x)))), keep_dims=True)
    return mb.pow(x=summed, y=number(x, 1 / p))
