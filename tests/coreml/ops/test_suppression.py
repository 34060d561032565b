"""Non-maximum suppression, compared with a NumPy loop written from the specification."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arrays import Run, f32
from pocketlens.errors import FeatureError, ModelFileError


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes [x, y, width, height] (x and y of the center)."""
    spans = [
        min(one[i] + one[i + 2] / 2, other[i] + other[i + 2] / 2)
        - max(one[i] - one[i + 2] / 2, other[i] - other[i + 2] / 2)
        for i in (0, 1)
    ]
    shared = max(spans[0], 0) * max(spans[1], 0)
    union = one[2] * one[3] + other[2] * other[3] - shared
    return shared / union if union > 0 else 0.0


def selected(
    boxes: np.ndarray, scores: np.ndarray, iou: float, least: float, most: int, per_class: bool
) -> list[int]:
    """The indices of the selected boxes of one image."""
    best, own = scores.max(1), scores.argmax(1)
    chosen: list[int] = []
    for i in np.argsort(-best, kind="stable"):
        rivals = [j for j in chosen if not per_class or own[j] == own[i]]
        if best[i] >= least and all(overlap(boxes[i], boxes[j]) <= iou for j in rivals):
            chosen.append(int(i))
    return chosen[:most] or [int(best.argmax())]


def expected(
    boxes: np.ndarray, scores: np.ndarray, iou: float, least: float, most: int, per_class: bool
) -> list[np.ndarray]:
    count, _, classes = scores.shape
    kept = np.zeros((count, most, 4), np.float32), np.zeros((count, most, classes), np.float32)
    indices, counts = np.full((count, most), -1, np.int32), np.zeros(count, np.int32)
    for image in range(count):
        chosen = selected(boxes[image], scores[image], iou, least, most, per_class)
        counts[image] = len(chosen)
        indices[image, : len(chosen)] = chosen
        kept[0][image, : len(chosen)] = boxes[image, chosen]
        kept[1][image, : len(chosen)] = scores[image, chosen]
    return [*kept, indices, counts]


def example(classes: int, images: int = 2, count: int = 25) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(41 + classes)
    centers = random.uniform(0, 60, (images, count, 2))
    sizes = random.uniform(10, 40, (images, count, 2))
    scores = random.uniform(-100, 100, (images, count, classes))
    return np.concatenate([centers, sizes], 2).astype(np.float32), scores.astype(np.float32)


def outputs(images: int, most: int, classes: int) -> list[tuple[str, tuple[int, ...]]]:
    rows = [("float32", (images, most, 4)), ("float32", (images, most, classes))]
    return [*rows, ("int32", (images, most)), ("int32", (images,))]


CASES = [
    (classes, iou, least, most, per_class)
    for classes, iou, least, most in [
        (1, 0.2, -200.0, 25),
        (1, 0.05, 0.0, 10),
        (4, 0.3, 20.0, 7),
        (4, 0.0, -50.0, 40),  # more than there are boxes
        (3, 1.0, -50.0, 12),
        (3, 0.5, 200.0, 6),  # higher than all scores: the best box is kept
        (2, 2.0, -50.0, 40),  # no overlap is that large
    ]
    for per_class in (False, True)
]


@pytest.mark.parametrize(("classes", "iou", "least", "most", "per_class"), CASES)
def test_op(
    run_op: Run, classes: int, iou: float, least: float, most: int, per_class: bool
) -> None:
    boxes, scores = example(classes)
    fields = {"iou_threshold": iou, "score_threshold": least, "max_boxes": most}
    fields |= {"per_class_suppression": per_class}
    inputs = {"boxes": boxes, "scores": scores}
    got = run_op("non_maximum_suppression", inputs, fields, outputs(2, most, classes))
    wanted = expected(boxes, scores, iou, least, most, per_class)
    for each, array in zip(got, wanted, strict=True):
        assert each.dtype == array.dtype
        np.testing.assert_array_equal(each, array)


@pytest.mark.parametrize("per_class", [False, True])
def test_op_since_ios17(run_op: Run, per_class: bool) -> None:
    """Boxes along the last axis, no score threshold, no count."""
    boxes, scores = example(3)
    fields = {"iou_threshold": 0.1, "max_boxes": 20, "per_class_suppression": per_class}
    inputs = {"boxes": boxes.transpose(0, 2, 1), "scores": scores.transpose(0, 2, 1)}
    inputs = {name: np.ascontiguousarray(each) for name, each in inputs.items()}
    shapes = [("float32", (2, 4, 20)), ("float32", (2, 3, 20)), ("int32", (2, 20))]
    got = run_op("non_maximum_suppression", inputs, fields, shapes, "CoreML7")
    kept, of_kept, indices, _ = expected(boxes, scores, 0.1, -np.inf, 20, per_class)
    np.testing.assert_array_equal(got[0], kept.transpose(0, 2, 1))
    np.testing.assert_array_equal(got[1], of_kept.transpose(0, 2, 1))
    np.testing.assert_array_equal(got[2], indices)


def test_op_in_float16(run_op: Run) -> None:
    boxes, scores = (each.astype(np.float16) for each in example(2))
    fields = {"iou_threshold": np.float16(0.2), "score_threshold": np.float16(5)}
    shapes = [("float16", shape) if name == "float32" else (name, shape)
              for name, shape in outputs(2, 8, 2)]  # fmt: skip
    inputs = {"boxes": boxes, "scores": scores}
    got = run_op("non_maximum_suppression", inputs, fields | {"max_boxes": 8}, shapes)
    wide = [each.astype(np.float32) for each in (boxes, scores)]
    wanted = expected(wide[0], wide[1], float(np.float16(0.2)), 5, 8, False)
    for each, array in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(each, array)


def test_as_in_coremltools(run_op: Run) -> None:
    """Results of coremltools' own test: boxes that only touch, one per class."""
    boxes = np.repeat(np.arange(4, dtype=np.float32), 4).reshape(1, 4, 4)
    scores = f32([[[-3.5], [9.4], [2.3], [0.7]]])
    fields = {"iou_threshold": 0.2, "score_threshold": 0.4, "max_boxes": 2}
    fields |= {"per_class_suppression": True}
    inputs = {"boxes": boxes, "scores": scores}
    got = run_op("non_maximum_suppression", inputs, fields, outputs(1, 2, 1))
    assert got[0].tolist() == [[[1] * 4, [2] * 4]]
    assert got[1].tolist() == f32([[[9.4], [2.3]]]).tolist()
    assert (got[2].tolist(), got[3].tolist()) == ([[1, 2]], [2])


def test_at_the_thresholds(run_op: Run) -> None:
    """A score or overlap equal to its threshold is kept; equal scores keep their order."""
    boxes = f32([[[1, 1, 2, 2], [2, 1, 2, 2], [9, 9, 1, 1], [9, 9, 1, 1], [5, 5, 1, 1]]])
    scores = f32([[[0.5], [0.75], [0.25], [0.25], [0.125]]])
    inputs = {"boxes": boxes, "scores": scores}
    for iou, wanted in ((1 / 3, [1, 0, 2]), (0.33, [1, 2])):  # 1/3 in float32 is 0.33333334
        fields = {"iou_threshold": np.float32(iou), "score_threshold": 0.25, "max_boxes": 5}
        *_, indices, count = run_op("non_maximum_suppression", inputs, fields, outputs(1, 5, 1))
        assert indices[0, : count[0]].tolist() == wanted


LAYER_SHAPES = [(2, 9, 4), (2, 9, 3), (2, 9), (2,)]


@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("given", [0, 1, 2])
def test_layer(run_layer: Run, given: int, per_class: bool) -> None:
    """With the thresholds in the file, or as inputs instead."""
    boxes, scores = example(3)
    fields: dict[str, Any] = {"perClassSuppression": per_class, "maxBoxes": 9}
    fields |= {"iouThreshold": 0.9 if given else 0.2, "scoreThreshold": 99 if given == 2 else -20}
    numbers = [f32([0.2]), f32([-20])][:given]
    got = run_layer("NonMaximumSuppression", [boxes, scores, *numbers], fields, LAYER_SHAPES)
    wanted = expected(boxes, scores, 0.2, -20, 9, per_class)
    for each, array in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(each, array)


def test_layer_with_all_thresholds_as_inputs(run_layer: Run) -> None:
    boxes, scores = example(3)
    numbers = [f32([each]) for each in (0.2, -20, 9)]
    got = run_layer("NonMaximumSuppression", [boxes, scores, *numbers], {}, LAYER_SHAPES)
    for each, array in zip(got, expected(boxes, scores, 0.2, -20, 9, False), strict=True):
        np.testing.assert_array_equal(each, array)


def test_too_many_boxes_at_run_time(run_layer: Run) -> None:
    boxes, scores = example(3)
    numbers = [f32([each]) for each in (0.2, -20, 2**30)]
    with pytest.raises(FeatureError, match="would compare more than"):
        run_layer("NonMaximumSuppression", [boxes, scores, *numbers], {}, LAYER_SHAPES)


INVALID: list[tuple[dict[str, Any], str]] = [
    ({"max_boxes": 0}, "boxes to select is 0; expected 1 to 1048576"),
    ({"max_boxes": 2**21}, "boxes to select is 2.09715e.06; expected 1 to"),
    ({"iou_threshold": -0.5}, "the overlap threshold is -0.5; expected >= 0"),
    ({"score_threshold": f32([1, 2])}, "a threshold is .*; expected one number"),
]


@pytest.mark.parametrize(("wrong", "text"), INVALID)
def test_invalid_thresholds(run_op: Run, wrong: dict[str, Any], text: str) -> None:
    boxes, scores = example(1)
    fields = {"iou_threshold": 0.5, "score_threshold": 0.5, "max_boxes": 3} | wrong
    inputs = {"boxes": boxes, "scores": scores}
    with pytest.raises(ModelFileError, match=text):
        run_op("non_maximum_suppression", inputs, fields, outputs(2, 3, 1))


def test_invalid_layer(run_layer: Run) -> None:
    boxes, scores = example(3)
    with pytest.raises(ModelFileError, match="maxBoxes is 9223372036854775808; expected at most"):
        run_layer("NonMaximumSuppression", [boxes, scores], {"maxBoxes": 2**63}, LAYER_SHAPES)
    with pytest.raises(ModelFileError, match="expected 3 dimensions each"):
        run_layer("NonMaximumSuppression", [boxes[0], scores], {"maxBoxes": 9}, LAYER_SHAPES)
