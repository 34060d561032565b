"""Classic models that ask for much memory are refused before it is taken."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import load
from pocketlens.coreml.file import messages
from pocketlens.coreml.file.messages import MESSAGE_BYTES, messages_in
from pocketlens.coreml.file.proto import generated
from pocketlens.errors import ModelFileError

MB = 1_000_000


def neighbors(spec: Any, count: int) -> None:
    model = spec.kNearestNeighborsClassifier
    model.nearestNeighborsIndex.numberOfDimensions = 1000
    model.nearestNeighborsIndex.linearIndex.SetInParent()
    model.nearestNeighborsIndex.squaredEuclideanDistance.SetInParent()
    model.uniformWeighting.SetInParent()
    model.numberOfNeighbors.defaultValue = 1
    model.numberOfNeighbors.range.maxValue = 1
    model.numberOfNeighbors.range.minValue = 1
    for number in range(count):
        sample = model.nearestNeighborsIndex.floatSamples.add()
        sample.vector.extend([number] * 1000)
    model.int64ClassLabels.vector.extend([0] * count)


def empty_forest(spec: Any) -> None:
    ensemble = spec.treeEnsembleRegressor.treeEnsemble
    ensemble.numPredictionDimensions = 1
    ensemble.basePredictionValue.append(0)
    leaf = ensemble.nodes.add(nodeBehavior=6)
    leaf.evaluationInfo.add(evaluationValue=1)


def categories(spec: Any) -> None:
    spec.oneHotEncoder.int64Categories.vector.extend(range(500_000))


def columns(spec: Any) -> None:
    spec.featureVectorizer.inputList.add(inputColumn="x", inputDimensions=3_000_000)


def items(spec: Any) -> None:
    model = spec.itemSimilarityRecommender
    model.itemItemSimilarities.add(itemId=0).similarItemList.add(itemId=2**20 - 1)
    model.itemInputFeatureName, model.recommendedItemListOutputFeatureName = "x", "y"


def replaced(spec: Any) -> None:
    spec.imputer.imputedDoubleValue = 1


SMALL_FILES: list[tuple[str, dict[str, Any], dict[str, Any], Callable[[Any], None], str]] = [
    ("kNearestNeighborsClassifier", {"x": (1000,)}, {"y": "int64"},
     lambda spec: neighbors(spec, 4000), "its numbers"),
    ("treeEnsembleRegressor", {"x": (2**23,)}, {"y": "double"}, empty_forest,
     "the arrays of a run"),
    ("oneHotEncoder", {"x": "int64"}, {"y": (500_000,)}, categories, "its categories"),
    ("featureVectorizer", {"x": "dictionary int64"}, {"y": (3_000_000,)},
     columns, "the columns of a run"),
    ("itemSimilarityRecommender", {"x": "dictionary int64"}, {"y": "sequence int64"}, items,
     "a run with all items"),
    ("imputer", {"x": (2**23,)}, {"y": (2**23,)}, replaced, "the arrays of a run"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "inputs", "outputs", "fill", "what"), SMALL_FILES, ids=[row[0] for row in SMALL_FILES]
)
def test_refused_before_it_is_taken(
    kind: str,
    inputs: dict[str, Any],
    outputs: dict[str, Any],
    fill: Callable[[Any], None],
    what: str,
    spec_of: Callable[..., Any],
    save: Callable[..., Path],
) -> None:
    spec = spec_of(kind, inputs, outputs, "y" if kind.endswith("Classifier") else "")
    fill(spec)
    path = save(spec)
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match=f"{what} would bring the model to .*max_memory="):
            load(path, max_memory=60 * MB)
        assert tracemalloc.get_traced_memory()[1] < 50 * MB
    finally:
        tracemalloc.stop()
    load(path, max_memory=400 * MB)


def test_samples_take_what_they_are_charged(
    spec_of: Callable[..., Any], save: Callable[..., Path]
) -> None:
    """4 million numbers: 32 MB of doubles, and not 128 MB of objects."""
    spec = spec_of("kNearestNeighborsClassifier", {"x": (1000,)}, {"y": "int64"}, "y")
    neighbors(spec, 4000)
    path = save(spec)
    tracemalloc.start()
    try:
        model = load(path)
        assert tracemalloc.get_traced_memory()[1] < 70 * MB
        assert model.run({"x": np.zeros(1000)}) == {"y": 0}
        assert tracemalloc.get_traced_memory()[1] < 110 * MB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("vector", "value", "least"),
    [("int64Categories", 0, 8), ("stringCategories", "", 27)],
    ids=["integers", "strings"],
)
def test_lists_grow_when_they_are_parsed(
    vector: str, value: Any, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An integer takes one byte in the file and eight in memory, an empty string two and 27."""
    monkeypatch.setattr(messages, "FREE", 0)
    spec = generated("Model_pb2").Model()
    getattr(spec.oneHotEncoder, vector).vector.extend([value] * 10_000)
    charged = MESSAGE_BYTES * messages_in(spec.SerializeToString(), 10**9)
    assert least * 10_000 <= charged <= 2 * least * 10_000 + 2000
