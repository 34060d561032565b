"""What the numbers at a network's end mean, and how probabilities follow from them.

A softmax that is missing or applied twice still names the right class most of the time, so nobody
notices: only the confidences are wrong. Hence it is found out, not assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketlens.errors import ConversionError
from pocketlens.image import InputSpec

__all__ = ["Head", "find_head", "probabilities_of", "probe_images"]

Head: TypeAlias = Literal["logits", "probabilities", "logit", "probability"]
"""`logits` and `probabilities`: one number a class. `logit` and `probability`: a single number,
for the second of two classes."""

_TOLERANCE = 1e-3


def probe_images(input_spec: InputSpec, count: int = 16) -> NDArray[np.uint8]:
    """Images `(count, H, W, C)` of noise at different contrasts, always the same ones."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (count, *input_spec.shape))
    contrast = np.linspace(0.1, 1.0, count).reshape(-1, 1, 1, 1)
    return (noise * contrast).astype(np.uint8)


def find_head(
    outputs: NDArray[np.float32], activation: str | None, labels: Sequence[str], what: str
) -> Head:
    """What the outputs of a network are.

    Args:
        outputs: What it gives for `probe_images`, `(N, K)`.
        activation: The name of its last activation, `linear` for none, None if not known: then
            outputs that sum to one on every image are probabilities, others are logits.
        labels: The class names.
        what: The network, as error messages name it.

    Raises:
        ConversionError: Not one output a class, or outputs of no meaning that a classifier has.
    """
    count = len(labels)
    if outputs.ndim != 2:
        raise ConversionError(
            f"{what} gives outputs of shape {_shape(outputs)} for one image; "
            f"expected (1, {count}), one number a class: end it with a Flatten or pooling layer"
        )
    if not np.isfinite(outputs).all():
        raise ConversionError(f"{what} gives numbers that are not finite; expected a trained model")
    single = outputs.shape[1] == 1
    if outputs.shape[1] != count and not (single and count == 2):
        raise ConversionError(
            f"{what} gives {outputs.shape[1]} output(s) but there are {count} labels "
            f"({', '.join(labels[:3])}{', …' if count > 3 else ''}); expected one label an "
            "output, in the order of training"
        )
    within = bool((outputs >= -_TOLERANCE).all() and (outputs <= 1 + _TOLERANCE).all())
    if single:
        if activation == "sigmoid" and within:
            return "probability"
        if activation == "linear":
            return "logit"
        raise ConversionError(
            f"{what} ends in {_named(activation)} with a single output; expected sigmoid, or none "
            "(a logit), or one output for each of the two classes"
        )
    if activation == "linear":
        return "logits"
    if within and bool((np.abs(outputs.sum(1) - 1) <= _TOLERANCE).all()):
        return "probabilities"
    if within or activation in ("softmax", "sigmoid"):
        raise ConversionError(
            f"{what} ends in {_named(activation)} whose outputs do not sum to one over the "
            "classes; expected softmax over the classes, or no activation (logits)"
        )
    return "logits"


def probabilities_of(outputs: NDArray[np.float32], head: Head) -> NDArray[np.float32]:
    """Probabilities `(N, K)` of the network's outputs."""
    if head == "probabilities":
        return outputs
    if head == "logits":
        powers = np.exp(outputs - outputs.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)
    # tanh, unlike exp, does not overflow.
    second = outputs if head == "probability" else (1 + np.tanh(outputs / 2)) / 2
    return np.concatenate([1 - second, second], axis=1)


def _shape(outputs: NDArray[np.float32]) -> str:
    return "(1" + "".join(f", {side}" for side in outputs.shape[1:]) + ")"


def _named(activation: str | None) -> str:
    return f"the activation '{activation}'" if activation else "an activation of unknown kind"
