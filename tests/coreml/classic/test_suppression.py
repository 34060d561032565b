"""Non-maximum suppression, compared with the specification's five steps, box by box."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import CoreMLModel
from pocketlens.errors import FeatureError, ModelFileError

Open = Callable[[Any], CoreMLModel]


def suppression(
    spec_of: Callable[..., Any],
    *,
    per_class: bool = False,
    iou: float = 0.4,
    confidence: float = 0.2,
    inputs: dict[str, Any] | None = None,
    rows: tuple[int, int] | None = None,
) -> Any:
    required = {"confidence": (9, 3), "coordinates": (9, 4)}
    outputs = {"boxes": (1, 4), "scores": (1, 3)}
    spec = spec_of("nonMaximumSuppression", required | (inputs or {}), outputs)
    for feature, columns in zip(spec.description.output, (4, 3), strict=True):
        del feature.type.multiArrayType.shape[:]
        if rows is not None:
            ranges = feature.type.multiArrayType.shapeRange.sizeRanges
            ranges.add(lowerBound=rows[0], upperBound=rows[1])
            ranges.add(lowerBound=columns, upperBound=columns)
    message = spec.nonMaximumSuppression
    message.pickTop.perClass = per_class
    message.iouThreshold, message.confidenceThreshold = iou, confidence
    message.confidenceInputFeatureName = "confidence"
    message.coordinatesInputFeatureName = "coordinates"
    message.iouThresholdInputFeatureName = "iou"
    message.confidenceThresholdInputFeatureName = "least"
    message.confidenceOutputFeatureName = "scores"
    message.coordinatesOutputFeatureName = "boxes"
    message.stringClassLabels.vector.extend(["cat", "dog", "cup"])
    return spec


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes [center x, center y, width, height]."""
    sides = []
    for axis in (0, 1):
        low = max(a[axis] - a[axis + 2] / 2, b[axis] - b[axis + 2] / 2)
        high = min(a[axis] + a[axis + 2] / 2, b[axis] + b[axis + 2] / 2)
        sides.append(max(0.0, high - low))
    both = sides[0] * sides[1]
    return float(both / (a[2] * a[3] + b[2] * b[3] - both))


def steps(
    scores: np.ndarray, boxes: np.ndarray, overlap: float, least: float, per_class: bool
) -> list[int]:
    """The indices of the boxes that are kept."""
    left = [n for n in range(len(scores)) if scores[n].max() >= least]
    left.sort(key=lambda n: -scores[n].max())
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [
            n
            for n in left
            if iou(boxes[best], boxes[n]) <= overlap
            or (per_class and scores[n].argmax() != scores[best].argmax())
        ]
    return kept


def random_boxes(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    boxes = np.column_stack([random.random((9, 2)) * 0.6, 0.2 + random.random((9, 2)) * 0.6])
    return {"confidence": random.random((9, 3)) * 0.6, "coordinates": boxes}


@pytest.mark.parametrize("per_class", [True, False])
@pytest.mark.parametrize(("overlap", "least"), [(0.4, 0.2), (0.0, 0.0), (0.1, 0.45), (1.0, 0.0)])
def test_steps(
    per_class: bool, overlap: float, least: float, spec_of: Callable[..., Any], open_spec: Open
) -> None:
    spec = suppression(spec_of, per_class=per_class, iou=overlap, confidence=least)
    model = open_spec(spec)
    for seed in range(5):
        inputs = random_boxes(seed)
        scores, boxes = inputs["confidence"], inputs["coordinates"]
        kept = steps(scores, boxes, overlap, least, per_class)
        assert overlap < 1 or len(kept) == 9
        answer = model.run(inputs)
        np.testing.assert_array_equal(answer["scores"], scores[kept])
        np.testing.assert_array_equal(answer["boxes"], boxes[kept])


def test_thresholds_as_inputs(spec_of: Callable[..., Any], open_spec: Open) -> None:
    spec = suppression(spec_of, inputs={"iou": "double?", "least": "double?"})
    model = open_spec(spec)
    inputs = random_boxes(3)
    arrays = inputs["confidence"], inputs["coordinates"]
    for overlap, least in ((0.1, 0.2), (0.4, 0.5)):
        answer = model.run(inputs | {"iou": overlap, "least": least})
        np.testing.assert_array_equal(
            answer["scores"], arrays[0][steps(*arrays, overlap, least, False)]
        )
    np.testing.assert_array_equal(
        model.run(inputs)["scores"], arrays[0][steps(*arrays, 0.4, 0.2, False)]
    )
    with pytest.raises(FeatureError, match=r"the input 'iou' is 1.5; expected 0 to 1.0"):
        model.run(inputs | {"iou": 1.5})


def test_thresholds_of_a_pipeline(spec_of: Callable[..., Any], open_spec: Open) -> None:
    """As converters write them: only the pipeline declares the thresholds, as required inputs."""
    inputs = random_boxes(3)
    arrays = inputs["confidence"], inputs["coordinates"]
    features = {"confidence": (9, 3), "coordinates": (9, 4), "iou": "double", "least": "double"}
    spec = spec_of("pipeline", features, {"boxes": (1, 4), "scores": (1, 3)})
    stage = suppression(spec_of)
    spec.pipeline.models.add().CopyFrom(stage)
    for feature, source in zip(spec.description.output, stage.description.output, strict=True):
        feature.CopyFrom(source)
    model = open_spec(spec)
    for thresholds in ({}, {"iou": 0.1}, {"iou": 0.1, "least": 0.5}):
        expected = steps(*arrays, thresholds.get("iou", 0.4), thresholds.get("least", 0.2), False)
        answer = model.run(inputs | thresholds)
        np.testing.assert_array_equal(answer["scores"], arrays[0][expected])
    with pytest.raises(FeatureError, match="needs the input 'coordinates'"):
        model.run({"confidence": arrays[0]})


@pytest.mark.parametrize("rows", [(0, -1), (0, 2), (9, 9), (8, -1)])
def test_number_of_boxes(
    rows: tuple[int, int], spec_of: Callable[..., Any], open_spec: Open
) -> None:
    """Missing boxes are zeros, boxes beyond the maximum are dropped."""
    inputs = random_boxes(1)
    kept = steps(inputs["confidence"], inputs["coordinates"], 0.4, 0.2, False)
    assert 2 < len(kept) < 8
    answer = open_spec(suppression(spec_of, rows=rows)).run(inputs)
    count = max(rows[0], len(kept) if rows[1] < 0 else min(len(kept), rows[1]))
    assert answer["scores"].shape == (count, 3)
    assert answer["boxes"].shape == (count, 4)
    shown = min(count, len(kept))
    np.testing.assert_array_equal(answer["boxes"][:shown], inputs["coordinates"][kept[:shown]])
    assert not answer["scores"][shown:].any()


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        ("iou", "it has a threshold of 1.5; expected 0 to 1.0"),
        ("confidence", "it has a threshold of -0.5; expected 0 to inf"),
        ("rows", "are declared with at least 4294967296 and at most 4294967296 boxes"),
        ("name", "its confidence output should be 'gone'; the description has: boxes, scores"),
        ("unset", "it has no 'coordinatesInputFeatureName', which this model needs"),
    ],
)
def test_invalid_files(
    damage: str, error: str, spec_of: Callable[..., Any], open_spec: Open
) -> None:
    spec = suppression(spec_of, rows=(1, 2))
    message = spec.nonMaximumSuppression
    match damage:
        case "iou":
            message.iouThreshold = 1.5
        case "confidence":
            message.confidenceThreshold = -0.5
        case "rows":
            for feature in spec.description.output:
                array = feature.type.multiArrayType
                array.shape.extend([1, array.shapeRange.sizeRanges[1].lowerBound])
                array.shapeRange.sizeRanges[0].lowerBound = 2**32
                array.shapeRange.sizeRanges[0].upperBound = 2**32
        case "name":
            message.confidenceOutputFeatureName = "gone"
        case "unset":
            message.coordinatesInputFeatureName = ""
    with pytest.raises(ModelFileError) as caught:
        open_spec(spec)
    assert error in str(caught.value)


def test_labels_that_do_not_fit(spec_of: Callable[..., Any], open_spec: Open) -> None:
    spec = suppression(spec_of)
    spec.nonMaximumSuppression.stringClassLabels.vector.append("fourth")
    with pytest.raises(FeatureError, match=r"expected \(boxes, 4\) and \(boxes, 4\)"):
        open_spec(spec).run(random_boxes(0))
