"""The suite's figures, and its folder: whole or not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from pocketlens.errors import OptionError, OutputError, OutputExistsError
from pocketlens.evaluation.robustness import Rejection, Score, Share, SuiteResult, Table
from pocketlens.report.canvas import STYLE
from pocketlens.report.suite_figures import draw_rejection, draw_table, write_suite


def score(right: int, n: int = 50) -> Score:
    share = Share.of("", right, n)
    return Score(n, share.share, share.interval, 0.02)


def table(name: str, rows: tuple[str, ...], columns: tuple[str, ...]) -> Table:
    many = len(columns)
    scores = tuple(
        tuple(score(50 - 3 * (many * y + x)) for x in range(many)) for y in range(len(rows))
    )
    return Table(name, f"The {name}", "made by hand", rows, columns, scores)


@pytest.fixture
def turns() -> Table:
    return table("turns", ("accuracy",), ("-5°", "0°", "+5°"))


@pytest.fixture
def position() -> Table:
    return table("position", ("up", "down"), ("left", "right"))


@pytest.fixture
def camera() -> Table:
    return table("camera", ("accuracy",), ("all", "white paper", "blackboard"))


@pytest.fixture
def rejection() -> Rejection:
    return Rejection(
        note="by hand",
        threshold=0.7,
        present=0.9,
        auroc=0.9876,
        fpr=0.125,
        kept=Share.of("kept", 45, 50),
        right=Share.of("kept and right", 44, 50),
        false=Share.of("false answers to nothing", 5, 50),
        kept_by_kind=(Share.of("white paper", 20, 20), Share.of("blackboard", 25, 30)),
        false_by_kind=(Share.of("wall", 0, 25), Share.of("scribble", 5, 25)),
        digits=(*([0] * 18), 10, 40),
        nothing=(40, *([0] * 18), 10),
    )


@pytest.fixture
def result(turns, position, camera, rejection) -> SuiteResult:
    tables = (turns, position, camera)
    return SuiteResult("made/test", ("0", "1"), 50, 0, tables, rejection, ("this: why",), 1.5)


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """The figures written while a test runs."""
    monkeypatch.setitem(STYLE, "savefig.dpi", 40)
    written = []
    savefig = Figure.savefig

    def keep(self, *args, **kwargs):
        written.append(self)
        return savefig(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    return written


def texts(figure: Figure) -> list[str]:
    return [found.get_text() for found in figure.findobj(Text) if found.get_text()]


def test_numbers_make_a_curve(turns: Table, drawn, tmp_path: Path) -> None:
    draw_table(turns, tmp_path / "turns.png")
    curve = drawn[0].axes[0].lines[0]
    assert list(curve.get_xdata()) == [-5, 0, 5]
    assert list(curve.get_ydata()) == pytest.approx([100, 94, 88])
    error = drawn[0].axes[0].lines[1]
    assert list(error.get_ydata()) == pytest.approx([2, 2, 2])
    assert {"The turns", "made by hand", "+5°"} <= set(texts(drawn[0]))


def test_rows_and_columns_make_a_map(position: Table, drawn, tmp_path: Path) -> None:
    draw_table(position, tmp_path / "position.png")
    axes = drawn[0].axes[0]
    assert [t.get_text() for t in axes.texts] == ["100.0", "94.0", "88.0", "82.0"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["up", "down"]
    picture = axes.images[0].get_array()
    assert picture.shape == (2, 2, 3)
    assert picture[0, 0].tolist() == [1, 1, 1]  # without mistakes it is white
    assert picture[0, 1, 2] > picture[1, 1, 2]  # more mistakes, less blue


def test_names_make_bars(camera: Table, drawn, tmp_path: Path) -> None:
    draw_table(camera, tmp_path / "camera.png")
    axes = drawn[0].axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([100, 94, 88])
    assert [t.get_text() for t in axes.get_yticklabels()] == ["all", "white paper", "blackboard"]
    assert "94.00 %" in texts(drawn[0])


def test_of_many_classes_the_worst_are_drawn(drawn, tmp_path: Path) -> None:
    names = ("all", *(f"class {k}" for k in range(100)))
    scores = (score(25), *(score(k % 50) for k in range(100)))
    many = Table("clean", "Clean", "made", ("accuracy",), names, (scores,))
    draw_table(many, tmp_path / "clean.png")
    assert len(drawn[0].axes[0].patches) == 30
    assert {"all", "class 0", "class 50"} <= set(texts(drawn[0]))
    assert "made; the 29 worst" in texts(drawn[0])


def test_rejection_shows_scores_and_kinds(rejection: Rejection, drawn, tmp_path: Path) -> None:
    draw_rejection(rejection, tmp_path / "rejection.png")
    upper, lower = drawn[0].axes
    assert upper.lines[0].get_xdata()[0] == 0.9
    assert [bar.get_width() for bar in lower.patches] == pytest.approx([100, 250 / 3, 0, 20])
    assert any("AUROC 0.9876" in text and "90.00 % of digits" in text for text in texts(drawn[0]))


def test_the_folder_has_the_result_and_a_figure_for_each_table(result, tmp_path: Path) -> None:
    written = write_suite(result, tmp_path / "out")
    names = ["suite.json", "turns.svg", "position.svg", "camera.svg", "rejection.svg"]
    assert written == [tmp_path / "out" / name for name in names]
    assert all(path.is_file() for path in written)
    assert SuiteResult.from_dict(json.loads(written[0].read_text())) == result
    again = write_suite(result, tmp_path / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in written]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "out"]


def test_a_folder_is_replaced_only_if_it_is_a_suites_and_force_is_set(result, tmp_path) -> None:
    out = tmp_path / "out"
    write_suite(result, out)
    (out / "old.svg").touch()
    with pytest.raises(OutputExistsError, match="out exists; choose another output or pass --for"):
        write_suite(result, out)
    write_suite(result, out, force=True)
    assert not (out / "old.svg").exists()
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.txt").touch()
    with pytest.raises(OutputExistsError, match="thesis holds something else than a suite's resu"):
        write_suite(result, other, force=True)
    assert [path.name for path in other.iterdir()] == ["chapter.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_end_in_the_middle_leaves_nothing(result, tmp_path, monkeypatch, error) -> None:
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("pocketlens.report.suite_figures.draw_rejection", fail)
    expected = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_suite(result, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_other_suffixes_are_refused(turns: Table, tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match=r"a figure is a .png or .svg file; received: .*turns.pdf"
    ):
        draw_table(turns, tmp_path / "turns.pdf")
