"""`run`: stages in order, resumable; reports fallbacks; stops when a check fails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from pocketlens import augment, files, networks, pipeline
from pocketlens.callbacks import Callback
from pocketlens.data import survey
from pocketlens.data.idx_sets import SETS
from pocketlens.errors import (
    CheckFailedError,
    DataNotFoundError,
    OptionError,
    OutputError,
    OutputExistsError,
    RecipeError,
    RunError,
)
from pocketlens.files import size_on_disk
from pocketlens.networks.backbones import method_errors
from pocketlens.pipeline import run
from pocketlens.recipe import list_recipes, load_recipe
from pocketlens.report import write_report
from pocketlens.run_contents import CONTENTS, WEB, stages_of
from pocketlens.run_folder import read_run
from pocketlens.run_state import open_run

STAGES = stages_of(load_recipe("quick"))

SMALL = ["network.channels=[4, 8]", "training.epochs=1", "input.height=12", "input.width=12"]


class Listener(Callback):
    def __init__(self) -> None:
        self.stages: list[tuple[str, bool]] = []
        self.notes: list[str] = []

    def stage(self, name: str, *, done: bool) -> None:
        self.stages.append((name, done))

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_finished_run_has_every_file(bars_run: Path) -> None:
    found = read_run(bars_run)
    assert found.missing == ()
    assert tuple(found.stages) == STAGES
    names = ["recipe.toml", "data.json", "history.jsonl", "weights.safetensors", "checkpoint"]
    names += ["metrics.json", "parity.json", "Bars.mlpackage", "app/Bars.xcodeproj", "report.html"]
    names += [f"figures/{n}.png" for n in ("samples", "pixels", "mistakes")]
    names += [
        f"figures/{n}.svg"
        for n in ("one_hot", "balance", "history", "confusion", "reliability", "parity")
    ]
    for name in names:
        assert (bars_run / name).exists(), name
    assert not list(bars_run.rglob("*.part"))
    assert found.evaluation and found.evaluation.accuracy > 0.9
    assert found.parity and found.parity.passed
    assert found.data and found.data.train + found.data.validation == 240
    assert found.check and found.check.file_bytes == size_on_disk(bars_run / "Bars.mlpackage")


@pytest.mark.slow
def test_a_recognizer_with_the_class_nothing_is_tested_on_empty_scenes(
    picture_folder: Path, tmp_path: Path
) -> None:
    settings = [f"data.source=folder:{picture_folder}", "data.extra=", "training.batch_size=64"]
    found = run("digits", out=tmp_path / "bars", overrides=[*settings, "data.validation=0.2"])
    assert found.missing == ()
    assert found.evaluation and found.evaluation.classes[-1] == "nothing"
    assert found.camera
    assert found.camera.tables == ()
    assert "only possible for the digits 0 to 9" in found.camera.left_out[0]
    assert found.camera.rejection.false.n == 1000
    html = (tmp_path / "bars" / "report.html").read_text()
    assert 'id="camera"' in html
    assert 'class="figure-augmented"' in html


def test_a_second_call_continues_after_the_last_stage(picture_folder: Path, tmp_path: Path) -> None:
    settings = [*SMALL, f"data.source=folder:{picture_folder}", "training.batch_size=30"]
    first, second = Listener(), Listener()
    run("quick", out=tmp_path / "run", overrides=settings, until="train", callbacks=[first])
    assert first.stages == [("data", False), ("train", False)]
    weights = (tmp_path / "run" / "weights.safetensors").stat().st_mtime_ns
    run("quick", out=tmp_path / "run", overrides=settings, until="evaluate", callbacks=[second])
    assert second.stages == [("data", True), ("train", True), ("evaluate", False)]
    assert (tmp_path / "run" / "weights.safetensors").stat().st_mtime_ns == weights


def test_force_removes_the_whole_old_run_and_nothing_else(
    picture_folder: Path, bars_run: Path, tmp_path: Path
) -> None:
    settings = [*SMALL, f"data.source=folder:{picture_folder}", "training.batch_size=30"]
    out = tmp_path / "run"
    shutil.copytree(bars_run, out)
    for item in CONTENTS:  # also what this recipe does not write, such as camera.json and suite/
        path = out / item.path
        if item.path == WEB:  # it may be a repository of git; `tests/web/test_stage.py`
            continue
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_text("old")
    (out / "notes.txt").write_text("mine")
    again = Listener()
    run(
        "quick",
        out=out,
        overrides=[*settings, "seed=1"],
        until="data",
        force=True,
        callbacks=[again],
    )
    assert again.stages == [("data", False)]
    assert (out / "notes.txt").read_text() == "mine"
    written = {"recipe.toml", "data.json", "data_check.json", "stages.json", "figures", "notes.txt"}
    assert {path.name for path in out.iterdir()} == written
    figures = {path.name for path in (out / "figures").iterdir()}
    assert figures == {"samples.png", "pixels.png", "one_hot.svg", "balance.svg"}
    assert read_run(out).recipe.seed == 1


def test_offline_the_strokes_are_used_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POCKETLENS_DATA", str(tmp_path / "empty"))
    monkeypatch.setitem(SETS, "mnist", replace(SETS["mnist"], mirrors=()))
    listener = Listener()
    out = tmp_path / "run"
    done = run("quick", out=out, overrides=SMALL, until="data", callbacks=[listener])
    assert done.data and done.data.source == "strokes"
    assert "using the built-in strokes digits" in listener.notes[0]
    assert done.data.note == listener.notes[0]

    with pytest.raises(DataNotFoundError, match="pocketlens data download mnist") as caught:
        run("quick", out=tmp_path / "other", overrides=[*SMALL, "data.source=mnist"])
    assert str(tmp_path / "empty" / "mnist") in str(caught.value)
    assert "train-images-idx3-ubyte" in str(caught.value)


def test_a_run_stops_if_the_core_ml_file_disagrees(
    picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The classic bug itself: the file is converted without its scale."""
    from pocketlens import conversion
    from pocketlens.image import InputSpec
    from pocketlens.recognizer import Recognizer

    honest = conversion.convert

    def without_scale(recognizer: Any, *args: Any, **kwargs: Any) -> Path:
        raw = InputSpec(12, 12, scale=(1.0,))
        network, choice = recognizer.network, recognizer.choice
        return honest(Recognizer(network, choice, recognizer.classes, raw), *args, **kwargs)

    monkeypatch.setattr(conversion, "convert", without_scale)
    settings = [*SMALL, f"data.source=folder:{picture_folder}", "training.batch_size=30"]
    settings += ["training.epochs=6"]
    with pytest.raises(CheckFailedError, match=r"does not agree with the trained network") as error:
        run("quick", out=tmp_path / "run", overrides=settings)
    command = f"pocketlens run {tmp_path}/run/recipe.toml --out {tmp_path}/run-float32"
    assert str(error.value).endswith(f"try float32: {command} --set model.precision=float32")
    assert "verify" not in read_run(tmp_path / "run").stages
    assert not (tmp_path / "run" / "app").exists()


def test_damaged_run_folders(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run folder: it has no recipe.toml; create"):
        read_run(tmp_path)
    (tmp_path / "recipe.toml").write_text(load_recipe("quick").to_toml())
    for name in ("metrics.json", "parity.json", "data.json", "stages.json", "history.jsonl"):
        for damage in (b"{", b"[]", b"\xff", b"{}", b'{"recognizer": 3}', b"[" * 100_000):
            if name == "stages.json" and damage.endswith(b"}"):  # that is a table of seconds
                continue
            (tmp_path / name).write_bytes(damage)
            with pytest.raises(
                RunError,
                match=rf"{name} is damaged: .*; restore it, or start again with: pocketlens run",
            ):
                read_run(tmp_path)
        (tmp_path / name).unlink()


def test_unknown_stage() -> None:
    with pytest.raises(OptionError, match="there is no stage 'trian'; did you mean 'train'"):
        run("quick", until="trian")


def test_nothing_is_written_for_an_invalid_recipe(tmp_path: Path) -> None:
    settings = ["network.chanels=[1]", "augment.name=spin", "app.team=abc", "model.name=a:b"]
    settings += ["name=../up"]
    with pytest.raises(RecipeError) as caught:
        run("quick", out=tmp_path / "run", overrides=settings)
    assert len(caught.value.errors) == 5
    assert not (tmp_path / "run").exists()


def test_all_errors_of_a_recipe_are_reported_together(tmp_path: Path) -> None:
    """Those of the file and those of what it names, in one error."""
    pictures = tmp_path / "pictures"
    for name in ("cat", "dog"):
        (pictures / name).mkdir(parents=True)
    (pictures / "cat" / "1.png").touch()
    settings = [f"data.source=folder:{pictures}", "training.epochs=0", "input.height=4"]
    settings += ["augment={name='shift', pixels=99}", "data.extra=strkes", "app.bundle_id=x"]
    with pytest.raises(RecipeError) as caught:
        pipeline.check("quick", settings)
    assert caught.value.errors[:5] == (
        "training.epochs must be from 1 to 100000; received: 0",
        f"{pictures} has class folders without images: dog; add images to them or remove them",
        "data source 'strkes' is not known; did you mean 'strokes'? "
        "(more about them: pocketlens data list); there is no folder 'strkes' either",
        "network 'strided' needs inputs of at least 11 × 11 with its margin; received: 4 × 28",
        "augment.pixels must be an integer from 0 to 4; received: 99",
    )
    assert len(caught.value.errors) == 6
    assert "bundle" in caught.value.errors[5]
    assert str(caught.value).startswith("recipe 'quick' has 6 errors: training.epochs must be from")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (["training.batch_size=97"],
         "training.batch_size is at most the number of training images, 96; received: 97"),
        (["training.batch_size=90", "data.validation=0.5"],
         "training.batch_size is at most the number of training images, 60; received: 90"),
        (["data.source=folder:nowhere"],
         "nowhere does not exist; expected a folder with one subfolder of images per class"),
        (["data.source=cifar"], "data source 'cifar' is not known; expected one of: auto, mnist, "
         "fashion-mnist, kmnist, emnist-digits, emnist-letters, strokes, doodles, "
         "quickdraw:NAMES, folder:PATH, csv:PATH "
         "(more about them: pocketlens data list); there is no folder 'cifar' either"),
        (["data.extra=strokes"], "data.extra has classes that data.source has not: 0, 1, 2, 3, 4, "
         "5, 6, 7, 8, 9; those of data.source are: lies, slants, stands"),
        (["data.nothing=0.1"], "data.nothing is 0.1, but augment 'none' cannot make frames "
         "without a class; augmentations that can: camera, warp"),
    ],
)  # fmt: skip
def test_settings_that_the_data_does_not_allow(
    picture_folder: Path, tmp_path: Path, settings: list[str], text: str
) -> None:
    few = tmp_path / "few"
    for file in sorted(picture_folder.rglob("*.png"))[::2]:
        (few / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, few / file.parent.name)
    first = [f"data.source=folder:{few}", "data.validation=0.2", "training.batch_size=8"]
    with pytest.raises(RecipeError) as caught:
        run("quick", out=tmp_path / "run", overrides=[*SMALL, *first, *settings])
    assert caught.value.errors == (text,)
    assert not (tmp_path / "run").exists()


def test_a_batch_is_at_most_all_images(picture_folder: Path, tmp_path: Path) -> None:
    """Of the recipe; a larger one that the user asks for is an error, see above."""
    settings = [*SMALL, f"data.source=folder:{picture_folder}", "data.validation=0.2"]
    asked = load_recipe("quick").training.batch_size
    listener = Listener()
    done = run("quick", out=tmp_path, overrides=settings, until="data", callbacks=[listener])
    assert done.data
    assert done.recipe.training.batch_size == done.data.train == 192 < asked
    note = f"training.batch_size is 192 instead of {asked}, as there are no more training images"
    assert note in listener.notes
    again = run("quick", out=tmp_path, overrides=iter(settings), until="train")
    assert again.recipe == done.recipe
    assert again.history
    whole = pipeline.check("quick", [*settings, "training={batch_size=10, epochs=1}"])
    assert whole.training.batch_size == 10


def test_a_folder_that_is_removed_during_a_stage(picture_folder: Path, tmp_path: Path) -> None:
    class Remover(Callback):
        def stage(self, name: str, *, done: bool) -> None:
            shutil.rmtree(tmp_path / "run")

    settings = [*SMALL, f"data.source=folder:{picture_folder}", "training.batch_size=30"]
    with pytest.raises(
        OutputError,
        match="run was removed or renamed during the stage 'data'; restore it, or start",
    ):
        run("quick", out=tmp_path / "run", overrides=settings, until="data", callbacks=[Remover()])


def test_images_that_were_loaded_are_not_checked_again(
    picture_folder: Path, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    shutil.copytree(picture_folder, pictures)
    settings = [*SMALL, f"data.source=folder:{pictures}", "training.batch_size=30"]
    run("quick", out=tmp_path / "run", overrides=settings, until="train")
    shutil.rmtree(pictures)
    done = run("quick", out=tmp_path / "run", overrides=settings, until="train")
    assert "train" in done.stages
    with pytest.raises(RecipeError, match="pictures does not exist"):
        run("quick", out=tmp_path / "run", overrides=settings, until="train", force=True)
    assert (tmp_path / "run" / "weights.safetensors").exists()


@pytest.mark.parametrize("lives", [False, True])
def test_a_folder_with_nothing_but_a_killed_ones_recipe(tmp_path: Path, *, lives: bool) -> None:
    """The first file of a run was being written when the process was killed."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        left = tmp_path / f".recipe.toml.{process.pid:x}-{files._machine()}-0123abcd.part"
        left.write_text("name =")
        if lives:
            with pytest.raises(OutputExistsError, match="is not empty and is not a run folder"):
                open_run(tmp_path, load_recipe("quick"), resume=False, force=False)
            return
    finally:
        process.communicate(b"\n")
    assert open_run(tmp_path, load_recipe("quick"), resume=False, force=False)
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.toml"]


def test_stages_json_is_written_after_each_stage(picture_folder: Path, tmp_path: Path) -> None:
    recorded: list[list[str]] = []

    class Reader(Callback):
        def stage(self, name: str, *, done: bool) -> None:
            stages = tmp_path / "run" / "stages.json"
            recorded.append([*json.loads(stages.read_text())] if stages.exists() else [])

    settings = [*SMALL, f"data.source=folder:{picture_folder}", "training.batch_size=30"]
    run("quick", out=tmp_path / "run", overrides=settings, until="verify", callbacks=[Reader()])
    assert recorded == [list(STAGES[:count]) for count in range(5)]


@pytest.mark.parametrize("name", list_recipes())
def test_a_shipped_recipe_is_sound(name: str) -> None:
    """So `check` need not import PyTorch to find that out."""
    recipe = load_recipe(name)
    assert not networks.errors(recipe.network, recipe.input)
    found = augment.errors(recipe.augment, nothing=recipe.data.nothing, input_spec=recipe.input)
    assert not found
    if recipe.training.on_features:
        for method in ("features", "fine-tune"):
            assert not method_errors(method, recipe.network)


def test_checking_a_shipped_recipe_imports_no_pytorch() -> None:
    code = "import sys; from pocketlens.pipeline import check; check('quick', sys.argv[1:])"
    code += "; print('torch' in sys.modules)"
    words = [sys.executable, "-c", code]
    for settings, imported in (([], b"False"), (["training.epochs=2"], b"False")):
        assert subprocess.check_output([*words, *settings]).split() == [imported]
    assert subprocess.check_output([*words, "network.margin=2"]).split() == [b"True"]


@pytest.mark.parametrize(
    ("lost", "repeated"),
    [
        ("report.html", ["report"]),
        ("app", ["app", "report"]),
        ("Bars.mlpackage", ["convert", "verify", "app", "report"]),
        ("figures/mistakes.png", ["evaluate", "convert", "verify", "app", "report"]),
        ("metrics.json", [*STAGES[1:]]),
        ("data.json", [*STAGES]),
    ],
)
def test_what_is_missing_is_written_again(
    bars_run: Path, tmp_path: Path, lost: str, repeated: list[str]
) -> None:
    folder = tmp_path / "bars"
    shutil.copytree(bars_run, folder)
    weights = load_file(folder / "weights.safetensors")
    path = folder / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    listener = Listener()
    done = run(load_recipe(folder / "recipe.toml"), out=folder, callbacks=[listener])
    assert [name for name, skipped in listener.stages if not skipped] == repeated
    assert path.exists()
    assert done.missing == ()
    assert done.report
    for name, tensor in load_file(folder / "weights.safetensors").items():
        np.testing.assert_array_equal(tensor, weights[name], "it is not trained again")


def test_force_keeps_core_ml_files_of_others(bars_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bars"
    shutil.copytree(bars_run, folder)
    (folder / "Mine.mlpackage").mkdir()
    (folder / "figures" / "mine.png").write_text("mine")
    run(load_recipe(folder / "recipe.toml"), out=folder, until="data", force=True)
    assert (folder / "Mine.mlpackage").is_dir()
    assert (folder / "figures" / "mine.png").read_text() == "mine"
    assert not (folder / "Bars.mlpackage").exists()


def test_force_removes_nothing_outside_the_folder(bars_run: Path, tmp_path: Path) -> None:
    folder, other = tmp_path / "bars", tmp_path / "Other.mlpackage"
    shutil.copytree(bars_run, folder)
    other.mkdir()
    recipe = load_recipe(folder / "recipe.toml")
    outside = recipe.replace(model={"name": "../Other"})
    (folder / "recipe.toml").write_text(outside.to_toml())
    run(recipe, out=folder, until="data", force=True)
    assert other.is_dir()


def test_callbacks_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match="callbacks must be a list of pocketlens.Callback objects"
    ):
        run("quick", out=tmp_path / "run", callbacks=[print])  # type: ignore[list-item]
    assert not (tmp_path / "run").exists()


def test_the_files_are_checked_before_the_first_stage_loads_them(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    place = tmp_path / "photos"
    for name in ("a", "b <i>"):
        (place / name).mkdir(parents=True)
        for number in range(6):
            pixels = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            image = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC)
            image.save(place / name / f"{number}.png")
    Image.open(place / "a" / "0.png").resize((48, 48)).save(place / "b <i>" / "again.png")
    settings = [*SMALL, f"data.source=folder:{place}"]
    out = tmp_path / "run"
    options: dict[str, Any] = {"overrides": settings, "until": "data"}
    with pytest.raises(CheckFailedError, match=r"1 problem.*a/0.png = b <i>/again.png.*--strict"):
        run("quick", out=out, strict=True, **options)
    assert not out.exists()
    listener = Listener()
    opened = Mock()
    with patch.object(survey, "open_with_facts", opened):
        found = run("quick", out=out, callbacks=[listener], **options)
    assert not opened.called  # the strict run has opened all of them
    assert found.data_check
    assert not found.data_check.passed
    assert found.data_check.counts == {"all": {"a": 6, "b <i>": 7}}
    assert any("PROBLEM: 2 file(s) show nearly the same" in note for note in listener.notes)
    assert len(listener.notes) <= 6
    assert (out / "figures" / "findings.png").is_file()
    page = write_report(out).read_text()
    assert "Check of the files" in page
    assert "b &lt;i&gt;/again.png" in page
    with pytest.raises(CheckFailedError, match="1 problem"):
        run("quick", out=out, strict=True, **options)
