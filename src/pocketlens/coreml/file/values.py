"""MIL (the language of ML Programs): types and constant values -> NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.budget import charge
from pocketlens.coreml.file.package import BLOB_TYPES, ModelFile, unpack
from pocketlens.errors import ModelFileError, UnsupportedModelError

__all__ = ["MAX_RANK", "TensorType", "constant_of", "held_type", "tensor_type"]

MAX_CONSTANT_BYTES = 2**31
MAX_SIZE = 2**31
MAX_RANK = 32  # NumPy's own limit, before its version 2
MAX_DEPTH = 8

# Element types of fewer than 8 bits are packed, here as in the weights file.
NARROW = {name: bits for name, bits, _ in BLOB_TYPES.values() if bits < 8}

# MIL's DataType -> its name, the NumPy type of one element.
DATA_TYPES: dict[int, tuple[str, Any]] = {
    1: ("bool", np.bool_),
    2: ("string", object),
    10: ("float16", np.float16),
    11: ("float32", np.float32),
    12: ("float64", np.float64),
    21: ("int8", np.int8),
    22: ("int16", np.int16),
    23: ("int32", np.int32),
    24: ("int64", np.int64),
    25: ("int4", np.int8),
    31: ("uint8", np.uint8),
    32: ("uint16", np.uint16),
    33: ("uint32", np.uint32),
    34: ("uint64", np.uint64),
    35: ("uint4", np.uint8),
    36: ("uint2", np.uint8),
    37: ("uint1", np.uint8),
    38: ("uint6", np.uint8),
    39: ("uint3", np.uint8),
}


class TensorType:
    """The declared type of a tensor.

    Attributes:
        name: The element type's name, such as `float16` or `uint4`.
        dtype: The NumPy type of one element.
        shape: The sizes, None for an unknown size; None if the rank is unknown.
    """

    def __init__(self, message: Any) -> None:
        if message.dataType not in DATA_TYPES:
            raise UnsupportedModelError(
                f"the element type number {message.dataType} is not supported; "
                f"expected one of {', '.join(name for name, _ in DATA_TYPES.values())}"
            )
        self.name, numpy_type = DATA_TYPES[message.dataType]
        self.dtype: np.dtype[Any] = np.dtype(numpy_type)
        self.shape: tuple[int | None, ...] | None = None
        if message.rank >= 0:
            self.shape = tuple(
                dim.constant.size if dim.WhichOneof("dimension") == "constant" else None
                for dim in message.dimensions
            )
            if len(self.shape) != message.rank:
                raise ModelFileError(
                    f"a tensor is declared with {message.rank} dimensions, "
                    f"but {len(self.shape)} sizes are listed"
                )
            if len(self.shape) > MAX_RANK:
                raise ModelFileError(
                    f"a tensor is declared with {len(self.shape)} dimensions; "
                    f"expected at most {MAX_RANK}"
                )
            if any(size is not None and size > MAX_SIZE for size in self.shape):
                raise ModelFileError(
                    f"a tensor is declared with the shape {list(self.shape)}; "
                    f"expected no size above {MAX_SIZE}"
                )

    @property
    def fixed(self) -> tuple[int, ...]:
        """The shape of a constant: every size is known.

        Raises:
            ModelFileError: A size is unknown.
        """
        known = tuple(size for size in self.shape or () if size is not None)
        if self.shape is None or len(known) < len(self.shape):
            raise ModelFileError(f"a constant is declared with the unknown shape {self.shape}")
        return known


def tensor_type(message: Any) -> TensorType | None:
    """The tensor type of a MIL ValueType, or None if it is a list, tuple, dictionary or state."""
    if message.WhichOneof("type") != "tensorType":
        return None
    return TensorType(message.tensorType)


def held_type(message: Any) -> TensorType | None:
    """The type of the tensor that represents a MIL ValueType here.

    A list becomes one tensor with its elements along a new first axis; a state becomes the tensor
    inside it. None for any other type that is not a tensor.
    """
    kind = message.WhichOneof("type")
    if kind == "stateType":
        return tensor_type(message.stateType.wrappedType)
    if kind != "listType":
        return tensor_type(message)
    held = tensor_type(message.listType.type)
    if held is not None and held.shape is not None:
        held.shape = (None, *held.shape)
    return held


def constant_of(file: ModelFile, value: Any, depth: int = 0) -> NDArray[Any]:
    """A MIL Value as an array; a list or tuple of scalars as an array of one dimension.

    Raises:
        ModelFileError: The value is damaged, or its size is not the declared one.
        UnsupportedModelError: The type is not supported.
    """
    if depth > MAX_DEPTH:
        raise ModelFileError("a constant is nested too deeply")
    declared = tensor_type(value.type)
    if declared is not None:
        count = math.prod(max(size, 1) for size in declared.fixed)
        if count * max(declared.dtype.itemsize, 1) > MAX_CONSTANT_BYTES:
            raise ModelFileError(
                f"a constant is declared as {declared.name} of shape {declared.fixed}; "
                f"expected at most {MAX_CONSTANT_BYTES} bytes"
            )
    if value.WhichOneof("value") == "blobFileValue":
        if declared is None:
            raise ModelFileError("a list or dictionary is in the weights file; expected a tensor")
        blob = value.blobFileValue
        return file.blob(blob.fileName, blob.offset, declared.name, declared.fixed)
    kind = value.immediateValue.WhichOneof("value")
    if kind == "tensor" and declared is not None:
        return _tensor(value.immediateValue.tensor, declared)
    if kind in ("list", "tuple"):
        items = getattr(value.immediateValue, kind).values
        parts = [constant_of(file, item, depth + 1) for item in items]
        if any(part.size != 1 for part in parts) or len({part.dtype for part in parts}) > 1:
            raise UnsupportedModelError(f"a constant is a {kind} of tensors; expected scalars")
        return np.array(
            [part.reshape(()).item() for part in parts], parts[0].dtype if parts else object
        )
    raise ModelFileError(f"a constant has no value that matches its type; received: {kind}")


def _tensor(tensor: Any, declared: TensorType) -> NDArray[Any]:
    kind = tensor.WhichOneof("value")
    shape = declared.fixed
    count = math.prod(shape)
    if kind is None:
        if count:
            raise ModelFileError(f"a constant of shape {shape} has no values")
        return np.zeros(shape, declared.dtype)
    charge(count * declared.dtype.itemsize, f"a constant of shape {shape}")
    values = getattr(tensor, kind).values
    if kind == "bytes":
        return _from_bytes(values, declared, count).reshape(shape)
    if len(values) != count:
        raise ModelFileError(
            f"a constant of shape {shape} has {len(values)} values; expected {count}"
        )
    if declared.dtype == object or kind == "strings":
        if kind != "strings" or declared.dtype != object:
            raise ModelFileError(f"a constant is declared as {declared.name}; received: {kind}")
        return np.array(list(values), object).reshape(shape)
    with np.errstate(over="ignore"):
        wide = np.array(values)
        array = wide.astype(declared.dtype)
    if declared.dtype.kind in "iu" and not np.array_equal(array, wide):
        raise ModelFileError(f"a constant has a value that is out of range for {declared.name}")
    return array.reshape(shape)


def _from_bytes(data: bytes, declared: TensorType, count: int) -> NDArray[Any]:
    if declared.dtype == object:
        raise ModelFileError("a constant is declared as string; received: bytes")
    bits = NARROW.get(declared.name, 8 * declared.dtype.itemsize)
    expected = (count * bits + 7) // 8
    if len(data) != expected:
        raise ModelFileError(
            f"a constant of {count} {declared.name} has {len(data)} bytes; expected {expected}"
        )
    if declared.name in NARROW:
        return unpack(np.frombuffer(data, np.uint8), bits, count, declared.name)
    return np.frombuffer(data, declared.dtype.newbyteorder("<"), count).astype(declared.dtype)
