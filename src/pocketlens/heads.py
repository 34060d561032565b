"""The meaning of a network's outputs, and how to compute probabilities from them.

A missing or doubled softmax rarely changes the predicted class, so it goes unnoticed: only the
confidences are wrong. Therefore the meaning is neither assumed nor guessed from values: outputs
are probabilities if the network computes them with a softmax or a sigmoid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from pocketlens.errors import ConversionError, OptionError, did_you_mean

__all__ = ["Ending", "Head", "Meaning", "check_meaning", "find_head", "probabilities_of"]

Head: TypeAlias = Literal["logits", "probabilities", "logit", "probability"]
"""`logits` and `probabilities`: one score per class. `logit` and `probability`: a single score, for
the second of two classes."""

Meaning: TypeAlias = Literal["logits", "probabilities"]
"""What a person can say about the outputs of a network, whether one or several."""

Ending: TypeAlias = Literal["linear", "log_softmax", "softmax", "sigmoid", "normalized", "unknown"]
"""How a network computes its outputs. `linear`: the last op is a layer with weights, or follows
one without limiting its values. `softmax` and `sigmoid`: the outputs are those of that op, perhaps
in another shape or order. `normalized`: computed from a softmax, a sigmoid or an exponential by
other ops. `unknown`: none of these."""

_TOLERANCE = 1e-3
"""How far probabilities, or their sum, may lie outside their range."""

_NAMES = {
    "linear": "no activation",
    "log_softmax": "a log-softmax",
    "softmax": "a softmax",
    "sigmoid": "a sigmoid",
    "normalized": "ops after a softmax, sigmoid or exponential",
    "unknown": "an unknown activation",
}

_SAY = "or say what they are: head='logits' or head='probabilities' (--head)"


def check_meaning(value: str | None) -> Meaning | None:
    """The option `head`, checked.

    Raises:
        OptionError: It is neither `logits` nor `probabilities`.
    """
    for known in get_args(Meaning):
        if value == known:
            return known  # type: ignore[no-any-return]
    if value is None:
        return None
    raise OptionError(f"head {value!r} is not known; {did_you_mean(value, get_args(Meaning))}")


def find_head(
    outputs: NDArray[np.float32],
    ending: Ending,
    labels: Sequence[str],
    what: str,
    said: Meaning | None = None,
) -> Head:
    """The meaning of a network's outputs.

    Args:
        outputs: `(N, K)`, the outputs for some images.
        ending: How the network computes them.
        labels: The class names.
        what: How error messages call the network.
        said: What a person says about them; then `ending` is not used.

    Raises:
        ConversionError: The number of outputs does not fit the labels, the outputs are not those
            of a classifier, or their meaning is not clear and nobody says it.
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
    if single:
        return _single_head(outputs, ending, what, said)
    within = _within(outputs)
    if said is not None:
        if said == "probabilities" and not within:
            raise ConversionError(
                f"{what} returns values from {outputs.min():.3g} to {outputs.max():.3g}; "
                "expected probabilities, from 0 to 1, as head says"
            )
        return said
    sums_to_1 = bool((np.abs(outputs.sum(1) - 1) <= _TOLERANCE).all())
    if ending in ("linear", "log_softmax"):
        return "logits"
    if ending in ("softmax", "normalized") and within and sums_to_1:
        return "probabilities"
    if ending == "sigmoid":
        raise ConversionError(
            f"{what} ends with a sigmoid for each of {count} classes, so several may be true at "
            "once and the outputs do not sum to 1 over the classes; expected a softmax over the "
            f"classes, or no activation (logits), {_SAY}"
        )
    negative = bool((outputs < -_TOLERANCE).any())
    if ending == "softmax" or (ending == "normalized" and not negative):
        raise ConversionError(
            f"{what} ends with {_NAMES[ending]}, but its outputs do not sum to 1 over the classes; "
            f"expected a softmax over the classes, or no activation (logits), {_SAY}"
        )
    if within:
        raise ConversionError(
            f"{what} ends with {_NAMES[ending]} and returns values from 0 to 1; expected a softmax "
            f"over the classes, or no activation (logits), {_SAY}"
        )
    return "logits"


def _single_head(
    outputs: NDArray[np.float32], ending: Ending, what: str, said: Meaning | None
) -> Head:
    within = _within(outputs)
    if said == "logits" or (said is None and ending == "linear"):
        return "logit"
    if within and (said == "probabilities" or ending == "sigmoid"):
        return "probability"
    raise ConversionError(
        f"{what} ends with {_NAMES[ending]} and a single output; expected a sigmoid, no "
        f"activation (a logit), or one output for each of the two classes, {_SAY}"
    )


def _within(outputs: NDArray[np.float32]) -> bool:
    return bool((outputs >= -_TOLERANCE).all() and (outputs <= 1 + _TOLERANCE).all())


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
