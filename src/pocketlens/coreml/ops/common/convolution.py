"""Convolution and its transpose over one to three spatial dimensions."""

from __future__ import annotations

from collections.abc import Sequence

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.common.padding import Pads
from pocketlens.errors import ModelFileError, UnsupportedParameter

__all__ = ["convolution", "deconvolution", "flat"]


def flat(pads: Pads) -> list[int]:
    """ONNX's order: every amount before, then every amount after."""
    return [before for before, _ in pads] + [after for _, after in pads]


def _check_channels(x: Value, weight: Value, groups: int, wanted: int, divided: int) -> None:
    """`wanted` input channels, as far as that is known now, and `divided` among `groups`."""
    channels = x.shape[1] if x.shape is not None and len(x.shape) > 1 else None
    if groups < 1 or channels not in (None, wanted) or divided % groups:
        raise ModelFileError(
            f"the weights {list(weight.sizes)} in {groups} groups do not fit {x!r}; "
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
        pads=flat(pads),
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
    """The transpose of a convolution. x [n, Cin, *D], weight [Cin, Cout/groups, *K].

    Args:
        pads: How much is cut from each side; None: split what `output_size` leaves over.
        output_size: The wanted *D, if given.
        lower: Where what is to be cut is odd, the extra element is cut before instead of after.
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
                    f"the output size {list(output_size)} does not follow from the input "
                    f"{list(x.sizes[2:])}, the stride and the padding"
                )
    return g.ConvTranspose(
        x,
        weight,
        bias,
        strides=list(strides),
        pads=flat(pads or [(0, 0)] * len(strides)),
        dilations=list(dilations),
        group=groups,
        output_padding=extra if any(extra) else None,
        kernel_shape=list(weight.sizes[2:]),
    )
