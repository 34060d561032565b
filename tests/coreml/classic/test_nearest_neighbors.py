"""The nearest neighbors classifier, compared with a search over all samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import CoreMLModel
from pocketlens.errors import FeatureError, ModelFileError

Open = Callable[[Any], CoreMLModel]


def neighbors(
    spec_of: Callable[..., Any],
    samples: Any,
    labels: list[Any],
    count: int,
    *,
    inverse: bool = False,
    tree: bool = False,
) -> Any:
    key = "string" if not labels or isinstance(labels[0], str) else "int64"
    outputs = {"c": key, "p": f"dictionary {key}"}
    spec = spec_of("kNearestNeighborsClassifier", {"x": ("float32", 2)}, outputs, "c", "p")
    message = spec.kNearestNeighborsClassifier
    index = message.nearestNeighborsIndex
    index.numberOfDimensions = 2
    for sample in samples:
        index.floatSamples.add().vector.extend(sample)
    index.squaredEuclideanDistance.SetInParent()
    if tree:
        index.singleKdTreeIndex.leafSize = 30
    else:
        index.linearIndex.SetInParent()
    message.numberOfNeighbors.defaultValue = count
    message.numberOfNeighbors.range.minValue = 1
    message.numberOfNeighbors.range.maxValue = 1000
    if labels:
        getattr(message, f"{key}ClassLabels").vector.extend(labels)
    if inverse:
        message.inverseDistanceWeighting.SetInParent()
    else:
        message.uniformWeighting.SetInParent()
    return spec


@pytest.mark.parametrize("inverse", [True, False])
@pytest.mark.parametrize("tree", [True, False])
@pytest.mark.parametrize("count", [1, 5, 300])
def test_votes(
    inverse: bool, tree: bool, count: int, spec_of: Callable[..., Any], open_spec: Open
) -> None:
    random = np.random.default_rng(count)
    samples = random.normal(size=(60, 2)).astype(np.float32).astype(float)
    labels = [int(label) for label in random.integers(7, 10, 60)]
    model = open_spec(neighbors(spec_of, samples, labels, count, inverse=inverse, tree=tree))
    assert model.classes == tuple(str(label) for label in dict.fromkeys(labels))
    for x in random.normal(size=(10, 2)).astype(np.float32):
        distances = [float(((x - sample) ** 2).sum()) for sample in samples]
        nearest = sorted(range(60), key=distances.__getitem__)[:count]
        votes: dict[int, float] = dict.fromkeys(labels, 0.0)
        for index in nearest:
            votes[labels[index]] += 1 / distances[index] if inverse else 1
        answer = model.run({"x": x})
        assert answer["p"] == pytest.approx(
            {label: votes[label] / sum(votes.values()) for label in dict.fromkeys(labels)}
        )
        assert votes[answer["c"]] == pytest.approx(max(votes.values()))


def test_samples_at_distance_zero(spec_of: Callable[..., Any], open_spec: Open) -> None:
    """A sample at distance 0 outvotes all others; two of them share the votes."""
    samples, labels = [[0, 0], [1, 0], [1.5, 0], [0, 0]], ["a", "b", "b", "c"]
    model = open_spec(neighbors(spec_of, samples, labels, 4, inverse=True))
    assert model.run({"x": [0, 0]}) == {"c": "a", "p": {"a": 0.5, "b": 0, "c": 0.5}}
    assert model.run({"x": [1, 0]}) == {"c": "b", "p": {"a": 0, "b": 1, "c": 0}}


def test_equal_votes(spec_of: Callable[..., Any], open_spec: Open) -> None:
    samples, labels = [[3, 0], [1, 0], [2, 0]], ["z", "b", "a"]
    model = open_spec(neighbors(spec_of, samples, labels, 2))
    assert model.run({"x": [0, 0]}) == {"c": "b", "p": {"z": 0, "b": 0.5, "a": 0.5}}


def test_the_builder_of_coremltools(open_spec: Open) -> None:
    """The example from its documentation; the neighbors can be counted by hand."""
    from coremltools.models.nearest_neighbors import KNearestNeighborsClassifierBuilder

    builder = KNearestNeighborsClassifierBuilder(
        input_name="input",
        output_name="output",
        number_of_dimensions=4,
        default_class_label="default_label",
        number_of_neighbors=3,
        weighting_scheme="uniform",
        index_type="linear",
    )
    empty = open_spec(builder.spec)
    assert empty.run({"input": [1, 1, 1, 1]}) == {"output": "default_label", "outputProbs": {}}
    builder.add_samples(
        [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [1.0, 2.0, 3.0, 5.0]],
        ["string_label", "other", "string_label"],
    )
    answer = open_spec(builder.spec).run({"input": [1, 2, 3, 4]})
    assert answer["output"] == "string_label"
    assert answer["outputProbs"] == pytest.approx({"string_label": 2 / 3, "other": 1 / 3})


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        ("count", "its number of neighbors is 0; expected at least 1"),
        ("range", "is 2000; expected at least 1, and a number that the file allows"),
        ("labels", "it has 3 labels for 2 samples"),
        ("width", "its samples do not all have its 2 dimensions"),
        ("dimensions", "its inputs have 2 numbers; the model needs 3"),
        ("distance", "it has no distance function"),
        ("index", "it has no index; expected a linear index, or a k-d tree with leaves"),
        ("weighting", "it has no weighting scheme"),
        ("empty", "it has neither samples nor a default label"),
        ("kind", "its prediction 'c' is declared as string; expected int64"),
    ],
)
def test_invalid_files(
    damage: str, error: str, spec_of: Callable[..., Any], open_spec: Open
) -> None:
    samples = [] if damage == "empty" else [[0, 0], [1, 1]]
    spec = neighbors(spec_of, samples, [] if damage == "empty" else ["a", "b"], 1)
    message = spec.kNearestNeighborsClassifier
    index = message.nearestNeighborsIndex
    match damage:
        case "count":
            message.numberOfNeighbors.defaultValue = 0
        case "range":
            message.numberOfNeighbors.defaultValue = 2000
        case "labels":
            message.stringClassLabels.vector.append("c")
        case "width":
            index.floatSamples[1].vector.append(1)
        case "dimensions":
            index.numberOfDimensions = 3
            for sample in index.floatSamples:
                sample.vector.append(1)
        case "distance":
            index.ClearField("squaredEuclideanDistance")
        case "index":
            index.singleKdTreeIndex.leafSize = 0
        case "weighting":
            message.ClearField("uniformWeighting")
        case "kind":
            message.int64ClassLabels.vector.extend([1, 2])
    with pytest.raises(ModelFileError) as caught:
        open_spec(spec)
    assert error in str(caught.value)


def test_wrong_input(spec_of: Callable[..., Any], open_spec: Open) -> None:
    model = open_spec(neighbors(spec_of, [[0, 0]], ["a"], 1))
    with pytest.raises(FeatureError, match="has the shape 2; received: 3"):
        model.run({"x": [1, 2, 3]})
