"""Parts of recurrent layers: activations, and the weights of one direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.graph import Graph, Value
from pocketlens.errors import ModelFileError

__all__ = ["ACTIVATIONS", "Activation", "Cell", "reorder_gates"]

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


@dataclass(frozen=True)
class Activation:
    """An activation: the name of its ONNX operator and its parameters, None if it has none."""

    operator: str
    alpha: float | None = None
    beta: float | None = None

    def of(self, g: Graph, x: Value) -> Value:
        """Apply the activation to x, outside a recurrent operator."""
        if self.operator == "HardSigmoid":
            return g.HardSigmoid(x, alpha=self.alpha, beta=self.beta)
        if self.alpha is None or self.beta is None:
            return g.op(self.operator, x)[0]
        if self.operator == "Affine":
            return g.Add(g.Mul(x, g.like(self.alpha, x)), g.like(self.beta, x))
        return g.Mul(g.Tanh(g.Mul(x, g.like(self.beta, x))), g.like(self.alpha, x))


ACTIVATIONS = {
    "hard_sigmoid": Activation("HardSigmoid", 0.2, 0.5),
    "linear": Activation("Affine", 1.0, 0.0),
    "relu": Activation("Relu"),
    "scaled_tanh": Activation("ScaledTanh", 1.0, 1.0),
    "sigmoid": Activation("Sigmoid"),
    "tanh": Activation("Tanh"),
}
"""The specification's names -> the activation with its default parameters."""


@dataclass(frozen=True)
class Cell:
    """The weights of one direction; the gates are stacked along the first axis in ONNX's order.

    That order is update, reset, output for a GRU; input, output, forget, cell for an LSTM.

    Attributes:
        weight: For the input, [gates H, I].
        recursion: For the previous output, [gates H, H].
        bias: [gates H], or None for 0.
        peephole: From the cell state to the input, output and forget gates, [3 H], or None for 0.
        recursion_bias: A second bias, [gates H], or None for 0. It differs from `bias` only in a
            GRU that resets after the product.
    """

    weight: NDArray[Any]
    recursion: NDArray[Any]
    bias: NDArray[Any] | None = None
    peephole: NDArray[Any] | None = None
    recursion_bias: NDArray[Any] | None = None

    @property
    def hidden(self) -> int:
        """H, the size of the output."""
        if self.recursion.ndim != 2:
            raise ModelFileError(f"the recursion weights have the shape {self.recursion.shape}")
        return int(self.recursion.shape[1])

    def check(self, operator: str, inputs: int) -> None:
        """Check that the weights fit each other and an input of size `inputs`.

        Raises:
            ModelFileError: They do not.
        """
        rows = GATES[operator] * self.hidden
        for name, array, shape in (
            ("input", self.weight, (rows, inputs)),
            ("recursion", self.recursion, (rows, self.hidden)),
            ("bias", self.bias, (rows,)),
            ("recursion bias", self.recursion_bias, (rows,)),
            ("peephole", self.peephole, (3 * self.hidden,)),
        ):
            if array is not None and array.shape != shape:
                raise ModelFileError(
                    f"the {name} weights have the shape {array.shape}; expected {shape} for "
                    f"a hidden size of {self.hidden} and an input size of {inputs}"
                )


def reorder_gates(array: NDArray[Any], order: Sequence[int]) -> NDArray[Any]:
    """The stacked gates of `array` in another order: gate `order[i]` becomes gate i."""
    if array.ndim < 1 or array.shape[0] % len(order):
        raise ModelFileError(
            f"weights with the shape {array.shape} do not divide into {len(order)} gates"
        )
    parts = np.split(array, len(order))
    return np.concatenate([parts[i] for i in order])
