"""The figures of the suite, and its folder: written completely or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from pocketlens.errors import OptionError, OutputError, OutputExistsError
from pocketlens.evaluation.robustness import Rejection, Score, Share, SuiteResult, Table
from pocketlens.report.suite_figures import draw_rejection, draw_table, write_suite
from report.figure_contents import bars, images, texts, x_values, y_values


def score(right: int, n: int = 50) -> Score:
    share = Share.of("", right, n)
    return Score(n, share.share, share.interval, 0.02)


def table(name: str, rows: tuple[str, ...], columns: tuple[str, ...]) -> Table:
    many = len(columns)
    scores = tuple(
        tuple(score(50 - 3 * (many * y + x)) for x in range(many)) for y in range(len(rows))
    )
    return Table(name, f"The {name}", "a test table", rows, columns, scores)


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
        note="a test result",
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
def result(turns: Table, position: Table, camera: Table, rejection: Rejection) -> SuiteResult:
    tables = (turns, position, camera)
    return SuiteResult("made/test", ("0", "1"), 50, 0, tables, rejection, ("this: why",), 1.5)


def test_a_table_with_numbers_becomes_a_curve(
    turns: Table, drawn: list[Figure], tmp_path: Path
) -> None:
    draw_table(turns, tmp_path / "turns.png")
    curve = drawn[0].axes[0].lines[0]
    assert x_values(curve) == [-5, 0, 5]
    assert y_values(curve) == pytest.approx([100, 94, 88])
    error = drawn[0].axes[0].lines[1]
    assert y_values(error) == pytest.approx([2, 2, 2])
    assert {"The turns", "a test table", "+5°"} <= set(texts(drawn[0]))


def test_a_table_with_several_rows_becomes_a_heat_map(
    position: Table, drawn: list[Figure], tmp_path: Path
) -> None:
    draw_table(position, tmp_path / "position.png")
    axes = drawn[0].axes[0]
    assert [t.get_text() for t in axes.texts] == ["100.0", "94.0", "88.0", "82.0"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["up", "down"]
    (pixels,) = images(drawn[0])
    assert pixels.shape == (2, 2, 3)
    assert pixels[0, 0].tolist() == [1, 1, 1]  # white: no mistakes
    assert pixels[0, 1, 2] > pixels[1, 1, 2]  # more mistakes, less blue


def test_a_table_with_names_becomes_bars(
    camera: Table, drawn: list[Figure], tmp_path: Path
) -> None:
    draw_table(camera, tmp_path / "camera.png")
    axes = drawn[0].axes[0]
    assert [bar.get_width() for bar in bars(axes)] == pytest.approx([100, 94, 88])
    assert [t.get_text() for t in axes.get_yticklabels()] == ["all", "white paper", "blackboard"]
    assert "94.00 %" in texts(drawn[0])


def test_only_the_lowest_of_many_classes_are_drawn(drawn: list[Figure], tmp_path: Path) -> None:
    names = ("all", *(f"class {k}" for k in range(100)))
    scores = (score(25), *(score(k % 50) for k in range(100)))
    many = Table("clean", "Clean", "made", ("accuracy",), names, (scores,))
    draw_table(many, tmp_path / "clean.png")
    assert len(drawn[0].axes[0].patches) == 30
    assert {"all", "class 0", "class 50"} <= set(texts(drawn[0]))
    assert "made; the 29 lowest" in texts(drawn[0])


def test_rejection_shows_scores_and_kinds(
    rejection: Rejection, drawn: list[Figure], tmp_path: Path
) -> None:
    draw_rejection(rejection, tmp_path / "rejection.png")
    upper, lower = drawn[0].axes
    assert x_values(upper.lines[0])[0] == 0.9
    assert [bar.get_width() for bar in bars(lower)] == pytest.approx([100, 250 / 3, 0, 20])
    assert any("AUROC 0.9876" in text and "90.00 % of images" in text for text in texts(drawn[0]))


def test_the_folder_contains_the_result_and_a_figure_for_each_table(
    result: SuiteResult, tmp_path: Path
) -> None:
    written = write_suite(result, tmp_path / "out")
    names = ["suite.json", "turns.svg", "position.svg", "camera.svg", "rejection.svg"]
    assert written == [tmp_path / "out" / name for name in names]
    assert all(path.is_file() for path in written)
    assert SuiteResult.from_dict(json.loads(written[0].read_text())) == result
    again = write_suite(result, tmp_path / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in written]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "out"]


def test_only_force_replaces_a_folder_and_only_one_with_suite_results(
    result: SuiteResult, tmp_path: Path
) -> None:
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
    with pytest.raises(OutputExistsError, match="thesis does not contain the results of a suite"):
        write_suite(result, other, force=True)
    assert [path.name for path in other.iterdir()] == ["chapter.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interruption_leaves_nothing(
    result: SuiteResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("pocketlens.report.suite_figures.draw_rejection", fail)
    expected = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_suite(result, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_suffix_is_an_error(turns: Table, tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match=r"a figure must be a .png or .svg file; received: .*turns.pdf"
    ):
        draw_table(turns, tmp_path / "turns.pdf")
