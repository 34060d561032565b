"""Running the models: correct input pixels, correct probabilities, errors for damaged images."""

from __future__ import annotations

import asyncio
import base64
import random
import threading
from io import BytesIO
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pocketlens.coreml import load, predict
from pocketlens.errors import FeatureError, ImageError, PocketlensError
from pocketlens.image import Ink
from pocketlens.prediction import NOTHING, Predictor
from pocketlens.preview.decoders import FRAME, PHOTO, Limit
from pocketlens.preview.inference import (
    InferencePool,
    InferenceResult,
    encode_pixels,
)
from preview.server import (
    CLASSES,
    QUARTERS,
    SIDE,
    Gate,
    Quarters,
    expected,
    image_bytes,
    means_file,
    quarter,
    quarters_file,
)

NOISE = np.random.default_rng(5).integers(0, 256, (90, 120, 3), np.uint8)
ROTATED = Image.Exif()
ROTATED[0x0112] = 6


def predict_bytes(
    pool: InferencePool, content: bytes, limit: Limit = PHOTO
) -> list[InferenceResult]:
    async def run() -> list[InferenceResult]:
        return await pool.predict(content, limit=limit)

    return asyncio.run(run())


@pytest.fixture
def quarters(tmp_path: Path) -> Path:
    return quarters_file(tmp_path / "Quarters.mlmodel")


@pytest.fixture
def pool(quarters: Path) -> InferencePool:
    return InferencePool({"Quarters": load(quarters)})


@pytest.mark.parametrize("label", CLASSES)
def test_core_ml_model_is_run(pool: InferencePool, label: str) -> None:
    (result,) = predict_bytes(pool, image_bytes(label))
    np.testing.assert_allclose(result.probabilities, expected(quarter(label)), atol=1e-5)
    assert result.top(1)[0][0] == label
    assert result.name == "Quarters"
    assert result.classes == CLASSES
    assert result.milliseconds > 0
    np.testing.assert_array_equal(result.pixels[..., 0], quarter(label))


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 60}),
        ("JPEG", {"exif": b"exif"}),
        ("WEBP", {"quality": 50}),
    ],
)
def test_results_equal_predict(
    file_format: str,
    options: dict[str, object],
    pool: InferencePool,
    quarters: Path,
    tmp_path: Path,
) -> None:
    content = image_bytes(NOISE, file_format, **options)
    (result,) = predict_bytes(pool, content)
    (tmp_path / "file").write_bytes(content)
    expected_result = predict(quarters, tmp_path / "file")
    np.testing.assert_array_equal(
        result.probabilities, np.array([*expected_result.probabilities.values()], np.float32)
    )


def test_all_models_or_selected_models_are_run() -> None:
    pool = InferencePool({"one": Quarters(), "two": Quarters()})

    async def run() -> list[list[str]]:
        both = await pool.predict(image_bytes("top left"))
        second = await pool.predict(image_bytes("top left"), names=["two"])
        return [[each.name for each in results] for results in (both, second)]

    assert asyncio.run(run()) == [["one", "two"], ["two"]]


def test_top_is_sorted_and_stable() -> None:
    row = np.array([0.2, 0.3, 0.2, 0.3, 0], np.float32)
    result = InferenceResult("x", Quarters(), row, quarter(NOTHING)[..., None], 1.0)
    top = result.top(4)
    assert [name for name, _ in top] == ["top right", "bottom right", "top left", "bottom left"]
    assert len(result.top(99)) == 5


@pytest.mark.parametrize("shape", [(3, 5, 1), (4, 2, 3)])
def test_encoded_pixels_can_be_decoded(shape: tuple[int, ...]) -> None:
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    pixels = pixels.transpose(1, 0, 2)  # not contiguous
    encoded = encode_pixels(pixels)
    assert (encoded["height"], encoded["width"], encoded["channels"]) == pixels.shape
    decoded = np.frombuffer(base64.b64decode(encoded["data"]), np.uint8)
    np.testing.assert_array_equal(decoded.reshape(pixels.shape), pixels)


def test_frame_limit_is_lower_than_photo_limit(pool: InferencePool) -> None:
    large = image_bytes(np.zeros((1601, 2500), np.uint8))
    assert predict_bytes(pool, large)[0].top(1)[0][0] == NOTHING
    message = "2500 × 1601 pixels; expected at most 4000000 for a frame; make it smaller"
    with pytest.raises(ImageError, match=message):
        predict_bytes(pool, large, FRAME)


def test_decompression_bomb_is_not_decoded(pool: InferencePool) -> None:
    bomb = image_bytes(np.zeros((6000, 6000), np.uint8))
    assert len(bomb) < 50_000
    with pytest.raises(ImageError, match="6000 × 6000 pixels; expected at most 30000000"):
        predict_bytes(pool, bomb)


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"reset", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe0", b"{}"]
)
def test_invalid_image_is_rejected(pool: InferencePool, content: bytes) -> None:
    with pytest.raises(ImageError, match="^the image "):
        predict_bytes(pool, content)


@pytest.mark.parametrize(
    "file_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF"]
)
def test_damaged_image_is_predicted_or_rejected(pool: InferencePool, file_format: str) -> None:
    """With changed, missing or repeated bytes: a result or a Pocketlens error, nothing else."""
    rng = random.Random(file_format)
    Image.init()
    if file_format not in Image.SAVE:
        pytest.skip(f"this Pillow cannot write {file_format}")
    options = {"exif": ROTATED} if file_format in ("PNG", "JPEG", "WEBP", "AVIF") else {}
    intact = image_bytes(NOISE[:24, :24], file_format, **options)
    rejected = 0
    for _ in range(150):
        content = bytearray(intact)
        for _ in range(rng.choice([1, 1, 2, 8, 40])):
            limit = rng.choice([60, 200, len(content)])  # the first bytes matter most
            content[rng.randrange(min(limit, len(content)))] = rng.randrange(256)
        if rng.random() < 0.3:
            del content[rng.randrange(len(content)) :]
        if rng.random() < 0.1:
            content += content[rng.randrange(len(content) + 1) :]
        try:
            (result,) = predict_bytes(pool, bytes(content))
        except PocketlensError:
            rejected += 1
        else:
            assert result.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert rejected


def test_nan_is_an_error() -> None:
    broken = threading.Event()
    model = Quarters(after=lambda row: row * np.nan if broken.is_set() else row)
    pool = InferencePool({"Quarters": model})
    broken.set()
    with pytest.raises(FeatureError, match="Quarters returned probabilities that are not finite"):
        predict_bytes(pool, image_bytes("top left"))
    with pytest.raises(FeatureError, match="not finite"):
        InferencePool({"Quarters": model})


def test_exception_of_a_model_is_raised() -> None:
    def fail() -> None:
        raise ZeroDivisionError("model error")

    with pytest.raises(ZeroDivisionError, match="model error"):
        InferencePool({"Quarters": Quarters(before=fail)})


def test_images_are_processed_concurrently() -> None:
    """In as many threads as there are processors; the event loop keeps running."""
    gate = Gate()
    pool = InferencePool({"Quarters": Quarters(before=gate)})
    gate.reset()
    gate.open.clear()

    async def run() -> list[str]:
        tasks = [asyncio.create_task(pool.predict(image_bytes(label))) for label in QUARTERS]
        await asyncio.to_thread(gate.wait_for_image)
        assert not any(task.done() for task in tasks)
        gate.open.set()
        return [result.top(1)[0][0] for (result,) in await asyncio.gather(*tasks)]

    assert asyncio.run(run()) == list(QUARTERS)


def test_model_without_classes_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="is not a classifier: it has no classes"):
        InferencePool({"Means": load(means_file(tmp_path / "Means.mlmodel"))})


def test_closed_pool_raises() -> None:
    pool = InferencePool({"Quarters": Quarters()})
    pool.close()
    with pytest.raises(RuntimeError, match="after shutdown"):
        predict_bytes(pool, image_bytes("top left"))


def test_any_predictor_can_be_used() -> None:
    assert issubclass(Quarters, Predictor)
    (result,) = predict_bytes(InferencePool({"Quarters": Quarters()}), image_bytes("bottom right"))
    np.testing.assert_allclose(result.probabilities, expected(quarter("bottom right")), atol=1e-6)


def test_each_model_gets_drawings_in_its_own_ink_and_photos_in_its_own_crop(
    tmp_path: Path,
) -> None:
    dark = load(quarters_file(tmp_path / "a.mlmodel"))
    light = load(quarters_file(tmp_path / "b.mlmodel", ink="light", crop="fit"))
    drawing = image_bytes("top left")

    async def seen(content: bytes, ink: Ink | None) -> list[NDArray[np.uint8]]:
        pool = InferencePool({"dark": dark, "light": light})
        return [each.pixels[..., 0] for each in await pool.predict(content, ink=ink)]

    given = quarter("top left")
    for ink, expected_inputs in (
        ("dark", (given, 255 - given)),
        ("light", (255 - given, given)),
        (None, (given, given)),  # photos and frames are never inverted
    ):
        for pixels, wanted in zip(
            asyncio.run(seen(drawing, cast("Ink | None", ink))), expected_inputs, strict=True
        ):
            np.testing.assert_array_equal(pixels, wanted)
    wide = BytesIO()
    Image.fromarray(np.full((SIDE, 2 * SIDE), 200, np.uint8)).save(wide, "PNG")
    cropped, fitted = asyncio.run(seen(wide.getvalue(), None))
    assert cropped.min() == 200  # the middle
    assert fitted[0].max() == 0  # all of it, with black borders
    assert fitted[SIDE // 2].min() == 200
