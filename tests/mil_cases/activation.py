"""Activations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch.nn.functional as F

from arrays import t
from mil_cases.case import Case, x4

gelu = np.vectorize(lambda v: 0.5 * v * (1 + math.erf(v / math.sqrt(2))))


def sigmoid(v: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-v)))


def softplus(v: np.ndarray) -> np.ndarray:
    return np.asarray(np.log1p(np.exp(v)))


def unary(op: str, f: Callable[..., Any], x: np.ndarray = x4, **fields: Any) -> Case:
    return Case(op, {"x": x}, fields, lambda x: f(x))


def column(values: Any) -> np.ndarray:
    return np.asarray(values, np.float32).reshape(1, -1, 1, 1)


alpha4 = np.array([0.1, 0.5, -0.3, 1.5], np.float32)
beta4 = np.array([1.0, 0.5, 2.0, 1.5], np.float32)

ACTIVATIONS = [
    unary("relu", lambda x: np.maximum(x, 0)),
    unary("relu6", lambda x: np.clip(x, 0, 6), 5 * x4),
    unary("sigmoid", sigmoid),
    unary("silu", lambda x: x * sigmoid(x)),
    unary("softplus", softplus),
    unary("softsign", lambda x: x / (1 + abs(x))),
    unary("elu", lambda x: np.where(x > 0, x, 0.7 * (np.exp(x) - 1)), alpha=0.7),
    unary("leaky_relu", lambda x: np.where(x >= 0, x, 0.2 * x), alpha=0.2),
    unary("prelu", lambda x: np.where(x >= 0, x, column(alpha4) * x), alpha=alpha4),
    unary(
        "clamped_relu",
        lambda x: np.minimum(0.8, np.where(x >= 0, x, 0.2 * x)),
        alpha=0.2,
        beta=0.8,
    ),
    unary("linear_activation", lambda x: 1.5 * x - 0.25, alpha=1.5, beta=-0.25),
    unary("scaled_tanh", lambda x: 1.5 * np.tanh(0.6 * x), alpha=1.5, beta=0.6),
    unary("sigmoid_hard", lambda x: np.clip(0.3 * x + 0.4, 0, 1), alpha=0.3, beta=0.4),
    unary(
        "softplus_parametric",
        lambda x: column(alpha4) * softplus(column(beta4) * x),
        alpha=alpha4,
        beta=beta4,
    ),
    unary(
        "thresholded_relu",
        lambda x: np.where(x >= 0.5, x, 0),
        np.array([[0.25, 0.5, 0.75, -1]], np.float32),
        alpha=0.5,
    ),
    unary("gelu", gelu),
    unary("gelu", gelu, mode="EXACT"),
    unary("gelu", lambda x: F.gelu(t(x), approximate="tanh").numpy(), mode="TANH_APPROXIMATION"),
    unary("gelu", lambda x: x * sigmoid(1.702 * x), mode="SIGMOID_APPROXIMATION"),
    unary("softmax", lambda x: F.softmax(t(x), -1).numpy()),
    unary("softmax", lambda x: F.softmax(t(x), 1).numpy(), axis=1),
]
