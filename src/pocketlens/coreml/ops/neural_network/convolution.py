"""Convolution. x is [*B, C, H, W], or [*B, C, D, H, W] with three spatial dimensions."""

from __future__ import annotations

from pocketlens.coreml.graph import Graph, Ints, Message, Value
from pocketlens.coreml.ops.common import convolution as common
from pocketlens.coreml.ops.common.batch import over_batch
from pocketlens.coreml.ops.common.padding import Pads, same_pads
from pocketlens.coreml.ops.common.weights import weight_array
from pocketlens.coreml.ops.registry import layer
from pocketlens.errors import ModelFileError


def pair(numbers: Ints, default: Ints, name: str) -> Ints:
    """Two numbers for height and width; the default if the file sets none."""
    given = numbers or default
    if len(given) != 2 or any(number < 1 for number in given):
        raise ModelFileError(f"{name} is {list(given)}; expected two positive numbers, [H, W]")
    return given


def border(amounts: Message | None) -> Pads:
    """The BorderAmounts for height and width; 0 by default."""
    if amounts is None:
        return [(0, 0), (0, 0)]
    edges = [(e.startEdgeSize, e.endEdgeSize) for e in amounts.borderAmounts]
    if len(edges) not in (0, 2):
        raise ModelFileError(
            f"there are border amounts for {len(edges)} dimensions; expected 2, [H, W]"
        )
    return edges or [(0, 0), (0, 0)]


@layer()
def convolution(
    g: Graph,
    x: Value,
    weight: Value | None = None,  # [Cout, Cin/groups, *K], if it is not a constant
    *,
    outputChannels: int,
    kernelChannels: int,
    nGroups: int = 1,
    kernelSize: Ints = (3, 3),
    stride: Ints = (1, 1),
    dilationFactor: Ints = (1, 1),
    valid: Message | None = None,
    same: Message | None = None,
    isDeconvolution: bool = False,
    hasBias: bool = False,
    weights: Message | None = None,
    bias: Message | None = None,
    outputShape: Ints = (),
) -> Value:
    kernel = pair(kernelSize, (3, 3), "kernelSize")
    strides = pair(stride, (1, 1), "stride")
    dilations = pair(dilationFactor, (1, 1), "dilationFactor")
    top_left = same is not None and same.asymmetryMode == 1
    if weight is None and isDeconvolution:
        inner = (kernelChannels // nGroups, outputChannels // nGroups, *kernel)
        apart = weight_array(weights, (nGroups, *inner), axes=(0, 2))
        weight = g.constant(apart.reshape(nGroups * inner[0], *inner[1:]))
    elif weight is None:
        weight = g.constant(weight_array(weights, (outputChannels, kernelChannels, *kernel)))
    offset = g.constant(weight_array(bias, (outputChannels,), "bias")) if hasBias else None

    def formula(v: Value) -> Value:
        pads = None if same is not None else border(valid.paddingAmounts if valid else None)
        if isDeconvolution:
            size = outputShape or (
                tuple(v.size(i + 2) * s for i, s in enumerate(strides))
                if same is not None
                else None
            )
            # Padding is ignored if the shape of the output is set.
            pads = None if outputShape else pads
            return common.deconvolution(
                g, v, weight, offset, strides, dilations, nGroups, pads, size, lower=top_left
            )
        around = pads or same_pads(v, kernel, strides, dilations, lower=top_left)
        return common.convolution(g, v, weight, offset, strides, around, dilations, nGroups)

    return over_batch(g, x, formula)


def custom_pads(padding_type: str, *amounts: int) -> Pads | None:
    """The padding of three dimensions, from (front, back, top, bottom, left, right); None: SAME."""
    if padding_type == "SAME":
        return None
    if padding_type == "VALID":
        return [(0, 0)] * 3
    if any(amount < 0 for amount in amounts):
        raise ModelFileError(f"the custom padding is {list(amounts)}; expected 0 or more")
    return list(zip(amounts[::2], amounts[1::2], strict=True))


def positive(what: str, *sizes: int) -> Ints:
    """The sizes, after a check that all are 1 or more."""
    if any(size < 1 for size in sizes):
        raise ModelFileError(f"the {what} is {list(sizes)}; expected positive numbers")
    return sizes


@layer()
def convolution3d(
    g: Graph,
    x: Value,
    *,
    outputChannels: int,
    inputChannels: int,
    nGroups: int,
    kernelDepth: int,
    kernelHeight: int,
    kernelWidth: int,
    strideDepth: int,
    strideHeight: int,
    strideWidth: int,
    dilationDepth: int,
    dilationHeight: int,
    dilationWidth: int,
    hasBias: bool = False,
    weights: Message,  # [Cout, Cin/groups, *K]; for a deconvolution [Cin, Cout/groups, *K]
    bias: Message | None = None,
    paddingType: str = "CUSTOM",
    customPaddingFront: int = 0,
    customPaddingBack: int = 0,
    customPaddingTop: int = 0,
    customPaddingBottom: int = 0,
    customPaddingLeft: int = 0,
    customPaddingRight: int = 0,
    isDeconvolution: bool = False,
    outputShape: Ints = (),
) -> Value:
    channels = positive("number of channels or groups", inputChannels, outputChannels, nGroups)
    kernel = positive("kernel", kernelDepth, kernelHeight, kernelWidth)
    strides = positive("stride", strideDepth, strideHeight, strideWidth)
    dilations = positive("dilation", dilationDepth, dilationHeight, dilationWidth)
    first, second = channels[:2] if isDeconvolution else (outputChannels, inputChannels)
    weight = g.constant(weight_array(weights, (first, second // nGroups, *kernel)))
    offset = g.constant(weight_array(bias, (outputChannels,), "bias")) if hasBias else None
    pads = custom_pads(
        paddingType,
        *(customPaddingFront, customPaddingBack),
        *(customPaddingTop, customPaddingBottom),
        *(customPaddingLeft, customPaddingRight),
    )

    def formula(v: Value) -> Value:
        if not isDeconvolution:
            around = pads or same_pads(v, kernel, strides, dilations, lower=False)
            return common.convolution(g, v, weight, offset, strides, around, dilations, nGroups)
        size = outputShape or None
        if pads is None and size is None:
            size = tuple(v.size(i + 2) * stride for i, stride in enumerate(strides))
        return common.deconvolution(g, v, weight, offset, strides, dilations, nGroups, pads, size)

    return over_batch(g, x, formula, inner=4)
