"""The nearest neighbors classifier.

The index of the file is not used: a linear index and a k-d tree find the same samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.classic.labels import Labels
from pocketlens.coreml.classic.reading import listed, matrix
from pocketlens.coreml.classic.step import Features, Step, predicted_output
from pocketlens.coreml.classic.vector import Vector
from pocketlens.coreml.file.features import Interface
from pocketlens.coreml.graph import Message
from pocketlens.coreml.ops.registry import classic
from pocketlens.errors import ModelFileError


@classic()
def kNearestNeighborsClassifier(
    model: Interface,
    *,
    nearestNeighborsIndex: Message,
    numberOfNeighbors: Message,
    stringClassLabels: Message | None = None,
    int64ClassLabels: Message | None = None,
    defaultStringLabel: str | None = None,
    defaultInt64Label: int | None = None,
    uniformWeighting: Message | None = None,
    inverseDistanceWeighting: Message | None = None,
) -> Step:
    if uniformWeighting is None and inverseDistanceWeighting is None:
        raise ModelFileError("it has no weighting scheme; expected uniform or inverse distance")
    count = _neighbors(numberOfNeighbors)
    samples = _samples(nearestNeighborsIndex)
    class_labels = stringClassLabels if stringClassLabels is not None else int64ClassLabels
    each = [] if class_labels is None else listed(class_labels.vector, "its labels")
    if len(each) != len(samples):
        raise ModelFileError(f"it has {len(each)} labels for {len(samples)} samples")
    vector = Vector(model.inputs, width=nearestNeighborsIndex.numberOfDimensions)
    if not each:
        return _empty(model, defaultStringLabel, defaultInt64Label)
    assert class_labels is not None
    distinct = type(class_labels)(vector=list(dict.fromkeys(each)))
    strings = stringClassLabels is not None
    labels = Labels(model, distinct if strings else None, None if strings else distinct)
    positions = {label: position for position, label in enumerate(labels.classes)}
    votes_for = np.array([positions[label] for label in each])

    def run(inputs: Features) -> dict[str, object]:
        differences = samples - vector.row(inputs)
        distances: NDArray[np.float64] = np.einsum("ij,ij->i", differences, differences)
        nearest = np.argsort(distances, kind="stable")[:count]
        weights = np.ones(nearest.size)
        if inverseDistanceWeighting is not None:
            weights = _inverse(distances[nearest])
        votes = np.bincount(votes_for[nearest], weights, len(labels.classes))
        return labels.to_outputs(votes / votes.sum())

    return Step(run, labels.outputs, labels.classes)


def _inverse(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights proportional to 1 / distance; if any distance is 0, only those samples count."""
    same: NDArray[np.bool_] = distances == 0
    if same.any():
        return same.astype(np.float64)
    # Scaled by the smallest distance, so that neither 1 / d nor the sum overflows.
    weights: NDArray[np.float64] = distances.min() / distances
    return weights


def _neighbors(parameter: Message) -> int:
    count = int(parameter.defaultValue)
    allowed = parameter.WhichOneof("AllowedValues")
    low, high = parameter.range.minValue, parameter.range.maxValue
    if (
        count < 1
        or (allowed == "range" and not low <= count <= high)
        or (allowed == "set" and count not in parameter.set.values)
    ):
        raise ModelFileError(
            f"its number of neighbors is {count}; expected at least 1, and a number that the file "
            "allows"
        )
    return count


def _samples(index: Message) -> NDArray[np.float64]:
    """The samples, [count, dimensions]."""
    if index.WhichOneof("DistanceFunction") is None:
        raise ModelFileError("it has no distance function; expected the squared Euclidean distance")
    kind = index.WhichOneof("IndexType")
    if kind is None or (kind == "singleKdTreeIndex" and index.singleKdTreeIndex.leafSize < 1):
        raise ModelFileError("it has no index; expected a linear index, or a k-d tree with leaves")
    width = index.numberOfDimensions
    samples = index.floatSamples
    if width < 1 or any(len(sample.vector) != width for sample in samples):
        raise ModelFileError(f"its samples do not all have its {width} dimensions")
    return matrix((sample.vector for sample in samples), len(samples), width)


def _empty(model: Interface, string: str | None, number: int | None) -> Step:
    """A classifier without samples, such as one that will be trained on the device."""
    default = string if string is not None else number
    if default is None:
        raise ModelFileError("it has neither samples nor a default label")
    label = predicted_output(model, "string" if string is not None else "int64")
    results: dict[str, object] = {label.name: default}
    if model.probabilities:
        results[model.probabilities] = {}
    return Step(lambda _: results, tuple(results))
