"""Operators that are a constant matrix times each column along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.web.program import Ref
from pocketlens.web.single_node import SingleNode
from pocketlens.web.step import Step, along_axis, binary_step, number, picked, unary_step

__all__ = ["cumulative_sum", "local_response_normalization", "resize"]


def resize(s: Step) -> list[Ref]:
    """Axis by axis; what ONNX Runtime makes of each unit vector are the columns of a matrix."""
    x = s.value(0)
    roi, policy = s.attributes.get("coordinate_transformation_mode"), "keep_aspect_ratio_policy"
    if roi == b"tf_crop_and_resize" or s.attributes.get(policy, b"stretch") != b"stretch":
        raise s.unsupported("it crops, or keeps the aspect ratio")
    scales, sizes = s.constant(2), s.constant(3)
    given = sizes if scales is None or not scales.size else scales
    axes = [axis % len(x.shape) for axis in s.attributes.get("axes", range(len(x.shape)))]
    own = {key: value for key, value in s.attributes.items() if key not in ("axes", policy)}
    assert given is not None
    for axis, factor in zip(axes, np.ravel(given), strict=True):
        matrix = _resizing(own, axis, x.shape[axis], factor, len(x.shape))
        if np.array_equal(matrix, np.eye(*matrix.shape)):
            continue
        if np.array_equal(matrix != 0, matrix == 1) and (matrix.sum(1) == 1).all():
            shape = [*x.shape[:axis], len(matrix), *x.shape[axis + 1 :]]
            x = picked(s, x, axis, matrix.argmax(1).tolist(), shape)
        else:
            x = along_axis(s, x, axis, matrix)
    return [x]


def _resizing(
    attributes: dict[str, Any], axis: int, size: int, factor: Any, rank: int
) -> NDArray[np.float32]:
    """The matrix that resizes one axis."""
    ones = np.ones(rank, np.asarray(factor).dtype)
    ones[axis] = factor
    shape = [size if each == axis else 1 for each in range(rank)]
    units = [unit.reshape(shape) for unit in np.eye(size, dtype=np.float32)]
    none = np.array([], np.float32)
    rest = (none, none, ones) if ones.dtype == np.int64 else (none, ones)
    node = SingleNode("Resize", [units[0], *rest], attributes)
    columns = [node(unit, *rest).ravel() for unit in units]
    return np.stack(columns, 1)


def cumulative_sum(s: Step) -> list[Ref]:
    x, axis = s.value(0), s.constant(1)
    if axis is None:
        raise s.unsupported("it has no axis")
    place = int(np.ravel(axis)[0]) % len(x.shape)
    exclusive = int(s.attributes.get("exclusive", 0))
    matrix = np.tri(x.shape[place], k=-exclusive)
    return [along_axis(s, x, place, matrix.T if s.attributes.get("reverse") else matrix)]


def local_response_normalization(s: Step) -> list[Ref]:
    x, size = s.value(0), int(s.attributes["size"])
    channels = np.arange(x.shape[1])
    offsets = channels[None] - channels[:, None]  # of a channel from that of the result
    near = (offsets >= -((size - 1) // 2)) & (offsets <= size // 2)
    share = s.attributes.get("alpha", 1e-4) / size
    total = along_axis(s, unary_step(s, "square", x), 1, near * share)
    raised = binary_step(s, "add", total, number(s.attributes.get("bias", 1.0)), x.shape)
    power = binary_step(s, "pow", raised, number(s.attributes.get("beta", 0.75)), x.shape)
    return [binary_step(s, "div", x, power, x.shape)]
