"""Matrix products, einsum and reductions."""

from __future__ import annotations

import numpy as np

from arrays import Draw, f32
from mil_cases.case import Case, x2
from mil_cases.elementwise import whole

draw = Draw(115)

matrix, matrix_bias = draw.normal(6, 5), draw.normal(6)
counts = draw.random.integers(-5, 6, (6, 5)).astype(np.int32)
REDUCE = {
    "reduce_l1_norm": lambda x, a, k: np.abs(x).sum(a, keepdims=k),
    "reduce_l2_norm": lambda x, a, k: np.sqrt((x**2).sum(a, keepdims=k)),
    "reduce_log_sum": lambda x, a, k: np.log(x.sum(a, keepdims=k)),
    "reduce_log_sum_exp": lambda x, a, k: np.log(np.exp(x).sum(a, keepdims=k)),
    "reduce_max": lambda x, a, k: x.max(a, keepdims=k),
    "reduce_mean": lambda x, a, k: x.mean(a, keepdims=k),
    "reduce_min": lambda x, a, k: x.min(a, keepdims=k),
    "reduce_prod": lambda x, a, k: x.prod(a, keepdims=k),
    "reduce_sum": lambda x, a, k: x.sum(a, keepdims=k),
    "reduce_sum_square": lambda x, a, k: (x**2).sum(a, keepdims=k),
}
small = np.minimum(draw.positive(2, 3, 4), 1.5)  # 1.5 ** 24 is still finite in float16
LINEAR = [
    Case("linear", {"x": x2}, {"weight": matrix}, lambda x: x @ matrix.T, tolerance=0.01),
    Case(
        "linear",
        {"x": draw.normal(2, 3, 5)},
        {"weight": matrix, "bias": matrix_bias},
        lambda x: x @ matrix.T + matrix_bias,
        note="rank 3",
        tolerance=0.01,
    ),
    Case(
        "linear",
        {"x": draw.normal(5)},
        {"weight": matrix, "bias": matrix_bias},
        lambda x: x @ matrix.T + matrix_bias,
        note="rank 1",
        tolerance=0.01,
    ),
    Case("matmul", {"x": x2, "y": draw.normal(2, 5, 4)}, {}, lambda x, y: x @ y, tolerance=0.01),
    Case(
        "matmul",
        {"x": draw.normal(2, 5, 3), "y": draw.normal(4, 5)},
        {"transpose_x": True, "transpose_y": True},
        lambda x, y: x.swapaxes(1, 2) @ y.T,
        note="transposed",
        tolerance=0.01,
    ),
    Case(
        "linear",
        {"x": x2},
        {"weight": counts, "bias": counts[:, 0]},
        lambda x: x @ counts.T + counts[:, 0],
        opset="CoreML7",
        note="int32 weights",
        tolerance=0.01,
    ),
    Case(
        "matmul",
        {"x": x2},
        {"y": counts, "transpose_y": True},
        lambda x: x @ counts.T,
        opset="CoreML7",
        note="int32 constant",
        tolerance=0.01,
    ),
    Case(
        "matmul",
        {"y": whole},
        {"x": f32([[0.5], [1.5]])},
        lambda y: np.trunc([[0.5], [1.5]] @ y),
        "int32",
        opset="CoreML7",
        only="int32",
        note="integers with a constant",
    ),
    Case(
        "einsum",
        {"values": [draw.normal(1, 2, 3, 4), draw.normal(1, 4, 3, 5)]},
        {"equation": "nchw,nwhu->nchu"},
        lambda a, b: np.einsum("nchw,nwhu->nchu", a, b),
        tolerance=0.01,
    ),
    Case(
        "einsum",
        {"values": [draw.normal(1, 2, 3, 4), draw.normal(6, 4, 1, 5)]},
        {"equation": "a b c d , a d c e -> a b c e"},
        lambda a, b: np.einsum("nchw,nwu->nchu", np.repeat(a, 6, 0), b[:, :, 0]),
        note="broadcast",
        tolerance=0.01,
    ),
    Case(
        "einsum",
        {"values": [draw.normal(2, 3, 4), draw.normal(4, 3, 5)]},
        {"equation": "chw,whr->chr"},
        lambda a, b: np.stack([a[:, h] @ b[:, h] for h in range(3)], 1),
        note="rank 3",
        tolerance=0.01,
    ),
    *(
        Case(
            op,
            {"x": small},
            {"axes": [0, -1], "keep_dims": True},
            lambda x, f=f: f(x, (0, 2), True),
            tolerance=0.01,
        )
        for op, f in REDUCE.items()
    ),
    *(
        Case(
            op, {"x": small}, {}, lambda x, f=f: f(x, (0, 1, 2), False), note="all", tolerance=0.01
        )
        for op, f in REDUCE.items()
    ),
    Case("reduce_argmax", {"x": x2}, {}, lambda x: x.argmax(-1), "int32"),
    Case(
        "reduce_argmin",
        {"x": x2},
        {"axis": 0, "keep_dims": True},
        lambda x: x.argmin(0, keepdims=True),
        "int32",
    ),
    Case(
        "reduce_argmax",
        {"x": x2},
        {"output_dtype": "uint16"},
        lambda x: x.argmax(-1),
        "uint16",
        opset="CoreML7",
        note="iOS 17",
    ),
    Case("reduce_argmin", {"x": x2}, {}, lambda x: x.argmin(-1), "int32", opset="CoreML7"),
]
