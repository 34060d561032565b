"""`correct`: a run learns from images that it classified wrong, and forgets little."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pocketlens.cli import main
from pocketlens.errors import DataError, OutputExistsError, RunError
from pocketlens.finetuning import correct
from pocketlens.recognizer import Recognizer
from pocketlens.run_folder import read_run


@pytest.fixture(scope="module")
def corrections(bars_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty inverted test images that the run classifies wrong."""
    folder = tmp_path_factory.mktemp("corrections")
    run, recognizer = read_run(bars_run), Recognizer.load(bars_run)
    test = run.load("test")
    inverted = 255 - test.images
    wrong = np.flatnonzero(recognizer.probabilities(inverted).argmax(1) != test.labels)[:20]
    assert len(wrong) == 20
    for index in wrong:
        place = folder / test.classes[test.labels[index]]
        place.mkdir(exist_ok=True)
        Image.fromarray(inverted[index, ..., 0]).save(place / f"{index}.png")
    return folder


def test_it_learns_the_corrections(bars_run: Path, corrections: Path, tmp_path: Path) -> None:
    before = read_run(bars_run)
    found = correct(
        bars_run,
        corrections,
        out=tmp_path / "better",
        overrides=["data.share=1", "training.epochs=12", "training.learning_rate=0.02"],
    )
    assert (found.images, found.correct_before) == (20, 0)
    assert found.correct_after >= 15
    assert found.run.parity and found.run.parity.passed
    assert before.evaluation and found.run.evaluation
    assert found.run.evaluation.accuracy > before.evaluation.accuracy - 0.1
    assert found.run.recipe.training.start == str(bars_run)
    assert found.run.recipe.data.extra == f"folder:{corrections}"


def test_the_command(bars_run: Path, corrections: Path, tmp_path: Path) -> None:
    words = ["correct", str(bars_run), str(corrections), "--out", str(tmp_path / "b"), "--json"]
    words += ["--set", "data.share=1"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["images"] == 20
    assert said["correct_after"] >= said["correct_before"] == 0
    assert Path(said["model"]).exists()


def test_corrections_of_another_class(bars_run: Path, tmp_path: Path) -> None:
    (tmp_path / "odd" / "circle").mkdir(parents=True)
    Image.new("L", (9, 9)).save(tmp_path / "odd" / "circle" / "0.png")
    with pytest.raises(Exception, match="data.extra has classes that data.source has not: circle"):
        correct(bars_run, tmp_path / "odd", out=tmp_path / "out")


def test_invalid_runs_and_corrections(bars_run: Path, corrections: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="recipe.toml"):
        correct(tmp_path, corrections, out=tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has 0 class folder"):
        correct(bars_run, tmp_path / "empty", out=tmp_path / "out")
    with pytest.raises(OutputExistsError, match="holds"):
        correct(bars_run, corrections, out=bars_run)


def test_corrections_of_a_single_class(bars_run: Path, corrections: Path, tmp_path: Path) -> None:
    label = min(place.name for place in corrections.iterdir())
    shutil.copytree(corrections / label, tmp_path / "single" / label)
    found = correct(bars_run, tmp_path / "single", out=tmp_path / "out")
    assert found.images == len(list((corrections / label).iterdir()))
