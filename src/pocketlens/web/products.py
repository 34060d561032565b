"""Convolutions, pools and matrix products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.web.program import Ref, strides_of
from pocketlens.web.step import Step, binary_step, matmul_step, number, transposed

__all__ = ["conv", "conv_transpose", "gemm", "matmul", "pool"]


def conv(s: Step) -> list[Ref]:
    x, weights = s.value(0), s.constant(1)
    window = _window(s, x, None if weights is None else weights.shape[2:])
    if weights is None:
        raise s.unsupported("it has no weights")
    return [_convolution(s, x, weights, window)]


def conv_transpose(s: Step) -> list[Ref]:
    """A convolution with the turned kernel of the image with zeros between its pixels."""
    x, weights = s.value(0), s.constant(1)
    window = _window(s, x, None if weights is None else weights.shape[2:])
    auto = s.attributes.get("auto_pad", b"NOTSET")
    if weights is None or "output_shape" in s.attributes or auto not in (b"NOTSET", b"VALID"):
        raise s.unsupported("its pads are not given")
    rank = len(x.shape) - 2
    strides = window["strides"]
    extra = [0] * (2 - rank) + [int(e) for e in s.attributes.get("output_padding", [0] * rank)]
    reach = [(k - 1) * d for k, d in zip(window["kernel"], window["dilations"], strict=True)]
    begin, end = window["pads"][:2], window["pads"][2:]
    pads = [r - b for r, b in zip(reach, begin, strict=True)]
    pads += [r - e + more for r, e, more in zip(reach, end, extra, strict=True)]
    if min(pads) < 0:
        raise s.unsupported("its pads are larger than its kernel")
    channels, size = x.shape[1], window["size"]
    wide = [(n - 1) * stride + 1 for n, stride in zip(size, strides, strict=True)]
    if wide != size:
        line = [wide[0] * wide[1], wide[1] * strides[0], strides[1]]
        fields = {"shape": [channels, *size], "from_strides": strides_of([channels, *size])}
        x = s.program.add(
            "move", (1, channels, *wide), x=s.program.tensor(x), **fields, **{"from": 0},
            to=0, to_strides=line, fill=0,
        )  # fmt: skip
    groups = int(s.attributes.get("group", 1))
    kernel = weights.shape[2:]
    parts = weights.reshape(groups, channels // groups, -1, *kernel).swapaxes(1, 2)
    turned = np.flip(parts.reshape(-1, channels // groups, *kernel), tuple(range(2, 2 + rank)))
    moved = window | {"size": wide, "pads": pads, "strides": [1, 1]}
    return [_convolution(s, x, np.ascontiguousarray(turned), moved)]


def _convolution(s: Step, x: Ref, weights: NDArray[Any], window: dict[str, Any]) -> Ref:
    bias, outputs, groups = s.constant(2), weights.shape[0], int(s.attributes.get("group", 1))
    fields = {"weights": s.program.tensor(Ref(weights.shape, const=weights))}
    if bias is not None:
        fields["bias"] = s.program.tensor(Ref(bias.shape, const=bias))
    return s.program.product(
        "convolution",
        s.shape,
        (outputs // groups, math.prod(window["out_size"])),
        x=s.program.tensor(x),
        **fields,
        **window,
        channels=x.shape[1],
        outputs=outputs,
        groups=groups,
    )


def pool(s: Step, kind: str) -> list[Ref]:
    x = s.value(0)
    if len(s.shapes) > 1:
        raise s.unsupported("it also gives the indices")
    window = _window(s, x, tuple(s.attributes["kernel_shape"]))
    extra: dict[str, Any] = {}
    if kind == "average" and s.attributes.get("count_include_pad", 0):
        extra["divisors"] = _divisors(window)
    window["pads"] = window["pads"][:2]
    return [
        s.program.add(
            "pool", s.shape, x=s.tensor(0), kind=kind, channels=x.shape[1], **window, **extra
        )
    ]


def _window(s: Step, x: Ref, kernel: Sequence[int] | None) -> dict[str, Any]:
    """The fields of a window that moves over an image; a line is an image of one row."""
    if len(x.shape) not in (3, 4) or x.shape[0] != 1 or kernel is None:
        raise s.unsupported(f"its input has the shape {list(x.shape)}; expected one image")
    rank = len(x.shape) - 2

    def pairs(name: str, default: int) -> list[int]:
        found = [int(each) for each in s.attributes.get(name, [default] * rank)]
        return [1 if default == 1 else 0] * (2 - rank) + found

    strides, dilations = pairs("strides", 1), pairs("dilations", 1)
    size = [1] * (2 - rank) + list(x.shape[2:])
    out = [1] * (2 - rank) + list(s.shape[2:])
    extent = [1] * (2 - rank) + list(kernel)
    pads = [int(each) for each in s.attributes.get("pads", [0] * (2 * rank))]
    pads = [0] * (2 - rank) + pads[:rank] + [0] * (2 - rank) + pads[rank:]
    auto = s.attributes.get("auto_pad", b"NOTSET").decode()
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        for axis in range(2):
            span = (extent[axis] - 1) * dilations[axis] + 1
            total = max((out[axis] - 1) * strides[axis] + span - size[axis], 0)
            before = total // 2 if auto == "SAME_UPPER" else total - total // 2
            pads[axis], pads[axis + 2] = before, total - before
    return {
        "size": size,
        "kernel": extent,
        "strides": strides,
        "dilations": dilations,
        "pads": pads,
        "out_size": out,
    }


def _divisors(window: dict[str, Any]) -> list[int]:
    """How many pixels of the padded image each position of a window covers."""
    counts = []
    for axis in range(2):
        pads, size = window["pads"], window["size"][axis]
        taps = np.arange(window["kernel"][axis]) * window["dilations"][axis]
        starts = np.arange(window["out_size"][axis]) * window["strides"][axis]
        inside = starts[:, None] + taps < size + pads[axis] + pads[axis + 2]
        counts.append(inside.sum(1))
    return [int(each) for each in np.outer(*counts).ravel()]


def gemm(s: Step) -> list[Ref]:
    x, alpha, beta = s.value(0), s.attributes.get("alpha", 1.0), s.attributes.get("beta", 1.0)
    weights = s.value(1)
    if s.attributes.get("transA"):
        x = transposed(s, x, [1, 0])
    if s.attributes.get("transB"):
        weights = transposed(s, weights, [1, 0])
    if alpha != 1:
        weights = binary_step(s, "mul", weights, number(alpha), weights.shape)
    bias = s.optional(2)
    if bias is not None and beta != 1:
        bias = binary_step(s, "mul", bias, number(beta), bias.shape)
    return [_product(s, x, weights, bias)]


def matmul(s: Step) -> list[Ref]:
    return [_product(s, s.value(0), s.value(1), None)]


def _product(s: Step, a: Ref, b: Ref, bias: Ref | None) -> Ref:
    """`a @ b + bias` in the shape of the node's output."""
    program = s.program
    rows = a.size // a.shape[-1]
    if b.const is not None and len(b.shape) == 2 and rows == 1:
        inner, outputs = b.shape
        weights = np.ascontiguousarray(b.const.T)
        fields = {"weights": program.tensor(Ref(weights.shape, const=weights))}
        folded = bias is not None and bias.const is not None and bias.size == outputs
        if folded:
            assert bias is not None
            fields["bias"] = program.tensor(bias)
        result = program.product(
            "linear", s.shape, (outputs, 1), x=program.tensor(a), **fields,
            inner=inner, outputs=outputs,
        )  # fmt: skip
        return result if bias is None or folded else binary_step(s, "add", result, bias, s.shape)
    result = matmul_step(s, a, b, s.shape)
    return result if bias is None else binary_step(s, "add", result, bias, s.shape)
