"""Runs side by side."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import pocketlens
from command_line import error_of, output_of
from pocketlens.errors import OptionError
from pocketlens.report.comparison_figure import draw_comparison
from pocketlens.run_comparison import RunComparison, compare_runs


@pytest.fixture(scope="module")
def folders(bars_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The run, and a copy with another recipe that stopped before the evaluation."""
    other = tmp_path_factory.mktemp("runs") / "other"
    shutil.copytree(bars_run, other)
    text = (other / "recipe.toml").read_text()
    (other / "recipe.toml").write_text(
        text.replace("epochs = 12", "epochs = 3").replace("Pocketlens", "Another")
    )
    (other / "metrics.json").unlink()
    return bars_run, other


def test_recipes_and_results(folders: tuple[Path, Path]) -> None:
    found = compare_runs(folders)
    run = pocketlens.read_run(folders[0])
    assert run.evaluation is not None
    first, second = found.runs
    assert first.settings == {"training.epochs": 12}
    assert second.settings == {"training.epochs": 3}
    assert first.accuracy == run.evaluation.accuracy
    assert first.interval == run.evaluation.interval
    assert first.file_bytes == second.file_bytes
    assert len(first.validation) == 12
    assert second.accuracy is None
    assert found.notes == (f"{folders[1]} has no test result yet",)


def test_the_command(folders: tuple[Path, Path], tmp_path: Path) -> None:
    figure = tmp_path / "runs.svg"
    printed = output_of("runs", "compare", *folders, "--figure", figure)
    assert "training.epochs" in printed
    assert "test accuracy" in printed
    assert figure.stat().st_size > 5000
    assert "already exists" in error_of("runs", "compare", *folders, "--figure", figure)
    assert '"training.epochs": 3' in output_of("runs", "compare", *folders, "--json")


@pytest.mark.parametrize("count", [0, 1])
def test_too_few(bars_run: Path, count: int) -> None:
    with pytest.raises(OptionError, match=f"two or more run folders; received: {count}"):
        compare_runs([bars_run] * count)


def test_one_twice(bars_run: Path) -> None:
    with pytest.raises(OptionError, match="named twice"):
        compare_runs([bars_run, bars_run / ".." / bars_run.name])


def test_other_images_and_chance(folders: tuple[Path, Path], bars_run: Path) -> None:
    other = folders[1].with_name("third")
    shutil.copytree(bars_run, other)
    (note,) = compare_runs([bars_run, other]).notes
    assert note.startswith("the confidence intervals of the accuracies overlap")
    text = (other / "data.json").read_text()
    (other / "data.json").write_text(text.replace('"source": "folder:', '"source": "folder:/x'))
    (note,) = compare_runs([bars_run, other]).notes
    assert note.startswith("the runs have different test images")


def test_a_figure_without_results(folders: tuple[Path, Path], tmp_path: Path) -> None:
    found = compare_runs(folders)
    empty = RunComparison(found.runs[1:], ())
    assert draw_comparison(empty, tmp_path / "a.svg").is_file()
