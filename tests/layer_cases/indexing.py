"""Gather and scatter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from arrays import Draw, f32
from layer_cases.case import Case
from layer_cases.transformation import one

draw = Draw(105)

picks, pairs = f32([2, 0, -1]), f32([[1, 2], [0, 0], [1, -1]])
along = f32([[[2, 0, 1, 1]], [[0, 0, 2, -1]]])


def scattered(f: Callable[..., Any], at: Any) -> Callable[..., Any]:
    def expected(data: np.ndarray, _: Any, updates: np.ndarray) -> np.ndarray:
        data = data.copy()
        f(data, at, updates)
        return data

    return expected


def put(data: np.ndarray, at: Any, new: np.ndarray) -> None:
    data[at] = new


INDEXING = [
    Case("gather", [one, picks], {"axis": 1}, lambda x, _: x[:, [2, 0, -1]]),
    Case(
        "gatherAlongAxis",
        [one, along],
        {"axis": -2},
        lambda x, i: np.take_along_axis(x, i.astype(int), 1),
    ),
    Case("gatherND", [one, pairs], {}, lambda x, _: x[[1, 0, 1], [2, 0, -1]]),
    *(
        Case(
            layer,
            [one, indices, draw.positive(*shape)],
            fields | ({"mode": f"SCATTER_{mode}"} if mode else {}),
            scattered(f, at),
            mode or "default",
        )
        for mode, f in [
            ("", put),
            ("UPDATE", put),
            ("ADD", np.add.at),
            ("SUB", np.subtract.at),
            ("MUL", np.multiply.at),
            ("DIV", np.divide.at),
            ("MAX", np.maximum.at),
            ("MIN", np.minimum.at),
        ]
        for layer, indices, shape, fields, at in [
            ("scatter", picks[:2], (2, 2, 4), {"axis": 1}, (slice(None), [2, 0])),
            (
                "scatterAlongAxis",
                along,
                (2, 1, 4),
                {"axis": 1},
                (np.arange(2)[:, None, None], along.astype(int), np.arange(4)),
            ),
            ("scatterND", pairs, (3, 4), {}, ([1, 0, 1], [2, 0, -1])),
        ]
        # With a repeated index, only these modes have a defined result.
        if layer != "scatterND" or mode in ("ADD", "SUB", "MUL", "DIV", "MAX", "MIN")
    ),
    Case(
        "scatterND",
        [one, pairs[:2], draw.normal(2, 4)],
        {},
        scattered(put, ([1, 0], [2, 0])),
        "default",
    ),
]
