"""The types and sizes of the tensors of an ONNX network, as ONNX infers them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pocketlens.coreml.graph.inference import MAX_TENSOR_BYTES
from pocketlens.errors import ConversionError, printable

__all__ = ["check_size", "fixed_shape", "known_type"]


def known_type(name: str, kind: Any, *, unknown: bool = False) -> tuple[np.dtype[Any], list[Any]]:
    """The element type and the sizes of a tensor.

    Args:
        name: The tensor, for messages.
        kind: Its `TypeProto`; None if it could not be inferred.
        unknown: Allow sizes that are not known; they are None.

    Raises:
        ConversionError: The type or, without `unknown`, a size is not known.
    """
    import onnx

    tensor = kind.tensor_type if kind is not None else None
    if tensor is None or not tensor.elem_type:
        raise ConversionError(
            f"the type of the tensor '{printable(name)}' cannot be inferred; Core ML needs it"
        )
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    sizes: list[Any] = [
        each.dim_value if each.HasField("dim_value") else None for each in tensor.shape.dim
    ]
    if not unknown and (None in sizes or not tensor.HasField("shape")):
        raise ConversionError(
            f"the size of '{printable(name)}' depends on the values of the inputs; Core ML "
            "needs fixed sizes here; export the network with fixed shapes"
        )
    return dtype, sizes


def fixed_shape(kind: Any) -> tuple[int, ...] | None:
    """The shape of a tensor of this `TypeProto`; None if it is not fixed."""
    if kind is None or not kind.tensor_type.HasField("shape"):
        return None
    dims = kind.tensor_type.shape.dim
    if not all(each.HasField("dim_value") for each in dims):
        return None
    return tuple(int(each.dim_value) for each in dims)


def check_size(what: str, dtype: np.dtype[Any], shape: Sequence[int | None]) -> int:
    """The number of bytes of a tensor, as far as its sizes are known.

    Raises:
        ConversionError: It is too large.
    """
    sides = [side for side in shape if side is not None]
    size = math.prod(max(1, side) for side in sides) * dtype.itemsize
    if any(side < 0 for side in sides) or size > MAX_TENSOR_BYTES:
        raise ConversionError(
            f"{what} would make a tensor {dtype}{list(shape)}; expected at most "
            f"{MAX_TENSOR_BYTES} bytes"
        )
    return size
