"""Gradients of the ONNX operators between the last feature map and the scores of a classifier.

Each entry of `GRADIENTS` is one operator: a function from a `Step` to the gradients of the first
inputs; the others (axes, limits, biases) need none. `MOVES` are operators that only copy elements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["AFFINE", "CONDITIONS", "GRADIENTS", "MOVES", "NoGradientError", "Step"]

Array: TypeAlias = NDArray[Any]


class NoGradientError(Exception):
    """An operator without a gradient, or used in a way that has none here."""


@dataclass(frozen=True, eq=False)
class Step:
    """One run of an operator.

    Args:
        inputs: Its input arrays.
        attributes: Its attributes.
        y: Its output.
        grad: The gradient of a number with respect to the output, of the same shape.
    """

    inputs: Sequence[Array]
    attributes: Mapping[str, Any]
    y: Array
    grad: Array

    @property
    def x(self) -> Array:
        """The first input."""
        return self.inputs[0]

    def option(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)

    @property
    def padded(self) -> bool:
        """Whether a convolution or pooling pads its input."""
        return any(self.option("pads", ())) or self.option("auto_pad", "NOTSET") != "NOTSET"


Gradient: TypeAlias = Callable[[Step], Sequence[Array | None]]
Factor: TypeAlias = Callable[[Step], Any]

MOVES = frozenset(
    (
        *("Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Tile"),
        *("Transpose", "Unsqueeze"),
    )
)

CONDITIONS = ("And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Or")
"""Operators whose outputs have no gradient, but choose what `Where` returns."""


def _elementwise(derivative: Factor) -> Gradient:
    """Of a function of each element."""
    return lambda step: (step.grad * derivative(step),)


def _broadcast(*derivatives: Factor) -> Gradient:
    """Of a function of two tensors that are broadcast, from its two partial derivatives."""

    def gradient(step: Step) -> Sequence[Array | None]:
        if len(step.inputs) != 2:
            raise NoGradientError
        return [
            _summed_to(x.shape, step.grad * derivative(step))
            for x, derivative in zip(step.inputs, derivatives, strict=True)
        ]

    return gradient


def _summed_to(shape: tuple[int, ...], grad: Array) -> Array:
    """The gradient of what was broadcast from `shape`."""
    grad = grad.sum(tuple(range(grad.ndim - len(shape))))
    found: Array = grad.sum(tuple(k for k, n in enumerate(shape) if n == 1), keepdims=True)
    return found


def _reduction(derivative: Callable[[Array, Array], Array]) -> Gradient:
    """Of a reduction, from the derivative at `x` with output `y`, whose axes are kept."""

    def gradient(step: Step) -> Sequence[Array | None]:
        x = step.x
        axes = step.inputs[1] if len(step.inputs) > 1 else step.option("axes")
        over = {int(axis) % x.ndim for axis in (range(x.ndim) if axes is None else axes)}
        kept = tuple(1 if axis in over else n for axis, n in enumerate(x.shape))
        return (step.grad.reshape(kept) * derivative(x, step.y.reshape(kept)),)

    return gradient


def _pool(derivative: Callable[[Array, Array], Array]) -> Gradient:
    """Of a pooling over the whole map `(N, C, h, w)`, to one number for each channel."""

    def gradient(step: Step) -> Sequence[Array | None]:
        window = tuple(step.option("kernel_shape", step.x.shape[2:]))
        if set(step.y.shape[2:]) != {1} or window != step.x.shape[2:] or step.padded:
            raise NoGradientError
        return (step.grad * derivative(step.x, step.y),)

    return gradient


def _extreme(x: Array, y: Array) -> Array:
    """Of a maximum or minimum; where several elements have it, they share."""
    hits = x == y
    axes = tuple(axis for axis, n in enumerate(y.shape) if n == 1)
    shared: Array = hits / hits.sum(axes, keepdims=True)
    return shared


def _mean(x: Array, y: Array) -> Array:
    return np.full(x.shape, y.size / x.size)


def _softmax(step: Step) -> Sequence[Array | None]:
    total = (step.grad * step.y).sum(step.option("axis", -1), keepdims=True)
    return (step.y * (step.grad - total),)


def _log_softmax(step: Step) -> Sequence[Array | None]:
    total = step.grad.sum(step.option("axis", -1), keepdims=True)
    return (step.grad - np.exp(step.y) * total,)


def _concat(step: Step) -> Sequence[Array | None]:
    axis = step.option("axis")
    return np.split(step.grad, np.cumsum([x.shape[axis] for x in step.inputs])[:-1], axis)


def _matmul(step: Step) -> Sequence[Array | None]:
    a, b = step.inputs
    if b.ndim != 2:
        raise NoGradientError
    rows, grads = a.reshape(-1, a.shape[-1]), step.grad.reshape(-1, b.shape[1])
    return (grads @ b.T).reshape(a.shape), rows.T @ grads


def _gemm(step: Step) -> Sequence[Array | None]:
    if step.option("transA"):
        raise NoGradientError
    grad = step.grad * step.option("alpha", 1.0)
    if step.option("transB"):
        return grad @ step.inputs[1], grad.T @ step.x
    return grad @ step.inputs[1].T, step.x.T @ grad


def _conv(step: Step) -> Sequence[Array | None]:
    """Of a 1 × 1 convolution, or of one whose kernel has the size of the whole map."""
    x, weight, y = step.x, step.inputs[1], step.y
    kernel = weight.shape[2:]
    if not step.padded and step.option("group", 1) == 1:
        if set(kernel) == {1} and y.shape[2:] == x.shape[2:]:
            return (np.einsum("no...,oi->ni...", step.grad, weight.reshape(weight.shape[:2])),)
        if kernel == x.shape[2:] and set(y.shape[2:]) == {1}:
            return (np.tensordot(step.grad.reshape(y.shape[:2]), weight, 1),)
    raise NoGradientError


def _batch_norm(step: Step) -> Sequence[Array | None]:
    _, scale, _, _, variance = step.inputs
    factor = scale / np.sqrt(variance + step.option("epsilon", 1e-5))
    return (step.grad * factor.reshape(1, -1, *[1] * (step.x.ndim - 2)),)


def _where(step: Step) -> Sequence[Array | None]:
    condition, a, b = step.inputs
    yes, no = step.grad * condition, step.grad * ~condition
    return None, _summed_to(a.shape, yes), _summed_to(b.shape, no)


def _hard_swish(step: Step) -> Array:
    x = step.x
    return np.where(x <= -3, 0.0, np.where(x >= 3, 1.0, x / 3 + 0.5))


_SMALLEST = 1e-300  # instead of a division by zero

_choice = _broadcast(
    lambda s: s.inputs[0] == s.y, lambda s: (s.inputs[1] == s.y) & (s.inputs[0] != s.y)
)

GRADIENTS: Mapping[str, Gradient] = {
    "Abs": _elementwise(lambda s: np.sign(s.x)),
    "Add": _broadcast(lambda _: 1.0, lambda _: 1.0),
    "AveragePool": _pool(_mean),
    "BatchNormalization": _batch_norm,
    "Cast": _elementwise(lambda _: 1.0),
    "Clip": _elementwise(lambda s: s.x == s.y),
    "Concat": _concat,
    "Conv": _conv,
    "Div": _broadcast(lambda s: 1 / s.inputs[1], lambda s: -s.y / s.inputs[1]),
    "Elu": _elementwise(lambda s: np.where(s.x > 0, 1.0, s.y + s.option("alpha", 1.0))),
    "Erf": _elementwise(lambda s: 2 / np.sqrt(np.pi) * np.exp(-(s.x**2))),
    "Exp": _elementwise(lambda s: s.y),
    "Gemm": _gemm,
    "GlobalAveragePool": _pool(_mean),
    "GlobalMaxPool": _pool(_extreme),
    "HardSigmoid": _elementwise(lambda s: s.option("alpha", 0.2) * ((s.y > 0) & (s.y < 1))),
    "HardSwish": _elementwise(_hard_swish),
    "LeakyRelu": _elementwise(lambda s: np.where(s.x > 0, 1.0, s.option("alpha", 0.01))),
    "Log": _elementwise(lambda s: 1 / s.x),
    "LogSoftmax": _log_softmax,
    "MatMul": _matmul,
    "Max": _choice,
    "MaxPool": _pool(_extreme),
    "Min": _choice,
    "Mul": _broadcast(lambda s: s.inputs[1], lambda s: s.inputs[0]),
    "Neg": _elementwise(lambda _: -1.0),
    "Reciprocal": _elementwise(lambda s: -(s.y**2)),
    "ReduceL2": _reduction(lambda x, y: x / np.maximum(y, _SMALLEST)),
    "ReduceLogSumExp": _reduction(lambda x, y: np.exp(x - y)),
    "ReduceMax": _reduction(_extreme),
    "ReduceMean": _reduction(_mean),
    "ReduceMin": _reduction(_extreme),
    "ReduceSum": _reduction(lambda x, _: np.ones(x.shape)),
    "ReduceSumSquare": _reduction(lambda x, _: 2 * x),
    "Relu": _elementwise(lambda s: s.x > 0),
    "Sigmoid": _elementwise(lambda s: s.y * (1 - s.y)),
    "Softmax": _softmax,
    "Softplus": _elementwise(lambda s: 1 - np.exp(-s.y)),
    "Sqrt": _elementwise(lambda s: 0.5 / np.maximum(s.y, _SMALLEST)),
    "Sub": _broadcast(lambda _: 1.0, lambda _: -1.0),
    "Tanh": _elementwise(lambda s: 1 - s.y**2),
    "Where": _where,
    **dict.fromkeys(CONDITIONS, lambda _: ()),
}
"""The gradient of each operator."""

AFFINE: Mapping[str, int | None] = {
    **dict.fromkeys(MOVES, None),
    **dict.fromkeys(("Add", "Cast", "Concat", "Neg", "Sub", "ReduceMean", "ReduceSum"), None),
    **dict.fromkeys(("AveragePool", "GlobalAveragePool"), None),
    **dict.fromkeys(("BatchNormalization", "Conv", "Div", "Gemm", "MatMul", "Mul"), 1),
}
"""Operators that are affine -> in how many variable inputs at most; None for any number."""
