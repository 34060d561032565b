"""The meaning of outputs: detected, and turned into probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from pocketlens.conversion.heads import Head, find_head, probabilities_of, probe_images
from pocketlens.errors import ConversionError
from pocketlens.image import InputSpec

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(0, 2, (16, 3)).astype(np.float32)
SOFTMAX = (np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)).astype(np.float32)
SIGMOID = (1 / (1 + np.exp(-LOGITS))).astype(np.float32)
THREE, TWO = ("a", "b", "c"), ("no", "yes")


@pytest.mark.parametrize(
    ("outputs", "activation", "labels", "head"),
    [
        (LOGITS, "linear", THREE, "logits"),
        (LOGITS, None, THREE, "logits"),
        (LOGITS, "leaky_relu", THREE, "logits"),
        (SOFTMAX, "softmax", THREE, "probabilities"),
        (SOFTMAX, None, THREE, "probabilities"),
        # If it is known that outputs are logits, they may look like probabilities.
        (SOFTMAX, "linear", THREE, "logits"),
        (SIGMOID[:, :1], "sigmoid", TWO, "probability"),
        (LOGITS[:, :1], "linear", TWO, "logit"),
    ],
)
def test_the_meaning_of_outputs(
    outputs: np.ndarray, activation: str | None, labels: tuple[str, ...], head: str
) -> None:
    assert find_head(outputs, activation, labels, "the network") == head


@pytest.mark.parametrize(
    ("outputs", "activation", "labels", "message"),
    [
        (SIGMOID, "sigmoid", THREE, "activation 'sigmoid' whose outputs do not sum to 1 over"),
        (SIGMOID, None, THREE, "an unknown activation whose outputs do not sum to 1 over"),
        (LOGITS, "softmax", THREE, "activation 'softmax' whose outputs do not sum to 1 over"),
        (SIGMOID[:, :1], None, TWO, "unknown activation and a single output; expected a sigmoid"),
        (LOGITS[:, :1], "relu", TWO, "activation 'relu' and a single output"),
        (LOGITS, None, TWO, "returns 3 output\\(s\\), but there are 2 labels \\(no, yes\\)"),
        (SIGMOID[:, :1], "sigmoid", THREE, "returns 1 output\\(s\\), but there are 3 labels"),
        (LOGITS[:, :, None], None, THREE, "shape \\(1, 3, 1\\) for one image; expected \\(1, 3\\)"),
        (LOGITS * np.nan, None, THREE, "values that are not finite"),
    ],
)
def test_outputs_that_do_not_fit_are_rejected(
    outputs: np.ndarray, activation: str | None, labels: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConversionError, match=message):
        find_head(outputs, activation, labels, "the network")


def test_probabilities_follow_their_formulas() -> None:
    np.testing.assert_allclose(probabilities_of(LOGITS, "logits"), SOFTMAX, atol=1e-6)
    np.testing.assert_array_equal(probabilities_of(SOFTMAX, "probabilities"), SOFTMAX)
    singles: dict[Head, np.ndarray] = {"probability": SIGMOID, "logit": LOGITS}
    for head, single in singles.items():
        two = probabilities_of(single[:, :1], head)
        np.testing.assert_allclose(two[:, 1:], SIGMOID[:, :1], atol=1e-6)
        np.testing.assert_allclose(two.sum(1), 1, atol=1e-6)


@pytest.mark.filterwarnings("error")
def test_large_logits_do_not_overflow() -> None:
    far = np.array([[1e4, -1e4, 0]], np.float32)
    np.testing.assert_array_equal(probabilities_of(far, "logits"), [[1, 0, 0]])
    np.testing.assert_array_equal(probabilities_of(far[:, 1:2], "logit"), [[1, 0]])


def test_probe_images_are_repeatable_and_use_the_whole_range() -> None:
    spec = InputSpec(9, 7, "rgb")
    images = probe_images(spec)
    assert images.shape == (16, 9, 7, 3)
    assert images.dtype == np.uint8
    assert images.max() > 240
    np.testing.assert_array_equal(images, probe_images(spec))
