"""Predictions, and the base of every predictor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pocketlens.errors import OptionError
from pocketlens.image import InputSpec
from pocketlens.prediction import Prediction, Predictor, Remembering, Thresholds, class_name_errors


class Brightness(Predictor):
    """Says `light` with the share of white in the image."""

    classes = ("dark", "light")
    input_spec = InputSpec(2, 2)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        light = images.mean((1, 2, 3), dtype=np.float32) / 255
        return np.stack([1 - light, light], 1)


def test_thresholds_come_back_the_same() -> None:
    own = Thresholds(0.83, 0.61, 0.97)
    assert own.to_json() == '{"show":0.83,"keep":0.61,"present":0.97}'
    assert Thresholds.from_json(own.to_json()) == own
    assert Brightness().thresholds == Thresholds(0.7, 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"show":1.5,"keep":0.5}', "thresholds.show must be a number from 0 to 1; received: 1.5"),
        (
            '{"show":0.5,"keep":true}',
            "thresholds.keep must be a number from 0 to 1; received: True",
        ),
        ('{"present":-1}', "thresholds.present must be a number from 0 to 1; received: -1"),
        (
            '{"show":0.5,"keep":0.6}',
            "thresholds.keep must not be above thresholds.show; received: keep 0.6",
        ),
        (
            '{"shown":0.5}',
            'as JSON, {"show": ..., "keep": ..., "present": ...}; received: \'{"shown"',
        ),
        ("[1]", "received: '[1]'"),
        ("0.7", "received: '0.7'"),
        ("[" * 9999, "received: '[[["),
    ],
)
def test_thresholds_that_are_none(text: str, message: str) -> None:
    with pytest.raises(OptionError) as error:
        Thresholds.from_json(text)
    assert message in str(error.value)


def test_top_is_sorted() -> None:
    answer = Prediction.from_array(("a", "b", "c"), np.array([0.2, 0.5, 0.3], np.float32))
    assert answer.label == "b"
    assert answer.confidence == pytest.approx(0.5)
    assert [label for label, _ in answer.top(2)] == ["b", "c"]
    assert len(answer.top(9)) == 3
    with pytest.raises(OptionError, match="at least 1; received: 0"):
        answer.top(0)


def test_one_image_gives_one_prediction_several_give_a_list(tmp_path: Path) -> None:
    white = np.full((9, 9), 255, np.uint8)
    Image.fromarray(white).save(tmp_path / "white.png")
    model = Brightness()
    assert model.predict(white).label == "light"
    assert model.predict(str(tmp_path / "white.png")).confidence == pytest.approx(1)
    several = model.predict([tmp_path / "white.png", np.zeros((3, 5, 3), np.uint8)])
    assert [answer.label for answer in several] == ["light", "dark"]
    batch = model.predict(np.zeros((3, 2, 2, 1), np.uint8))
    assert isinstance(batch, list)  # type checkers see one image in any array
    assert [prediction.label for prediction in batch] == ["dark"] * 3
    assert model.predict([]) == []


@pytest.mark.parametrize(
    ("names", "errors"),
    [
        (["cat", "Käse", "日本", "👩\u200d👧", "9", "½", "²", "2", "A", "a", "not a cat"], []),
        (["a", "", " \u3000"], ["class name 2 is empty", "class name 3 is empty"]),
        (["a", 1], ["class name 2 is 1, which is not a string"]),
        (["e\u0301", "é"], ["class name 2, 'é', is the same as class name 1"]),
        (["a  b", "a\u00a0b "], ["class name 2, 'a\u00a0b ', is the same as class name 1"]),
        (["\u202ea"], [r"class name 1, '\u202ea', has control or invisible characters"]),
        (["ca\u200dt"], [r"class name 1, 'ca\u200dt', has control or invisible characters"]),
    ],
)
def test_class_names(names: list[object], errors: list[str]) -> None:
    assert class_name_errors(names) == errors


class Counting(Predictor):
    """Probabilities of its own for each image; counts them."""

    classes = ("a", "b")
    input_spec = InputSpec(1, 1)
    count = 0

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.count += len(images)
        first = images[:, 0, 0] / np.float32(255)
        return np.concatenate([first, 1 - first], axis=1)


def test_what_is_remembered_is_not_computed_again() -> None:
    inner = Counting()
    both = Remembering(inner)
    assert (both.classes, both.input_spec, both.thresholds) == (
        inner.classes,
        inner.input_spec,
        inner.thresholds,
    )
    images = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    for part in (images, images[:2], images, images[2:], images[2:][::-1]):
        assert (both.probabilities(part) == Counting().probabilities(part)).all()
    assert inner.count == 4 + 2 + 2 + 2
