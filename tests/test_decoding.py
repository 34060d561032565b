"""Image files that cost: refused before they are decoded, or decoded without what is expensive."""

from __future__ import annotations

import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from image_bombs import BOMBS, HARMLESS, encoded, jpeg_with_scans
from pocketlens import decoding
from pocketlens.decoding import open_image
from pocketlens.errors import ImageError
from pocketlens.image import InputSpec, prepare
from pocketlens.image_files import ImageFile, read_image_file


@pytest.mark.parametrize("name", BOMBS)
def test_expensive_files_are_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def opened(*_: object, **__: object) -> None:
        raise AssertionError("the decoder was started")

    make, message = BOMBS[name]
    content = make()
    monkeypatch.setattr(Image, "open", opened)
    with pytest.raises(ImageError, match=message):
        open_image(content)


@pytest.mark.parametrize("name", HARMLESS)
def test_expensive_metadata_does_not_reach_the_decoder(name: str) -> None:
    content = HARMLESS[name]()
    file = read_image_file(content)
    assert file is not None
    if not content.startswith(b"II*"):  # a TIFF file is kept, with a shorter list of tags
        assert len(file.content) < 2000
    assert open_image(content).size == (8, 8)


@pytest.mark.parametrize("scans", [10, 64])
def test_more_scans_than_usual_are_decoded(scans: int) -> None:
    assert open_image(jpeg_with_scans(640, 480, scans)).size == (640, 480)


def test_scans_are_limited_by_the_pixels_that_a_use_allows() -> None:
    content = jpeg_with_scans(1000, 1000, 60)
    assert open_image(content).size == (1000, 1000)
    with pytest.raises(ImageError, match="60 scans of 1000 × 1000 pixels; expected at most 40"):
        open_image(content, max_pixels=2_000_000)


def test_each_limit_is_named_by_its_use() -> None:
    """Not as the limit of all images, which is higher."""
    content = encoded(Image.new("L", (300, 200)), "PNG")
    for most, use in ((50_000, "photo"), (40_000, "live frame")):
        message = f"300 × 200 pixels; expected at most {most} for a {use}; make it smaller"
        with pytest.raises(ImageError, match=message):
            open_image(content, max_pixels=most, use=use)
    with pytest.raises(ImageError, match="expected at most 40000; make it smaller"):
        open_image(content, max_pixels=40_000)


ANY = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_orientation_is_read_without_other_metadata(kind: str, mode: str) -> None:
    image = Image.fromarray(ANY).convert(mode)
    plain = np.asarray(open_image(encoded(image, kind)))
    upright = np.asarray(open_image(encoded(image, kind, exif=turned())))
    np.testing.assert_array_equal(upright, np.rot90(plain, -1))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_orientation_in_xmp_data(kind: str) -> None:
    xmp = '<rdf:Description tiff:Orientation="6"/>'
    options: dict[str, object] = {"xmp": xmp.encode()}
    if kind == "PNG":
        from PIL.PngImagePlugin import PngInfo

        options = {"pnginfo": PngInfo()}
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp)  # type: ignore[attr-defined]
    content = encoded(Image.fromarray(ANY), kind, **options)
    assert open_image(content).size == (30, 40)


@pytest.mark.parametrize("compressed", [True, False])
def test_orientation_in_a_profile_of_imagemagick(compressed: bool) -> None:
    from PIL.PngImagePlugin import PngInfo

    data = turned().tobytes()
    info = PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(data):8}\n{data.hex()}\n", compressed)
    assert open_image(encoded(Image.fromarray(ANY), "PNG", pnginfo=info)).size == (30, 40)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "TIFF", "AVIF"])
def test_only_the_first_frame_is_read(kind: str) -> None:
    frames = [Image.fromarray(np.rot90(ANY, 2 * n)) for n in range(3)]
    exact = {"WEBP": {"lossless": True}}.get(kind, {})
    many = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **exact)
    np.testing.assert_allclose(
        np.asarray(open_image(many), int),
        np.asarray(open_image(encoded(frames[0], kind, **exact)), int),
        atol=0 if kind != "AVIF" else 30,
    )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF"])
def test_pixels_are_those_of_the_whole_file(mode: str, kind: str) -> None:
    gray = Image.fromarray(ANY).convert("L")
    image = gray.convert(mode) if mode == "I;16" else Image.fromarray(ANY).convert(mode)
    try:
        content = encoded(image, kind)
    except (OSError, ValueError):
        pytest.skip(f"{kind} has no mode {mode}")
    if (mode, kind) == ("I;16", "PPM"):
        pytest.skip("Pillow reads it with 32 bits, which is refused")
    with Image.open(BytesIO(content)) as whole:
        expected = decoding.to_gray_or_rgb(whole)
        np.testing.assert_array_equal(np.asarray(open_image(content)), np.asarray(expected))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF"])
def test_damaged_files_are_image_errors(kind: str) -> None:
    random = np.random.default_rng(0)
    content = encoded(Image.fromarray(ANY), kind)
    for _ in range(150):
        damaged = bytearray(content)
        for at in random.integers(0, min(len(content), 200), 4):
            damaged[at] = random.integers(0, 256)
        with suppress(ImageError):  # any other error fails the test
            open_image(bytes(damaged), max_pixels=1_000_000)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_32_bits_are_refused(mode: str, tmp_path: Path) -> None:
    Image.new(mode, (9, 9)).save(tmp_path / "deep.tiff")
    with pytest.raises(ImageError, match=rf"deep.tiff has mode {mode} \(32-bit gray\); expected 8"):
        open_image(tmp_path / "deep.tiff")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match=r"pipe.png cannot be read as an image: it is not a file"):
        open_image(tmp_path / "pipe.png")


def test_large_files_are_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(10**9)  # takes no space on the disk
    with pytest.raises(ImageError, match="1000000000 bytes; expected at most 500000000"):
        open_image(tmp_path / "large.png")


def test_threads_together_decode_a_limited_number_of_pixels(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Large images one after the other, small ones at the same time."""
    monkeypatch.setattr(decoding, "_MEMORY", decoding._Memory(100_000))
    decode, lock = decoding._decode, threading.Lock()
    running, most = 0, 0

    def counting(file: ImageFile, *rest: object) -> Image.Image:
        nonlocal running, most
        with lock:
            running += file.width * file.height
            most = max(most, running)
        try:
            return decode(file, *rest)  # type: ignore[arg-type]
        finally:
            with lock:
                running -= file.width * file.height

    monkeypatch.setattr(decoding, "_decode", counting)
    for number, side in enumerate((300, 310, 20, 320, 20, 330, 20, 500)):
        Image.new("RGB", (side, side)).save(tmp_path / f"{number}.png")
    with ThreadPoolExecutor(8) as threads:
        files = sorted(tmp_path.iterdir()) * 5
        shapes = list(threads.map(lambda file: prepare(file, InputSpec(8, 8)).shape, files))
    assert set(shapes) == {(8, 8, 1)}
    assert 90_000 <= most <= 500 * 500  # one image that is larger than the limit goes alone
    assert decoding._MEMORY.free == 100_000


def test_threads_do_not_lose_the_filters_of_warnings() -> None:
    """Python's filters belong to all threads: decoding must leave them as they were."""
    content = encoded(Image.effect_noise((300, 300), 80), "PNG")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(open_image, [content] * 60))
    assert warnings.filters == before
