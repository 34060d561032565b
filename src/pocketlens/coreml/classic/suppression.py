# ruff: noqa: N802, N803 (kinds and fields are named as the specification names them)
"""Non-maximum suppression: of boxes that overlap, the surest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.classic.step import Features, Step, declared
from pocketlens.coreml.file.features import MAX_ELEMENTS, Feature, Interface
from pocketlens.coreml.graph import Message
from pocketlens.coreml.ops.registry import classic
from pocketlens.errors import FeatureError, ModelFileError

Array = NDArray[np.float64]


@classic(
    restrictions="a box is as sure as its likeliest class; boxes come surest first, of equals the "
    "first; one is suppressed if its overlap is above the threshold, so that 1 suppresses none"
)
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
    confidence = declared(model.inputs, confidenceInputFeatureName, "confidence input", "array")
    coordinates = declared(model.inputs, coordinatesInputFeatureName, "coordinates input", "array")
    outputs = (
        declared(model.outputs, confidenceOutputFeatureName, "confidence output", "array"),
        declared(model.outputs, coordinatesOutputFeatureName, "coordinates output", "array"),
    )
    thresholds = (
        (iouThresholdInputFeatureName, iouThreshold, 1.0),
        (confidenceThresholdInputFeatureName, confidenceThreshold, np.inf),
    )
    options = []
    for name, default, high in thresholds:
        if name and any(feature.name == name for feature in model.inputs):
            declared(model.inputs, name, "threshold", "double")
        if name:
            options.append(Feature(name, "double", optional=True))
        if not 0 <= default <= high:
            raise ModelFileError(f"it has a threshold of {default}; expected 0 to {high}")
    vector = stringClassLabels if stringClassLabels is not None else int64ClassLabels
    classes = 0 if vector is None else len(vector.vector)
    per_class = pickTop is not None and pickTop.perClass
    least, most = _rows(outputs, classes)

    def run(given: Features) -> dict[str, Any]:
        for feature in (confidence, coordinates):
            if feature.name not in given:
                raise FeatureError(f"the input '{feature.name}' is left out; this model needs it")
        scores = np.asarray(given[confidence.name], np.float64)
        boxes = np.asarray(given[coordinates.name], np.float64)
        if scores.ndim != 2 or boxes.shape != (len(scores), 4) or not _counts(scores, classes):
            raise FeatureError(
                f"the inputs have the shapes {scores.shape} and {boxes.shape}; "
                f"expected (boxes, {classes or 'classes'}) and (boxes, 4)"
            )
        overlap, surest = (_threshold(given, *each) for each in thresholds)
        kept = _kept(scores, boxes, overlap, surest, per_class, most)
        answers = {}
        for feature, array in zip(outputs, (scores, boxes), strict=True):
            rows = array[kept]
            padding = max(0, least - len(rows))
            answers[feature.name] = np.pad(rows, ((0, padding), (0, 0)))
        return answers

    return Step(run, tuple(feature.name for feature in outputs), options=tuple(options))


def _counts(scores: Array, classes: int) -> bool:
    return scores.shape[1] == classes if classes else scores.shape[1] > 0


def _threshold(given: Features, name: str, default: float, high: float) -> float:
    value: float = given.get(name, default)
    if not 0 <= value <= high:
        raise FeatureError(f"the input '{name}' is {value}; expected 0 to {high}")
    return value


def _rows(outputs: tuple[Feature, Feature], classes: int) -> tuple[int, int | None]:
    """How many boxes come out at least (the rest is zeros) and at most, as the outputs declare."""
    least, most = 0, None
    for feature in outputs:
        if feature.shapes or (feature.shape and len(feature.shape) != 2):
            raise ModelFileError(f"its output '{feature.name}' is not of boxes × numbers")
        if not feature.shape:
            continue
        low, high = feature.ranges[0] if feature.ranges else (feature.shape[0],) * 2
        least = max(least, low)
        most = high if most is None else most if high is None else min(most, high)
    if least * max(classes, 4) > MAX_ELEMENTS or (most is not None and most < least):
        raise ModelFileError(f"its outputs want at least {least} and at most {most} boxes")
    return least, most


def _kept(
    scores: Array, boxes: Array, overlap: float, surest: float, per_class: bool, most: int | None
) -> list[int]:
    """The places of the boxes that stay, surest first."""
    sure, kind = scores.max(1), scores.argmax(1)
    left = np.flatnonzero(sure >= surest)
    left = left[np.argsort(-sure[left], kind="stable")]
    kept: list[int] = []
    while left.size and (most is None or len(kept) < most):
        best, left = int(left[0]), left[1:]
        kept.append(best)
        near = _iou(boxes[best], boxes[left]) > overlap
        if per_class:
            near &= kind[left] == kind[best]
        left = left[~near]
    return kept


def _iou(box: Array, others: Array) -> Array:
    """Intersection over union of a box (x, y of its center, width, height) with each other."""
    low = np.maximum(box[:2] - box[2:] / 2, others[:, :2] - others[:, 2:] / 2)
    high = np.minimum(box[:2] + box[2:] / 2, others[:, :2] + others[:, 2:] / 2)
    both = np.maximum(high - low, 0).prod(1)
    either = box[2:].prod() + others[:, 2:].prod(1) - both
    return np.divide(both, either, out=np.zeros_like(both), where=either > 0)
