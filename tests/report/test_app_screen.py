"""The drawing of the app's screen: the same layout as in the app, and the model's own answer."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import pocketlens.app
from pocketlens.data.dataset import Dataset
from pocketlens.errors import DataError
from pocketlens.image import Crop, InputSpec, prepare
from pocketlens.prediction import NOTHING
from pocketlens.report import app_screen, write_report
from pocketlens.report.app_screen import FRAME, camera_frame, draw_app_screen, screen_of
from predictors import GivenPredictor
from report.samples import make_dataset

APP = Path(pocketlens.app.__file__).parent / "templates" / "App"
SVG = "{http://www.w3.org/2000/svg}"


class Brightness(GivenPredictor):
    """Says `high` with the mean brightness of the image as its probability."""

    def __init__(
        self, classes: tuple[str, ...] = ("low", "high"), spec: InputSpec | None = None
    ) -> None:
        super().__init__(classes, spec or InputSpec(16, 16))

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        mean = images.mean((1, 2, 3), dtype=np.float32) / 255
        return np.stack([1 - mean, mean], axis=1)


def gray(*levels: int) -> Dataset:
    images = np.array(levels, np.uint8).reshape(-1, 1, 1, 1) * np.ones((1, 16, 16, 1), np.uint8)
    return Dataset(images, np.arange(len(levels)) % 2, ("dark", "light"), "gray/test")


def drawn_texts(path: Path) -> list[str]:
    return [text.text or "" for text in ET.parse(path).getroot().iter(f"{SVG}text")]


def swift(name: str) -> str:
    return (APP / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "pattern", "expected"),
    [
        ("Screens/ViewfinderView.swift", r"\? 0\.7 : ([\d.]+)", app_screen.SHADE),
        ("Screens/ViewfinderView.swift", r"insetBy\(dx: (\d+), dy: \1\)", app_screen.GUIDE_INSET),
        ("Screens/ViewfinderView.swift", r"cornerRadius: (\d+)", app_screen.GUIDE_RADIUS),
        ("Screens/ViewfinderView.swift", r"lineWidth: (\d+)", app_screen.GUIDE_LINE),
        ("Screens/LabelView.swift", r"cornerRadius: (\d+)", app_screen.CARD_RADIUS),
        ("Screens/LabelView.swift", r"minimumScaleFactor\(([\d.]+)\)", app_screen.SMALLEST),
        ("Screens/CameraScreen.swift", r"minHeight: (\d+)", app_screen.BUTTON),
        ("Camera/CaptureService.swift", r"Preset\.hd(\d+)x", FRAME[1]),
        ("Camera/CaptureService.swift", r"Preset\.hd\d+x(\d+)", FRAME[0]),
    ],
)
def test_sizes_are_those_of_the_app(file: str, pattern: str, expected: float) -> None:
    [found] = re.findall(pattern, swift(file))
    assert float(found) == expected


def test_texts_styles_and_colors_are_those_of_the_app() -> None:
    label = swift("Screens/LabelView.swift")
    assert f'Text("{app_screen.PLACEHOLDER}")' in label
    assert re.findall(r"\.font\(\.(\w+)", label) == ["headline", "largeTitle", "title3", "headline"]
    assert ".percent.precision(.fractionLength(0))" in label
    assert ".lineLimit(2)" in label
    tabs = re.findall(r'Tab\("(\w+)"', swift("Screens/RootScreen.swift"))
    assert tuple(tabs) == app_screen.TAB_TITLES
    camera = swift("Screens/CameraScreen.swift")
    assert camera.count("RoundButton(\n") == len(app_screen.ICONS)
    asset = json.loads(swift("Assets.xcassets/AccentColor.colorset/Contents.json"))
    parts = asset["colors"][0]["color"]["components"]
    rgb = [round(255 * float(parts[name])) for name in ("red", "green", "blue")]
    assert "#" + "".join(f"{part:02x}" for part in rgb) == app_screen.ACCENT


def test_label_and_confidence_are_the_models_answer(tmp_path: Path) -> None:
    path = draw_app_screen(Brightness(), gray(230), tmp_path / "made" / "app.svg")
    label, share, *tabs = drawn_texts(path)
    assert (label, share) == ("high", "90%")
    assert tuple(tabs) == app_screen.TAB_TITLES
    root = ET.parse(path).getroot()
    assert root.findtext(f"{SVG}desc") == (
        "The camera shows a test image of the class dark; the app shows high, 90%."
    )
    assert app_screen.ACCENT in path.read_text()
    assert (
        path.read_bytes() == draw_app_screen(Brightness(), gray(230), tmp_path / "b").read_bytes()
    )


@pytest.mark.parametrize(
    ("classes", "level"), [(("low", "high"), 150), ((NOTHING, "high"), 0), (("low", NOTHING), 255)]
)
def test_no_label_is_invented(classes: tuple[str, ...], level: int, tmp_path: Path) -> None:
    path = draw_app_screen(Brightness(classes), gray(level), tmp_path / "app.svg")
    assert drawn_texts(path)[0] == app_screen.PLACEHOLDER
    assert "%" not in "".join(drawn_texts(path))
    assert "the app shows no label." in path.read_text()


def test_the_first_image_with_a_label_is_shown_even_if_it_is_wrong() -> None:
    found = screen_of(Brightness(), gray(128, 130, 140, 250))
    assert (found.label, found.truth) == ("high", "light")
    assert found.confidence == pytest.approx(250 / 255, abs=0.01)
    wrong = screen_of(Brightness(), gray(250))
    assert (wrong.label, wrong.truth) == ("high", "dark")


@pytest.mark.parametrize("crop", ["center-crop", "fill"])
def test_the_model_sees_the_test_image(crop: Crop) -> None:
    spec = InputSpec(16, 16, "rgb", crop=crop)
    smooth = np.linspace(0, 255, 16).astype(np.uint8)
    picture = np.broadcast_to(smooth[:, None, None], (16, 16, 3))
    frame = camera_frame(picture, spec)
    assert frame.size == FRAME
    assert np.abs(prepare(frame, spec).astype(int) - picture).max() <= 12


@pytest.mark.parametrize(
    ("spec", "box"),
    [
        (InputSpec(16, 16), (0, 229.5, 393, 622.5)),
        (InputSpec(32, 16), (21.8, 76.7, 371.2, 775.3)),  # narrower than the frame
        (InputSpec(16, 16, crop="fit"), (0, 76.7, 393, 775.3)),
    ],
)
def test_guide_frames_what_the_model_sees(
    spec: InputSpec, box: tuple[float, ...], tmp_path: Path
) -> None:
    path = draw_app_screen(Brightness(spec=spec), gray(255), tmp_path / "app.svg")
    [guide] = [r for r in ET.parse(path).getroot().iter(f"{SVG}rect") if r.get("stroke")]
    x, y, width, height = (float(guide.get(key, "0")) for key in ("x", "y", "width", "height"))
    assert (x - 2, y - 2, x + width + 2, y + height + 2) == pytest.approx(box, abs=0.11)


@pytest.mark.parametrize(
    "label",
    [
        "<script>alert(1)</script>",
        "\"&'</text>",
        "line\x1b[31m\u202ebidi",
        "Domestic shorthair cat, orange tabby, lying in the sun on a wall",
        "W" * 90,
        "قطة برية صغيرة",
        "日本語のとても長いクラスの名前です" * 3,
    ],
)
def test_any_label_is_text_and_fits_the_card(label: str, tmp_path: Path) -> None:
    path = draw_app_screen(Brightness(("low", label)), gray(255), tmp_path / "app.svg")
    root = ET.parse(path).getroot()
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg", "title", "desc", "defs", "clipPath", "rect", "g", "image", "path", "circle", "text"
    }  # fmt: skip
    texts = [text for text in root.iter(f"{SVG}text") if text.get("font-weight") == "700"]
    assert 1 <= len(texts) <= 2
    shown = "".join(text.text or "" for text in texts).replace(" ", "").removesuffix("…")
    assert shown
    assert not any(ord(letter) < 32 or letter == "\u202e" for letter in shown)
    if len(label) < 30 and label.isprintable():
        assert shown == label.replace(" ", "")
    for text in texts:
        assert 17 <= float(text.get("font-size", "0")) <= 34
    boxes = [r for r in root.iter(f"{SVG}rect") if r.get("rx") == str(app_screen.CARD_RADIUS)]
    [card] = boxes
    assert float(card.get("x", "0")) >= app_screen.PADDING
    assert float(card.get("y", "0")) > 229.5


def test_drawings_become_simulated_photos_for_a_camera_recognizer() -> None:
    strokes = np.zeros((1, 28, 28, 1), np.uint8)
    strokes[0, 5:23, 12:16] = 255
    data = Dataset(strokes, np.array([0]), ("one", "two"), "drawn/test")
    plain = screen_of(Brightness(), data).frame
    photo = screen_of(Brightness(("one", NOTHING)), data).frame
    assert np.asarray(plain).min() == 0
    assert np.asarray(photo).std() > 0
    assert (np.asarray(plain) != np.asarray(photo)).any()
    # Other images than drawings are shown as they are.
    noise = make_dataset(1, ("a", "b"))
    frame = screen_of(Brightness(("a", NOTHING)), noise).frame
    assert (np.asarray(frame) == np.asarray(camera_frame(noise.images[0], InputSpec(16, 16)))).all()


def test_an_empty_data_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gray/test is empty; the drawing needs at least one image"):
        draw_app_screen(Brightness(), gray(), tmp_path / "app.svg")
    assert not list(tmp_path.iterdir())


def test_the_drawing_is_in_the_reports_section_about_the_app(run: Path) -> None:
    html = write_report(run).read_text()
    assert html.count("The app’s camera screen") == 1
    assert html.index("The app’s camera screen") > html.index('<section id="next"')
    assert "95.00\N{NO-BREAK SPACE}%" in html  # a number and its percent sign are on one line
    (run / "figures" / "app.svg").unlink()  # runs of older versions have no drawing
    html = write_report(run).read_text()
    assert "The app’s camera screen" not in html
    assert "app.svg" not in html
