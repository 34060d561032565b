"""Reshaping, slicing, concatenation, padding and copies."""

from __future__ import annotations

import numpy as np

from arrays import Draw, f32
from layer_cases.case import Case, edges, x4, x5
from layer_cases.elementwise import x2

draw = Draw(109)

one, two = draw.normal(2, 3, 4), draw.normal(2, 3, 4)
sequence = draw.normal(2, 1, 4, 3, 6)
blocks = np.arange(1, 17, dtype=np.float32).reshape(1, 8, 1, 2)


def channel_last(x: np.ndarray) -> np.ndarray:
    last = x.transpose(0, 1, 3, 4, 2).reshape(2, 1, 6, 6, 2)
    return last.transpose(0, 1, 4, 2, 3)


TRANSFORMATION = [
    Case("flatten", [x4], {}, lambda x: x.reshape(2, 168, 1, 1)),
    Case(
        "flatten",
        [x5],
        {"mode": "CHANNEL_LAST"},
        lambda x: x.transpose(0, 1, 3, 4, 2).reshape(2, 3, 168, 1, 1),
        "channel last",
    ),
    Case("flattenTo2D", [one], {"axis": -1}, lambda x: x.reshape(6, 4)),
    Case("reshape", [sequence], {"targetShape": [6, 2, 6]}, lambda x: x.reshape(2, 1, 6, 2, 6)),
    Case(
        "reshape",
        [sequence],
        {"targetShape": [4, 2, 3, 6]},
        lambda x: x.reshape(4, 1, 2, 3, 6),
        "sequence",
    ),
    Case(
        "reshape",
        [sequence],
        {"targetShape": [2, 6, 6], "mode": "CHANNEL_LAST"},
        channel_last,
        "channel last",
    ),
    Case("reshapeStatic", [one], {"targetShape": [4, 6]}, lambda x: x.reshape(4, 6)),
    Case("rankPreservingReshape", [one], {"targetShape": [0, 2, -1]}, lambda x: x.reshape(2, 2, 6)),
    Case("permute", [sequence], {"axis": [3, 1, 2, 0]}, lambda x: x.transpose(4, 1, 2, 3, 0)),
    Case("permute", [sequence], {}, lambda x: x, "default"),
    Case("transpose", [one], {"axes": [2, 0, 1]}, lambda x: x.transpose(2, 0, 1)),
    Case("squeeze", [one[:1, :, :1]], {"axes": [0, -1]}, lambda x: x.reshape(3)),
    Case("squeeze", [one[:1, :1, :1]], {"squeezeAll": True}, lambda x: x.reshape(1), "all"),
    Case("expandDims", [x2], {"axes": [0, -1]}, lambda x: x[None, ..., None]),
    Case("concat", [x4, x4[:, :1]], {}, lambda a, b: np.concatenate([a, b], 1)),
    Case(
        "concat",
        [x5, x5],
        {"sequenceConcat": True},
        lambda a, b: np.concatenate([a, b], 0),
        "sequence",
    ),
    Case("concatND", [one, two], {"axis": -1}, lambda a, b: np.concatenate([a, b], -1)),
    Case(
        "concatND",
        [one, two],
        {"axis": 1, "interleave": True},
        lambda a, b: np.stack([a, b], 2).reshape(2, 6, 4),
        "interleave",
    ),
    Case(
        "concatND",
        [f32([4]), f32([[5]]), f32([6, 7])],
        {},
        lambda a, b, c: f32([4, 5, 6, 7]),
        "a single number with one dimension too many",
    ),
    Case("stack", [one, two], {"axis": -2}, lambda a, b: np.stack([a, b], 2)),
    Case("split", [x4], {"nOutputs": 2}, lambda x: np.split(x, 2, 1)),
    Case("splitND", [one], {"axis": -1, "splitSizes": [1, 3]}, lambda x: np.split(x, [1], 2)),
    Case("splitND", [one], {"numSplits": 2}, lambda x: np.split(x, 2, 0), "even"),
    Case("splitND", [one], {"numSplits": 3, "axis": 2}, lambda x: np.array_split(x, 3, 2), "rest"),
    Case(
        "sliceStatic",
        [draw.normal(5, 5, 5)],
        {
            "beginIds": [1, 2, 3],
            "beginMasks": [True, False, True],
            "endIds": [3, -3, 2],
            "endMasks": [False, True, True],
            "strides": [2, 2, 2],
            "squeezeMasks": [False, True, False],
        },
        lambda x: x[:3:2, 2, ::2],
    ),
    Case(
        "slice",
        [x4],
        {"startIndex": 1, "endIndex": -1, "stride": 2, "axis": "HEIGHT_AXIS"},
        lambda x: x[:, :, 1:-1:2],
    ),
    Case(
        "slice",
        [x4],
        {"startIndex": -3, "stride": 1, "axis": "WIDTH_AXIS"},
        lambda x: x[..., -3:],
        "to the end",
    ),
    Case("crop", [x4], {"cropAmounts": edges(1, 2, 0, 3)}, lambda x: x[:, :, 1:-2, :-3]),
    Case(
        "crop",
        [x4, x4[:, :, :3, :2]],
        {"offset": [2, 1]},
        lambda x, _: x[:, :, 2:5, 1:3],
        "size of another input",
    ),
    Case(
        "padding",
        [x4],
        {"constant": {"value": 0.5}, "paddingAmounts": edges(1, 2, 0, 3)},
        lambda x: np.pad(x, [(0, 0), (0, 0), (1, 2), (0, 3)], constant_values=0.5),
    ),
    *(
        Case(
            "padding",
            [x4],
            {kind: {}, "paddingAmounts": edges(1, 2, 0, 3)},
            lambda x, mode=mode: np.pad(x, [(0, 0), (0, 0), (1, 2), (0, 3)], mode=mode),
            kind,
        )
        for kind, mode in [("reflection", "reflect"), ("replication", "edge")]
    ),
    Case(
        "constantPad",
        [x2],
        {"value": 1.5, "padAmounts": [0, 1, 4, 0]},
        lambda x: np.pad(x, [(0, 1), (4, 0)], constant_values=1.5),
    ),
    Case(
        "constantPad",
        [x2],
        {"padAmounts": [0, 4, 9, 0], "padToGivenOutputSizeMode": True},
        lambda x: np.pad(x, [(0, 1), (4, 0)]),
        "to size",
    ),
    Case(
        "constantPad",
        [x2, f32([0, 1, 4, 0])],
        {"value": 1.5},
        lambda x, _: np.pad(x, [(0, 1), (4, 0)], constant_values=1.5),
        "computed",
    ),
    Case(
        "constantPad",
        [x2, f32([0, 4, 9, 0])],
        {"padToGivenOutputSizeMode": True},
        lambda x, _: np.pad(x, [(0, 1), (4, 0)]),
        "to size, computed",
    ),
    # The two examples in the specification.
    Case(
        "reorganizeData",
        [blocks],
        {"mode": "DEPTH_TO_SPACE", "blockSize": 2},
        lambda _: f32([[[1, 5, 2, 6], [9, 13, 10, 14]], [[3, 7, 4, 8], [11, 15, 12, 16]]])[None],
        "depth to space",
    ),
    Case(
        "reorganizeData",
        [blocks],
        {"mode": "PIXEL_SHUFFLE", "blockSize": 2},
        lambda _: f32([[[1, 3, 2, 4], [5, 7, 6, 8]], [[9, 11, 10, 12], [13, 15, 14, 16]]])[None],
        "pixel shuffle",
    ),
    Case(
        "reorganizeData",
        [f32([[[1, 5, 2, 6], [9, 13, 10, 14]], [[3, 7, 4, 8], [11, 15, 12, 16]]])[None]],
        {"blockSize": 2},
        lambda _: blocks,
        "space to depth",
    ),
    Case("reverse", [one], {"reverseDim": [True, False, True]}, lambda x: x[::-1, :, ::-1]),
    Case("tile", [one], {"reps": [2, 3]}, lambda x: np.tile(x, (1, 2, 3))),
    Case("tile", [one, f32([2, 3])], {}, lambda x, _: np.tile(x, (1, 2, 3)), "computed"),
    Case("loadConstant", [], {"shape": [2, 3, 4], "data": one}, lambda: one[None, None]),
    Case("loadConstantND", [], {"shape": [2, 3, 4], "data": one}, lambda: one),
]
