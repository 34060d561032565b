"""Non-maximum suppression: of boxes that overlap, keeps the one with the highest confidence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.classic.step import Features, Step, find_feature
from pocketlens.coreml.file.budget import charge
from pocketlens.coreml.file.features import MAX_ELEMENTS, Feature, Interface
from pocketlens.coreml.file.time_limit import check_time
from pocketlens.coreml.graph import Message
from pocketlens.coreml.ops.registry import classic
from pocketlens.errors import FeatureError, ModelFileError

Array = NDArray[np.float64]


@classic()
def nonMaximumSuppression(
    model: Interface,
    *,
    pickTop: Message | None = None,
    stringClassLabels: Message | None = None,
    int64ClassLabels: Message | None = None,
    iouThreshold: float = 0.0,
    confidenceThreshold: float = 0.0,
    confidenceInputFeatureName: str,
    coordinatesInputFeatureName: str,
    iouThresholdInputFeatureName: str = "",
    confidenceThresholdInputFeatureName: str = "",
    confidenceOutputFeatureName: str,
    coordinatesOutputFeatureName: str,
) -> Step:
    confidence = find_feature(model.inputs, confidenceInputFeatureName, "confidence input", "array")
    coordinates = find_feature(
        model.inputs, coordinatesInputFeatureName, "coordinates input", "array"
    )
    outputs = (
        find_feature(model.outputs, confidenceOutputFeatureName, "confidence output", "array"),
        find_feature(model.outputs, coordinatesOutputFeatureName, "coordinates output", "array"),
    )
    thresholds = (
        (iouThresholdInputFeatureName, iouThreshold, 1.0),
        (confidenceThresholdInputFeatureName, confidenceThreshold, np.inf),
    )
    optional_inputs = []
    for name, default, high in thresholds:
        if name and any(feature.name == name for feature in model.inputs):
            find_feature(model.inputs, name, "threshold", "double")
        if name:
            optional_inputs.append(Feature(name, "double", optional=True))
        if not 0 <= default <= high:
            raise ModelFileError(f"it has a threshold of {default}; expected 0 to {high}")
    vector = stringClassLabels if stringClassLabels is not None else int64ClassLabels
    classes = 0 if vector is None else len(vector.vector)
    per_class = pickTop is not None and pickTop.perClass
    least, most = _rows(outputs, classes)

    def run(inputs: Features) -> dict[str, Any]:
        for feature in (confidence, coordinates):
            if feature.name not in inputs:
                raise FeatureError(f"the input '{feature.name}' is missing; this model needs it")
        scores = np.asarray(inputs[confidence.name], np.float64)
        boxes = np.asarray(inputs[coordinates.name], np.float64)
        if scores.ndim != 2 or boxes.shape != (len(scores), 4) or not _has_classes(scores, classes):
            raise FeatureError(
                f"the inputs have the shapes {scores.shape} and {boxes.shape}; "
                f"expected (boxes, {classes or 'classes'}) and (boxes, 4)"
            )
        overlap, lowest = (_threshold(inputs, *each) for each in thresholds)
        kept = _kept(scores, boxes, overlap, lowest, per_class, most)
        results = {}
        for feature, array in zip(outputs, (scores, boxes), strict=True):
            rows = array[kept]
            padding = max(0, least - len(rows))
            results[feature.name] = np.pad(rows, ((0, padding), (0, 0)))
        return results

    names = tuple(feature.name for feature in outputs)
    return Step(run, names, optional_inputs=tuple(optional_inputs))


def _has_classes(scores: Array, classes: int) -> bool:
    """Whether the scores have `classes` columns; 0: any number of columns."""
    columns: int = scores.shape[1]
    return columns == classes if classes else columns > 0


def _threshold(inputs: Features, name: str, default: float, high: float) -> float:
    value: float = inputs.get(name, default)
    if not 0 <= value <= high:
        raise FeatureError(f"the input '{name}' is {value}; expected 0 to {high}")
    return value


def _rows(outputs: tuple[Feature, Feature], classes: int) -> tuple[int, int | None]:
    """The declared minimum (missing boxes are zeros) and maximum number of boxes."""
    least, most = 0, None
    for feature in outputs:
        if feature.shapes or (feature.shape and len(feature.shape) != 2):
            raise ModelFileError(
                f"its output '{feature.name}' is declared as {feature.expected()}; "
                "expected boxes × numbers"
            )
        if not feature.shape:
            continue
        low, high = feature.ranges[0] if feature.ranges else (feature.shape[0],) * 2
        least = max(least, low)
        most = high if most is None else most if high is None else min(most, high)
    if least * max(classes, 4) > MAX_ELEMENTS or (most is not None and most < least):
        raise ModelFileError(
            f"its outputs are declared with at least {least} and at most {most} boxes"
        )
    charge(8 * least * (max(classes, 1) + 4), "the padding of a run's outputs")
    return least, most


def _kept(
    scores: Array, boxes: Array, overlap: float, lowest: float, per_class: bool, most: int | None
) -> list[int]:
    """The positions of the boxes that are kept, highest confidence first."""
    confidence, kind = scores.max(1), scores.argmax(1)
    left = np.flatnonzero(confidence >= lowest)
    left = left[np.argsort(-confidence[left], kind="stable")]
    kept: list[int] = []
    while left.size and (most is None or len(kept) < most):
        check_time()
        best, left = int(left[0]), left[1:]
        kept.append(best)
        near = _iou(boxes[best], boxes[left]) > overlap
        if per_class:
            near &= kind[left] == kind[best]
        left = left[~near]
    return kept


def _iou(box: Array, others: Array) -> Array:
    """Intersection over union of one box with each of several, [count].

    A box is the x and y of its center, its width and its height.
    """
    low = np.maximum(box[:2] - box[2:] / 2, others[:, :2] - others[:, 2:] / 2)
    high = np.minimum(box[:2] + box[2:] / 2, others[:, :2] + others[:, 2:] / 2)
    both = np.maximum(high - low, 0).prod(1)
    either = box[2:].prod() + others[:, 2:].prod(1) - both
    overlaps: Array = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    return overlaps
