"""ONNX ops in terms of Core ML's ops, where the package onnx2coreml lacks them or is wrong.

Its own lowerings of simple ops are used as they are; `LIBRARY` lists them.
"""

from pocketlens.conversion.from_onnx.lowerings import (  # noqa: F401 - they register lowerings
    activations,
    arithmetic,
    layers,
    norms,
    quantization,
    recurrent,
    reductions,
    resizes,
    shapes,
)
from pocketlens.conversion.from_onnx.lowerings.registry import LOWERINGS

__all__ = ["IGNORED", "LIBRARY", "LOWERINGS"]

LIBRARY = {
    **dict.fromkeys(
        (
            *("Abs", "Add", "And", "Asin", "Acos", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Erf"),
            *("Exp", "Floor", "Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual"),
            *("Log", "Mul", "Neg", "Not", "Or", "Relu", "Sigmoid", "Sign", "Sin", "Sinh", "Sqrt"),
            *("Sub", "Tan", "Tanh", "Xor"),
        ),
        frozenset[str](),
    ),
    "GridSample": frozenset(("align_corners", "mode", "padding_mode")),
}
"""Op -> the attributes that onnx2coreml's lowering of it reads."""

IGNORED = {
    "BatchNormalization": {"momentum"},  # only training uses it
    "Cast": {"round_mode", "saturate"},  # only 8-bit floating-point numbers use them
    "CastLike": {"round_mode", "saturate"},
    "Conv": {"kernel_shape"},  # the weight has it
    "ConvInteger": {"kernel_shape"},
    "ConvTranspose": {"kernel_shape"},
    "DequantizeLinear": {"block_size", "output_dtype"},  # the scale shows them
    "Dropout": {"seed"},
    "GroupNormalization": {"stash_type"},  # Core ML decides on the precision
    "LayerNormalization": {"stash_type"},
    "MaxPool": {"storage_order"},  # of the indices, an output that has no lowering
    "QLinearConv": {"kernel_shape"},
    "QuantizeLinear": {"block_size", "precision", "saturate"},
    "Split": {"num_outputs"},  # as many as there are outputs
    "TopK": {"sorted"},  # the results are always sorted
}
"""Op -> the attributes that do not change what the node computes here."""
