"""What the rows are made of: a model around a layer, and other shapes of the image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["codes", "model_with", "rows", "volume"]

SIDE = 12


def model_with(keras: Any, row: Callable[[Any, Any], Any]) -> Any:
    """The layer, and a dense layer with a softmax, whose logits are of ordinary size."""
    keras.utils.set_random_seed(1)
    image = keras.Input((SIDE, SIDE, 3))
    features = keras.layers.Flatten(name="end")(row(keras.layers, image))
    random = np.random.default_rng(0)
    body = keras.Model(image, features)
    for weight in body.weights:
        if "float" in str(weight.dtype):  # no identity, no zero
            weight.assign(weight + 0.1 * np.abs(random.normal(size=weight.shape)))
    outputs = body.predict(random.uniform(-2, 2, (9, SIDE, SIDE, 3)), verbose=0)
    last = keras.layers.Dense(3, activation="softmax")
    model = keras.Model(image, last(features))
    kernel = random.normal(size=last.kernel.shape)
    logits = outputs @ kernel
    kernel /= max(1e-3, float((logits - logits.mean(0)).std()))
    last.kernel.assign(kernel)
    last.bias.assign(-outputs.mean(0) @ kernel)
    return model


def rows(k: Any, x: Any) -> Any:
    """`(12, 36)`: a sequence of 12 vectors."""
    return k.Reshape((SIDE, SIDE * 3))(x)


def volume(k: Any, x: Any) -> Any:
    """`(6, 6, 4, 3)`."""
    return k.Reshape((6, 6, 4, 3))(x)


def codes(k: Any, x: Any) -> Any:
    """`(144,)`: numbers from 0 to 4 instead of the gray pixels."""
    gray = k.Reshape((SIDE * SIDE,))(k.Dense(1, trainable=False)(x))
    return k.Discretization(bin_boundaries=[-1.0, -0.2, 0.3, 1.0])(gray)
