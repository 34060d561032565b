"""`correct`: a run learns from images that it classified wrong, and forgets little."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from command_line import output_of
from pocketlens.cli import main
from pocketlens.errors import DataError, OptionError, OutputExistsError, RunError
from pocketlens.evaluation.accuracy import percent
from pocketlens.finetuning import correct
from pocketlens.pipeline import run
from pocketlens.recognizer import Recognizer
from pocketlens.run_folder import read_run


@pytest.fixture(scope="module")
def corrections(bars_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty inverted test images that the run classifies wrong."""
    folder = tmp_path_factory.mktemp("corrections")
    recognizer = Recognizer.load(bars_run)
    test = read_run(bars_run).load("test")
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
    before, after = read_run(bars_run), read_run(tmp_path / "b")
    assert before.evaluation
    assert after.evaluation
    assert said["before"] == {"test accuracy": before.evaluation.accuracy}
    assert said["after"] == {"test accuracy": after.evaluation.accuracy}


@pytest.mark.slow  # it measures photos and empty scenes twice
def test_it_prints_what_the_corrections_cost(
    picture_folder: Path, corrections: Path, tmp_path: Path
) -> None:
    """With the class `nothing` also on simulated photos and empty scenes."""
    settings = [f"data.source=folder:{picture_folder}", "data.extra=", "training.batch_size=64"]
    first = run("digits", out=tmp_path / "a", overrides=[*settings, "data.validation=0.2"])
    text = output_of("correct", tmp_path / "a", corrections, "--out", tmp_path / "b")
    second = read_run(tmp_path / "b")
    assert first.evaluation
    assert first.camera
    assert second.evaluation
    assert second.camera
    for line in (
        f"test accuracy: {percent(second.evaluation.accuracy)} "
        f"(before: {percent(first.evaluation.accuracy)})",
        f"false positives on empty scenes: {percent(second.camera.rejection.false.share)} "
        f"(before: {percent(first.camera.rejection.false.share)})",
    ):
        assert line in text.splitlines()


def test_a_run_with_few_images(corrections: Path, bars_run: Path, tmp_path: Path) -> None:
    """A tenth of them would be fewer than a batch, so it uses all of them."""
    pictures = tmp_path / "pictures"
    for label, wanted in (("stands", 5), ("lies", 4), ("slants", 4)):
        source = Path(str(read_run(bars_run).recipe.data.source).removeprefix("folder:")) / label
        (pictures / label).mkdir(parents=True)
        for file in sorted(source.iterdir())[:wanted]:
            shutil.copy(file, pictures / label)
    settings = ["input.height=12", "input.width=12", "network.channels=[4, 8]"]
    settings += [f"data.source=folder:{pictures}", "training.batch_size=8", "data.validation=0"]
    run("quick", out=tmp_path / "small", overrides=[*settings, "training.epochs=1"])
    label = min(place.name for place in corrections.iterdir())
    (tmp_path / "one" / label).mkdir(parents=True)
    shutil.copy(min((corrections / label).iterdir()), tmp_path / "one" / label)
    found = correct(tmp_path / "small", tmp_path / "one", out=tmp_path / "better")
    assert found.images == 1
    assert found.run.recipe.data.share == 1
    assert found.run.recipe.training.batch_size == 8


def test_an_emptied_class_is_left_out(bars_run: Path, corrections: Path, tmp_path: Path) -> None:
    """The preview removes the folder of a class with its last image, but macOS adds a file."""
    folder = tmp_path / "corrections"
    shutil.copytree(corrections, folder)
    label, *_ = sorted(place.name for place in folder.iterdir())
    count = len(list(folder.rglob("*.png"))) - len(list((folder / label).iterdir()))
    for name in (label, "__MACOSX"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()
        (folder / name / ".DS_Store").write_bytes(b"Bud1")
    (folder / "Thumbs.db").write_bytes(b"x")
    with pytest.warns(UserWarning, match=f"has class folders without images: {label}; they are"):
        found = correct(bars_run, folder, out=tmp_path / "out", overrides=["data.share=1"])
    assert found.images == count


def test_the_original_run_is_never_replaced(
    bars_run: Path, corrections: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(bars_run, folder)
    with pytest.raises(OptionError, match="is the run to start from; choose another --out"):
        correct(folder, corrections, out=folder, force=True)
    assert read_run(folder).missing == ()


def test_a_second_correction_does_not_show_the_first(
    bars_run: Path, corrections: Path, tmp_path: Path
) -> None:
    label = min(place.name for place in corrections.iterdir())
    shutil.copytree(corrections / label, tmp_path / "some" / label)
    correct(bars_run, tmp_path / "some", out=tmp_path / "out")
    shutil.copytree(corrections, tmp_path / "some", dirs_exist_ok=True)
    with pytest.raises(OutputExistsError, match="holds a run that was trained already; choose"):
        correct(bars_run, tmp_path / "some", out=tmp_path / "out")
    found = correct(bars_run, tmp_path / "some", out=tmp_path / "out", force=True)
    assert found.images == 20


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
