"""ONNX operators -> steps of the page's engine: the table of all lowerings."""

from __future__ import annotations

from functools import partial

from pocketlens.web import elementwise, layout, products, reductions
from pocketlens.web.step import Lowering

__all__ = ["LOWERINGS"]

REDUCTIONS = {
    "ReduceL1": "l1",
    "ReduceL2": "l2",
    "ReduceLogSum": "log_sum",
    "ReduceLogSumExp": "log_sum_exp",
    "ReduceMax": "max",
    "ReduceMean": "mean",
    "ReduceMin": "min",
    "ReduceProd": "prod",
    "ReduceSum": "sum",
    "ReduceSumSquare": "sum_square",
}
UNARY = {
    "Abs": "abs",
    "Ceil": "ceil",
    "Cos": "cos",
    "Erf": "erf",
    "Exp": "exp",
    "Floor": "floor",
    "HardSwish": "hardswish",
    "Log": "log",
    "Neg": "neg",
    "Reciprocal": "reciprocal",
    "Sigmoid": "sigmoid",
    "Sign": "sign",
    "Sin": "sin",
    "Softplus": "softplus",
    "Sqrt": "sqrt",
    "Tanh": "tanh",
}
BINARY = {
    "Add": "add",
    "Div": "div",
    "Max": "max",
    "Min": "min",
    "Mul": "mul",
    "PRelu": "prelu",
    "Pow": "pow",
    "Sub": "sub",
    "Sum": "add",
}

LOWERINGS: dict[str, Lowering] = {
    "AveragePool": partial(products.pool, kind="average"),
    "BatchNormalization": elementwise.batch_normalization,
    "Cast": elementwise.cast,
    "Clip": elementwise.clip,
    "Concat": layout.concat,
    "Conv": products.conv,
    "Elu": partial(elementwise.unary, kind="elu", alpha=1.0),
    "Expand": layout.expand,
    "Flatten": layout.reshape,
    "Gelu": elementwise.gelu,
    "Gemm": products.gemm,
    "GlobalAveragePool": partial(reductions.global_pool, kind="mean"),
    "GlobalMaxPool": partial(reductions.global_pool, kind="max"),
    "HardSigmoid": partial(elementwise.unary, kind="hardsigmoid", alpha=0.2, beta=0.5),
    "Identity": layout.identity,
    "InstanceNormalization": elementwise.instance_normalization,
    "LayerNormalization": elementwise.layer_normalization,
    "LeakyRelu": partial(elementwise.unary, kind="leaky", alpha=0.01),
    "LogSoftmax": partial(reductions.softmax, log=True),
    "MatMul": products.matmul,
    "MaxPool": partial(products.pool, kind="max"),
    "Pad": layout.pad,
    "Relu": elementwise.relu,
    "Reshape": layout.reshape,
    "Slice": layout.slice_,
    "Softmax": partial(reductions.softmax, log=False),
    "Split": layout.split,
    "Squeeze": layout.reshape,
    "Tile": layout.tile,
    "Transpose": layout.transpose,
    "Unsqueeze": layout.reshape,
    **{name: partial(elementwise.unary, kind=kind) for name, kind in UNARY.items()},
    **{name: partial(elementwise.binary, kind=kind) for name, kind in BINARY.items()},
    **{name: partial(reductions.reduce, kind=kind) for name, kind in REDUCTIONS.items()},
}
