"""Activations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch.nn.functional as F

from arrays import f32, t
from layer_cases.case import Case, x4

gelu = np.vectorize(lambda v: 0.5 * v * (1 + math.erf(v / math.sqrt(2))))
alpha4, beta4 = f32([0.1, 0.5, -0.3, 1.5]), f32([1.0, 0.5, 2.0, 1.5])


def sigmoid(v: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-v)))


def channel(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, 1, 1)


def activation(kind: str, f: Callable[..., Any], note: str = "", **fields: Any) -> Case:
    return Case("activation", [x4], {kind: fields}, f, note or kind)


ACTIVATIONS = [
    activation("linear", lambda x: 1.5 * x - 0.25, alpha=1.5, beta=-0.25),
    activation("ReLU", lambda x: np.maximum(x, 0)),
    activation("leakyReLU", lambda x: np.where(x >= 0, x, 0.2 * x), alpha=0.2),
    activation("thresholdedReLU", lambda x: np.where(x >= 0.5, x, 0), alpha=0.5),
    activation("PReLU", lambda x: np.where(x >= 0, x, channel(alpha4) * x), alpha=alpha4),
    activation("PReLU", lambda x: np.where(x >= 0, x, 0.3 * x), "PReLU of one", alpha=f32([0.3])),
    activation("tanh", np.tanh),
    activation("scaledTanh", lambda x: 1.5 * np.tanh(0.6 * x), alpha=1.5, beta=0.6),
    activation("sigmoid", sigmoid),
    activation("sigmoidHard", lambda x: np.clip(0.3 * x + 0.4, 0, 1), alpha=0.3, beta=0.4),
    activation("ELU", lambda x: np.where(x > 0, x, 0.7 * (np.exp(x) - 1)), alpha=0.7),
    activation("softsign", lambda x: x / (1 + abs(x))),
    activation("softplus", lambda x: np.log1p(np.exp(x))),
    activation(
        "parametricSoftplus",
        lambda x: channel(alpha4) * np.log1p(np.exp(channel(beta4) * x)),
        alpha=alpha4,
        beta=beta4,
    ),
    Case(
        "clampedReLU",
        [x4],
        {"alpha": 0.2, "beta": 0.8},
        lambda x: np.minimum(0.8, np.where(x >= 0, x, 0.2 * x)),
    ),
    Case("gelu", [x4], {}, gelu),
    Case(
        "gelu",
        [x4],
        {"mode": "TANH_APPROXIMATION"},
        lambda x: F.gelu(t(x), approximate="tanh"),
        "tanh",
    ),
    Case(
        "gelu", [x4], {"mode": "SIGMOID_APPROXIMATION"}, lambda x: x * sigmoid(1.702 * x), "sigmoid"
    ),
    Case("softmax", [x4], {}, lambda x: F.softmax(t(x), 1)),
    # On a device along the last dimension, against Apple's text (coremltools issue 1714).
    Case("softmax", [x4[0]], {}, lambda x: F.softmax(t(x), -1), "rank 3"),
    Case("softmax", [x4[None]], {}, lambda x: F.softmax(t(x), 2), "rank 5"),
    Case("softmaxND", [x4], {"axis": -1}, lambda x: F.softmax(t(x), -1)),
]
