"""Figures: their contents, their file format, and that they are reproducible."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from pocketlens.data.dataset import Dataset
from pocketlens.errors import DataError, OptionError, OutputError
from pocketlens.evaluation.accuracy import Evaluation, evaluate
from pocketlens.evaluation.parity import Parity, verify
from pocketlens.explanation import Explanation
from pocketlens.history import LearningCurve
from pocketlens.report import figures
from pocketlens.report.canvas import STYLE
from report.figure_contents import bars, images, texts, x_values, y_values
from report.samples import LookupPredictor, make_dataset

History: TypeAlias = list[dict[str, Any]]
Drawers: TypeAlias = dict[str, Callable[[Path], Path]]


@pytest.fixture(autouse=True)
def low_resolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the resolution, for speed."""
    monkeypatch.setitem(STYLE, "savefig.dpi", 40)


def header(figure: Figure) -> list[str]:
    return [found.get_text() for found in figure.texts]


def written_on(axes: Axes) -> list[str]:
    return [found.get_text() for found in axes.texts]


@pytest.fixture
def every(digits: Dataset, evaluation: Evaluation, parity: Parity, history: History) -> Drawers:
    """All figures, as functions of the path only."""
    curve = LearningCurve((1, 2, 4.5), (0.5, 0.6, 0.7), ("a", "b"), (0.9, 0.5))
    explanation = Explanation(np.eye(3, dtype=np.float32), "a", 0.9, "occlusion", 0.2, None)
    return {
        "samples": partial(figures.draw_samples, digits, rows=2, columns=3),
        "pixels": partial(figures.draw_pixels, digits.subset(slice(3)), 1),
        "one_hot": partial(figures.draw_one_hot, digits, count=3),
        "balance": partial(figures.draw_balance, [digits, digits]),
        "history": partial(figures.draw_history, history),
        "confusion": partial(figures.draw_confusion, evaluation),
        "mistakes": partial(figures.draw_mistakes, digits, evaluation),
        "reliability": partial(figures.draw_reliability, evaluation),
        "parity": partial(figures.draw_parity, parity),
        "learning_curve": partial(figures.draw_learning_curve, curve),
        "explanation": partial(figures.draw_explanation, digits.images[0], explanation),
    }


def test_every_figure_has_the_format_of_its_suffix_and_no_other_file_is_left(
    every: Drawers, tmp_path: Path
) -> None:
    others = {"draw_findings", "draw_suspects"}  # of files; see test_check_figures.py
    assert {f"draw_{name}" for name in every} == set(figures.__all__) - others
    for name, draw in every.items():
        svg = tmp_path / "made" / f"{name}.svg"
        assert draw(svg) == svg
        assert ET.parse(svg).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    png = every["history"](tmp_path / "made" / "history.PNG")
    with Image.open(png) as image:
        assert image.format == "PNG"
        assert image.width == 8 * 40
    assert sorted(p.stem for p in png.parent.iterdir()) == sorted([*every, "history"])


def test_figures_are_reproducible_and_ignore_the_callers_settings(
    every: Drawers, tmp_path: Path
) -> None:
    before = dict(mpl.rcParams)
    for suffix in ("svg", "png"):
        first = every["history"](tmp_path / f"first.{suffix}").read_bytes()
        with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": None}):
            # Several times, because the layout solver's results vary in the last bits.
            more = {every["history"](tmp_path / f"more.{suffix}").read_bytes() for _ in range(4)}
        assert more == {first}
    assert b"<dc:date>" not in (tmp_path / "first.svg").read_bytes()
    assert dict(mpl.rcParams) == before


def test_pyplot_is_never_imported_and_matplotlib_only_when_drawing(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np; from pocketlens.report import figures as f;"
        "from pocketlens.data.dataset import Dataset;"
        "assert 'matplotlib' not in sys.modules;"
        "d = Dataset(np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 1]), ('a', 'b'));"
        f"f.draw_samples(d, {str(tmp_path / 'a.png')!r});"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_samples_shows_images_of_all_classes_with_their_labels(
    drawn: list[Figure], tmp_path: Path
) -> None:
    data = make_dataset(40, ("ant", "bee"))
    by_class = data.subset(np.argsort(data.labels, kind="stable"))  # as in a folder of photos
    figures.draw_samples(by_class, tmp_path / "s.png", rows=2, columns=3)
    [figure] = drawn
    shown = images(figure)
    assert [t for t in texts(figure) if t in data.classes] == ["ant"] * 3 + ["bee"] * 3
    originals = [image.tobytes() for image in by_class.images]
    places = [originals.index(array.astype(np.uint8)[..., :1].tobytes()) for array in shown]
    assert len(set(places)) == 6
    assert [by_class.labels[place] for place in places] == [0] * 3 + [1] * 3
    assert "6 of 40 images" in texts(figure)
    assert "made/test: 40 images of 28 × 28 pixels, gray, 2 classes" in texts(figure)


def test_long_class_names_take_fewer_columns(drawn: list[Figure], tmp_path: Path) -> None:
    """Otherwise the figure would be so wide that a page shows its text too small."""
    for names in (("ant", "bee"), ("W" * 40, "日本語の長いクラス名はどうなりますか")):
        figures.draw_samples(make_dataset(72, names), tmp_path / "s.png")
    assert all(figure.get_figwidth() <= 9.5 for figure in drawn)
    assert [len(images(figure)) for figure in drawn] == [72, 72]


def test_pixels_shows_the_value_of_each_pixel(
    digits: Dataset, drawn: list[Figure], tmp_path: Path
) -> None:
    figures.draw_pixels(digits, 7, tmp_path / "p.png")
    assert header(drawn[0]) == [
        "Pixel values of image 7 (7)",
        "made/test: 28 × 28 pixels, 0 (black) to 255",
    ]
    assert [int(value) for value in written_on(drawn[0].axes[0])] == digits.images[
        7
    ].ravel().tolist()


def test_pixels_of_a_large_color_image_shows_its_center(
    drawn: list[Figure], tmp_path: Path
) -> None:
    data = make_dataset(1, ("a",), (40, 50, 3))
    figures.draw_pixels(data, 0, tmp_path / "p.png")
    assert (
        "the center of 50 × 40 pixels; red, green and blue from top to bottom"
        in header(drawn[0])[1]
    )
    center = data.images[0, 13:27, 18:32].reshape(-1, 3)
    assert written_on(drawn[0].axes[0]) == ["\n".join(str(v) for v in pixel) for pixel in center]
    assert [array.shape for array in images(drawn[0])] == [(14, 14, 3), (40, 50, 3)]


def test_one_hot_rows_have_a_single_1_under_their_class(
    digits: Dataset, drawn: list[Figure], tmp_path: Path
) -> None:
    figures.draw_one_hot(digits, tmp_path / "o.png", count=4)
    written = written_on(drawn[0].axes[0])
    assert written[40:] == list("0123456789")
    rows = np.array(written[:40], int).reshape(4, 10)
    assert (rows.sum(axis=1) == 1).all()
    # Each image is of another class, and its row has the 1 in that class's column.
    places = rows.argmax(axis=1).tolist()
    assert len(set(places)) == 4
    for array, label in zip(images(drawn[0]), places, strict=True):
        index = [image.tobytes() for image in digits.images].index(
            array.astype(np.uint8)[..., :1].tobytes()
        )
        assert digits.labels[index] == label


def test_one_hot_of_many_classes_shows_the_columns_with_a_1(
    drawn: list[Figure], tmp_path: Path
) -> None:
    data = make_dataset(1000, [f"c{k}" for k in range(1000)]).subset([5, 999])
    figures.draw_one_hot(data, tmp_path / "o.png")
    found = texts(drawn[0])
    assert "made/test: 2 images; 16 of 1,000 columns, all others are 0" in found
    assert {"c5", "c999"} <= set(found)
    assert found.count("1") == 2


def test_balance_shows_counts_and_shares(drawn: list[Figure], tmp_path: Path) -> None:
    data = make_dataset(8, ("ant", "bee")).subset([0, 1, 2, 4])
    other = make_dataset(2, ("ant", "bee"), name="other")
    figures.draw_balance([data, other], tmp_path / "b.png")
    found = texts(drawn[0])
    assert {"3", "1", "made/test (4 images)", "other (2 images)", "ant", "bee"} <= set(found)
    assert any("each class has 25.00 % to 75.00 % of the images" in text for text in found)
    widths = [bar.get_width() for bar in bars(drawn[0].axes[0])]
    assert widths == [75, 25, 50, 50]


def test_balance_of_many_classes_is_a_curve(drawn: list[Figure], tmp_path: Path) -> None:
    data = make_dataset(1500, [f"c{k}" for k in range(1000)])
    figures.draw_balance(data, tmp_path / "b.png")
    curve = y_values(drawn[0].axes[0].lines[0])
    assert len(curve) == 1000
    assert (curve[0], curve[-1]) == pytest.approx((2 / 15, 1 / 15))


def test_balance_of_different_classes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="b and a have different classes; expected parts of the same data set"
    ):
        figures.draw_balance(
            [make_dataset(2, ("x",), name="a"), make_dataset(2, ("y",), name="b")],
            tmp_path / "b.png",
        )
    with pytest.raises(OptionError, match="at least one data set; received none"):
        figures.draw_balance([], tmp_path / "b.png")


@pytest.mark.parametrize("epochs", [1, 3])
def test_history_draws_training_and_validation(
    history: History, drawn: list[Figure], tmp_path: Path, epochs: int
) -> None:
    figures.draw_history(history[:epochs], tmp_path / "h.png")
    loss, accuracy = drawn[0].axes
    assert [line.get_label() for line in loss.lines] == ["training", "validation"]
    assert x_values(loss.lines[0]) == list(range(1, epochs + 1))
    assert y_values(loss.lines[0])[0] == 0.6
    assert y_values(accuracy.lines[1])[0] == pytest.approx(92)
    assert list(loss.get_xticks()) == list(range(1, epochs + 1))


def test_history_without_validation(history: History, drawn: list[Figure], tmp_path: Path) -> None:
    rows = [{**row, "validation_loss": None, "validation_accuracy": None} for row in history]
    figures.draw_history(rows, tmp_path / "h.png")
    assert [len(axes.lines) for axes in drawn[0].axes] == [1, 1]


def test_history_without_rows_or_keys_is_an_error(history: History, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the history is empty; expected at least one epoch"):
        figures.draw_history([], tmp_path / "h.png")
    row = {key: value for key, value in history[0].items() if key != "train_loss"}
    with pytest.raises(
        DataError, match="keys missing in the history: train_loss; expected rows of history"
    ):
        figures.draw_history([row], tmp_path / "h.png")


def test_confusion_shows_every_count(
    digits: Dataset, evaluation: Evaluation, drawn: list[Figure], tmp_path: Path
) -> None:
    figures.draw_confusion(evaluation, tmp_path / "c.png")
    found = texts(drawn[0])
    assert "3 mistakes in 60 images" in found
    cells = {
        tuple(map(round, t.get_position()[::-1])): int(t.get_text())
        for t in drawn[0].axes[0].texts
        if t.get_text()
    }
    expected = np.array(evaluation.confusion)
    assert cells == {tuple(map(int, c)): expected[tuple(c)] for c in np.argwhere(expected)}
    # Image 3 is predicted as 4; images 14 and 24 as 5.
    assert (cells[3, 4], cells[4, 5], cells[3, 3], cells[4, 4]) == (1, 2, 5, 4)


def test_confusion_of_1000_classes_shows_the_most_confused(
    drawn: list[Figure], tmp_path: Path
) -> None:
    data = make_dataset(1000, [f"c{k}" for k in range(1000)], (8, 8, 1))
    found = evaluate(LookupPredictor(data, wrong=(500, 900)), data)
    figures.draw_confusion(found, tmp_path / "c.png")
    shown = texts(drawn[0])
    assert "the 30 of 1,000 classes most often confused; 2 mistakes in 1,000 images" in shown
    assert {"c500", "c501", "c900", "c901"} <= set(shown)


def test_mistakes_shows_the_misclassified_images(
    digits: Dataset, evaluation: Evaluation, drawn: list[Figure], tmp_path: Path
) -> None:
    figures.draw_mistakes(digits, evaluation, tmp_path / "m.png")
    shown = images(drawn[0])
    assert [m.index for m in evaluation.mistakes] == [3, 14, 24]
    for array, place in zip(shown, (3, 14, 24), strict=True):
        assert (array == digits.images[place]).all()
    assert [t for t in texts(drawn[0]) if re.fullmatch(r"\d → \d", t)] == ["3 → 4"] + ["4 → 5"] * 2
    assert texts(drawn[0]).count("90.00 %") == 3


def test_a_result_without_mistakes(digits: Dataset, drawn: list[Figure], tmp_path: Path) -> None:
    figures.draw_mistakes(digits, evaluate(LookupPredictor(digits), digits), tmp_path / "m.png")
    assert "none in 60 images" in texts(drawn[0])


def test_mistakes_of_another_data_set_are_an_error(
    digits: Dataset, evaluation: Evaluation, tmp_path: Path
) -> None:
    message = (
        "image 14 has the class '4' in the evaluation, but not in made/test; pass the data set"
    )
    with pytest.raises(DataError, match=message):
        figures.draw_mistakes(digits.subset(slice(10)), evaluation, tmp_path / "m.png")
    with pytest.raises(
        DataError, match="image 3 has the class '3' in the evaluation, but not in made/test"
    ):
        figures.draw_mistakes(digits.subset(slice(1, None)), evaluation, tmp_path / "m.png")


def test_reliability_bars_show_the_accuracy_of_their_bin(
    evaluation: Evaluation, drawn: list[Figure], tmp_path: Path
) -> None:
    figures.draw_reliability(evaluation, tmp_path / "r.png")
    upper, lower = drawn[0].axes
    accuracy, gap = bars(upper)
    assert accuracy.get_height() == pytest.approx(57 / 60)
    assert gap.get_height() == pytest.approx(0.9 - 57 / 60)
    assert [bar.get_height() for bar in bars(lower)] == [60]
    assert "expected calibration error 5.00 %" in texts(drawn[0])


def test_parity_shows_whether_it_passed(
    digits: Dataset, parity: Parity, drawn: list[Figure], tmp_path: Path
) -> None:
    figures.draw_parity(parity, tmp_path / "p.png")
    broken = verify(LookupPredictor(digits), LookupPredictor(digits, wrong=(1,)), digits)
    figures.draw_parity(broken, tmp_path / "q.png")
    title, subtitle = header(drawn[0])
    assert title == "Parity on 60 images: passed"
    assert subtitle == "labels agree on 100.00 % (0 differ); mean |Δp| 0.0004, largest 0.0004"
    assert header(drawn[1])[0] == "Parity on 60 images: FAILED"
    heights = [bar.get_height() for bar in bars(drawn[0].axes[0])]
    assert heights == list(parity.histogram.counts)


AWKWARD = ("$x^2$ & $y$", "日本", "a" * 60, "two  words", "<b>")


@pytest.mark.parametrize("classes", [AWKWARD, ("no", "yes")])
@pytest.mark.parametrize("shape", [(24, 36, 3), (5, 3, 1)])
def test_any_shape_and_any_class_name(
    tmp_path: Path,
    recwarn: pytest.WarningsRecorder,
    classes: tuple[str, ...],
    shape: tuple[int, int, int],
) -> None:
    data = make_dataset(20, classes, shape)
    found = evaluate(LookupPredictor(data, wrong=range(9)), data)
    for draw in (figures.draw_samples, figures.draw_one_hot, figures.draw_balance):
        assert draw(data, tmp_path / "a.png").stat().st_size > 500
    assert figures.draw_pixels(data, 2, tmp_path / "a.png").stat().st_size > 500
    assert figures.draw_confusion(found, tmp_path / "a.svg").stat().st_size > 500
    assert figures.draw_mistakes(data, found, tmp_path / "a.svg").stat().st_size > 500
    assert [str(warning.message) for warning in recwarn] == []


def test_an_empty_data_set_is_an_error(tmp_path: Path) -> None:
    empty = make_dataset(0)
    for draw in (figures.draw_samples, figures.draw_one_hot, figures.draw_balance):
        with pytest.raises(
            DataError, match="made/test is empty; a figure needs at least one image"
        ):
            draw(empty, tmp_path / "a.png")


def test_options_out_of_range_are_errors(digits: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(OptionError, match="rows and columns must be at least 1; received: 0 × 12"):
        figures.draw_samples(digits, path, rows=0)
    with pytest.raises(OptionError, match="count must be at least 1; received: 0"):
        figures.draw_one_hot(digits, path, count=0)
    for index in (-1, 60):
        with pytest.raises(
            OptionError, match=f"index must be from 0 to 59 for made/test; received: {index}"
        ):
            figures.draw_pixels(digits, index, path)
    assert not list(tmp_path.iterdir())


def test_an_unknown_suffix_is_an_error(history: History, tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match=r"a figure must be a .png or .svg file; received: .*a\.pdf"
    ):
        figures.draw_history(history, tmp_path / "a.pdf")


def test_a_full_disk_is_an_error_and_keeps_the_old_figure(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = figures.draw_history(history[:1], tmp_path / "a.png").read_bytes()

    original = FigureCanvasAgg.print_png

    def full(self: FigureCanvasAgg, path: Any, **options: Any) -> None:
        if not isinstance(path, Path):  # Matplotlib writes to a buffer to find a renderer
            original(self, path, **options)
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FigureCanvasAgg, "print_png", full)
    with pytest.raises(OutputError, match=r"a\.png cannot be written: No space left on device"):
        figures.draw_history(history, tmp_path / "a.png")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == old
