"""The parts of an ONNX graph under construction: values, and the nodes that compute them."""

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
    "numpy_type",
    "onnx_type",
    "type_proto",
]

Shape: TypeAlias = "tuple[int | None, ...] | None"
"""Sizes, None for one that is known only at run time; None if even the rank is unknown."""

STRING = np.dtype(object)
"""The element type of tensors of strings."""


class Value:
    """A tensor of the graph.

    Attributes:
        name: The name in the ONNX graph.
        dtype: The element type.
        shape: The sizes; None for a size (or for all) that is known only at run time.
        const: The content of a constant, else None.
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
            UnsupportedModelError: The rank is known only at run time.
        """
        return len(self._known())

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape, with every size known.

        Raises:
            UnsupportedModelError: A size is known only at run time.
        """
        shape = self._known()
        sizes = tuple(size for size in shape if size is not None)
        if len(sizes) < len(shape):
            raise UnsupportedModelError(
                f"the tensor {self.name!r} has the shape {list(shape)}; expected a fixed shape, "
                "but some sizes are known only at run time"
            )
        return sizes

    def size(self, axis: int) -> int:
        """The size along `axis`; the other sizes may be unknown.

        Raises:
            ModelFileError: There is no such axis.
            UnsupportedModelError: The size is known only at run time.
        """
        sizes = self._known()
        if not -len(sizes) <= axis < len(sizes):
            raise ModelFileError(
                f"the tensor {self.name!r} has no axis {axis}; its shape is {list(sizes)}"
            )
        size = sizes[axis]
        if size is None:
            raise UnsupportedModelError(
                f"the tensor {self.name!r} has the shape {list(sizes)}; expected the size of axis "
                f"{axis} to be fixed, but it is known only at run time"
            )
        return size

    def _known(self) -> tuple[int | None, ...]:
        if self.shape is None:
            raise UnsupportedModelError(
                f"the number of dimensions of the tensor {self.name!r} is known only at run time"
            )
        return self.shape


Operand: TypeAlias = "Value | NDArray[Any] | None"

# Annotations for the parameters of a lowering: a tensor, several tensors, or constants.
Values: TypeAlias = "tuple[Value, ...]"
Array: TypeAlias = "NDArray[Any]"
Ints: TypeAlias = "tuple[int, ...]"
Floats: TypeAlias = "tuple[float, ...]"
Bools: TypeAlias = "tuple[bool, ...]"
Message: TypeAlias = Any  # a protobuf message from the file


class Node:
    """One operator of the graph with its inputs, outputs and attributes.

    `place` is the operation of the Core ML model that it computes a part of.
    """

    __slots__ = ("attributes", "domain", "inputs", "name", "op", "outputs", "place")

    def __init__(
        self,
        op: str,
        domain: str,
        name: str,
        inputs: list[Value | None],
        outputs: list[Value],
        attributes: dict[str, Any],
        place: str = "",
    ) -> None:
        self.op = op
        self.domain = domain
        self.name = name
        self.inputs = inputs
        self.outputs = outputs
        self.attributes = attributes
        self.place = place

    def proto(self) -> onnx.NodeProto:
        return helper.make_node(
            self.op,
            ["" if value is None else value.name for value in self.inputs],
            [value.name for value in self.outputs],
            self.name,
            domain=self.domain or None,
            **self.attributes,
        )


def type_proto(value: Value) -> onnx.TypeProto:
    """ONNX's description of a value's type and shape."""
    return helper.make_tensor_type_proto(onnx_type(value.dtype), value.shape)


def onnx_type(dtype: np.dtype[Any]) -> int:
    """ONNX's number for an element type (`TensorProto.DataType`)."""
    code = onnx.TensorProto.STRING if dtype == STRING else helper.np_dtype_to_tensor_dtype(dtype)
    return int(code)


def numpy_type(code: int) -> np.dtype[Any]:
    """The NumPy type for ONNX's number of an element type."""
    return STRING if code == onnx.TensorProto.STRING else helper.tensor_dtype_to_np_dtype(code)
