"""Filled tensors, ranges, masks, sorting, windows and broadcasts."""

from __future__ import annotations

import numpy as np

from arrays import Draw, f32
from layer_cases.case import Case
from layer_cases.elementwise import row
from layer_cases.transformation import one

draw = Draw(108)

kept = f32([[0, 1.5, 0], [-2, 0, 0.25]])
sequences = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
shape34 = f32([3, 4])
RANGES: list[tuple[list[float], list[float]]] = [
    ([6], [1, 3, 5]),
    ([6, -1], [-1, 1, 3, 5]),
    ([6, 10, -1.5], [10, 8.5, 7]),
]
CREATION = [
    Case("getShape", [one], {}, lambda _: f32([2, 3, 4])),
    Case("fillLike", [one], {"value": 1.5}, lambda x: np.full_like(x, 1.5)),
    Case("fillStatic", [], {"value": 1.5, "targetShape": [2, 3]}, lambda: np.full((2, 3), 1.5)),
    Case("fillDynamic", [shape34], {"value": -2.0}, lambda _: np.full((3, 4), -2)),
    Case(
        "rangeStatic",
        [],
        {"startValue": 0.5, "endValue": 3.0, "stepSizeValue": 0.75},
        lambda: np.arange(0.5, 3, 0.75),
    ),
    *(
        Case(
            "rangeDynamic",
            [f32([value]) for value in values],
            {"startValue": 1.0, "stepSizeValue": 2.0},
            lambda *_, expected=expected: np.float32(expected),
            f"{len(values)}",
        )
        for values, expected in RANGES
    ),
    # The examples in the specification.
    *(
        Case(
            "cumSum",
            [f32([4, 6, 7])],
            {"excludeFinalSum": exclude, "reverse": reverse},
            lambda _, expected=expected: np.float32(expected),
            f"{exclude} {reverse}",
        )
        for exclude, reverse, expected in [
            (False, False, [4, 10, 17]),
            (True, False, [0, 4, 10]),
            (False, True, [17, 13, 7]),
            (True, True, [13, 7, 0]),
        ]
    ),
    Case("cumSum", [one], {"axis": -1}, lambda x: x.cumsum(-1), "axis"),
    Case("cumSum", [one, f32([1])], {"axis": -1}, lambda x, _: x.cumsum(1), "computed axis"),
    Case("matrixBandPart", [one], {"numLower": 1}, lambda x: np.triu(np.tril(x), -1)),
    Case("matrixBandPart", [one], {"numLower": -1, "numUpper": 2}, lambda x: np.tril(x, 2), "all"),
    *(
        Case(name, [one], {"k": k}, lambda x, f=f, k=k: f(x, k), f"{k}")
        for name, f in [("lowerTriangular", np.tril), ("upperTriangular", np.triu)]
        for k in (0, 1, -2)
    ),
    Case("whereNonZero", [kept], {}, np.argwhere),
    Case(
        "oneHot",
        [f32([2, -1])],
        {"oneHotVectorSize": 4, "axis": -1, "onValue": 5.0, "offValue": -1.0},
        lambda _: f32([[-1, -1, 5, -1], [-1, -1, -1, -1]]),
    ),
    Case(
        "oneHot",
        [f32([[2, 0]]), f32([3])],
        {"axis": 1, "onValue": 1.0},
        lambda *_: f32([[[0, 1], [0, 0], [1, 0]]]),
        "size known at run time",
    ),
    Case("argSort", [f32([[3, 5, 32], [3, 77, 6]])], {"axis": 1},
         lambda _: f32([[0, 1, 2], [0, 2, 1]])),
    Case("argSort", [f32([3.1, 5.4, 32.9, 3.2, 77])], {"descending": True},
         lambda _: f32([4, 2, 1, 3, 0]), "descending"),
    Case(
        "topK",
        [one],
        {"axis": -1, "K": 2},
        lambda x: [-np.sort(-x, -1)[..., :2], np.argsort(-x, -1)[..., :2]],
    ),
    Case(
        "topK",
        [one],
        {"axis": 1, "K": 3, "useBottomK": True},
        lambda x: [np.sort(x, 1), np.argsort(x, 1)],
        "bottom",
    ),
    Case(
        "topK",
        [one, f32([2])],
        {"axis": -1},
        lambda x, _: [-np.sort(-x, -1)[..., :2], np.argsort(-x, -1)[..., :2]],
        "computed",
    ),
    # The examples in the specification.
    Case(
        "reverseSeq",
        [np.arange(8, dtype=np.float32).reshape(2, 4), f32([3, 0])],
        {"sequenceAxis": 1},
        lambda *_: f32([[2, 1, 0, 3], [4, 5, 6, 7]]),
    ),
    Case(
        "reverseSeq",
        [sequences, f32([2, 3])],
        {"sequenceAxis": 1},
        lambda *_: f32([2, 3, 0, 1, 4, 5, 10, 11, 8, 9, 6, 7]).reshape(2, 3, 2),
        "rank 3",
    ),
    Case(
        "slidingWindows",
        [one],
        {"axis": 2, "windowSize": 2, "step": 2},
        lambda x: np.stack([x[..., :2], x[..., 2:]], 2),
    ),
    Case("sliceBySize", [one, f32([1])], {"size": 2, "axis": 1}, lambda x, _: x[:, 1:3]),
    Case("broadcastToLike", [row, draw.normal(3, 5)], {}, lambda x, _: np.tile(x, (3, 1))),
    Case("broadcastToStatic", [row], {"targetShape": [3, 5]}, lambda x: np.tile(x, (3, 1))),
    Case("broadcastToDynamic", [one[0, 0], shape34], {}, lambda x, _: np.tile(x, (3, 1))),
    Case("reshapeLike", [one, draw.normal(4, 6)], {}, lambda x, _: x.reshape(4, 6)),
    Case("reshapeDynamic", [one[0], f32([2, 6])], {}, lambda x, _: x.reshape(2, 6)),
]  # fmt: skip
