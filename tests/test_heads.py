"""The meaning of outputs: detected, and turned into probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from pocketlens.errors import ConversionError, OptionError
from pocketlens.heads import (
    Ending,
    Head,
    Meaning,
    check_meaning,
    find_head,
    probabilities_of,
)

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(0, 2, (16, 3)).astype(np.float32)
SOFTMAX = (np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)).astype(np.float32)
SIGMOID = (1 / (1 + np.exp(-LOGITS))).astype(np.float32)
THREE, TWO = ("a", "b", "c"), ("no", "yes")


@pytest.mark.parametrize(
    ("outputs", "ending", "labels", "head"),
    [
        (LOGITS, "linear", THREE, "logits"),
        (LOGITS, "log_softmax", THREE, "logits"),
        (LOGITS, "unknown", THREE, "logits"),
        (LOGITS, "normalized", THREE, "logits"),  # a gate before the last pooling
        (SOFTMAX, "softmax", THREE, "probabilities"),
        (SOFTMAX, "normalized", THREE, "probabilities"),  # the mean of two softmaxes
        # Logits may look like anything.
        (SOFTMAX, "linear", THREE, "logits"),
        (SIGMOID, "linear", THREE, "logits"),
        (SIGMOID[:, :1], "sigmoid", TWO, "probability"),
        (SIGMOID[:, :1], "linear", TWO, "logit"),
        (LOGITS[:, :1], "linear", TWO, "logit"),
    ],
)
def test_the_meaning_of_outputs(
    outputs: np.ndarray, ending: Ending, labels: tuple[str, ...], head: str
) -> None:
    assert find_head(outputs, ending, labels, "the network") == head


@pytest.mark.parametrize(
    ("outputs", "said", "labels", "head"),
    [
        (SIGMOID, "probabilities", THREE, "probabilities"),
        (SIGMOID, "logits", THREE, "logits"),
        (SIGMOID[:, :1], "probabilities", TWO, "probability"),
        (SIGMOID[:, :1], "logits", TWO, "logit"),
    ],
)
def test_what_a_person_says_counts(
    outputs: np.ndarray, said: Meaning, labels: tuple[str, ...], head: str
) -> None:
    assert find_head(outputs, "unknown", labels, "the network", said) == head


def test_what_a_person_says_must_be_possible() -> None:
    with pytest.raises(ConversionError, match=r"values from -\S+ to \S+; expected probabilities"):
        find_head(LOGITS, "linear", THREE, "the network", "probabilities")
    with pytest.raises(OptionError, match="head 'logit' is not known; did you mean 'logits'"):
        check_meaning("logit")


@pytest.mark.parametrize(
    ("outputs", "ending", "labels", "message"),
    [
        (SIGMOID, "sigmoid", THREE, "a sigmoid for each of 3 classes, .* head='logits' or head="),
        (SIGMOID, "unknown", THREE, "an unknown activation and returns values from 0 to 1; .*head"),
        (SOFTMAX, "unknown", THREE, "an unknown activation and returns values from 0 to 1; .*head"),
        (SOFTMAX / 2, "softmax", THREE, "a softmax, but its outputs do not sum to 1 over the"),
        (SOFTMAX / 2, "normalized", THREE, "ops after a softmax, .* do not sum to 1 over the cl"),
        (SOFTMAX * 2, "normalized", THREE, "ops after a softmax, .* do not sum to 1 over the cl"),
        (SIGMOID[:, :1], "unknown", TWO, "unknown activation and a single output; .*a sigmoid, .*"),
        (LOGITS[:, :1], "softmax", TWO, "ends with a softmax and a single output"),
        (LOGITS, "linear", TWO, "returns 3 output\\(s\\), but there are 2 labels \\(no, yes\\)"),
        (SIGMOID[:, :1], "sigmoid", THREE, "returns 1 output\\(s\\), but there are 3 labels"),
        (LOGITS[:, :, None], "linear", THREE, "shape \\(1, 3, 1\\) for one image; expected"),
        (LOGITS * np.nan, "linear", THREE, "values that are not finite"),
    ],
)
def test_outputs_that_do_not_fit_are_rejected(
    outputs: np.ndarray, ending: Ending, labels: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConversionError, match=message):
        find_head(outputs, ending, labels, "the network")


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
