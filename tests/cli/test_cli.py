"""The command line, as a user types it: text, JSON, exit status."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

import pocketlens
from command_line import error_of, output_of, run_command
from pocketlens.cli.datasets import source_name
from pocketlens.recipe import Recipe

ROOT = Path(__file__).parents[2]

COMMANDS = [
    "run", "train", "evaluate", "convert", "inspect", "predict", "explain", "verify", "app",
    "report", "ops", "onnx", "preview", "correct",
    "recipes list", "recipes show", "recipes copy", "data list", "data show", "data download",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_ends_in_examples(command: str) -> None:
    out = output_of(*command.split(), "--help")
    assert "--json" in out
    examples = out.partition("Examples:\n")[2].strip().splitlines()
    assert examples
    assert examples[0].strip().startswith(f"pocketlens {command.split()[0]}")


def test_data_may_be_any_folder(picture_folder: Path, tmp_path: Path) -> None:
    odd = tmp_path / "it's = 'odd' "
    shutil.copytree(picture_folder, odd)
    words = ["train", "quick", "--data", odd, "--out", tmp_path / "run"]
    for setting in ("input.height=12", "input.width=12", "network={name='strided', channels=[4]}"):
        words += ["--set", setting]
    output_of(*words, "--set", "training.batch_size=30")
    assert pocketlens.read_run(tmp_path / "run").recipe.data.source == f"folder:{odd}"


def test_a_built_in_source_wins_over_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist").mkdir()
    (tmp_path / "photos").mkdir()
    assert source_name("mnist") == "mnist"
    assert source_name("./mnist") == f"folder:{tmp_path / 'mnist'}"
    assert source_name("photos") == f"folder:{tmp_path / 'photos'}"
    assert source_name("folder:x") == "folder:x"


def test_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert output_of("--version") == f"pocketlens {project['version']}\n"
    assert pocketlens.__version__ == project["version"]


def test_no_summary_is_cut_off() -> None:
    lines = output_of("--help").partition("Commands:")[2].partition("Examples:")[0].splitlines()
    assert not [line for line in lines if line.rstrip().endswith("...")]


def test_all_commands_are_listed() -> None:
    out = output_of("--help")
    for command in COMMANDS:
        assert f"\n  {command.split()[0]} " in out


def test_recipes(tmp_path: Path) -> None:
    assert "quick" in output_of("recipes", "list")
    assert set(json.loads(output_of("recipes", "list", "--json"))) >= {"quick", "classic"}
    assert (
        json.loads(output_of("recipes", "show", "quick", "--json"))["training"]["device"] == "auto"
    )
    mine = tmp_path / "mine.toml"
    assert f"pocketlens run {mine}" in output_of("recipes", "copy", "quick", mine)
    assert mine.read_text() == output_of("recipes", "show", "quick")
    assert "already exists; choose another output or pass --force" in error_of(
        "recipes", "copy", "quick", mine
    )
    assert "did you mean 'classic'?" in error_of("recipes", "show", "clasic")


def test_data_show_and_list(tmp_path: Path, picture_folder: Path) -> None:
    source = f"folder:{picture_folder}"
    words = ["data", "show", source, "--size", 12, "--out", tmp_path / "shown", "--json"]
    shown = json.loads(output_of(*words))
    assert shown["shape"] == [240, 12, 12, 1]
    assert shown["counts"] == {"lies": 80, "slants": 80, "stands": 80}
    names = ["samples.png", "pixels.png", "one_hot.svg", "balance.svg"]
    assert [Path(f).name for f in shown["files"]] == names
    assert all(Path(f).stat().st_size > 1000 for f in shown["files"])
    assert "strokes" in output_of("data", "list")
    assert "--index must be below 240, the number of images; received: 999" in error_of(
        "data", "show", source, "--size", 12, "--index", 999
    )
    assert "did you mean 'mnist'?" in error_of("data", "show", "minst")
    assert "has nothing to download" in error_of("data", "download", "strokes")


def test_a_finished_run_is_not_repeated(bars_run: Path) -> None:
    before = {f: f.stat().st_mtime_ns for f in bars_run.rglob("*") if f.is_file()}
    out = json.loads(output_of("run", bars_run / "recipe.toml", "--out", bars_run, "--json"))
    assert {f: f.stat().st_mtime_ns for f in bars_run.rglob("*") if f.is_file()} == before
    assert out["accuracy"] > 0.9
    assert out["parity"]["passed"]
    for key in ("model", "app", "report"):
        assert Path(out[key]).exists()
    status, text, progress = run_command("run", bars_run / "recipe.toml", "--out", bars_run)
    assert status == 0
    assert progress.count("already done") == 7
    for words in ("Test accuracy", "95 % interval", "Parity", "Core ML file", "ms per image here"):
        assert words in text


def test_evaluate_a_run_and_its_core_ml_file(bars_run: Path) -> None:
    of_run = json.loads(output_of("evaluate", bars_run, "--json"))
    source = json.loads((bars_run / "data.json").read_text())["source"]
    of_file = json.loads(
        output_of("evaluate", bars_run / "Bars.mlpackage", "--data", source, "--json")
    )
    assert of_run["n"] == of_file["n"] == 60
    assert of_run["confusion"] == of_file["confusion"]
    assert "calibration error" in output_of("evaluate", bars_run)
    assert "contains no images; add --data SOURCE, such as --data mnist" in error_of(
        "evaluate", bars_run / "Bars.mlpackage"
    )


def test_verify(bars_run: Path) -> None:
    out = json.loads(output_of("verify", bars_run, "--json"))
    assert out["n"] == 60
    assert "label agreement 100.00 %" in output_of("verify", bars_run)
    status, out_text, err = run_command("verify", bars_run, "--mean-difference", "1e-12")
    assert status == 1
    assert "mean" in out_text
    assert "do not agree within the tolerance" in err
    model = bars_run / "Bars.mlpackage"
    expected = (
        f"pass a second model to compare with, and data: pocketlens verify {model} OTHER --data"
    )
    assert expected in error_of("verify", model)


@pytest.mark.slow
def test_an_unfinished_run_is_continued_by_the_command_in_the_error(
    bars_recipe: Recipe, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    pocketlens.run(bars_recipe, out=folder, until="data")
    # With --resume, as the training may have been interrupted.
    command = f"pocketlens run {folder}/recipe.toml --out {folder} --resume"
    for words, message in (
        (("preview", folder, "--no-open"), f"no Core ML model yet; resume the run with: {command}"),
        (("verify", folder), f"no Core ML model yet; resume the run with: {command}"),
        (("evaluate", folder), f"does not exist; train first: {command}"),
    ):
        assert message in error_of(*words)
    output_of(*command.split()[1:])
    assert pocketlens.read_run(folder).report


@pytest.mark.slow
def test_a_damaged_run_is_replaced_by_the_command_in_the_error(
    bars_recipe: Recipe, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    pocketlens.run(bars_recipe, out=folder, until="data")
    (folder / "data.json").write_text("{")
    command = f"pocketlens run {folder}/recipe.toml --out {folder} --force"
    assert error_of("report", folder).endswith(f"restore it, or start again with: {command}\n")
    output_of(*command.split()[1:])
    assert pocketlens.read_run(folder).data
    (folder / "recipe.toml").write_bytes(b"\xff")
    assert f"pocketlens run RECIPE --out {folder} --force" in error_of("report", folder)


def test_predict(bars_run: Path, picture_folder: Path) -> None:
    picture = sorted((picture_folder / "stands").iterdir())[0]
    model = bars_run / "Bars.mlpackage"
    (answer,) = json.loads(output_of("predict", model, picture, "--top", 2, "--json"))
    assert answer["label"] == "stands"
    assert len(answer["top"]) == 2
    assert output_of("predict", model, picture).startswith(f"{picture}: stands 9")
    assert "has an unsupported image format" in error_of("predict", model, bars_run / "recipe.toml")
    assert "does not exist" in error_of("predict", model, "nowhere.png")
    assert "nowhere.mlpackage" in error_of("predict", "nowhere.mlpackage", picture)


def test_inspect(bars_run: Path) -> None:
    out = output_of("inspect", bars_run / "Bars.mlpackage")
    for word in ("stands", "classLabel", "Made with Pocketlens", "conv", "center-crop"):
        assert word in out
    found = json.loads(output_of("inspect", bars_run / "Bars.mlpackage", "--json"))
    assert found["classes"] == ["lies", "slants", "stands"]


def test_ops_lists_the_registry() -> None:
    rows = json.loads(output_of("ops", "--json"))
    names = {(row["dialect"], row["op"]) for row in rows}
    assert {("mil", "conv"), ("neural_network", "convolution")} <= names
    missing = json.loads(output_of("ops", "--missing", "--json"))
    assert missing == [row for row in rows if not row["supported"]]
    assert all(row["remark"] for row in missing)
    text = output_of("ops", "--missing")
    assert f"- {missing[0]['op']} " in text
    assert "conv " not in text


def test_ops_says_which_meaning_was_chosen_and_why() -> None:
    chosen = json.loads(output_of("ops", "--chosen", "--json"))
    assert chosen == [row for row in json.loads(output_of("ops", "--json")) if row["chosen"]]
    (softmax,) = [row for row in chosen if row["op"] == "softmax"]
    assert (softmax["dialect"], len(softmax["chosen"])) == ("neural_network", 1)
    each = softmax["chosen"][0]
    lines = (
        f"chosen: {each['meaning']}",
        f"because {each['reason']}; source: {each['source']}",
    )
    for text in (output_of("ops"), output_of("ops", "--chosen")):
        assert all(f" {line}\n" in text for line in lines)
    assert "pass one of them" in error_of("ops", "--missing", "--chosen")


def test_onnx_exports_the_graph_that_runs(bars_run: Path, tmp_path: Path) -> None:
    import onnxruntime

    target = tmp_path / "bars.onnx"
    said = json.loads(output_of("onnx", bars_run / "Bars.mlpackage", "-o", target, "--json"))
    assert said == {"file": str(target), "bytes": target.stat().st_size}
    session = onnxruntime.InferenceSession(target)
    assert [given.name for given in session.get_inputs()] == ["image"]
    assert "exists" in error_of("onnx", bars_run / "Bars.mlpackage", "-o", target)
    assert output_of("onnx", bars_run / "Bars.mlpackage", "-o", target, "--force").strip() == str(
        target
    )
    assert "has no function 'decode'" in error_of(
        "onnx", bars_run / "Bars.mlpackage", "-o", target, "--force", "--function", "decode"
    )


def test_convert_a_run_to_the_other_format(bars_run: Path, tmp_path: Path) -> None:
    target = tmp_path / "Bars.mlmodel"
    source = json.loads((bars_run / "data.json").read_text())["source"]
    out = json.loads(output_of("convert", bars_run, "-o", target, "--data", source, "--json"))
    assert out["model"] == str(target)
    assert out["parity"]["n"] == 60
    assert "exists" in error_of("convert", bars_run, "-o", target)


def test_app_and_its_check(bars_run: Path, tmp_path: Path) -> None:
    model = bars_run / "Bars.mlpackage"
    made = json.loads(output_of("app", model, "-o", tmp_path / "app", "--name", "Bars", "--json"))
    assert Path(made["project"]).is_dir()
    assert "no problems found" in output_of("app", "--check", tmp_path / "app")
    (Path(made["project"]) / "project.pbxproj").write_text("{}")
    assert run_command("app", "--check", tmp_path / "app")[0] == 1
    assert "app needs a Core ML file and --out FOLDER" in error_of("app", model)


def test_a_run_folder_is_as_good_as_its_core_ml_file(bars_run: Path, tmp_path: Path) -> None:
    file = bars_run / "Bars.mlpackage"
    assert output_of("inspect", bars_run, "--json") == output_of("inspect", file, "--json")
    for n, model in enumerate((bars_run, file)):
        output_of("onnx", model, "-o", tmp_path / f"{n}.onnx")
    assert (tmp_path / "0.onnx").read_bytes() == (tmp_path / "1.onnx").read_bytes()
    made = output_of("app", bars_run, "-o", tmp_path / "app", "--name", "Bars", "--json")
    assert Path(json.loads(made)["project"]).is_dir()


def test_something_else_in_place_of_a_model(bars_run: Path, tmp_path: Path) -> None:
    """The commands that take a model say the same of a folder, an image, and another model."""
    image, around = tmp_path / "photo.JPG", bars_run.parent
    image.touch()
    rest: dict[str, tuple[str | Path, ...]] = {
        **dict.fromkeys(("inspect", "evaluate", "verify", "preview", "convert"), ()),
        **dict.fromkeys(("onnx", "app"), ("-o", tmp_path / "x")),
        **dict.fromkeys(("predict", "explain"), (bars_run,)),
    }
    neither = "has no recipe.toml, so it is not a run folder; expected a run folder or a model file"
    for command, others in rest.items():
        text = error_of(command, image, *others)
        assert "photo.JPG is an image; expected a run folder or a model file" in text
        assert f"{neither}, such as {bars_run}" in error_of(command, around, *others)
    text = error_of("convert", bars_run / "Bars.mlpackage")
    assert "the changed Core ML file needs a name: add --out FILE" in text


def test_options_without_effect_are_refused(bars_run: Path, tmp_path: Path) -> None:
    for words, refused in (
        (["convert", bars_run, "--color", "gray", "--size", "9x9"], "--color, --size"),
        (["convert", bars_run, "--labels", "a,b,c", "--head", "logits"], "--labels, --head"),
        (["app", "--check", tmp_path, "--ink", "", "--force"], "--force, --ink"),
        (["app", "--check", tmp_path, "--bundle-id", "a.b"], "--bundle-id"),
    ):
        assert f"error: {refused} cannot be used here: " in error_of(*words)
    text = error_of("app", bars_run / "Bars.mlpackage", "--check", tmp_path)
    assert f"pass either a Core ML file or --check {tmp_path}" in text


def test_report(bars_run: Path) -> None:
    assert json.loads(output_of("report", bars_run, "--json"))["report"].endswith("report.html")
    assert "runs-nowhere" in error_of("report", "runs-nowhere")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "quik"], "there is no recipe 'quik'; did you mean 'quick'?"),
        (["run", "quick", "--set", "training.epoch=3"], "did you mean training.epochs?"),
        (["run", "quick", "--set", "training.device=tpu"], "cannot be 'tpu'; did you mean 'cpu'?"),
        (["run", "quick", "--set", "input.height=4"], "at least 11 × 11 with its margin; received"),
        (["run", "quick", "--set", "augment.name=spin"], "unknown augmentation 'spin'"),
        (["run", "quick", "--set", "model.name=a/b"], "model.name must be a file name without"),
        (["run", "quick", "--set", "model.name=" + 99 * "ä£"], "of at most 200 bytes; received"),
        (["run", "quick", "--set", "app.bundle_id=x"], "bundle"),
        (["run", "quick", "--set", "epochs=3"], "unknown key epochs; did you mean train"),
        (["run", "quick", "--data", "nowhere"], "; there is no folder 'nowhere' either"),
        (["run", "nowhere.toml"], "the recipe file nowhere.toml does not exist; expected a .toml"),
        (["run", "src"], "to train on its images: pocketlens run photos --data src"),
        (["run", "quick", "--data", "nowhere/photos"], "nowhere/photos does not exist"),
    ],
)  # fmt: skip
def test_invalid_recipes_are_rejected_before_the_first_stage(
    words: list[str], message: str, tmp_path: Path
) -> None:
    assert message in error_of(*words, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_missing_device_is_rejected_before_the_first_stage(tmp_path: Path) -> None:
    import torch

    missing = "mps" if torch.cuda.is_available() else "cuda"
    words = ["run", "quick", "--set", f"training.device={missing}", "--out", tmp_path / "run"]
    assert f"device '{missing}' is not available to PyTorch here; available:" in error_of(*words)
    assert not (tmp_path / "run").exists()


def test_a_missing_model() -> None:
    for words in (["evaluate", "nowhere"], ["verify", "nowhere"], ["convert", "nowhere.keras"]):
        expected = "does not exist; expected a run folder or a model file"
        assert f"{words[1]} {expected}" in error_of(*words)


def test_a_folder_that_is_not_a_run_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").touch()
    words = ["run", "quick", "--out", tmp_path]
    assert "is not empty and is not a run folder; choose another --out" in error_of(*words)
    assert "is not empty and is not a run folder" in error_of(*words, "--force")
    assert "is a file; expected a folder" in error_of(*words[:-1], tmp_path / "precious.txt")


def test_a_run_of_another_recipe_stays_as_it_is(bars_run: Path) -> None:
    words = ["run", bars_run / "recipe.toml", "--out", bars_run, "--set", "seed=5"]
    assert "holds a run of another recipe (seed: 0, not 5)" in error_of(*words)


def test_unknown_options_and_commands_exit_with_2() -> None:
    assert run_command("run", "--epochs", "3")[0] == 2
    assert run_command("rnu")[0] == 2


def test_ctrl_c_keeps_the_weights_and_resume_continues(
    tmp_path: Path, picture_folder: Path
) -> None:
    """A real process, a real SIGINT."""
    out = tmp_path / "run"
    settings = ["input.height=12", "input.width=12", "network={name='strided', channels=[4, 8]}"]
    settings += [
        "name=bars",
        "training.epochs=150",
        "training.batch_size=30",
        "data.validation=0.2",
    ]
    settings += [f"data.source=folder:{picture_folder}"]
    sets = [word for setting in settings for word in ("--set", setting)]
    words = [sys.executable, "-c", "from pocketlens.cli import main; main()", "train", "quick"]
    words += ["--out", str(out), *sets]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    history = out / "history.jsonl"
    while not (history.exists() and history.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert f"--out {out} --resume" in err
    assert (out / "weights.safetensors").exists()
    finished = len((out / "history.jsonl").read_text().splitlines())
    assert 0 < finished < 150

    again = error_of("train", out / "recipe.toml", "--out", out)
    assert (
        "holds an unfinished training; continue it with --resume, or start again with --force"
        in again
    )
    done = json.loads(output_of("train", out / "recipe.toml", "--out", out, "--resume", "--json"))
    rows = (out / "history.jsonl").read_text().splitlines()
    assert [json.loads(row)["epoch"] for row in rows] == list(range(1, 151))
    assert done["parameters"] > 0
