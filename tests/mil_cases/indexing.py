"""Gather and scatter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from arrays import Draw, i32
from mil_cases.case import Case, x2
from mil_cases.elementwise import row
from mil_cases.transformation import one

draw = Draw(114)

# Expected results of gather come from NumPy's indexing, those of scatter from NumPy's `ufunc.at`.
SCATTER: dict[str, Callable[..., Any]] = {
    "add": np.add.at,
    "sub": np.subtract.at,
    "mul": np.multiply.at,
    "div": np.divide.at,
    "max": np.maximum.at,
    "min": np.minimum.at,
    "update": lambda data, at, new: data.__setitem__(at, new),
}
picks = i32([2, 0, -1, 0])
pairs = i32([[[1, 2], [0, 0]], [[1, 0], [0, -1]]])
deep = draw.normal(2, 3, 4, 5)
batched = i32([[3, 0], [1, 1]])


def scattered(mode: str, at: Any) -> Callable[..., Any]:
    def expected(data: np.ndarray, _: Any, updates: np.ndarray) -> np.ndarray:
        data = data.copy()
        SCATTER[mode](data, at, updates)
        return data

    return expected


def scatter_case(op: str, indices: np.ndarray, shape: Any, at: Any, **fields: Any) -> Case:
    mode = fields.get("mode", "add")
    given = {"data": one, "indices": indices, "updates": draw.positive(*shape)}
    note = f"{mode} {fields.get('axis', '')}"
    return Case(op, given, fields, scattered(mode, at), note=note)


once = i32([2, 0])
along = i32([[[2, 0, 1, 1]], [[0, 0, 2, -1]]])
along_at = (np.arange(2)[:, None, None], along, np.arange(4))
INDEXING = [
    Case("gather", {"x": one, "indices": i32([1, 0, -1])}, {}, lambda x, i: x[[1, 0, -1]]),
    Case(
        "gather",
        {"x": one, "indices": i32([[2, 0], [1, -1]])},
        {"axis": -2},
        lambda x, i: x[:, i],
        opset="CoreML5",
        note="iOS 15",
    ),
    *(
        Case(
            "gather",
            {"x": deep, "indices": batched},
            {"axis": axis, "batch_dims": 1} | fields,
            expected,
            opset=opset,
            note=f"batch {axis} {opset}",
        )
        for axis, expected in [
            (2, lambda x, i: np.stack([x[b][:, i[b]] for b in range(2)])),
            (-1, lambda x, i: np.stack([x[b][:, :, i[b]] for b in range(2)])),
        ]
        for opset, fields in [("CoreML6", {}), ("CoreML7", {"validate_indices": True})]
    ),
    Case(
        "gather",
        {"x": deep, "indices": i32([2, 1])},
        {"axis": 1, "batch_dims": 1},
        lambda x, i: np.stack([x[0, 2], x[1, 1]]),
        note="batch of scalars",
    ),
    *(
        Case(
            "gather_along_axis",
            {"x": one, "indices": along},
            {"axis": 1} | fields,
            lambda x, i: np.take_along_axis(x, i, 1),
            opset=opset,
            note=opset,
        )
        for opset, fields in [("CoreML5", {}), ("CoreML7", {"validate_indices": False})]
    ),
    Case("gather_nd", {"x": one, "indices": pairs}, {}, lambda x, i: x[i[..., 0], i[..., 1]]),
    *(
        Case(
            "gather_nd",
            {"x": deep, "indices": i32([[[1, 2]], [[0, 3]]])},
            {"batch_dims": 1} | fields,
            lambda x, i: np.stack([x[0, 1, 2], x[1, 0, 3]])[:, None],
            opset=opset,
            note=f"batch {opset}",
        )
        for opset, fields in [("CoreML6", {}), ("CoreML7", {"validate_indices": True})]
    ),
    *(
        scatter_case(
            "scatter", picks if mode != "update" else once,
            (2, 4 if mode != "update" else 2, 4),
            (slice(None), picks if mode != "update" else once), axis=1, mode=mode,
        )
        for mode in SCATTER
    ),
    scatter_case("scatter", i32([1, 1, 0]), (3, 3, 4), i32([1, 1, 0])),
    *(
        scatter_case("scatter_along_axis", along, (2, 1, 4), along_at, axis=-2, mode=mode)
        for mode in SCATTER
    ),
    *(
        scatter_case("scatter_nd", pairs, (2, 2, 4), (pairs[..., 0], pairs[..., 1]), mode=mode)
        for mode in SCATTER
    ),
    # The example in the specification.
    Case(
        "scatter",
        {
            "data": i32([[1, 2, 3], [4, 5, 6]]),
            "indices": i32([1, 0]),
            "updates": i32([[5, 6, 7], [8, 9, 10]]),
        },
        {"axis": 0, "mode": "add", "validate_indices": True},
        lambda *_: i32([[9, 11, 13], [9, 11, 13]]),
        "int32",
        opset="CoreML7",
        only="int32",
    ),
    *(
        Case(
            op,
            {"data": x2, "indices": indices, "updates": updates},
            {"mode": "update", "validate_indices": False},
            expected,
            opset="CoreML7",
            note="iOS 17",
        )
        for op, indices, updates, expected in [
            (
                "scatter_along_axis",
                i32([[2, 1, 0, 0, 1]]),
                row[None],
                lambda d, i, u: np.where(np.arange(3)[:, None] == i, u, d),
            ),
            (
                "scatter_nd",
                i32([[2], [0]]),
                x2[:2] + 1,
                lambda d, i, u: np.stack([u[1], d[1], u[0]]),
            ),
        ]
    ),
]  # fmt: skip
