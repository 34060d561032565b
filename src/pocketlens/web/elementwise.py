"""Operators on each element, and normalizations, which are made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pocketlens.web.program import Ref
from pocketlens.web.step import Step, binary_step, number, reduced, unary_step

__all__ = [
    "batch_normalization",
    "binary",
    "cast",
    "clip",
    "gelu",
    "instance_normalization",
    "layer_normalization",
    "lp_normalization",
    "mean",
    "relu",
    "selu",
    "unary",
    "where",
]


def clip(s: Step) -> list[Ref]:
    def bound(index: int, name: str, default: float) -> float:
        found = s.constant(index)
        return float(s.attributes.get(name, default) if found is None else np.ravel(found)[0])

    low, high = bound(1, "min", -math.inf), bound(2, "max", math.inf)
    return [s.program.limited(s.value(0), low=low, high=high)]


def relu(s: Step) -> list[Ref]:
    return [s.program.limited(s.value(0), low=0.0)]


def cast(s: Step) -> list[Ref]:
    import onnx

    target = s.attributes["to"]
    if target == onnx.TensorProto.FLOAT16:
        return [s.program.limited(s.value(0), half=True)]
    if target in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
        return [s.value(0)]
    if target == onnx.TensorProto.BOOL:
        return [unary_step(s, "truth", s.value(0))]
    name = onnx.TensorProto.DataType.Name(target).lower()
    raise s.unsupported(f"it converts to {name}; expected float16, float32 or bool")


def where(s: Step) -> list[Ref]:
    """One of two values is 0 everywhere, so their sum is the other."""
    condition, *given = (s.value(index) for index in range(3))
    first, second = (
        binary_step(s, kind, condition, each, np.broadcast_shapes(condition.shape, each.shape))
        for kind, each in zip(("if", "unless"), given, strict=True)
    )
    return [binary_step(s, "add", first, second, s.shape)]


def unary(s: Step, kind: str, **defaults: float) -> list[Ref]:
    numbers = {own: float(s.attributes.get(own, default)) for own, default in defaults.items()}
    return [unary_step(s, kind, s.value(0), **numbers)]


def selu(s: Step) -> list[Ref]:
    alpha = float(s.attributes.get("alpha", 1.6732631921768188))
    return [
        unary_step(
            s,
            "selu",
            s.value(0),
            alpha=alpha,
            beta=float(s.attributes.get("gamma", 1.0507010221481323)),
        )
    ]


def gelu(s: Step) -> list[Ref]:
    x = s.value(0)
    if s.attributes.get("approximate", b"none") == b"tanh":
        cubic = binary_step(s, "mul", unary_step(s, "square", x), x, x.shape)
        cubic = binary_step(s, "mul", cubic, number(0.044715), x.shape)
        inner = binary_step(s, "add", x, cubic, x.shape)
        curve = unary_step(
            s, "tanh", binary_step(s, "mul", inner, number(math.sqrt(2 / math.pi)), x.shape)
        )
    else:
        curve = unary_step(s, "erf", binary_step(s, "mul", x, number(math.sqrt(0.5)), x.shape))
    share = binary_step(
        s, "mul", binary_step(s, "add", curve, number(1), x.shape), number(0.5), x.shape
    )
    return [binary_step(s, "mul", x, share, x.shape)]


def binary(s: Step, kind: str) -> list[Ref]:
    result = s.value(0)
    for index in range(1, len(s.inputs)):
        other = s.value(index)
        shape = np.broadcast_shapes(result.shape, other.shape)
        result = binary_step(s, kind, result, other, shape)
    return [result]


def mean(s: Step) -> list[Ref]:
    (total,) = binary(s, "add")
    return [binary_step(s, "mul", total, number(1 / len(s.inputs)), s.shape)]


def lp_normalization(s: Step) -> list[Ref]:
    x, axis = s.value(0), int(s.attributes.get("axis", -1))
    kind = {1: "l1", 2: "l2"}[int(s.attributes.get("p", 2))]
    size = reduced(s, kind, x, [axis % len(x.shape)])
    return [binary_step(s, "div", x, size, x.shape)]


def batch_normalization(s: Step) -> list[Ref]:
    x = s.value(0)
    scale, bias, mean, variance = (s.constant(index) for index in range(1, 5))
    if scale is None or bias is None or mean is None or variance is None:
        raise s.unsupported("it has no statistics")
    factor = scale.astype(np.float64) / np.sqrt(variance + s.attributes.get("epsilon", 1e-5))
    shape = (-1, *(1,) * (len(x.shape) - 2))
    factors = factor.reshape(shape).astype(np.float32)
    offsets = (bias - mean * factor).reshape(shape).astype(np.float32)
    scaled = binary_step(s, "mul", x, Ref(factors.shape, const=factors), x.shape)
    return [binary_step(s, "add", scaled, Ref(offsets.shape, const=offsets), x.shape)]


def layer_normalization(s: Step) -> list[Ref]:
    x = s.value(0)
    if len(s.shapes) > 1:
        raise s.unsupported("it also gives its statistics")
    axis = int(s.attributes.get("axis", -1)) % len(x.shape)
    axes = list(range(axis, len(x.shape)))
    result = _normalized(s, x, axes, s.attributes.get("epsilon", 1e-5))
    for index, kind in ((1, "mul"), (2, "add")):
        if (other := s.optional(index)) is not None:
            result = binary_step(s, kind, result, other, x.shape)
    return [result]


def instance_normalization(s: Step) -> list[Ref]:
    x = s.value(0)
    result = _normalized(s, x, list(range(2, len(x.shape))), s.attributes.get("epsilon", 1e-5))
    for index, kind in ((1, "mul"), (2, "add")):
        ref = s.value(index)
        shape = (*ref.shape, *(1,) * (len(x.shape) - 2))
        each = Ref(shape, tensor=s.program.tensor(ref))
        result = binary_step(s, kind, result, each, x.shape)
    return [result]


def _normalized(s: Step, x: Ref, axes: Sequence[int], epsilon: float) -> Ref:
    middle = reduced(s, "mean", x, axes)
    centered = binary_step(s, "sub", x, middle, x.shape)
    variance = reduced(s, "mean", unary_step(s, "square", centered), axes)
    raised = binary_step(s, "add", variance, number(epsilon), variance.shape)
    return binary_step(s, "div", centered, unary_step(s, "sqrt", raised), x.shape)
