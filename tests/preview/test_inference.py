"""Asking the models: the right pixels, the right numbers, and an error for all that is broken."""

from __future__ import annotations

import asyncio
import base64
import random
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketlens.coreml import load, predict
from pocketlens.errors import FeatureError, ImageError, PocketlensError
from pocketlens.prediction import NOTHING, Predictor
from pocketlens.preview.inference import MAX_FRAME_PIXELS, Eyes, Look, pixels
from preview.server import (
    CLASSES,
    QUARTERS,
    Gate,
    Quarters,
    expected,
    means_file,
    picture,
    quarter,
    quarters_file,
)

NOISE = np.random.default_rng(5).integers(0, 256, (90, 120, 3), np.uint8)
SIDEWAYS = Image.Exif()
SIDEWAYS[0x0112] = 6


def look(eyes: Eyes, content: bytes, **options: int) -> list[Look]:
    async def ask() -> list[Look]:
        return await eyes.look(content, **options)  # type: ignore[arg-type]

    return asyncio.run(ask())


@pytest.fixture
def quarters(tmp_path: Path) -> Path:
    return quarters_file(tmp_path / "Quarters.mlmodel")


@pytest.fixture
def eyes(quarters: Path) -> Eyes:
    return Eyes({"Quarters": load(quarters)})


@pytest.mark.parametrize("label", CLASSES)
def test_a_core_ml_file_is_asked(eyes: Eyes, label: str) -> None:
    (found,) = look(eyes, picture(label))
    np.testing.assert_allclose(found.probabilities, expected(quarter(label)), atol=1e-5)
    assert found.top(1)[0][0] == label
    assert found.name == "Quarters"
    assert found.classes == CLASSES
    assert found.milliseconds > 0
    np.testing.assert_array_equal(found.seen[..., 0], quarter(label))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 60}),
        ("JPEG", {"exif": b"exif"}),
        ("WEBP", {"quality": 50}),
    ],
)
def test_the_same_numbers_as_predict(
    kind: str, options: dict[str, object], eyes: Eyes, quarters: Path, tmp_path: Path
) -> None:
    content = picture(NOISE, kind, **options)
    (found,) = look(eyes, content)
    (tmp_path / "file").write_bytes(content)
    said = predict(quarters, tmp_path / "file")
    np.testing.assert_array_equal(found.probabilities, np.float32([*said.probabilities.values()]))


def test_each_model_is_asked_and_some_may_be() -> None:
    eyes = Eyes({"one": Quarters(), "two": Quarters()})

    async def ask() -> list[list[str]]:
        both = await eyes.look(picture("top left"))
        second = await eyes.look(picture("top left"), names=["two"])
        return [[each.name for each in looks] for looks in (both, second)]

    assert asyncio.run(ask()) == [["one", "two"], ["two"]]


def test_top_is_sorted_and_of_equals_the_first_is_first() -> None:
    row = np.float32([0.2, 0.3, 0.2, 0.3, 0])
    top = Look("x", CLASSES, row, quarter(NOTHING)[..., None], 1.0).top(4)
    assert [name for name, _ in top] == ["top right", "bottom right", "top left", "bottom left"]
    assert len(Look("x", CLASSES, row, quarter(NOTHING)[..., None], 1.0).top(99)) == 5


@pytest.mark.parametrize("shape", [(3, 5, 1), (4, 2, 3)])
def test_pixels_come_back(shape: tuple[int, ...]) -> None:
    seen = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    seen = seen.transpose(1, 0, 2)  # not in one piece
    told = pixels(seen)
    assert (told["height"], told["width"], told["channels"]) == seen.shape
    again = np.frombuffer(base64.b64decode(told["data"]), np.uint8)
    np.testing.assert_array_equal(again.reshape(seen.shape), seen)


def test_a_frame_is_bounded_tighter_than_a_photo(eyes: Eyes) -> None:
    large = picture(np.zeros((1601, 2500), np.uint8))
    assert look(eyes, large)[0].top(1)[0][0] == NOTHING
    message = f"2500 × 1601 pixels; expected at most {MAX_FRAME_PIXELS}; make it smaller"
    with pytest.raises(ImageError, match=message):
        look(eyes, large, max_pixels=MAX_FRAME_PIXELS)


def test_a_bomb_is_not_decoded(eyes: Eyes) -> None:
    bomb = picture(np.zeros((6000, 6000), np.uint8))
    assert len(bomb) < 50_000
    with pytest.raises(ImageError, match="6000 × 6000 pixels; expected at most 30000000"):
        look(eyes, bomb)


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"reset", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe0", b"{}"]
)
def test_what_is_no_picture_is_told(eyes: Eyes, content: bytes) -> None:
    with pytest.raises(ImageError, match="the picture"):
        look(eyes, content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF"])
def test_damaged_pictures_are_answered_or_refused(eyes: Eyes, kind: str) -> None:
    """Bytes changed, cut off or doubled, by seed: an answer or an error, never anything else."""
    dice = random.Random(kind)
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow cannot write {kind}")
    noted = {"exif": SIDEWAYS} if kind in ("PNG", "JPEG", "WEBP", "AVIF") else {}
    whole = picture(NOISE[:24, :24], kind, **noted)
    refused = 0
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(dice.choice([1, 1, 2, 8, 40])):
            near = dice.choice([60, 200, len(content)])  # most of what can go wrong stands first
            content[dice.randrange(min(near, len(content)))] = dice.randrange(256)
        if dice.random() < 0.3:
            del content[dice.randrange(len(content)) :]
        if dice.random() < 0.1:
            content += content[dice.randrange(len(content) + 1) :]
        try:
            (found,) = look(eyes, bytes(content))
        except PocketlensError:
            refused += 1
        else:
            assert found.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert refused


def test_what_is_no_number_is_an_error() -> None:
    broken = threading.Event()
    model = Quarters(after=lambda row: row * np.nan if broken.is_set() else row)
    eyes = Eyes({"Quarters": model})
    broken.set()
    with pytest.raises(FeatureError, match="Quarters gives probabilities that are not finite"):
        look(eyes, picture("top left"))
    with pytest.raises(FeatureError, match="not finite"):
        Eyes({"Quarters": model})


def test_a_fault_of_a_model_surfaces() -> None:
    def fail() -> None:
        raise ZeroDivisionError("a fault")

    with pytest.raises(ZeroDivisionError, match="a fault"):
        Eyes({"Quarters": Quarters(before=fail)})


def test_several_pictures_are_looked_at_at_once() -> None:
    """As many as there are processors; the event loop goes on meanwhile."""
    gate = Gate()
    eyes = Eyes({"Quarters": Quarters(before=gate)})
    gate.forget()
    gate.open.clear()

    async def ask() -> list[str]:
        looks = [asyncio.create_task(eyes.look(picture(label))) for label in QUARTERS]
        await asyncio.to_thread(gate.reached)
        assert not any(task.done() for task in looks)
        gate.open.set()
        return [look.top(1)[0][0] for (look,) in await asyncio.gather(*looks)]

    assert asyncio.run(ask()) == list(QUARTERS)


def test_no_classifier(tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="is not a classifier: it has no classes"):
        Eyes({"Means": load(means_file(tmp_path / "Means.mlmodel"))})


def test_closed_eyes_look_no_more() -> None:
    eyes = Eyes({"Quarters": Quarters()})
    eyes.close()
    with pytest.raises(RuntimeError, match="after shutdown"):
        look(eyes, picture("top left"))


def test_a_predictor_is_all_it_takes() -> None:
    assert issubclass(Quarters, Predictor)
    (found,) = look(Eyes({"Quarters": Quarters()}), picture("bottom right"))
    np.testing.assert_allclose(found.probabilities, expected(quarter("bottom right")), atol=1e-6)
