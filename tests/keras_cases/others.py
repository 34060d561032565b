"""Activations, merges, shapes, dense layers; and the layers without a row."""

from __future__ import annotations

from typing import Any

from keras_cases.case import rows

__all__ = ["NO_ROWS", "REFUSED", "ROWS"]


def two(k: Any, x: Any) -> list[Any]:
    """Two images."""
    return [k.Conv2D(3, 1, activation="tanh")(x), x]


ACTIVATIONS: dict[str, Any] = {
    f"Activation({name})": lambda k, x, name=name: k.Activation(name)(x)
    for name in (
        "celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu",
        "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6",
        "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus",
        "sparse_sigmoid", "sparsemax", "squareplus", "tanh", "tanh_shrink",
    )
}  # fmt: skip

LAYERS: dict[str, Any] = {
    "ELU": lambda k, x: k.ELU(0.3)(x),
    "LeakyReLU": lambda k, x: k.LeakyReLU(0.2)(x),
    "PReLU": lambda k, x: k.PReLU()(x),
    "PReLU(shared)": lambda k, x: k.PReLU(shared_axes=(1, 2))(x),
    "ReLU": lambda k, x: k.ReLU(max_value=1.5, negative_slope=0.1, threshold=0.2)(x),
    "Softmax": lambda k, x: k.Softmax(axis=1)(x),
    "Softmax(two axes)": lambda k, x: k.Softmax(axis=(1, 2))(x),
    "ActivityRegularization": lambda k, x: k.ActivityRegularization(0.1)(x),
    "Add": lambda k, x: k.Add()(two(k, x)),
    "Average": lambda k, x: k.Average()(two(k, x)),
    "Concatenate": lambda k, x: k.Concatenate(axis=1)(two(k, x)),
    "Dot": lambda k, x: k.Dot(axes=2)([rows(k, each) for each in two(k, x)]),
    "Dot(normalized)": lambda k, x: k.Dot(axes=(1, 1), normalize=True)(
        [rows(k, each) for each in two(k, x)]
    ),
    "Maximum": lambda k, x: k.Maximum()(two(k, x)),
    "Minimum": lambda k, x: k.Minimum()(two(k, x)),
    "Multiply": lambda k, x: k.Multiply()(two(k, x)),
    "Subtract": lambda k, x: k.Subtract()(two(k, x)),
    "Dense": lambda k, x: k.Dense(5, activation="gelu")(x),
    "EinsumDense": lambda k, x: k.EinsumDense("abc,cd->abd", (12, 5), bias_axes="d")(rows(k, x)),
    "EinsumDense(heads)": lambda k, x: k.EinsumDense("abcd,ed->aecb", (5, 12, 12))(x),
    "Flatten": lambda k, x: k.Flatten(data_format="channels_first")(x),
    "Identity": lambda k, x: k.Identity()(x),
    "Permute": lambda k, x: k.Permute((3, 1, 2))(x),
    "RepeatVector": lambda k, x: k.RepeatVector(3)(k.Flatten()(x)),
    "Reshape": lambda k, x: k.Reshape((4, -1))(x),
    "Lambda": lambda k, x: k.Lambda(lambda y: y * y - y)(x),
    "TorchModuleWrapper": lambda k, x: k.TorchModuleWrapper(
        _module(), output_shape=(None, 12, 12, 3)
    )(x),
}


def _module() -> Any:
    from torch import nn

    return nn.Sequential(nn.LayerNorm(3, eps=0.1), nn.Hardswish())


ROWS: dict[str, Any] = {**ACTIVATIONS, **LAYERS}

REFUSED: dict[str, str] = {}

NO_ROWS: dict[str, str] = {
    "FlaxLayer": "runs on the JAX backend only",
    "HashedCrossing": "requires TensorFlow",
    "Hashing": "requires TensorFlow",
    "InputLayer": "is the input of every row",
    "IntegerLookup": "requires TensorFlow",
    "JaxLayer": "runs on the JAX backend only",
    "Layer": "is the base of all layers",
    "MaxNumBoundingBoxes": "takes boxes, not images",
    "RandomCrop": "has another shape at inference than Keras declares",
    "StringLookup": "takes text",
    "TFSMLayer": "runs on the TensorFlow backend only",
    "TextVectorization": "takes text",
    "Wrapper": "is the base of layers that hold another one",
}
