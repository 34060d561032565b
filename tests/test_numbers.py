"""Whole numbers in photos: `read_number`, its parts, `predict --number`."""

from __future__ import annotations

import csv
import io
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import pocketlens
from command_line import error_of, output_of, run_command
from font_digits import DIGITS, FontDigits, write
from pocketlens.errors import ImageError, OptionError
from pocketlens.image import InputSpec
from pocketlens.numbers import draw_number, read_number, search
from pocketlens.numbers.components import find_components
from pocketlens.prediction import Prediction
from predictors import GivenPredictor


@pytest.mark.parametrize(("paper", "pen"), [(235, 40), (200, 140), (30, 220)])
def test_lines_of_digits(paper: int, pen: int) -> None:
    found = read_number(FontDigits(), write("1729", "0", "35846", paper=paper, pen=pen))
    assert found.text == "1729\n0\n35846"
    assert found.sure
    assert found.light == (pen > paper)
    assert [len(line) for line in found.lines] == [4, 1, 5]
    assert [digit.label for digit in found.digits] == list("1729035846")


@pytest.mark.parametrize("width", [300, 700, 3000])
def test_boxes_are_in_pixels_of_the_photo(width: int, tmp_path: Path) -> None:
    photo = write("4096", size=120)
    photo = photo.resize((width, round(photo.height * width / photo.width)))
    photo.convert("RGB").save(tmp_path / "photo.jpg", quality=95)
    found = read_number(FontDigits(), tmp_path / "photo.jpg")
    assert found.text == "4096"
    ink = np.asarray(photo) < 140
    columns = np.flatnonzero(ink.any(0))
    starts = columns[np.flatnonzero(np.diff(columns, prepend=-9) > 1)]
    near = max(2, width // 200)
    for digit, start in zip(found.digits, starts, strict=True):
        left, top, right, bottom = digit.box
        inside = ink[:, left : right + 1].any(1)
        assert abs(left - start) <= near
        assert abs(top - np.flatnonzero(inside)[0]) <= near
        assert abs(bottom - np.flatnonzero(inside)[-1] - 1) <= near


@pytest.mark.parametrize("text", ["38", "5260"])
def test_touching_digits_are_cut(text: str) -> None:
    photo = np.array(write(text))
    boxes = sorted(find_components(photo < 140, smallest=8).boxes, key=lambda box: box.left)
    for one, other in pairwise(boxes):
        photo[98:103, one.right - 12 : other.left + 12] = 40
    assert len(find_components(photo < 140, smallest=8).boxes) < len(text)
    assert read_number(FontDigits(), photo).text == text


def test_a_digit_in_two_parts() -> None:
    photo = np.array(write("157"))
    pieces = find_components(photo < 140, smallest=8).boxes
    photo[83:86, pieces[1].left : pieces[1].right] = 235  # a gap in the 5
    assert len(find_components(photo < 140, smallest=8).boxes) == 4
    assert read_number(FontDigits(), photo).text == "157"


def test_forty_digits() -> None:
    lines = [DIGITS[start:] + DIGITS[:start] for start in (0, 3, 5, 8)]
    assert read_number(FontDigits(), write(*lines)).text == "\n".join(lines)


def nothing_to_read() -> dict[str, NDArray[np.uint8]]:
    random = np.random.default_rng(0)
    plain = np.full((300, 400), 220, np.uint8)
    noisy = np.clip(plain + random.normal(0, 8, plain.shape), 0, 255).astype(np.uint8)
    specks, ruled, shade = noisy.copy(), plain.copy(), plain.copy()
    for row, column in random.integers(0, (290, 390), (30, 2)):
        specks[row : row + 5, column : column + 6] = 60
    ruled[::60], ruled[1::60], ruled[:, ::70] = 150, 150, 150
    shade[:, 180:] = 130
    return {
        "plain": plain,
        "black": np.zeros((50, 60), np.uint8),
        "noisy": noisy,
        "specks": specks,
        "ruled": ruled,
        "shade": shade,
        "one pixel": plain[:1, :1],
        "a column": plain[:, :1],
        "a row": plain[:1],
    }


@pytest.mark.parametrize("name", nothing_to_read())
def test_no_digits(name: str) -> None:
    found = read_number(FontDigits(), nothing_to_read()[name])
    assert (found.lines, found.text, found.sure) == ((), "", False)


def test_digits_on_ruled_paper_in_the_shade() -> None:
    paper = np.minimum(nothing_to_read()["ruled"][:220, :330], 235).astype(float)
    photo = np.minimum(paper, np.asarray(write("2468"))[:220, :330])
    photo[:, 150:] *= 0.6
    assert read_number(FontDigits(), photo.astype(np.uint8)).text == "2468"


def test_what_is_not_sure() -> None:
    class Doubting(FontDigits):
        """Takes half of each 7 for a 1."""

        def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            found = super().probabilities(images)
            half = found[:, 7] / 2
            found[:, 7] -= half
            found[:, 1] += half
            return found

    found = read_number(Doubting(), write("273"))
    assert found.text == "2?3"
    assert not found.sure
    assert [digit.sure for digit in found.digits] == [True, False, True]
    assert found.digits[1].label in "17"
    assert found.digits[1].confidence == pytest.approx(0.5, abs=0.1)


def test_a_model_without_nothing() -> None:
    assert read_number(FontDigits(nothing=False), write("604")).text == "604"


@pytest.mark.parametrize(
    "classes", [("cat", "dog", "nothing"), (*DIGITS, "A"), ("1", "nothing"), ("0", "10")]
)
def test_a_model_of_something_else(classes: tuple[str, ...]) -> None:
    with pytest.raises(OptionError, match="a model needs the classes 0 to 9") as error:
        read_number(GivenPredictor(classes), write("1"))
    assert repr(classes[0]) in str(error.value)


def test_too_many_pieces_of_ink() -> None:
    photo = np.full((1200, 1600), 230, np.uint8)
    photo.reshape(60, 20, 80, 20)[:, 5:15, :, 5:15] = 30
    with pytest.raises(ImageError, match="4800 pieces of ink; expected at most 1500; crop it"):
        read_number(FontDigits(), photo)


def test_pieces_with_overlapping_boxes() -> None:
    """The boxes of diagonal stripes are as large as the photo."""
    stripes = (np.indices((1200, 1600)).sum(0) // 9 % 2 * 200 + 20).astype(np.uint8)
    with pytest.raises(ImageError, match="too large, or overlap too much, for digits; crop it"):
        read_number(FontDigits(), stripes)


def test_many_ways_to_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MAX_GROUPS", 2)
    with pytest.raises(ImageError, match="the photo has 3 pieces of ink; that is too much"):
        read_number(FontDigits(), write("123"))


def test_large_inputs_are_read_in_small_batches() -> None:
    model = FontDigits(InputSpec(256, 256))
    assert read_number(model, write(DIGITS, DIGITS[::-1])).text == f"{DIGITS}\n{DIGITS[::-1]}"
    assert max(model.batches) <= search.BATCH_BYTES // 256**2


def test_inputs_of_any_shape_and_ink() -> None:
    for spec in (InputSpec(48, 40), InputSpec(28, 28, ink="light"), InputSpec(32, 32, color="rgb")):
        assert read_number(FontDigits(spec), write("7341")).text == "7341"


def test_components_are_those_of_a_flood_fill() -> None:
    random = np.random.default_rng(1)
    for share in (0.1, 0.35, 0.5, 0.8):
        mask = random.random((23, 31)) < share
        found = find_components(mask, smallest=1)
        expected = flood_fill(mask)
        pairs = set(zip(expected.ravel().tolist(), found.labels.ravel().tolist(), strict=True))
        assert len(pairs) == expected.max() + 1 == len(found.boxes) + 1
        for number, box in enumerate(found.boxes, start=1):
            rows, columns = np.nonzero(found.labels == number)
            sides = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert sides == (box.left, box.top, box.right, box.bottom)


def flood_fill(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    labels = np.zeros(mask.shape, np.int64)
    for start in zip(*np.nonzero(mask), strict=True):
        if labels[start]:
            continue
        name, todo = labels.max() + 1, [start]
        while todo:
            row, column = todo.pop()
            inside = 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]
            if inside and mask[row, column] and not labels[row, column]:
                labels[row, column] = name
                todo += [(row + y, column + x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return labels


def test_boxes_are_drawn() -> None:
    photo = write("58")
    found = read_number(FontDigits(), photo)
    picture = draw_number(photo, found)
    assert picture.mode == "RGB"
    colors = np.asarray(picture).reshape(-1, 3).tolist()
    assert [0, 114, 178] in colors
    assert [213, 94, 0] not in colors
    unsure = Prediction("5", 0.4, {"5": 0.4}, shown=False)
    number = pocketlens.Number(((pocketlens.Digit(unsure, found.digits[0].box),),))
    assert [213, 94, 0] in np.asarray(draw_number(photo, number)).reshape(-1, 3).tolist()


@pytest.fixture
def model_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is loaded as `FontDigits`."""
    monkeypatch.setattr("pocketlens.coreml.load", lambda *_, **__: FontDigits())
    path = tmp_path / "Digits.mlmodel"
    path.write_bytes(b"")
    return path


def test_command(model_file: Path, tmp_path: Path) -> None:
    photo, pictures = tmp_path / "house.png", tmp_path / "boxes.png"
    write("17", "29").save(photo)
    assert output_of("predict", model_file, photo, "--number") == f"{photo}: 17 29 (2 lines)\n"
    out = output_of("predict", model_file, photo, "--number", "--boxes", pictures)
    assert out.endswith(f"wrote {pictures}\n")
    with Image.open(pictures) as picture:
        assert picture.format == "PNG"
    (found,) = json.loads(output_of("predict", model_file, photo, "--number", "--json"))
    assert (found["number"], found["sure"]) == ("17\n29", True)
    assert [digit["line"] for digit in found["digits"]] == [1, 1, 2, 2]
    assert len(found["digits"][0]["top"]) == 3
    rows = output_of("predict", model_file, photo, "--number", "--csv", "-")
    assert list(csv.reader(io.StringIO(rows)))[1] == [str(photo), "17 29", "yes", "4", ""]
    Image.new("L", (90, 90), 200).save(photo)
    assert output_of("predict", model_file, photo, "--number") == f"{photo}: no digits\n"


def test_command_goes_on_after_a_bad_image(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"no image")
    write("8").save(tmp_path / "photos" / "b.png")
    status, out, err = run_command("predict", model_file, tmp_path / "photos", "--number")
    assert (status, out) == (2, f"{tmp_path / 'photos' / 'b.png'}: 8\n")
    assert "a.png has an unsupported image format" in err


def test_command_errors(
    model_file: Path, bars_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, old = tmp_path / "photo.png", tmp_path / "old.png"
    write("8").save(photo)
    old.write_bytes(b"keep")
    number = ("predict", model_file, photo, "--number", "--boxes")
    assert "old.png already exists" in error_of(*number, old)
    assert old.read_bytes() == b"keep"
    assert "must be a PNG file" in error_of(*number, tmp_path / "boxes.jpg")
    assert "takes one image file" in error_of(*number, tmp_path / "boxes.png", photo)
    without = error_of("predict", model_file, photo, "--boxes", tmp_path / "boxes.png")
    assert "add --number" in without
    assert not (tmp_path / "boxes.png").exists()
    monkeypatch.undo()
    other = error_of("predict", bars_run, photo, "--number")
    assert "a model needs the classes 0 to 9" in other
    assert "'lies'" in other
