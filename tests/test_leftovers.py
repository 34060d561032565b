"""Nothing of an older model stays beside a new one, or it does not count any more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from command_line import output_of, run_command
from pocketlens.callbacks import Callback
from pocketlens.errors import OutputExistsError, RunError
from pocketlens.evaluation.robustness import Rejection, Share, SuiteResult
from pocketlens.evaluation.robustness.result import BINS
from pocketlens.files import digest
from pocketlens.pipeline import run
from pocketlens.recipe import load_recipe
from pocketlens.recognizer import Recognizer
from pocketlens.report import write_report
from pocketlens.run_contents import CONTENTS, stages_of
from pocketlens.run_folder import read_run
from pocketlens.run_state import KEPT

STAGES = stages_of(load_recipe("quick"))


@pytest.fixture
def folder(bars_run: Path, tmp_path: Path) -> Path:
    """A finished run, with results of the suite."""
    copy = tmp_path / "bars"
    shutil.copytree(bars_run, copy)
    (copy / "suite").mkdir(exist_ok=True)
    (copy / "suite" / "suite.json").write_text("{}")
    return copy


class Stop(Callback):
    """Ends the run when a stage starts."""

    def __init__(self, stage: str) -> None:
        self.at = stage

    def stage(self, name: str, *, done: bool) -> None:
        if name == self.at and not done:
            raise KeyboardInterrupt


def other_weights(folder: Path) -> None:
    """Replace the weights of a run by those of another training."""
    recognizer = Recognizer.load(folder)
    for parameter in recognizer.network.parameters():
        parameter.data.mul_(0.5)
    recognizer.save(folder / "weights.safetensors", force=True)


def camera() -> dict[str, Any]:
    """What is in `camera.json`."""
    share, histogram = Share.of("empty scenes", 1, 2), (1,) * BINS
    rejection = Rejection(
        "note", 0.5, 0.5, 0.5, 0.5, share, share, share, (), (), histogram, histogram
    )
    return SuiteResult("bars", ("a", "b"), 1, 0, (), rejection, (), 1.0).to_dict()


def edit(folder: Path, **tables: Any) -> None:
    """Change the recipe in the folder by hand."""
    recipe = load_recipe(folder / "recipe.toml").replace(**tables)
    (folder / "recipe.toml").write_text(recipe.to_toml())


@pytest.mark.parametrize("lost", ["data.json", "weights.safetensors", "figures/mistakes.png"])
def test_a_stage_that_starts_again_removes_what_came_after_it(folder: Path, lost: str) -> None:
    (folder / lost).unlink()
    (folder / "Bars.mlmodel").write_bytes(b"converted from the old weights")
    first = {"data.json": "data", "weights.safetensors": "train"}.get(lost, "evaluate")
    with pytest.raises(KeyboardInterrupt):
        run(folder / "recipe.toml", out=folder, callbacks=[Stop(first)])
    again = STAGES[STAGES.index(first) :]
    for item in CONTENTS:
        if item.stage in again and item.path not in KEPT:
            assert not (folder / item.path).exists(), item.path
    assert not list(folder.glob("*.mlpackage"))
    assert not list(folder.glob("*.mlmodel"))
    assert (folder / "suite").exists() == (first == "evaluate")
    assert [*json.loads((folder / "stages.json").read_text())] == [
        *STAGES[: STAGES.index(again[0])]
    ]
    found = read_run(folder)
    assert not any([found.model, found.app, found.check, found.report, found.parity])
    assert (folder / "app").is_dir()  # the user may have changed it
    done = run(folder / "recipe.toml", out=folder, resume=True)
    assert done.missing == ()
    assert done.model == folder / "Bars.mlpackage"
    assert not (folder / "Bars.mlmodel").exists()


def test_results_of_other_weights_do_not_count(folder: Path) -> None:
    other_weights(folder)
    found = read_run(folder)
    assert not any([found.metrics, found.evaluation, found.check])
    assert [*found.stages] == ["data"]
    assert set(found.figures) == {"samples.png", "pixels.png", "one_hot.svg", "balance.svg"}
    text = write_report(folder).read_text()
    assert "metrics.json" in text
    assert "test accuracy" not in text
    trained = digest(folder / "weights.safetensors")
    done = run(folder / "recipe.toml", out=folder)  # from the checkpoint
    assert done.missing == ()
    assert done.evaluation
    assert digest(folder / "weights.safetensors") != trained


def test_a_core_ml_file_that_was_converted_again_is_not_checked_yet(folder: Path) -> None:
    old = read_run(folder)
    output_of("convert", folder, "--precision", "float32", "--force")
    found = read_run(folder)
    assert found.evaluation == old.evaluation
    assert not any([found.check, found.parity, found.app])
    assert "parity.json" in found.missing
    assert "parity.svg" not in found.figures
    assert "max |Δp|" not in write_report(folder).read_text()
    run(folder / "recipe.toml", out=folder)
    assert read_run(folder).missing == ()


def test_results_on_camera_images_of_another_model_do_not_count(folder: Path) -> None:
    edit(folder, data={"nothing": 0.1}, augment={"name": "camera"})
    model = digest(folder / "Bars.mlpackage")
    for made_from, counts in (
        ({"model": model}, True),
        ({"model": "0" * 64}, False),
        ({"model": 5}, False),
    ):
        content = camera() | {"made_from": made_from}
        (folder / "camera.json").write_text(json.dumps(content))
        assert (read_run(folder).camera is not None) == counts
        assert ("camera.json" not in read_run(folder).missing) == counts


def test_results_on_camera_images_of_a_run_without_nothing_do_not_count(folder: Path) -> None:
    (folder / "camera.json").write_text(json.dumps(camera()))
    assert read_run(folder).camera is None
    assert "false positives" not in write_report(folder).read_text()


@pytest.mark.parametrize(
    ("tables", "stages", "old", "new"),
    [
        ({"model": {"name": "Other"}}, STAGES[3:], "Bars.mlpackage", "Other.mlpackage"),
        ({"model": {"format": "mlmodel"}}, STAGES[3:], "Bars.mlpackage", "Bars.mlmodel"),
        ({"app": {"name": "Other"}}, STAGES[5:], "app/Bars.xcodeproj", "app/Other.xcodeproj"),
    ],
)
def test_a_recipe_that_was_edited_in_the_folder(
    folder: Path, tables: dict[str, Any], stages: tuple[str, ...], old: str, new: str
) -> None:
    edit(folder, **tables)
    listener = Recorder()
    done = run(folder / "recipe.toml", out=folder, callbacks=[listener])
    assert listener.repeated == [*stages]
    assert (folder / new).exists()
    assert not (folder / old).exists()
    assert done.missing == ()


class Recorder(Callback):
    def __init__(self) -> None:
        self.repeated: list[str] = []

    def stage(self, name: str, *, done: bool) -> None:
        if not done:
            self.repeated.append(name)


def test_an_edited_training_is_refused_by_its_checkpoint(folder: Path) -> None:
    edit(folder, training={"epochs": 2})
    with pytest.raises(RunError, match=r"belongs to another recipe \(training.epochs: 2, not 12\)"):
        run(folder / "recipe.toml", out=folder)
    assert "test accuracy" not in write_report(folder).read_text()


def test_force_with_a_damaged_recipe_finds_the_core_ml_file(folder: Path) -> None:
    settings = [f"{k}={v}" for k, v in (("input.height", 12), ("input.width", 12))]
    source = read_run(folder).recipe.data.source
    (folder / "recipe.toml").write_text("damaged")
    sets = [*settings, f"data.source={source}", "training.batch_size=30"]
    run("quick", out=folder, overrides=sets, until="data", force=True)
    assert not (folder / "Bars.mlpackage").exists()


def test_a_run_of_an_older_version_still_counts(folder: Path) -> None:
    """Its files do not say what they belong to."""
    for name in ("metrics.json", "parity.json"):
        content = json.loads((folder / name).read_text())
        del content["made_from"]
        (folder / name).write_text(json.dumps(content))
    stages = json.loads((folder / "stages.json").read_text())
    plain = {stage: entry["seconds"] for stage, entry in stages.items()}
    (folder / "stages.json").write_text(json.dumps(plain))
    found = read_run(folder)
    assert found.missing == ()
    assert found.stages == plain
    assert found.app


def test_a_failed_data_check_leaves_nothing(picture_folder: Path, tmp_path: Path) -> None:
    """Neither the folder nor the ones above it; so the next try is not refused."""
    pictures = tmp_path / "pictures"
    shutil.copytree(picture_folder, pictures)
    copied = pictures / "stands" / "copied.png"
    shutil.copy(min((pictures / "lies").iterdir()), copied)
    out = tmp_path / "new" / "runs" / "bars"
    words = ["run", "quick", "--data", pictures, "--out", out]
    for each in ("input.height=12", "input.width=12", "training.batch_size=30"):
        words += ["--set", each]
    status, _, err = run_command(*words)
    assert status == 2
    assert copied.name in err
    assert not (tmp_path / "new").exists()
    out.mkdir(parents=True)
    status, _, err = run_command(*words)
    assert status == 2
    assert copied.name in err
    assert out.is_dir()
    assert not list(out.iterdir())
    copied.unlink()
    settings = ["input.height=12", "input.width=12", "training.batch_size=60"]
    settings += [f"data.source=folder:{pictures}"]
    assert run("quick", out=out, overrides=settings, until="data").data


def test_a_run_that_failed_before_its_training_makes_room(
    picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ["input.height=12", "input.width=12", "training.batch_size=30"]
    settings += [f"data.source=folder:{picture_folder}"]
    with pytest.raises(KeyboardInterrupt):
        run("quick", out=tmp_path / "run", overrides=settings, callbacks=[Stop("train")])
    assert read_run(tmp_path / "run").data
    again = run("quick", out=tmp_path / "run", overrides=[*settings, "seed=1"], until="data")
    assert again.recipe.seed == 1
    # A recipe that somebody wrote is not replaced.
    mine = tmp_path / "mine"
    mine.mkdir()
    text = "# my recipe\n" + again.recipe.to_toml()
    (mine / "recipe.toml").write_text(text)
    with pytest.raises(OutputExistsError, match="holds a run of another recipe"):
        run("quick", out=mine, overrides=settings, until="data")
    assert (mine / "recipe.toml").read_text() == text
