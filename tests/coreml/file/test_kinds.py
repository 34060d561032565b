"""The names of the kinds of models in sentences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pocketlens.app import create_app
from pocketlens.coreml import load
from pocketlens.coreml.file.kinds import KINDS, UNSUPPORTED
from pocketlens.errors import AppError, UnsupportedModelError, with_article

AN = {"ML Program", "item similarity recommender", "imputer", "array feature extractor", "identity"}
AN_UNSUPPORTED = {"audioFeaturePrint"}


def test_every_kind_has_the_right_article() -> None:
    for name in KINDS.values():
        assert with_article(name) == f"{'an' if name in AN else 'a'} {name}"
    for kind, text in UNSUPPORTED.items():
        assert with_article(text) == f"{'an' if kind in AN_UNSUPPORTED else 'a'} {text}"


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("int64", "an int64"), ("image", "an image"), ("array", "an array"), ("double", "a double"),
        ("one-hot encoder", "a one-hot encoder"), ("SVM", "an SVM"), ("PCA", "a PCA"),
        ("Vision feature print", "a Vision feature print"), ("unit", "a unit"),
    ],
)  # fmt: skip
def test_articles(noun: str, expected: str) -> None:
    assert with_article(noun) == expected


def test_the_sentence_about_a_recommender(
    tmp_path: Path, spec_of: Callable[..., Any], save: Callable[..., Path]
) -> None:
    inputs = {"items": "dictionary string"}
    spec = spec_of("itemSimilarityRecommender", inputs, {"list": "sequence string"})
    with pytest.raises(AppError, match="it is an item similarity recommender with inputs: items"):
        create_app(save(spec), tmp_path / "app")


def test_the_sentence_about_a_model_of_apples_systems(
    spec_of: Callable[..., Any], save: Callable[..., Path]
) -> None:
    spec = spec_of("audioFeaturePrint", {"x": (1,)}, {"y": (1,)})
    with pytest.raises(UnsupportedModelError, match="it is an audio feature print, which"):
        load(save(spec))
