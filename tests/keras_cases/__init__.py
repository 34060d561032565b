"""The public layers of Keras with their options, each as a function of an image `(12, 12, 3)`.

Each is one row: `convert` computes the same, or refuses and names the layer.
"""

from __future__ import annotations

from typing import Any

from keras_cases import images, others, sequences
from keras_cases.case import model_with
from keras_cases.networks import NETWORKS

__all__ = ["NETWORKS", "NO_ROWS", "REFUSED", "ROWS", "layer_of", "model"]

ROWS: dict[str, Any] = {**images.ROWS, **sequences.ROWS, **others.ROWS}
"""Name -> a function of `keras.layers` and the image, in numbers from -2 to 2."""

REFUSED: dict[str, str] = {**images.REFUSED, **sequences.REFUSED, **others.REFUSED}
"""The rows that are refused, and why."""

NO_ROWS: dict[str, str] = others.NO_ROWS
"""The layers without a row, and why."""


def layer_of(name: str) -> str:
    """The layer of a row."""
    return name.partition("(")[0]


def model(keras: Any, name: str) -> Any:
    """The model of a row."""
    return model_with(keras, ROWS[name])
