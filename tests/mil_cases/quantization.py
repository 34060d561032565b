"""Quantized tensors; attention."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from arrays import Draw, f32, i8, t
from mil_cases.case import Case

draw = Draw(116)

wide_range = f32([[-70, 0.25, 0.75], [1.25, 31, 200]])
codes = i8([[-128, 0, 3], [7, 100, 127]])
steps, offsets = f32([0.5, 2]), i8([3, -4])
QUANTIZATION = [
    Case(
        "quantize",
        {"input": wide_range},
        {"scale": 0.5, "output_dtype": "int8"},
        lambda x: np.clip(np.round(x / 0.5), -128, 127),
        "int8",
        opset="CoreML7",
    ),
    Case(
        "quantize",
        {"input": wide_range},
        {"scale": 0.5, "output_dtype": "uint8", "zero_point": np.uint8(9)},
        lambda x: np.clip(np.round(x / 0.5) + 9, 0, 255),
        "uint8",
        opset="CoreML7",
        note="zero point",
    ),
    Case(
        "quantize",
        {"input": wide_range},
        {"scale": steps, "output_dtype": "int8", "zero_point": offsets, "axis": 0},
        lambda x: np.clip(np.round(x / steps[:, None]) + offsets[:, None], -128, 127),
        "int8",
        opset="CoreML7",
        note="axis",
    ),
    Case(
        "dequantize",
        {"input": codes},
        {"scale": 0.5},
        lambda x: 0.5 * x,
        opset="CoreML7",
    ),
    Case(
        "dequantize",
        {"input": codes.T},
        {"scale": steps, "zero_point": offsets, "axis": -1},
        lambda x: steps * (x.astype(int) - offsets),
        opset="CoreML7",
        note="axis",
    ),
]

query, key, content = draw.normal(2, 3, 4, 5), draw.normal(2, 3, 6, 5), draw.normal(2, 3, 6, 7)


def attention_case(note: str, mask: np.ndarray | None = None) -> Case:
    given = {"query": query, "key": key, "value": content}
    return Case(
        "scaled_dot_product_attention",
        given if mask is None else given | {"attn_mask": mask},
        {},
        lambda q, k, v, m=None: F.scaled_dot_product_attention(
            t(q), t(k), t(v), None if m is None else torch.from_numpy(m)
        ),
        opset="CoreML8",
        note=note,
    )


ATTENTION = [
    attention_case("plain"),
    attention_case("numbers", draw.normal(4, 6)),
    attention_case("bool", np.tril(np.ones((4, 6), bool))),
]
