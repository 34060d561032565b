"""Activations, softmax and its kin."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from torch_cases.case import Made, around, vectors

__all__ = ["ROWS"]

ROWS: dict[str, Any] = {
    "relu": F.relu,
    "relu6(3x)": lambda x: F.relu6(4 * x),
    "leaky_relu(0.3)": lambda x: F.leaky_relu(x, 0.3),
    "leaky_relu(-0.5)": lambda x: F.leaky_relu(x, -0.5),
    "leaky_relu(2.0)": lambda x: F.leaky_relu(x, 2.0),
    "elu(0.7)": lambda x: F.elu(x, 0.7),
    "elu": F.elu,
    "selu": F.selu,
    "celu(0.5)": lambda x: F.celu(x, 0.5),
    "celu(2)": lambda x: F.celu(x, 2.0),
    "gelu": F.gelu,
    "gelu(tanh)": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "mish(large)": lambda x: F.mish(20 * x),
    "softplus": F.softplus,
    "softplus(beta=3, threshold=1)": lambda x: F.softplus(x, 3.0, 1.0),
    "softplus(beta=0.5)": lambda x: F.softplus(x, 0.5),
    "softplus(beta=2, threshold=40)": lambda x: F.softplus(30 * x, 2.0, 40.0),
    "softplus(large)": lambda x: F.softplus(90 * x),
    "softsign": F.softsign,
    "softshrink(0.5)": lambda x: F.softshrink(x, 0.5),
    "hardshrink(0.5)": lambda x: F.hardshrink(x, 0.5),
    "tanhshrink": F.tanhshrink,
    "threshold(0.3, -7)": lambda x: F.threshold(x, 0.3, -7.0),
    "threshold(-0.3, 2)": lambda x: F.threshold(x, -0.3, 2.0),
    "hardtanh(-0.3, 0.9)": lambda x: F.hardtanh(x, -0.3, 0.9),
    "hardsigmoid": lambda x: F.hardsigmoid(3 * x),
    "hardswish": lambda x: F.hardswish(3 * x),
    "logsigmoid": F.logsigmoid,
    "logsigmoid(large)": lambda x: F.logsigmoid(80 * x),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "rrelu": lambda x: F.rrelu(x, 0.1, 0.4),
    "glu(1)": lambda x: F.glu(x[:, :2], 1),
    "glu(-1)": lambda x: F.glu(x),
    "prelu(channels)": Made(nn.PReLU, 3),
    "prelu(one)": Made(nn.PReLU),
    "PReLU(vectors)": around(lambda m, x: m(vectors(x)), nn.PReLU, 12),
    "softmax(1)": lambda x: x.softmax(1),
    "softmax(-1)": lambda x: x.softmax(-1),
    "softmax(2)": lambda x: x.softmax(2),
    "softmin(1)": lambda x: F.softmin(x, 1),
    "Softmax2d": Made(nn.Softmax2d),
    "log_softmax(1)": lambda x: x.log_softmax(1),
    "log_softmax(large)": lambda x: (60 * x).log_softmax(1),
    "logsumexp": lambda x: (60 * x).logsumexp(1),
    "logaddexp": lambda x: torch.logaddexp(x, 2 * x.flip(2)),
    "logcumsumexp": lambda x: torch.logcumsumexp(x, 2),
    "gumbel free: normalize": lambda x: F.normalize(x, dim=1),
    "normalize(p=1)": lambda x: F.normalize(x, 1.0, 2),
    "normalize(eps=5)": lambda x: F.normalize(x, eps=5.0),
}
