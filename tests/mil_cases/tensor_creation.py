"""Filled tensors, ranges, masks, sorting, windows, blocks and updates."""

from __future__ import annotations

from typing import Any

import numpy as np

from arrays import Draw, f32, i32
from mil_cases.case import Case, x4
from mil_cases.indexing import deep
from mil_cases.transformation import one

draw = Draw(119)


def band(x: np.ndarray, lower: float, upper: float) -> np.ndarray:
    m, n = np.indices(x.shape[-2:])
    return np.asarray(x * ((m - n <= lower) & (n - m <= upper)))


def sequences_reversed(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """x [seq, *, batch]."""
    y = x.copy()
    for i, length in enumerate(lengths):
        y[:length, ..., i] = x[:length, ..., i][::-1]
    return y


def updated(x: np.ndarray, place: Any, update: np.ndarray) -> np.ndarray:
    y = x.copy()
    y[place] = update
    return y


all_, big = np.inf, np.array([[5, 300, 300, -2, 7]], np.int32)
kept = f32([[0, 1.5, 0], [-2, 0, 0.25]])
numbers = i32([[2, 0], [-1, 3]])
CREATION = [
    Case("shape", {"x": one}, {}, lambda _: i32([2, 3, 4]), "int32"),
    Case("fill", {}, {"shape": i32([2, 3])}, lambda: np.zeros((2, 3)), "float32"),
    Case("fill", {}, {"shape": i32([2]), "value": 1.5}, lambda: np.full(2, 1.5), note="value"),
    Case(
        "fill",
        {"shape": i32([2, 3])},
        {"value": True},
        lambda _: np.ones((2, 3)),
        "bool",
        note="shape known at run time",
        only="bool",
    ),
    Case("fill_like", {"ref_tensor": one}, {}, np.zeros_like, "float32"),
    Case("fill_like", {"ref_tensor": one}, {"value": 7}, lambda x: 0 * x + 7, "int32", note="7"),
    *(
        Case(
            "range_1d",
            {},
            {"start": start, "end": end, "step": step},
            lambda start=start, end=end, step=step: np.arange(start, end, step),
            kind,
            note=f"{start} {end} {step}",
        )
        for start, end, step, kind in [
            (2, 11, 3, "int32"),
            (5, -1, -2, "int32"),
            (0.5, 3.0, 0.75, ""),
        ]
    ),
    Case(
        "range_1d",
        {"end": np.array(7, np.int32)},
        {"start": 1, "step": 2},
        lambda _: i32([1, 3, 5]),
        "int32",
        note="end known at run time",
        only="int32",
    ),
    Case("cumsum", {"x": one}, {}, lambda x: x.cumsum(0)),
    Case(
        "cumsum",
        {"x": one},
        {"axis": -1, "exclusive": True},
        lambda x: x.cumsum(-1) - x,
        note="exclusive",
    ),
    Case(
        "cumsum",
        {"x": one},
        {"axis": 1, "exclusive": True, "reverse": True},
        lambda x: x[:, ::-1].cumsum(1)[:, ::-1] - x,
        note="reverse",
    ),
    Case("band_part", {"x": one}, {}, lambda x: x),
    Case(
        "band_part",
        {"x": np.ones((3, 4), np.bool_)},
        {"lower": 0},
        lambda x: np.triu(x),
        "bool",
        only="bool",
    ),
    *(
        Case(
            "band_part",
            {"x": one},
            {"lower": lower, "upper": upper},
            lambda x, lower=lower, upper=upper: band(
                x, all_ if lower < 0 else lower, all_ if upper < 0 else upper
            ),
            note=f"{lower} {upper}",
        )
        for lower, upper in [(0, -1), (-1, 0), (0, 0), (1, 2)]
    ),
    Case("one_hot", {"indices": numbers}, {"one_hot_vector_size": 4},
         lambda i: (i[..., None] == np.arange(4)), "int32"),
    Case(
        "one_hot",
        {"indices": numbers},
        {"one_hot_vector_size": 3, "axis": 1, "on_value": 0.5, "off_value": -1.0},
        lambda i: np.where(i[:, None] == np.arange(3)[:, None], 0.5, -1),
        note="values",
    ),
    Case("non_zero", {"x": kept}, {}, np.argwhere, "int32"),
    Case("non_zero", {"x": kept != 0}, {}, np.argwhere, "int32", only="bool"),
    Case("argsort", {"x": one}, {}, lambda x: np.argsort(-x, -1), "int32"),
    Case(
        "argsort",
        {"x": one},
        {"axis": 1, "ascending": True},
        lambda x: np.argsort(x, 1),
        "int32",
        note="ascending",
    ),
    Case("topk", {"x": big}, {}, lambda x: [[[300]], [[1]]], "int32", only="int32"),
    Case(
        "topk",
        {"x": big},
        {"k": 3, "ascending": True},
        lambda x: [[[-2, 5, 7]], [[3, 0, 4]]],
        "int32",
        opset="CoreML5",
        only="int32",
        note="iOS 15",
    ),
    Case(
        "topk",
        {"x": one},
        {"k": 2, "axis": 0, "return_indices": False, "sort": False},
        lambda x: -np.sort(-x, 0),
        note="values only",
    ),
    Case(
        "topk",
        {"x": one},
        {"k": -1, "axis": 1, "return_indices": False},
        lambda x: -np.sort(-x, 1),
        opset="CoreML7",
        note="all",
    ),
    Case(
        "topk",
        {"x": big.astype(np.uint16)[:, :3]},
        {"k": 2, "output_indices_dtype": "uint16"},
        lambda x: [[[300, 300]], [[1, 2]]],
        "uint16",
        opset="CoreML7",
        only="uint16",
        note="uint16",
    ),
    Case("sliding_windows", {"x": one}, {"axis": 1, "size": 2},
         lambda x: np.stack([x[:, 0:2], x[:, 1:3]], 1)),
    Case(
        "sliding_windows",
        {"x": one},
        {"axis": -1, "size": 2, "stride": 2},
        lambda x: np.stack([x[..., 0:2], x[..., 2:4]], -2),
        note="stride",
    ),
    Case(
        "reverse_sequence",
        {"x": one, "lengths": i32([0, 1, 2, 2])},
        {"batch_axis": -1},
        sequences_reversed,
    ),
    Case(
        "reverse_sequence",
        {"x": one, "lengths": i32([3, 2])},
        {"seq_axis": 2},
        lambda x, lengths: sequences_reversed(x.T, lengths).T,
        note="batch first",
    ),
    # TensorFlow's examples: the batch holds the cells of a block one after the other.
    Case(
        "space_to_batch",
        {"x": f32([[1, 2], [3, 4]])[None, None]},
        {"block_shape": i32([2, 2]), "paddings": i32([[0, 0], [0, 0]])},
        lambda _: f32([1, 2, 3, 4]).reshape(4, 1, 1, 1),
    ),
    Case(
        "space_to_batch",
        {"x": x4},
        {"block_shape": i32([2, 3]), "paddings": i32([[1, 0], [0, 3]])},
        lambda x: np.concatenate(
            [
                np.pad(x, [(0, 0), (0, 0), (1, 0), (0, 3)])[:, :, i::2, j::3]
                for i in range(2)
                for j in range(3)
            ]
        ),
        note="padded",
    ),
    Case(
        "batch_to_space",
        {"x": draw.normal(12, 2, 3, 4)},
        {"block_shape": i32([2, 3]), "crops": i32([[1, 0], [0, 2]])},
        lambda x: x.reshape(2, 3, 2, 2, 3, 4)
        .transpose(2, 3, 4, 0, 5, 1)
        .reshape(2, 2, 6, 12)[:, :, 1:, :-2],
    ),
    # The example in the specification.
    Case(
        "reshape_like",
        {"x": draw.normal(180), "ref_tensors": [draw.normal(2, 3, 4), draw.normal(1, 5, 6)]},
        {"begins": (0, 1), "ends": (2, 0), "end_masks": (False, True)},
        lambda x, *_: x.reshape(2, 3, 5, 6),
    ),
    Case(
        "slice_update",
        {"x": deep, "update": draw.normal(2, 2, 1, 4)},
        {"begin": i32([0, 1, -3, 9]), "end": i32([2, -9, 2, 4])}
        | {"begin_mask": [False, False, False, True], "end_mask": [False, True, False, False]},
        lambda x, update: updated(x, np.s_[:, 1:, 1:2, :4], update),
        opset="CoreML8",
    ),
    Case(
        "slice_update",
        {"x": deep, "update": draw.normal(2, 4, 5)},
        {"begin": i32([0, -1, 0, 0]), "end": i32([2, 0, 4, 5])}
        | {"stride": i32([1, 1, 1, 1]), "squeeze_mask": [False, True, False, False]},
        lambda x, update: updated(x, np.s_[:, -1], update),
        opset="CoreML8",
        note="squeeze",
    ),
    Case(
        "slice_update",
        {"x": deep, "update": draw.normal(2, 2, 3)},
        {"begin": i32([0, -1, 3, 0]), "end": i32([2, 0, 0, 5])}
        | {"stride": i32([1, 1, -2, 2]), "squeeze_mask": [False, True, False, False]},
        lambda x, update: updated(x, np.s_[:, -1, 3:0:-2, ::2], update),
        opset="CoreML8",
        note="steps",
    ),
    Case(
        "slice_update",
        {"x": deep, "update": draw.normal(2, 1, 4, 2), "begin": i32([9, -1, 0, 2])},
        {"end": i32([2, 3, 4, 4]), "begin_mask": [True, False, False, False]},
        lambda x, update, begin: updated(x, np.s_[:, -1:, :, 2:4], update),
        opset="CoreML8",
        note="computed",
    ),
]  # fmt: skip
