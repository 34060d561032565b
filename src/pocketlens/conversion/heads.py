"""The meaning of a network's outputs, and how to compute probabilities from them.

A missing or doubled softmax rarely changes the predicted class, so it goes unnoticed: only the
confidences are wrong. Therefore the meaning is detected from outputs, not assumed.
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
"""`logits` and `probabilities`: one score per class. `logit` and `probability`: a single score, for
the second of two classes."""

_TOLERANCE = 1e-3
"""How far probabilities, or their sum, may lie outside their range."""


def probe_images(input_spec: InputSpec, count: int = 16) -> NDArray[np.uint8]:
    """Images `(count, H, W, C)` uint8 of noise with different contrasts; the same on every call."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (count, *input_spec.shape))
    contrast = np.linspace(0.1, 1.0, count).reshape(-1, 1, 1, 1)
    return (noise * contrast).astype(np.uint8)


def find_head(
    outputs: NDArray[np.float32], activation: str | None, labels: Sequence[str], what: str
) -> Head:
    """Detect the meaning of a network's outputs.

    Args:
        outputs: `(N, K)`, the outputs for `probe_images`.
        activation: The name of the last activation; `linear` if there is none; None if it is not
            known: then outputs that sum to 1 for every image are probabilities, others are logits.
        labels: The class names.
        what: How error messages call the network.

    Raises:
        ConversionError: The number of outputs does not fit the labels, or the outputs are not
            those of a classifier.
    """
    count = len(labels)
    if outputs.ndim != 2:
        raise ConversionError(
            f"{what} returns outputs of shape {_shape(outputs)} for one image; "
            f"expected (1, {count}), one score per class; end it with a Flatten or pooling layer"
        )
    if not np.isfinite(outputs).all():
        raise ConversionError(
            f"{what} returns values that are not finite; expected a trained model"
        )
    single = outputs.shape[1] == 1
    if outputs.shape[1] != count and not (single and count == 2):
        raise ConversionError(
            f"{what} returns {outputs.shape[1]} output(s), but there are {count} labels "
            f"({', '.join(labels[:3])}{', …' if count > 3 else ''}); expected one label per "
            "output, in the order of training"
        )
    within = bool((outputs >= -_TOLERANCE).all() and (outputs <= 1 + _TOLERANCE).all())
    if single:
        if activation == "sigmoid" and within:
            return "probability"
        if activation == "linear":
            return "logit"
        raise ConversionError(
            f"{what} ends with {_name(activation)} and a single output; expected a sigmoid, no "
            "activation (a logit), or one output for each of the two classes"
        )
    if activation == "linear":
        return "logits"
    if within and bool((np.abs(outputs.sum(1) - 1) <= _TOLERANCE).all()):
        return "probabilities"
    if within or activation in ("softmax", "sigmoid"):
        raise ConversionError(
            f"{what} ends with {_name(activation)} whose outputs do not sum to 1 over the "
            "classes; expected a softmax over the classes, or no activation (logits)"
        )
    return "logits"


def probabilities_of(outputs: NDArray[np.float32], head: Head) -> NDArray[np.float32]:
    """Probabilities `(N, K)` from the outputs of a network."""
    if head == "probabilities":
        return outputs
    if head == "logits":
        powers = np.exp(outputs - outputs.max(1, keepdims=True))
        probabilities: NDArray[np.float32] = powers / powers.sum(1, keepdims=True)
        return probabilities
    # Unlike exp, tanh does not overflow.
    second = outputs if head == "probability" else (1 + np.tanh(outputs / 2)) / 2
    return np.concatenate([1 - second, second], axis=1)


def _shape(outputs: NDArray[np.float32]) -> str:
    return "(1" + "".join(f", {side}" for side in outputs.shape[1:]) + ")"


def _name(activation: str | None) -> str:
    return f"the activation '{activation}'" if activation else "an unknown activation"
