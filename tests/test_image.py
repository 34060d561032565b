"""Images and InputSpec: one way of looking at a picture."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketlens.decoding import decoding
from pocketlens.errors import ImageError, OptionError
from pocketlens.image import MAX_PIXELS, Crop, InputSpec, open_image, prepare


def test_scale_and_bias_serve_every_channel() -> None:
    spec = InputSpec(4, 6, "rgb", scale=0.5, bias=(1, 2, 3))  # type: ignore[arg-type]
    assert spec.scale == (0.5, 0.5, 0.5)
    assert spec.bias == (1.0, 2.0, 3.0)
    assert spec.shape == (4, 6, 3)


def test_network_input_by_hand() -> None:
    images = np.array([[[[10, 20, 30]]]], np.uint8)
    spec = InputSpec(1, 1, "bgr", scale=(1.0, 2.0, 3.0), bias=(0.5, 0.0, -1.0))
    # blue 30 * 1 + 0.5, green 20 * 2, red 10 * 3 - 1
    assert spec.network_input(images).tolist() == [[[[30.5]], [[40.0]], [[29.0]]]]
    rgb = InputSpec(1, 1, "rgb", scale=(1.0, 2.0, 3.0), bias=(0.5, 0.0, -1.0))
    assert rgb.network_input(images).tolist() == [[[[10.5]], [[40.0]], [[89.0]]]]


def test_json_round_trip() -> None:
    spec = InputSpec(28, 20, "bgr", scale=(0.1, 0.2, 0.3), bias=(1, 2, 3), crop="fit")
    assert InputSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"height": 0, "width": 2}, "input.height must be an integer from 1 to 4096; received: 0"),
        (
            {"height": 2, "width": True},
            "input.width must be an integer from 1 to 4096; received: T",
        ),
        ({"height": 2}, "input.width is missing; expected a number of pixels"),
        (
            {"height": 2, "width": 2, "colour": "rgb"},
            "unknown key input.colour; did you mean 'colo",
        ),
        (
            {"height": 2, "width": 2, "color": "grey"},
            "unknown input.color 'grey'; did you mean 'gray",
        ),
        ({"height": 2, "width": 2, "crop": "x"}, "expected one of: center-crop, fit, fill"),
        (
            {"height": 2, "width": 2, "assumed": ["size"]},
            r"input.assumed must be a list of some of color, .*; received: \['size'\]",
        ),
        ({"height": 2, "width": 2, "scale": float("nan")}, "input.scale must be a finite number"),
        (
            {"height": 2, "width": 2, "bias": [1, 2]},
            r"each of the 1 channel\(s\) of gray; received",
        ),
    ],
)
def test_invalid_input_specs(values: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        InputSpec.from_dict(values)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "3"])
def test_json_that_is_not_an_input_spec(text: str) -> None:
    with pytest.raises(OptionError, match="an InputSpec is a JSON object"):
        InputSpec.from_json(text)


def test_files_written_with_the_old_spelling_still_load() -> None:
    old = '{"height":2,"width":3,"colour":"bgr","scale":[1,1,1]}'
    assert InputSpec.from_json(old) == InputSpec(2, 3, "bgr", (1.0,) * 3)
    both = '{"height":2,"width":3,"colour":"bgr","color":"rgb"}'
    with pytest.raises(OptionError, match="unknown key input.colour"):
        InputSpec.from_json(both)


def test_what_is_assumed_is_marked() -> None:
    gray = InputSpec.assuming(28, 28, "gray", scale=1 / 255)
    assert gray == InputSpec(
        28, 28, "gray", (1 / 255,), (0.0,), "center-crop", "light", ("bias", "crop", "ink")
    )
    assert InputSpec.assuming(4, 4, "rgb").ink == "dark"
    assert InputSpec.assuming(4, 4, "rgb", assumed=("color",)).assumed == (
        *("color", "scale", "bias", "crop", "ink"),
    )
    assert InputSpec.from_json(gray.to_json()) == gray
    assert json.loads(gray.to_json())["assumed"] == ["bias", "crop", "ink"]
    assert "assumed" not in InputSpec(28, 28).to_json()  # unchanged for a model of our own


def test_values_that_are_given_are_known() -> None:
    foreign = InputSpec.assuming(4, 4, "rgb")
    told = foreign.with_values(color="bgr", ink="light")
    assert (told.color, told.ink, told.assumed) == ("bgr", "light", ("scale", "bias", "crop"))
    assert told.with_values(scale=1 / 255, bias=0, crop="fit").assumed == ()
    assert foreign.with_values(color="gray").scale == (1.0,)
    with pytest.raises(OptionError, match="one for each of the 1 channel"):
        foreign.with_values(scale=(1, 2, 3)).with_values(color="gray")
    with pytest.raises(OptionError, match="unknown key input.colour"):
        foreign.with_values(colour="bgr")


def test_a_matching_array_is_returned_unchanged(gray28: InputSpec) -> None:
    array = np.arange(28 * 28, dtype=np.uint8).reshape(28, 28, 1)
    assert prepare(array, gray28) is array


def half_and_half(width: int, height: int) -> Image.Image:
    """Left half black, right half white."""
    image = Image.new("L", (width, height), 0)
    image.paste(255, (width // 2, 0, width, height))
    return image


def test_center_crop_cuts_the_middle() -> None:
    image = Image.new("L", (30, 10), 0)
    image.paste(255, (10, 0, 20, 10))
    assert prepare(image, InputSpec(10, 10)).min() == 255


def test_fit_pads_with_black() -> None:
    white = Image.new("L", (40, 20), 255)
    fitted = prepare(white, InputSpec(20, 20, crop="fit"))[..., 0]
    assert fitted[:5].max() == 0
    assert fitted[5:15].min() == 255
    assert fitted[15:].max() == 0


def test_fill_stretches() -> None:
    filled = prepare(half_and_half(40, 10), InputSpec(8, 8, crop="fill"))[..., 0]
    assert filled[:, :3].max() == 0
    assert filled[:, 5:].min() == 255


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn 90° clockwise to show
    half_and_half(32, 32).save(tmp_path / "turned.png", exif=exif)
    upright = prepare(tmp_path / "turned.png", InputSpec(8, 8))[..., 0]
    assert upright[:3].max() == 0  # the left half is now on top
    assert upright[5:].min() == 255
    opened = open_image(tmp_path / "turned.png")
    assert opened.info == {}
    assert opened.getexif() == {}


def test_gray_of_rgb_is_luma() -> None:
    red = np.full((2, 2, 3), (255, 0, 0), np.uint8)
    assert prepare(red, InputSpec(2, 2))[0, 0, 0] == round(255 * 0.299)


def test_transparency_lies_on_white_paper(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert prepare(tmp_path / "clear.png", InputSpec(4, 4)).min() == 255


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 0x8000, np.uint16)).save(tmp_path / "deep.png")
    assert prepare(tmp_path / "deep.png", InputSpec(4, 4))[0, 0, 0] == 0x80


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    idat = b"IDAT" + zlib.compress(b"")
    data = struct.pack(">I", len(idat) - 4) + idat + struct.pack(">I", zlib.crc32(idat))
    return b"\x89PNG\r\n\x1a\n" + chunk + data


@pytest.mark.parametrize(
    ("width", "height"), [(10_001, 10_000), (12_000, 12_000), (60_000, 60_000)]
)
def test_a_decompression_bomb(tmp_path: Path, width: int, height: int) -> None:
    (tmp_path / "bomb.png").write_bytes(png_header(width, height))
    with pytest.raises(ImageError, match=str(MAX_PIXELS)):
        open_image(tmp_path / "bomb.png")


def test_pictures_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ImageError, match=r"text.png has an unsupported image format; expected"):
        open_image(tmp_path / "text.png")
    with pytest.raises(ImageError, match="does not exist; expected an image file"):
        open_image(tmp_path / "missing.png")
    with pytest.raises(ImageError, match="cannot be read as an image"):
        open_image(tmp_path)


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "bmp", "tiff", "webp"])
def test_a_cut_picture_is_an_image_error(tmp_path: Path, kind: str) -> None:
    random = np.random.default_rng(0)
    whole = tmp_path / f"whole.{kind}"
    Image.fromarray(random.integers(0, 255, (40, 40, 3), np.uint8)).save(whole)
    content = whole.read_bytes()
    for end in [1, 8, 20, 60, len(content) // 2, len(content) * 3 // 4]:
        cut = tmp_path / f"cut.{kind}"
        cut.write_bytes(content[:end])
        with pytest.raises(ImageError, match="cut"):
            open_image(cut)


@pytest.mark.parametrize("shape", [(4,), (4, 4, 2), (4, 4, 4), (2, 4, 4, 1), (0, 4)])
def test_arrays_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match=r"uint8 of shape \(H, W\)"):
        prepare(np.zeros(shape, np.uint8), InputSpec(8, 8))


def test_arrays_of_another_type() -> None:
    with pytest.raises(ImageError, match="received: float64 of shape"):
        prepare(np.zeros((4, 4)), InputSpec(8, 8))  # type: ignore[arg-type]


def photo(width: int, height: int) -> Image.Image:
    """Colored noise at several scales, and sharp edges."""
    random = np.random.default_rng(width * height)
    pixels = np.full((height, width, 3), 60.0)
    for cells in (3, 9, 40, 150):
        coarse = Image.fromarray(random.integers(0, 60, (cells, cells, 3), np.uint8))
        pixels += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    pixels[height // 3 : height // 2, width // 4 : width // 2] = (250, 20, 40)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("crop", ["center-crop", "fit", "fill"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_large_photos_are_decoded_at_a_reduced_size(
    tmp_path: Path, crop: Crop, orientation: int
) -> None:
    spec = InputSpec(50, 60, "rgb", crop=crop)
    path = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo(900, 600).save(path, quality=90, exif=exif)
    with decoding(path, side=120) as image:
        assert image.size == ((225, 150) if orientation == 1 else (150, 225))
    whole = prepare(open_image(path), spec).astype(int)
    difference = np.abs(prepare(path, spec) - whole)
    assert difference.mean() < 0.5
    assert difference.max() <= 8


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(240, 239, (240, 239)), (241, 240, (121, 120)), (4000, 130, (4000, 130)), (9, 9, (9, 9))],
)
def test_photos_are_never_decoded_smaller_than_needed(
    tmp_path: Path, width: int, height: int, size: tuple[int, int]
) -> None:
    Image.new("L", (width, height), 77).save(tmp_path / "photo.jpg")
    with decoding(tmp_path / "photo.jpg", side=120) as image:
        assert image.size == size
    assert (prepare(tmp_path / "photo.jpg", InputSpec(60, 60)) == 77).all()


def test_a_cut_photo_is_an_image_error_at_a_reduced_size(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    photo(900, 600).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match="truncated"):
        prepare(path, InputSpec(50, 50, "rgb"))
