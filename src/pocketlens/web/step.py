"""`Step`, one node of the graph, and what several lowerings use."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketlens.errors import UnsupportedModelError
from pocketlens.web.program import Program, Ref, collapsed, strides_of

__all__ = [
    "Lowering",
    "Step",
    "along_axis",
    "binary_step",
    "broadcast_strides",
    "matmul_step",
    "number",
    "picked",
    "placed",
    "reduced",
    "transposed",
    "unary_step",
]


@dataclass(frozen=True)
class Step:
    """One node of the graph.

    Args:
        where: The node, for messages.
        inputs: Its inputs; None for one that is left out.
        attributes: Its attributes.
        shapes: The shapes of its outputs.
        program: Gets the steps.
    """

    where: str
    inputs: tuple[Ref | None, ...]
    attributes: dict[str, Any]
    shapes: list[tuple[int, ...]]
    program: Program

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the first output."""
        return self.shapes[0]

    def value(self, index: int) -> Ref:
        """An input that must be there."""
        found = self.optional(index)
        if found is None:
            raise self.unsupported(f"input {index} is missing")
        return found

    def optional(self, index: int) -> Ref | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def constant(self, index: int) -> NDArray[Any] | None:
        """An input that must be a constant, if it is there."""
        ref = self.optional(index)
        if ref is not None and ref.const is None:
            raise self.unsupported(f"input {index} is computed; expected a constant")
        return None if ref is None else ref.const

    def integers(self, index: int, name: str) -> list[int] | None:
        """A list that is an input in newer versions of an operator, an attribute in older ones."""
        found = self.constant(index)
        if found is not None:
            return [int(each) for each in np.ravel(found)]
        return list(self.attributes[name]) if name in self.attributes else None

    def tensor(self, index: int) -> int:
        return self.program.tensor(self.value(index))

    def unsupported(self, reason: str) -> UnsupportedModelError:
        return UnsupportedModelError(f"{self.where} cannot run in the browser: {reason}")


Lowering: TypeAlias = Callable[[Step], list[Ref]]


def unary_step(s: Step, kind: str, x: Ref, **numbers: float) -> Ref:
    return s.program.add("unary", x.shape, kind=kind, x=s.program.tensor(x), **numbers)


CONSTANTS: dict[str, Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]] = {
    "add": np.add,
    "max": np.maximum,
    "min": np.minimum,
    "mul": np.multiply,
    "if": lambda condition, b: np.where(condition, b, 0),
    "unless": lambda condition, b: np.where(condition, 0, b),
}
"""Of `binary_step`, for two operands of an operator that are both constant."""


def binary_step(s: Step, kind: str, a: Ref, b: Ref, shape: Sequence[int]) -> Ref:
    if a.const is not None and b.const is not None:
        array = CONSTANTS[kind](a.const, b.const).astype(np.float32)
        return Ref(array.shape, const=array)
    sizes, strides = collapsed(shape, *(broadcast_strides(each.shape, shape) for each in (a, b)))
    fields = {"a": s.program.tensor(a), "b": s.program.tensor(b)}
    return s.program.add("binary", shape, kind=kind, **fields, shape=sizes, strides=strides)


def broadcast_strides(shape: Sequence[int], to: Sequence[int]) -> list[int]:
    """The strides of a tensor that is repeated to a larger shape."""
    full = (1,) * (len(to) - len(shape)) + tuple(shape)
    return [0 if size == 1 else stride for size, stride in zip(full, strides_of(full), strict=True)]


def number(value: float) -> Ref:
    return Ref((), const=np.array(value, np.float32))


def reduced(s: Step, kind: str, x: Ref, axes: Sequence[int]) -> Ref:
    """Reduced over some axes, which stay with the size 1."""
    strides = strides_of(x.shape)
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    outer, (outer_strides,) = collapsed(
        [x.shape[axis] for axis in kept], [strides[axis] for axis in kept]
    )
    gone = sorted(axes)
    inner, (inner_strides,) = collapsed(
        [x.shape[axis] for axis in gone], [strides[axis] for axis in gone]
    )
    shape = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    return s.program.add(
        "reduce", shape, kind=kind, x=s.program.tensor(x), outer=outer,
        outer_strides=outer_strides, inner=inner, inner_strides=inner_strides,
    )  # fmt: skip


def transposed(s: Step, x: Ref, order: Sequence[int]) -> Ref:
    if x.const is not None:
        array = np.ascontiguousarray(x.const.transpose(order))
        return Ref(array.shape, const=array)
    strides = strides_of(x.shape)
    shape = [x.shape[axis] for axis in order]
    return s.program.moved(x, shape, from_strides=[strides[axis] for axis in order])


def placed(
    s: Step,
    parts: Sequence[tuple[Ref, Sequence[int]]],
    shape: Sequence[int],
    *,
    fill: float | None = None,
) -> Ref:
    """A tensor of this shape with each part at its corner; the rest is `fill`."""
    strides = strides_of(shape)
    program = s.program
    out: Ref | None = None
    for x, corner in parts:
        sizes, (source, target) = collapsed(x.shape, strides_of(x.shape), strides)
        start = sum(at * stride for at, stride in zip(corner, strides, strict=True))
        fields: dict[str, Any] = {
            "shape": sizes,
            "from": 0,
            "from_strides": source,
            "to_strides": target,
        }
        fields |= {"x": program.tensor(x), "to": start}
        if out is None:
            filled: dict[str, Any] = {} if fill is None else {"fill": fill}
            out = program.add("move", shape, **fields, **filled)
        else:
            program.steps.append({"op": "move", **fields, "out": out.tensor})
    assert out is not None
    return Ref(tuple(shape), tensor=out.tensor, step=len(program.steps) - 1)


def matmul_step(s: Step, a: Ref, b: Ref, shape: Sequence[int]) -> Ref:
    """`a @ b`, as NumPy broadcasts it, in this shape."""
    a_shape = (1, *a.shape) if len(a.shape) == 1 else a.shape
    b_shape = (*b.shape, 1) if len(b.shape) == 1 else b.shape
    (m, inner), columns = a_shape[-2:], b_shape[-1]
    outer = np.broadcast_shapes(a_shape[:-2], b_shape[:-2])
    first = [
        np.broadcast_to(
            np.arange(math.prod(shape[:-2])).reshape(shape[:-2]) * math.prod(shape[-2:]), outer
        ).ravel()
        for shape in (a_shape, b_shape)
    ]
    batch = [
        [int(one), int(other), index * m * columns]
        for index, (one, other) in enumerate(zip(*first, strict=True))
    ]
    return s.program.product(
        "matmul", shape, (m, columns), a=s.program.tensor(a), b=s.program.tensor(b), rows=m,
        inner=inner, columns=columns, batch=batch,
    )  # fmt: skip


def along_axis(s: Step, x: Ref, axis: int, matrix: NDArray[Any]) -> Ref:
    """`matrix` times each column along an axis, as a matrix product."""
    shape = [*x.shape[:axis], len(matrix), *x.shape[axis + 1 :]]
    outer, inner = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    factor = np.ascontiguousarray(matrix if inner > 1 else matrix.T, np.float32)
    weights = Ref(factor.shape, const=factor)
    views = (outer, x.shape[axis], inner) if inner > 1 else (outer, x.shape[axis])
    view = Ref(views, tensor=s.program.tensor(x))
    pair = (weights, view) if inner > 1 else (view, weights)
    return matmul_step(s, *pair, shape)


def picked(s: Step, x: Ref, axis: int, indices: Sequence[int], shape: Sequence[int]) -> Ref:
    """The slices of these indices along an axis, in this shape."""
    outer, inner = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    return s.program.add(
        "pick", shape, x=s.program.tensor(x), outer=outer, size=x.shape[axis], inner=inner,
        indices=list(indices),
    )  # fmt: skip
