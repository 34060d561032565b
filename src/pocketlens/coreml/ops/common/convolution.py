"""Convolution and its transpose over one to three spatial dimensions."""

from __future__ import annotations

from collections.abc import Sequence

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.common.padding import Pads
from pocketlens.errors import ModelFileError, UnsupportedParameter

__all__ = ["convolution", "deconvolution", "onnx_pads"]


def onnx_pads(pads: Pads) -> list[int]:
    """ONNX's order: all amounts before, then all amounts after."""
    return [before for before, _ in pads] + [after for _, after in pads]


def _check_channels(x: Value, weight: Value, groups: int, wanted: int, divided: int) -> None:
    """Check for `wanted` input channels (if known), and that `groups` divides `divided`."""
    channels = x.shape[1] if x.shape is not None and len(x.shape) > 1 else None
    if groups < 1 or channels not in (None, wanted) or divided % groups:
        raise ModelFileError(
            f"weights {list(weight.sizes)} in {groups} groups do not fit {x!r}; "
            f"expected {wanted} input channels"
        )


def convolution(
    g: Graph,
    x: Value,
    weight: Value,
    bias: Value | None,
    strides: Sequence[int],
    pads: Pads,
    dilations: Sequence[int],
    groups: int,
) -> Value:
    """Cross-correlation. x [n, Cin, *D], weight [Cout, Cin/groups, *K], bias [Cout]."""
    out, per_group = weight.sizes[:2]
    _check_channels(x, weight, groups, per_group * groups, out)
    return g.Conv(
        x,
        weight,
        bias,
        strides=list(strides),
        pads=onnx_pads(pads),
        dilations=list(dilations),
        group=groups,
        kernel_shape=list(weight.sizes[2:]),
    )


def deconvolution(
    g: Graph,
    x: Value,
    weight: Value,
    bias: Value | None,
    strides: Sequence[int],
    dilations: Sequence[int],
    groups: int,
    pads: Pads | None,
    output_size: Sequence[int] | None,
    *,
    lower: bool = False,
) -> Value:
    """Transposed convolution. x [n, Cin, *D], weight [Cin, Cout/groups, *K], bias [Cout].

    Args:
        g: The graph.
        x: The input.
        weight: The kernel.
        bias: Added to each output channel, or None.
        strides: One per spatial dimension.
        dilations: One per spatial dimension.
        groups: The number of channel groups.
        pads: The elements to crop on each side; None: crop to `output_size`, evenly on both sides.
        output_size: The sizes *D of the output, or None.
        lower: If the number of cropped elements is odd, crop the extra one before, not after.
    """
    _check_channels(x, weight, groups, weight.size(0), weight.size(0))
    extra = [0] * len(strides)
    if output_size is not None:
        full = [
            (x.size(i + 2) - 1) * stride + (weight.size(i + 2) - 1) * dilation + 1
            for i, (stride, dilation) in enumerate(zip(strides, dilations, strict=True))
        ]
        if len(output_size) != len(strides):
            raise ModelFileError(
                f"the output size has {len(output_size)} numbers; expected {len(strides)}"
            )
        if pads is None:
            over = [one - wanted for one, wanted in zip(full, output_size, strict=True)]
            halves = [(max(o, 0) // 2, max(o, 0) - max(o, 0) // 2) for o in over]
            pads = [(more, less) if lower else (less, more) for less, more in halves]
            extra = [max(-o, 0) for o in over]
        else:
            extra = [
                wanted - (one - before - after)
                for one, wanted, (before, after) in zip(full, output_size, pads, strict=True)
            ]
        for amount, stride, dilation in zip(extra, strides, dilations, strict=True):
            if not 0 <= amount < max(stride, dilation):
                raise UnsupportedParameter(
                    f"the output size {list(output_size)} is impossible for the input size "
                    f"{list(x.sizes[2:])} with this stride and padding"
                )
    return g.ConvTranspose(
        x,
        weight,
        bias,
        strides=list(strides),
        pads=onnx_pads(pads or [(0, 0)] * len(strides)),
        dilations=list(dilations),
        group=groups,
        output_padding=extra if any(extra) else None,
        kernel_shape=list(weight.sizes[2:]),
    )
