"""No text of a figure is cut off, however long the names are."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from pocketlens.evaluation.accuracy import evaluate
from pocketlens.evaluation.parity import verify
from pocketlens.evaluation.robustness.result import Score, Table
from pocketlens.report import figures
from pocketlens.report.canvas import style, wrapped
from pocketlens.report.suite_figures import draw_table
from report.samples import DIGITS, LookupPredictor, make_dataset
from sampling import sampled

FOLDER = "folder:/home/somebody/Pictures/training images of cats and dogs/2026/all of them/test"


def labels_of(figure: Figure) -> list[Text]:
    """Titles, notes, legends, axis labels and captions; the layout itself fits the tick labels."""
    found = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for axes in figure.axes:
        found += [*axes.texts, axes.xaxis.label, axes.yaxis.label, axes.title]
    return [text for text in found if text.get_text().strip()]


def cut_off(figure: Figure) -> list[str]:
    renderer = FigureCanvasAgg(figure).get_renderer()
    frame = figure.bbox
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in labels_of(figure)]
    return [
        text
        for text, box in boxes
        if box.x0 < frame.x0 - 1 or box.x1 > frame.x1 + 1 or box.y0 < 0 or box.y1 > frame.y1
    ]


@pytest.mark.parametrize("count", sampled([3, 60], 1))
@pytest.mark.parametrize(
    "classes",
    [
        DIGITS,
        ("no", "yes"),
        ("W" * 60, "i" * 60),
        tuple(f"Domestic shorthair cat, color number {k}" for k in range(12)),
        tuple(f"a long class name, number {k}" for k in range(100)),
    ],
    ids=["digits", "two", "wide", "long", "hundred"],
)
def test_no_text_is_cut_off(
    classes: tuple[str, ...], count: int, drawn: list[Figure], tmp_path: Path
) -> None:
    data = make_dataset(count, classes, name=FOLDER)
    model, other = LookupPredictor(data), LookupPredictor(data, wrong=range(2))
    found = evaluate(other, data)
    figures.draw_samples(data, tmp_path / "a.png")
    figures.draw_one_hot(data, tmp_path / "a.png")
    figures.draw_balance([data, data], tmp_path / "a.png")
    figures.draw_pixels(data, 0, tmp_path / "a.png")
    figures.draw_confusion(found, tmp_path / "a.png")
    figures.draw_mistakes(data, found, tmp_path / "a.png")
    figures.draw_reliability(found, tmp_path / "a.png")
    figures.draw_parity(verify(model, other, data), tmp_path / "a.png")
    assert len(drawn) == 8
    assert [text for figure in drawn for text in cut_off(figure)] == []


def test_the_subtitle_of_few_mistakes_has_two_lines(drawn: list[Figure], tmp_path: Path) -> None:
    data = make_dataset(60)
    found = evaluate(LookupPredictor(data, wrong=(3,)), data)
    figures.draw_mistakes(data, found, tmp_path / "a.png")
    subtitle = drawn[0].texts[1].get_text()
    assert subtitle.replace("\n", " ") == (
        "1 of 1 mistake in 60 images: true class → predicted class, and the confidence"
    )
    assert cut_off(drawn[0]) == []


def test_a_long_note_of_a_suite_is_not_cut_off(drawn: list[Figure], tmp_path: Path) -> None:
    score = Score(100, 0.5, (0.4, 0.6), None)
    title = "A long title of a table " * 8
    table = Table("t", title, FOLDER * 3, ("all",), ("a", "b"), ((score, score),))
    draw_table(table, tmp_path / "a.png")
    assert cut_off(drawn[0]) == []


def test_lines_break_between_words_and_in_long_words() -> None:
    with style():
        assert wrapped("short", 1, size=9) == "short"
        assert wrapped("two words", 0.4, size=9) == "two\nwords"
        lines = wrapped("before " + "x" * 50 + " after", 1, size=9).split("\n")
        assert "".join(lines) == "before" + "x" * 50 + "after"
        assert lines[0] == "before"
        assert max(map(len, lines)) < 20
