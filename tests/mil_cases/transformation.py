"""Reshaping, slicing, concatenation, padding and blocks."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F

from arrays import Draw, f32, i32, t
from mil_cases.case import Case, x2, x4

draw = Draw(120)

one, two = draw.normal(2, 3, 4), draw.normal(2, 3, 4)
TRANSFORMATION = [
    Case(
        "concat",
        {"values": [np.array(2.5, np.float32), np.array(-3, np.float32)]},
        {"axis": 0},
        lambda a, b: np.stack([a, b]),
        note="numbers",
    ),
    Case(
        "concat",
        {"values": [f32([1, 2]), np.array(-3, np.float32)]},
        {"axis": 0},
        lambda a, b: np.append(a, b),
        note="a row and a number",
    ),
    Case(
        "concat",
        {"values": [one, two[:, :1]]},
        {"axis": 1},
        lambda a, b: np.concatenate([a, b], 1),
    ),
    Case(
        "concat",
        {"values": [one, two]},
        {"axis": -2, "interleave": True},
        lambda a, b: np.stack([a, b], 2).reshape(2, 6, 4),
        note="interleave",
    ),
    Case("stack", {"values": [one, two]}, {"axis": -1}, lambda a, b: np.stack([a, b], -1)),
    Case("split", {"x": one}, {"axis": 2, "num_splits": 2}, lambda x: np.split(x, 2, 2)),
    Case(
        "split",
        {"x": one},
        {"axis": -1, "split_sizes": [1, 3]},
        lambda x: np.split(x, [1], 2),
        note="sizes",
    ),
    Case("flatten2d", {"x": one}, {}, lambda x: x.reshape(2, 12)),
    Case("flatten2d", {"x": one}, {"axis": -1}, lambda x: x.reshape(6, 4), note="axis"),
    Case(
        "pad",
        {"x": one},
        {"pad": [1, 2, 0, 3], "constant_val": 0.5},
        lambda x: np.pad(x, [(0, 0), (1, 2), (0, 3)], constant_values=0.5),
    ),
    Case(
        "pad",
        {"x": one},
        {"pad": [1, 2, 3, 0], "mode": "reflect"},
        lambda x: np.pad(x, [(0, 0), (1, 2), (3, 0)], mode="reflect"),
        note="reflect",
    ),
    Case(
        "pad",
        {"x": one},
        {"pad": [1, 2], "mode": "replicate"},
        lambda x: np.pad(x, [(0, 0), (0, 0), (1, 2)], mode="edge"),
        note="replicate",
    ),
    Case(
        "pad",
        {"x": one, "pad": i32([0, 0, 1, 2, 0, 3])},
        {"constant_val": 0.5},
        lambda x, _: np.pad(x, [(0, 0), (1, 2), (0, 3)], constant_values=0.5),
        note="computed",
    ),
    Case(
        "pad",
        {"x": one, "pad": i32([0, 0, 1, 2, 3, 0])},
        {"mode": "reflect"},
        lambda x, _: np.pad(x, [(0, 0), (1, 2), (3, 0)], mode="reflect"),
        note="computed reflect",
    ),
    Case("reshape", {"x": one}, {"shape": [0, -1, 6]}, lambda x: x.reshape(2, 2, 6)),
    Case("reshape", {"x": one}, {"shape": [24]}, lambda x: x.reshape(24)),
    Case("transpose", {"x": one}, {"perm": [2, 0, -2]}, lambda x: x.transpose(2, 0, 1)),
    Case("expand_dims", {"x": x2}, {"axes": [0, -1]}, lambda x: x[None, ..., None]),
    Case("squeeze", {"x": one[:1, :, :1]}, {"axes": [0, 1]}, lambda x: x[0]),
    Case("squeeze", {"x": one[:1, :, :1]}, {}, lambda x: x.squeeze(), note="all"),
    Case(
        "slice_by_index",
        {"x": one},
        {"begin": [0, 2, -1], "end": [2, 0, 0], "stride": [1, -1, -2]},
        lambda x: x[:, 2:0:-1, -1:0:-2],
    ),
    Case(
        "slice_by_index",
        {"x": one},
        {
            "begin": [1, 9, 1],
            "end": [0, 0, 9],
            "begin_mask": [False, True, False],
            "end_mask": [False, False, True],
            "stride": [1, -1, 2],
            "squeeze_mask": [True, False, False],
        },
        lambda x: x[1, :0:-1, 1::2],
        note="masks",
    ),
    Case(
        "slice_by_index",
        {"x": one},
        {"begin": [-1, 0, 0], "end": [0, 3, 4], "squeeze_mask": [True, False, False]},
        lambda x: x[-1],
        note="squeeze the last",
    ),
    Case(
        "slice_by_size",
        {"x": one},
        {"begin": [0, 1, -3], "size": [-1, 2, 2]},
        lambda x: x[:, 1:3, 1:3],
    ),
    Case(
        "slice_by_index",
        {"x": one, "begin": i32([-1, 2, -1]), "end": i32([0, 0, 0])},
        {"stride": [1, -1, -2], "squeeze_mask": [True, False, False]},
        lambda x, begin, end: x[-1, 2:0:-1, -1:0:-2],
        note="computed bounds",
    ),
    Case(
        "slice_by_index",
        {"x": one, "begin": i32([1, 9, 1]), "end": i32([0, 0, 9])} | {"stride": i32([1, -1, 2])},
        {"begin_mask": [False, True, False], "end_mask": [True, False, True]},
        lambda x, begin, end, stride: x[1:, :0:-1, 1::2],
        note="computed bounds and steps",
    ),
    Case(
        "slice_by_size",
        {"x": one, "begin": i32([0, 1, -3])},
        {"size": [-1, 2, 2]},
        lambda x, begin: x[:, 1:3, 1:3],
        note="computed",
    ),
    Case(
        "tile",
        {"x": one, "reps": i32([1, 2, 3])},
        {},
        lambda x, reps: np.tile(x, (1, 2, 3)),
        note="computed",
    ),
    Case(
        "reshape",
        {"x": one, "shape": i32([0, -1, 6])},
        {},
        lambda x, shape: x.reshape(2, 2, 6),
        note="computed",
    ),
    *(
        Case(
            "reshape",
            {"x": one} | ({"shape": i32(shape)} if computed else {}),
            {} if computed else {"shape": shape},
            lambda x, *_, wanted=wanted: x.reshape(wanted),
            opset="CoreML7",
            note=f"zeros from the end {shape}{' computed' if computed else ''}",
        )
        for computed in (False, True)
        for shape, wanted in [
            ([1, 0, -1, 3, 0], (1, 1, 2, 3, 4)),
            ([-1, 0], (6, 4)),
            ([0, 0, 0], (2, 3, 4)),
            ([24], (24,)),
        ]
    ),
    Case("reverse", {"x": one}, {"axes": [0, -1]}, lambda x: x[::-1, :, ::-1]),
    Case("reverse", {"x": one}, {}, lambda x: x[::-1, ::-1, ::-1], note="all"),
    Case("tile", {"x": one}, {"reps": [1, 2, 3]}, lambda x: np.tile(x, (1, 2, 3))),
    Case(
        "depth_to_space",
        {"x": x4},
        {"block_size": 2},
        lambda x: x.reshape(2, 2, 2, 1, 7, 6).transpose(0, 3, 4, 1, 5, 2).reshape(2, 1, 14, 12),
    ),
    Case(
        "space_to_depth",
        {"x": x4[:, :, :6]},
        {"block_size": 2},
        lambda x: x.reshape(2, 4, 3, 2, 3, 2).transpose(0, 3, 5, 1, 2, 4).reshape(2, 16, 3, 3),
    ),
    Case("pixel_shuffle", {"x": x4}, {"upscale_factor": 2}, lambda x: F.pixel_shuffle(t(x), 2)),
    Case(
        "pixel_unshuffle",
        {"x": x4[:, :, :6]},
        {"downscale_factor": 3},
        lambda x: F.pixel_unshuffle(t(x), 3),
    ),
    Case(
        "crop",
        {"x": x4},
        {"crop_height": [1, 2], "crop_width": [0, 3]},
        lambda x: x[:, :, 1:-2, :-3],
    ),
]
