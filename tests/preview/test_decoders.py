"""Images that are not cheap by their header are decoded in processes, which can be ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from image_bombs import BOMBS, encoded, jpeg_with_scans
from pocketlens.errors import ImageError
from pocketlens.image import InputSpec
from pocketlens.preview import decoders
from pocketlens.preview.decoders import FRAME, PHOTO, Decoders, is_cheap, prepared, reduced
from preview.server import wait_until

SPECS = [InputSpec(8, 9), InputSpec(16, 12, "rgb", crop="fit")]
PIXELS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
SMALL = Image.fromarray(PIXELS)


def slow() -> bytes:
    """Within all limits of the header, and takes a second or more to decode."""
    return jpeg_with_scans(3000, 2000, 95)


@pytest.fixture
def pool() -> Iterator[Decoders]:
    running = Decoders()
    yield running
    running.close()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_camera_frames_and_drawings_are_cheap(kind: str) -> None:
    assert is_cheap(encoded(Image.new("RGB", (1280, 720)), kind))
    assert not is_cheap(encoded(Image.new("RGB", (2500, 2000)), kind))


@pytest.mark.parametrize("kind", ["WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF"])
def test_other_formats_are_not(kind: str) -> None:
    assert not is_cheap(encoded(SMALL, kind))


def test_work_counts_and_not_only_the_size() -> None:
    assert is_cheap(jpeg_with_scans(400, 300, 12))
    assert not is_cheap(jpeg_with_scans(400, 300, 90))


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff", b"GIF89a"])
def test_what_is_no_image_needs_no_process(content: bytes) -> None:
    """It is refused before anything is decoded."""
    assert is_cheap(content)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF"])
def test_both_ways_give_the_same_pixels(pool: Decoders, kind: str) -> None:
    content = encoded(SMALL, kind)
    here, there = prepared(content, SPECS, FRAME), pool.prepare(content, SPECS, FRAME)
    assert [array.shape for array in there] == [spec.shape for spec in SPECS]
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one, other)
    assert pool.to_png(content) == reduced(content)


def test_errors_are_those_of_this_process(pool: Decoders) -> None:
    content = encoded(Image.new("L", (2500, 1700)), "WEBP")
    with pytest.raises(
        ImageError, match="2500 × 1700 pixels; expected at most 4000000 for a frame"
    ):
        pool.prepare(content, SPECS, FRAME)
    with pytest.raises(ImageError, match="the image cannot be read"):
        pool.prepare(encoded(SMALL, "WEBP")[:100], SPECS, PHOTO)
    for make, message in list(BOMBS.values())[:3]:
        with pytest.raises(ImageError, match=message):
            pool.prepare(make(), SPECS, PHOTO)
    assert len(pool._all) == 1  # one process answered all of them


def test_slow_image_is_ended(pool: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    pool.prepare(encoded(SMALL, "WEBP"), SPECS, FRAME)
    (first,) = pool._all
    monkeypatch.setattr(decoders, "MAX_SECONDS", 0.05)
    with pytest.raises(ImageError, match="took more than .* to decode; save it again"):
        pool.prepare(slow(), SPECS, PHOTO)
    assert first.process.child.poll() is not None
    assert not pool._all
    monkeypatch.setattr(decoders, "MAX_SECONDS", 30.0)
    assert len(pool.prepare(encoded(SMALL, "WEBP"), SPECS, FRAME)) == 2


def test_killed_process_is_replaced(pool: Decoders) -> None:
    content = encoded(SMALL, "WEBP")
    pool.prepare(content, SPECS, FRAME)
    (first,) = pool._all
    first.process.child.kill()
    first.process.child.wait()
    assert len(pool.prepare(content, SPECS, FRAME)) == 2
    (second,) = pool._all
    assert second is not first


def test_process_that_cannot_be_started(pool: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr("subprocess.Popen", fail)
        with pytest.raises(ImageError, match="cannot be decoded now: Too many open files; try"):
            pool.prepare(encoded(SMALL, "WEBP"), SPECS, FRAME)
    assert len(pool.prepare(encoded(SMALL, "WEBP"), SPECS, FRAME)) == 2


def test_number_of_processes_is_limited(pool: Decoders) -> None:
    content = encoded(SMALL, "WEBP")
    threads = [
        threading.Thread(target=pool.prepare, args=(content, SPECS, FRAME)) for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(pool._all) <= decoders.PROCESSES


def test_close_ends_a_process_that_is_decoding(pool: Decoders) -> None:
    errors: list[str] = []

    def decode() -> None:
        try:
            for _ in range(100):
                pool.prepare(slow(), SPECS, PHOTO)
        except ImageError as error:
            errors.append(str(error))

    thread = threading.Thread(target=decode)
    thread.start()
    wait_until(lambda: pool._all)
    processes = [decoder.process.child for decoder in pool._all]
    pool.close()
    thread.join(30)
    assert not thread.is_alive()
    assert errors
    assert all(process.wait(30) != 0 for process in processes)
    with pytest.raises(ImageError, match="the preview has been stopped"):
        pool.prepare(encoded(SMALL, "WEBP"), SPECS, FRAME)
