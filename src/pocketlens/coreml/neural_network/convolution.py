# ruff: noqa: N803 (layers and fields are named as the specification names them)
"""Convolution. x is [*B, C, H, W]."""

from __future__ import annotations

from pocketlens.coreml.graph import Graph, Ints, Message, Value
from pocketlens.coreml.lower import convolution as lower
from pocketlens.coreml.lower.batch import over_batch
from pocketlens.coreml.lower.padding import Pads, same_pads
from pocketlens.coreml.lower.weights import numbers
from pocketlens.coreml.table import layer, unsupported
from pocketlens.errors import ModelFileError, UnsupportedParameter

unsupported("neural_network", "not lowered yet", "convolution3d")


def pair(numbers: Ints, default: Ints, name: str) -> Ints:
    """Two numbers for height and width; the default if the file gives none."""
    given = numbers or default
    if len(given) != 2 or any(number < 1 for number in given):
        raise ModelFileError(f"{name} is {list(given)}; expected two positive numbers, [H, W]")
    return given


def border(amounts: Message | None) -> Pads:
    """The BorderAmounts of height and width; none by default."""
    if amounts is None:
        return [(0, 0), (0, 0)]
    edges = [(e.startEdgeSize, e.endEdgeSize) for e in amounts.borderAmounts]
    if len(edges) not in (0, 2):
        raise ModelFileError(f"border amounts are given for {len(edges)} sides; expected 2, [H, W]")
    return edges or [(0, 0), (0, 0)]


@layer()
def convolution(
    g: Graph,
    x: Value,
    weight: Value | None = None,  # [Cout, Cin/groups, *K], if it is no constant
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
    if isDeconvolution:
        shape = (kernelChannels, outputChannels // nGroups, *kernel)
        per_output = 1 if nGroups == 1 else None
    else:
        shape = (outputChannels, kernelChannels, *kernel)
        per_output = 0
    if weight is None:
        if per_output is None and weights is not None and weights.HasField("quantization"):
            raise UnsupportedParameter("the weights of a grouped deconvolution are quantised")
        weight = g.constant(numbers(weights, shape, axis=per_output or 0))
    offset = g.constant(numbers(bias, (outputChannels,), "bias")) if hasBias else None

    def formula(v: Value) -> Value:
        pads = None if same is not None else border(valid.paddingAmounts if valid else None)
        if isDeconvolution:
            size = outputShape or (
                tuple(v.size(i + 2) * s for i, s in enumerate(strides))
                if same is not None
                else None
            )
            # Padding is ignored where the output's shape is given.
            pads = None if outputShape else pads
            return lower.deconvolution(
                g, v, weight, offset, strides, dilations, nGroups, pads, size, lower=top_left
            )
        around = pads or same_pads(v, kernel, strides, dilations, lower=top_left)
        return lower.convolution(g, v, weight, offset, strides, around, dilations, nGroups)

    return over_batch(g, x, formula)
