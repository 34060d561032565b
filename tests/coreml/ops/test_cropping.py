"""Resized crops, compared with a loop over points and with results in coremltools' own tests."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from arrays import Draw, Run, f32, i32
from pocketlens.errors import FeatureError, ModelFileError, UnsupportedParameter

SAMPLINGS = (
    "STRICT_ALIGN_CORNERS",
    "ALIGN_CORNERS",
    "DEFAULT",
    "OFFSET_CORNERS",
    "UNALIGN_CORNERS",
)
ORDERS = (
    "CORNERS_HEIGHT_FIRST",
    "CORNERS_WIDTH_FIRST",
    "CENTER_SIZE_HEIGHT_FIRST",
    "CENTER_SIZE_WIDTH_FIRST",
)
x = Draw(31).normal(3, 2, 6, 5)


def grid(start: float, end: float, count: int, mode: str) -> np.ndarray:
    """`count` points from `start` to `end`, by the description of SamplingMode."""
    size = end - start + 1
    points: np.ndarray
    if mode == "STRICT_ALIGN_CORNERS":
        points = np.linspace(start, end, count)
    elif mode == "ALIGN_CORNERS":
        points = np.linspace(start, end, count) if count > 1 else np.array([(start + end) / 2])
    elif mode == "DEFAULT":
        points = np.linspace(start, start + size - size / count, count)
    elif mode == "OFFSET_CORNERS":
        spacing = max(1, size - 1) / count
        points = start + spacing * (0.5 + np.arange(count))
    else:
        spacing = size / count
        points = start + spacing * (0.5 + np.arange(count)) - 0.5
    return np.clip(points, start, end)


def sample(plane: np.ndarray, row: float, column: float, outside: float) -> float:
    height, width = plane.shape
    if not (0 <= row <= height - 1 and 0 <= column <= width - 1):
        return outside
    top, left = int(row), int(column)
    under, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, along = row - top, column - left
    above = plane[top, left] * (1 - along) + plane[top, right] * along
    below = plane[under, left] * (1 - along) + plane[under, right] * along
    return float(above * (1 - down) + below * down)


def crop(
    image: np.ndarray, corners: np.ndarray, sides: tuple[int, int], mode: str, outside: float = 0.0
) -> np.ndarray:
    """Crop an image [C, H, W] to [C, height, width]; `corners` is [top, left, bottom, right]."""
    rows, columns = (grid(corners[i], corners[i + 2], side, mode) for i, side in enumerate(sides))
    return np.array(
        [[[sample(plane, r, c, outside) for c in columns] for r in rows] for plane in image]
    )


def in_order(corners: np.ndarray, order: str) -> np.ndarray:
    """Convert boxes [top, left, bottom, right] to another order."""
    top, left, bottom, right = corners.T
    box = {
        "CORNERS_HEIGHT_FIRST": [top, left, bottom, right],
        "CORNERS_WIDTH_FIRST": [left, top, right, bottom],
        "CENTER_SIZE_HEIGHT_FIRST": [
            (top + bottom) / 2,
            (left + right) / 2,
            bottom - top,
            right - left,
        ],
        "CENTER_SIZE_WIDTH_FIRST": [
            (left + right) / 2,
            (top + bottom) / 2,
            right - left,
            bottom - top,
        ],
    }[order]
    return np.stack(box, 1).astype(np.float32)


BOXES = f32([[0.5, 1.25, 4.5, 3.0], [1, 0, 2, 4], [2.25, 2.5, 2.75, 2.75], [3, 1, 3, 1]])
SIDES = [(1, 1), (2, 3), (4, 2)]


@pytest.mark.parametrize(("mode", "sides"), list(product(SAMPLINGS, SIDES)))
def test_sampling(run_op: Run, mode: str, sides: tuple[int, int]) -> None:
    """Each box is cropped from all images."""
    height, width = sides
    fields = {"target_height": height, "target_width": width, "sampling_mode": mode}
    inputs = {"x": x, "roi": BOXES.reshape(4, 1, 4, 1, 1)}
    (y,) = run_op("crop_resize", inputs, fields, [("float32", (4, 3, 2, *sides))])
    wanted = np.array([[crop(image, box, sides, mode) for image in x] for box in BOXES])
    np.testing.assert_allclose(y, wanted, atol=2e-6)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("opset", ["CoreML5", "CoreML6", "CoreML7"])
def test_box_coordinates(run_op: Run, opset: str, normalized: bool, order: str) -> None:
    """Each box is cropped from its own image."""
    images = np.array([2, 0, 1, 2])
    boxes = in_order(BOXES, order)
    if normalized:
        rows_first = order.endswith("HEIGHT_FIRST")
        boxes = boxes / f32([5, 4, 5, 4] if rows_first else [4, 5, 4, 5])
    fields: dict[str, Any] = {"target_height": 3, "target_width": 2}
    fields |= {"normalized_coordinates": normalized, "box_coordinate_mode": order}
    fields |= {"sampling_mode": "ALIGN_CORNERS"}
    if opset == "CoreML7":
        given = {"x": x, "boxes": boxes, "box_indices": images.astype(np.int32)}
        shape: tuple[int, ...] = (4, 2, 3, 2)
    else:
        roi = np.hstack([images[:, None], boxes]).astype(np.float32)
        given, shape = {"x": x, "roi": roi.reshape(4, 1, 5, 1, 1)}, (4, 1, 2, 3, 2)
    (y,) = run_op("crop_resize", given, fields, [("float32", shape)], opset)
    pairs = zip(images, BOXES, strict=True)
    wanted = np.array([crop(x[i], box, (3, 2), "ALIGN_CORNERS") for i, box in pairs])
    np.testing.assert_allclose(y.reshape(wanted.shape), wanted, atol=4e-6)


image_of_16 = np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4)


@pytest.mark.parametrize("outside", [0.0, 1.0, 10.0])
def test_outside_as_in_coremltools(run_op: Run, outside: float) -> None:
    """Results of coremltools' own test, with boxes outside the image and a reversed box."""
    roi = f32([[0, 0.1, 0.3, 1.3, 1], [0, 0.5, 1.8, 1.0, 0.3], [0, 0.0, 0.4, 0.6, 0.7]])
    fields: dict[str, Any] = {"target_height": 2, "target_width": 2, "normalized_coordinates": True}
    fields |= {"sampling_mode": "ALIGN_CORNERS", "pad_value": outside}
    inputs = {"x": image_of_16, "roi": roi.reshape(3, 1, 5, 1, 1)}
    (y,) = run_op("crop_resize", inputs, fields, [("float32", (3, 1, 1, 2, 2))])
    wanted = [3.1, 5.2, *[outside] * 3, 7.9, outside, 13.9, 2.2, 3.1, 9.4, 10.3]
    np.testing.assert_allclose(y.reshape(-1), wanted, atol=2e-6)


PUBLISHED: list[tuple[list[int], tuple[int, int], list[float]]] = [
    ([1, 1, 2, 2], (2, 2), [6, 7, 10, 11]),
    ([1, 1, 2, 2], (1, 1), [8.5]),
    ([2, 2, 1, 1], (2, 2), [11, 10, 7, 6]),
]


@pytest.mark.parametrize(("box", "sides", "wanted"), PUBLISHED)
def test_published(
    run_op: Run, run_layer: Run, box: list[int], sides: tuple[int, int], wanted: list[float]
) -> None:
    """In both dialects."""
    roi = f32(box).reshape(1, 1, 4, 1, 1)
    fields: dict[str, Any] = {
        "target_height": sides[0],
        "target_width": sides[1],
        "sampling_mode": "ALIGN_CORNERS",
    }
    inputs = {"x": image_of_16, "roi": roi}
    (y,) = run_op("crop_resize", inputs, fields, [("float32", (1, 1, 1, *sides))], "CoreML5")
    assert y.reshape(-1).tolist() == wanted
    layer = {"targetSize": sides, "mode": {"samplingMethod": "ALIGN_ENDPOINTS_MODE"}}
    (y,) = run_layer("cropResize", [image_of_16[None], roi], layer, [(1, 1, 1, *sides)])
    assert y.reshape(-1).tolist() == wanted


def test_box_outside_the_image_by_default(run_op: Run) -> None:
    """The padding is 0, and box i is cropped from image i."""
    boxes = f32([[-1, -1, 0, 0], [5, 4, 6, 5], [5, 4, 5, 4]])
    fields = {"target_height": 2, "target_width": 2, "sampling_mode": "STRICT_ALIGN_CORNERS"}
    inputs = {"x": x, "boxes": boxes}
    (y,) = run_op("crop_resize", inputs, fields, [("float32", (3, 2, 2, 2))], "CoreML7")
    wanted = np.zeros((3, 2, 2, 2), np.float32)
    wanted[0, :, 1, 1], wanted[1, :, 0, 0] = x[0, :, 0, 0], x[1, :, 5, 4]
    wanted[2] = x[2, :, 5, 4, None, None]
    np.testing.assert_allclose(y, wanted, atol=1e-6)


@pytest.mark.parametrize("kind", ["float16", "uint16"])
def test_types_of_boxes(run_op: Run, kind: str) -> None:
    boxes = np.array([[1, 0, 4, 2], [0, 1, 5, 3]], kind)
    half = x.astype(np.float16)
    fields: dict[str, Any] = {"target_height": 3, "target_width": 3, "sampling_mode": "DEFAULT"}
    fields |= {"spatial_scale": 0.5}
    inputs = {"x": half, "boxes": boxes, "box_indices": np.array([1, 1], np.uint16)}
    (y,) = run_op("crop_resize", inputs, fields, [("float16", (2, 2, 3, 3))], "CoreML7")
    assert y.dtype == np.float16
    image = half[1].astype(np.float32)
    wanted = [crop(image, box.astype(np.float32) / 2, (3, 3), "DEFAULT") for box in boxes]
    np.testing.assert_allclose(y.astype(np.float32), wanted, atol=2e-3)


METHODS = {
    "STRICT_ALIGN_ENDPOINTS_MODE": "STRICT_ALIGN_CORNERS",
    "ALIGN_ENDPOINTS_MODE": "ALIGN_CORNERS",
    "UPSAMPLE_MODE": "DEFAULT",
    "ROI_ALIGN_MODE": "OFFSET_CORNERS",
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("indexed", [False, True])
def test_layer(run_layer: Run, indexed: bool, method: str, order: str) -> None:
    boxes = in_order(BOXES, order) * 2
    images = np.array([1, 0, 2, 2], np.float32)
    roi = np.hstack([images[:, None], boxes]) if indexed else boxes
    fields = {"targetSize": [2, 3], "mode": {"samplingMethod": method}, "spatialScale": 0.5}
    fields |= {"boxIndicesMode": {"boxMode": order}}
    inputs = [x[None], roi.reshape(4, 1, -1, 1, 1)]
    shape = (4, 1 if indexed else 3, 2, 2, 3)
    (y,) = run_layer("cropResize", inputs, fields, [shape])
    wanted = np.array(
        [
            [
                crop(x[i], box, (2, 3), METHODS[method])
                for i in ([int(image)] if indexed else [0, 1, 2])
            ]
            for image, box in zip(images, BOXES, strict=True)
        ]
    )
    np.testing.assert_allclose(y, wanted, atol=4e-6)


def test_normalized_layer_with_one_row(run_layer: Run) -> None:
    fields = {"targetSize": [2, 2], "normalizedCoordinates": True}
    inputs = [x[None, :1, :, :1], f32([0.2, 0, 0.9, 1]).reshape(1, 1, 4, 1, 1)]
    (y,) = run_layer("cropResize", inputs, fields, [(1, 1, 2, 2, 2)])
    row = x[0, :, :1, [0, 4]].transpose(1, 2, 0)  # columns 0 and 4 of the only row
    np.testing.assert_allclose(y[0, 0], np.broadcast_to(row, (2, 2, 2)), atol=1e-6)


def test_invalid_fields(run_op: Run, run_layer: Run) -> None:
    boxes = f32([[0, 0, 1, 1]])
    inputs, output = {"x": x, "boxes": boxes}, [("float32", (1, 2, 1, 1))]
    with pytest.raises(UnsupportedParameter, match="order of a box is 'XYXY'"):
        run_op("crop_resize", inputs, {"box_coordinate_mode": "XYXY"}, output, "CoreML7")
    with pytest.raises(UnsupportedParameter, match="the sampling 'CUBIC'; expected one of"):
        run_op("crop_resize", inputs, {"sampling_mode": "CUBIC"}, output, "CoreML7")
    with pytest.raises(ModelFileError, match="has 0 × 1 pixels; expected 1 to"):
        run_op("crop_resize", inputs, {"target_height": 0}, output, "CoreML7")
    with pytest.raises(ModelFileError, match="coordinates are boxes.*; expected a floating-point"):
        whole = inputs | {"boxes": boxes.astype(np.uint16)}
        run_op("crop_resize", whole, {"normalized_coordinates": True}, output, "CoreML7")
    with pytest.raises(ModelFileError, match=r"expected \[N, 1, 4 or 5, 1, 1\]"):
        roi = np.zeros((1, 1, 3, 1, 1), np.float32)
        run_op("crop_resize", {"x": x, "roi": roi}, {}, [("float32", (1, 3, 2, 1, 1))], "CoreML5")
    with pytest.raises(ModelFileError, match="expected .1, B, C, H, W."):
        run_layer("cropResize", [x, boxes.reshape(1, 1, 4, 1, 1)], {}, [(1, 3, 2, 1, 1)])


@pytest.mark.parametrize("sampling", ["DEFAULT", "OFFSET_CORNERS", "UNALIGN_CORNERS"])
def test_box_with_its_second_corner_first(run_op: Run, sampling: str) -> None:
    """Such a box is specified only for the samplings that go from one end to the other."""
    fields = {"sampling_mode": sampling, "target_height": 2, "target_width": 2}
    words = f"second corner before its first, which is not specified for {sampling}; expected the"
    output = [("float32", (1, 3, 2, 2, 2))]
    boxes = {"CORNERS_HEIGHT_FIRST": [2, 2, 1, 1], "CENTER_SIZE_WIDTH_FIRST": [2, 2, 1, -1]}
    for order, box in boxes.items():
        roi = f32(box).reshape(1, 1, 4, 1, 1)
        given = fields | {"roi": roi, "box_coordinate_mode": order}
        with pytest.raises(UnsupportedParameter, match=words):
            run_op("crop_resize", {"x": x}, given, output, "CoreML5")


def test_constant_boxes(run_op: Run) -> None:
    """Boxes stored in the file, with and without an image index."""
    fields = {"sampling_mode": "ALIGN_CORNERS", "target_height": 2, "target_width": 2}
    roi = BOXES[:1].reshape(1, 1, 4, 1, 1)
    output = [("float32", (1, 3, 2, 2, 2))]
    (y,) = run_op("crop_resize", {"x": x}, fields | {"roi": roi}, output)
    wanted = [crop(image, BOXES[0], (2, 2), "ALIGN_CORNERS") for image in x]
    np.testing.assert_allclose(y[0], wanted, atol=2e-6)
    roi = f32([2, *BOXES[0]]).reshape(1, 1, 5, 1, 1)
    (y,) = run_op("crop_resize", {"x": x}, fields | {"roi": roi}, [("float32", (1, 1, 2, 2, 2))])
    np.testing.assert_allclose(y[0, 0], wanted[2], atol=2e-6)


@pytest.mark.parametrize("image", [-1, 3])
def test_image_index_out_of_range(run_op: Run, image: int) -> None:
    inputs = {"x": x, "boxes": f32([[0, 0, 1, 1]]), "box_indices": i32([image])}
    with pytest.raises(FeatureError, match="fails on these inputs"):
        run_op("crop_resize", inputs, {}, [("float32", (1, 2, 1, 1))], "CoreML7")
