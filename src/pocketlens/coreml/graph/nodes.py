"""What an ONNX graph under construction consists of: values, and the nodes that make them."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from pocketlens.errors import ModelFileError, UnsupportedModelError

__all__ = [
    "STRING",
    "Array",
    "Bools",
    "Floats",
    "Ints",
    "Message",
    "Node",
    "Operand",
    "Shape",
    "Value",
    "Values",
]

Shape: TypeAlias = "tuple[int | None, ...] | None"
STRING = np.dtype(object)


class Value:
    """A tensor of the graph.

    Attributes:
        name: Its name in the ONNX graph.
        dtype: Its element type.
        shape: Its sizes; None for a size (or for all) that is known only at run time.
        const: Its content, if it is a constant.
    """

    __slots__ = ("const", "dtype", "name", "shape")

    def __init__(
        self, name: str, dtype: np.dtype[Any], shape: Shape, const: NDArray[Any] | None = None
    ) -> None:
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.const = const

    def __repr__(self) -> str:
        return f"{self.name}: {self.dtype}{'' if self.shape is None else list(self.shape)}"

    @property
    def rank(self) -> int:
        """The number of dimensions.

        Raises:
            UnsupportedModelError: It is known only at run time.
        """
        return len(self._known())

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape, every size known.

        Raises:
            UnsupportedModelError: A size is known only at run time.
        """
        sizes = self._known()
        if None in sizes:
            raise UnsupportedModelError(
                f"the tensor {self.name!r} has the shape {list(sizes)}, of which a size is known "
                "only at run time; expected a fixed shape"
            )
        return sizes  # type: ignore[return-value]

    def size(self, axis: int) -> int:
        """The size along `axis`; the other sizes may be unknown."""
        sizes = self._known()
        if not -len(sizes) <= axis < len(sizes):
            raise ModelFileError(
                f"the tensor {self.name!r} has the shape {list(sizes)}; it has no axis {axis}"
            )
        size = sizes[axis]
        if size is None:
            raise UnsupportedModelError(
                f"the tensor {self.name!r} has the shape {list(sizes)}; expected axis "
                f"{axis} to be known before the model runs"
            )
        return size

    def _known(self) -> tuple[int | None, ...]:
        if self.shape is None:
            raise UnsupportedModelError(
                f"the number of dimensions of the tensor {self.name!r} is known only at run time"
            )
        return self.shape


Operand: TypeAlias = "Value | NDArray[Any] | None"

# What a lowering's parameters are annotated with: a tensor, several tensors, or a constant.
Values: TypeAlias = "tuple[Value, ...]"
Array: TypeAlias = "NDArray[Any]"
Ints: TypeAlias = "tuple[int, ...]"
Floats: TypeAlias = "tuple[float, ...]"
Bools: TypeAlias = "tuple[bool, ...]"
Message: TypeAlias = Any  # a protobuf message of the file, as it is


class Node:
    """One operator of the graph with what it takes and gives."""

    __slots__ = ("attributes", "domain", "inputs", "name", "op", "outputs")

    def __init__(
        self,
        op: str,
        domain: str,
        name: str,
        inputs: list[Value | None],
        outputs: list[Value],
        attributes: dict[str, Any],
    ) -> None:
        self.op = op
        self.domain = domain
        self.name = name
        self.inputs = inputs
        self.outputs = outputs
        self.attributes = attributes

    def proto(self) -> onnx.NodeProto:
        return helper.make_node(
            self.op,
            ["" if value is None else value.name for value in self.inputs],
            [value.name for value in self.outputs],
            self.name,
            domain=self.domain or None,
            **self.attributes,
        )
