"""Every command that a message or a page tells the user to type, typed in that situation.

All are composed by `pocketlens.commands.command`. The first test lists its callers, so that a new
one without a situation here fails; the second puts the product into each situation, in a folder
with odd names, reads the command from what it prints, and runs it.
"""

from __future__ import annotations

import ast
import html
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import pocketlens
from command_line import run_command as invoke
from pocketlens import commands, conversion, web
from pocketlens.callbacks import Callback
from pocketlens.cli import main
from pocketlens.coreml import load
from pocketlens.data import idx_loading, load_data, quickdraw
from pocketlens.data.idx_sets import SETS
from pocketlens.errors import PocketlensError, UnsupportedOp
from pocketlens.pipeline import run
from pocketlens.recipe import Recipe
from pocketlens.recognizer import Recognizer
from pocketlens.run_folder import read_run
from pocketlens.web import ort_package
from sampling import sampled
from web.archives import expected_archive

SOURCE = Path(pocketlens.__file__).parent

REVERSED = "stands,slants,lies"  # the classes of the run, in the wrong order

PASSED_ON = (
    "run_contents.py:float32_command",
    "run_contents.py:restart",
    "run_contents.py:run_command",
)
"""These pass on what their own callers wish."""

COMMANDS = sorted(typer.main.get_command(main).commands)  # type: ignore[attr-defined]
TYPED = re.compile(rf"\bpocketlens ({'|'.join(COMMANDS)})\b")

NOT_COMMANDS = {"app/writer.py": "Written by pocketlens app."}
"""Texts that name a command, but are not about what to type."""


class World:
    """A folder with odd names: a finished run, its data, and what the messages ask for."""

    def __init__(self, place: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch = monkeypatch
        self.place = place / "it's Größe 1 = a:b"
        self.place.mkdir()
        monkeypatch.chdir(self.place)
        self.pictures = Path("my  photos")
        old = read_run(finished).recipe
        shutil.copytree(old.data.source.removeprefix("folder:"), self.pictures)
        self.source = f"folder:{self.pictures}"
        self.recipe = old.replace(data={"source": self.source}, training={"epochs": 1})
        self.run = Path("-läufe") / "it's 1"
        shutil.copytree(finished, self.run)
        for name in ("recipe.toml", "data.json"):
            text = (self.run / name).read_text()
            (self.run / name).write_text(text.replace(old.data.source, self.source))
        tensors, header = checkpoint(self)
        recipe = header["recipe"].replace(old.data.source, self.source)
        save_file(tensors, self.run / "checkpoint", header | {"recipe": recipe})
        stages = self.run / "stages.json"
        stages.write_text(re.sub(r'"settings": "\w+"', '"settings": ""', stages.read_text()))
        picture = min((self.pictures / "stands").iterdir())
        Image.open(picture).save("photo.jpg")
        self.model = self.run / "Bars.mlpackage"
        self.typed = f"./{self.run}"  # as it would be taken for an option otherwise
        self.words = {
            "SOURCE": str(self.pictures),
            "OTHER": f"./{self.model}",
            "FILE": f"./{self.model}",
            "MODEL": f"./{self.model}",
            "RECIPE": f"{self.typed}/recipe.toml",
            "FOLDER": "filled in",
        }
        self.added: list[str] = []  # options that make a command faster

    def new_run(self, until: str, name: str = "neu er") -> Path:
        return run(self.recipe, out=self.place / name, until=until).folder

    def error(self, *words: object) -> str:
        status, _, err = invoke(*words)
        assert status in (1, 2), err
        return err

    def output(self, *words: object) -> str:
        status, out, err = invoke(*words)
        assert status == 0, err
        return out


def checkpoint(world: World) -> tuple[dict[str, Any], dict[str, str]]:
    """The tensors and the header of the checkpoint."""
    path = world.run / "checkpoint"
    with safe_open(path, framework="np") as file:
        return load_file(path), dict(file.metadata())


class Interrupt(Callback):
    def epoch(self, epoch: object) -> None:
        raise KeyboardInterrupt


def an_interrupted_training(world: World) -> str:
    world.recipe = world.recipe.replace(training={"epochs": 2})
    with pytest.raises(KeyboardInterrupt) as caught:
        run(world.recipe, out="neu er", callbacks=[Interrupt()], until="train")
    return str(caught.value)


def an_unfinished_training(world: World) -> str:
    an_interrupted_training(world)
    return world.error("train", world.place / "neu er" / "recipe.toml", "--out", "neu er")


def a_diverged_training(world: World) -> str:
    recipe = world.recipe.replace(
        network={"name": "classic"},
        training={
            "batch_size": 2,
            "optimizer": "sgd",
            "schedule": "constant",
            "learning_rate": 30.0,
        },
    )
    with pytest.raises(PocketlensError) as caught:
        run(recipe, out="neu er")
    return str(caught.value)


def a_full_disk(world: World) -> str:
    from pocketlens.errors import OutputError
    from pocketlens.training.checkpoint import Checkpoint

    world.recipe = world.recipe.replace(training={"epochs": 3})
    original, calls = Checkpoint.write, []

    def write(self: Checkpoint, path: Path) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise OutputError("the disk is full")
        original(self, path)

    world.patch.setattr(Checkpoint, "write", write)
    with pytest.raises(OutputError) as caught:
        run(world.recipe, out="neu er")
    return str(caught.value)


def a_damaged_checkpoint(world: World) -> str:
    (world.run / "metrics.json").unlink()
    (world.run / "checkpoint").write_bytes(b"damaged")
    return world.error("run", f"{world.typed}/recipe.toml", "--out", world.run)


def an_edited_recipe(world: World) -> str:
    path = world.run / "recipe.toml"
    (world.run / "metrics.json").unlink()
    path.write_text(path.read_text().replace("epochs = 12", "epochs = 1"))
    return world.error("run", f"./{path}", "--out", world.run)


def other_images(world: World) -> str:
    (world.run / "metrics.json").unlink()
    (min((world.pictures / "lies").iterdir())).unlink()
    return world.error("run", f"{world.typed}/recipe.toml", "--out", world.run)


def an_old_checkpoint(world: World) -> str:
    (world.run / "metrics.json").unlink()
    tensors, _ = checkpoint(world)
    save_file(tensors, world.run / "checkpoint", {"format": "pocketlens-checkpoint-1"})
    return world.error("run", f"{world.typed}/recipe.toml", "--out", world.run)


def a_checkpoint_with_a_damaged_history(world: World) -> str:
    (world.run / "metrics.json").unlink()
    tensors, header = checkpoint(world)
    save_file(tensors, world.run / "checkpoint", header | {"history": '[{"epoch": 1}]'})
    return world.error("run", f"{world.typed}/recipe.toml", "--out", world.run)


def a_checkpoint_of_another_network(world: World) -> str:
    (world.run / "metrics.json").unlink()
    tensors, header = checkpoint(world)
    first = next(name for name in tensors if name.startswith("weights/"))
    save_file(tensors | {first: np.zeros(7, np.float32)}, world.run / "checkpoint", header)
    return world.error("run", f"{world.typed}/recipe.toml", "--out", world.run)


def a_file_that_disagrees(world: World) -> str:
    honest = conversion.convert

    def without_scale(recognizer: Any, *args: Any, **kwargs: Any) -> Path:
        raw = pocketlens.InputSpec(12, 12, scale=(1.0,))
        network, choice = recognizer.network, recognizer.choice
        return honest(Recognizer(network, choice, recognizer.classes, raw), *args, **kwargs)

    recipe = world.recipe.replace(training={"epochs": 6})
    with world.patch.context() as patch:
        patch.setattr(conversion, "convert", without_scale)
        with pytest.raises(PocketlensError) as caught:
            run(recipe, out="neu er")
    return str(caught.value)


def a_folder_of_photos_as_recipe(world: World) -> str:
    for folder in world.pictures.iterdir():
        for picture in sorted(folder.iterdir())[6:]:
            picture.unlink()
    world.added = ["--set", "input.height=32", "--set", "input.width=32"]
    world.added += ["--set", "model.precision=float32"]
    return world.error("run", world.pictures)


def a_network_that_no_website_can_run(world: World) -> str:
    def refuse(*_: Any, **__: Any) -> Path:
        raise UnsupportedOp("no Celu")

    with world.patch.context() as patch:
        patch.setattr(web, "create_web", refuse)
        with pytest.raises(UnsupportedOp) as caught:
            run(world.run / "recipe.toml", out=world.run, overrides={"web.enabled": True})
    return str(caught.value)


def a_folder_that_is_no_app(world: World) -> str:
    Path("empty").mkdir()
    return world.error("app", "--check", "empty")


def a_folder_that_is_no_website(world: World) -> str:
    Path("empty").mkdir()
    return world.error("web", "--check", "empty")


def no_npm_for_the_engine(world: World) -> str:
    """Then the user gets the package on another computer."""
    world.patch.setenv("PATH", str(world.place))
    said = world.error("web", f"./{world.model}", "-o", "site", "--engine", "onnxruntime")
    expected_archive(world.patch, Path(ort_package.ARCHIVE))
    return said


def problems_of_an_app(world: World, change: Callable[[Path], object]) -> str:
    """What `app --check` prints after a change."""
    folder = Path("my  app")
    world.output("app", f"./{world.model}", "--out", folder, "--name", "Bars")
    change(folder)
    status, out, err = invoke("app", "--check", folder)
    assert status == 1, err
    return out


def an_app_without_a_file(world: World) -> str:
    return problems_of_an_app(world, lambda folder: min(folder.rglob("*View.swift")).unlink())


def an_app_without_a_manifest(world: World) -> str:
    return problems_of_an_app(world, lambda folder: (folder / ".pocketlens-app.json").unlink())


def an_app_with_other_fixtures(world: World) -> str:
    def change(folder: Path) -> None:
        fixtures = next(folder.rglob("fixtures.json"))
        fixtures.write_text(re.sub(r"\b0\.\d+", "0.123", fixtures.read_text()))

    return problems_of_an_app(world, change)


def a_model_that_is_no_classifier(world: World) -> str:
    import coremltools as ct
    from coremltools.models import datatypes
    from coremltools.models.neural_network import NeuralNetworkBuilder

    builder = NeuralNetworkBuilder([("x", datatypes.Array(3))], [("y", datatypes.Array(3))])
    builder.add_activation("relu", "RELU", "x", "y")
    ct.models.utils.save_spec(builder.spec, "mein  Modell.mlmodel")
    return world.error("app", "mein  Modell.mlmodel", "--out", "neu er")


def a_model_without_class_names(world: World) -> str:
    import coremltools as ct
    from coremltools.models import datatypes
    from coremltools.models.neural_network import NeuralNetworkBuilder

    shape = datatypes.Array(1, 4, 4)
    builder = NeuralNetworkBuilder([("image", shape)], [("y", datatypes.Array(2))])
    builder.add_flatten("flat", 0, "image", "x")
    weights = np.arange(32.0).reshape(2, 16) / 1000
    builder.add_inner_product("inner", weights, np.zeros(2), 16, 2, True, "x", "y")
    image = builder.spec.description.input[0].type.imageType
    image.width, image.height, image.colorSpace = 4, 4, 10  # gray
    ct.models.utils.save_spec(builder.spec, "mein  Modell.mlmodel")
    Path("namen").write_text("a\nb\n")
    world.words["LABELS"] = "namen"
    return world.error("app", "mein  Modell.mlmodel", "--out", "neu er")


def page(folder: Path) -> str:
    return html.unescape(pocketlens.write_report(folder).read_text())


def an_incomplete_report(world: World) -> str:
    return page(world.new_run("convert"))


def a_complete_report(world: World) -> str:
    world.words["FOLDER"] = str(world.pictures)
    return page(world.run)


def weights_that_are_missing(world: World) -> str:
    (world.run / "weights.safetensors").unlink()
    Path("nothing").mkdir()
    shutil.copy("photo.jpg", "nothing")
    return world.error("evaluate", world.typed) + _error(lambda: Recognizer.load("nothing"))


def _error(function: Callable[[], object]) -> str:
    with pytest.raises(PocketlensError) as caught:
        function()
    return str(caught.value)


def a_folder_that_is_no_run(world: World) -> str:
    return world.error("report", world.pictures)


def a_damaged_run(world: World) -> str:
    (world.run / "data.json").write_text("{")
    other = Path("other run")
    other.mkdir()
    shutil.copy(world.run / "recipe.toml", "recipe of mine.toml")
    world.words["RECIPE"] = "recipe of mine.toml"
    (other / "recipe.toml").write_bytes(b"\xff")
    return world.error("report", world.typed) + world.error("report", other)


def corrections_for_an_unfinished_run(world: World) -> str:
    folder = world.new_run("data")
    return world.error("correct", folder, world.pictures, "--out", "better")


def models_to_compare(world: World) -> str:
    folder = world.new_run("evaluate")
    return world.error("verify", f"./{world.model}") + world.error("verify", folder)


def a_copy_among_the_pictures(world: World) -> str:
    class Notes(Callback):
        said = ""

        def note(self, text: str) -> None:
            self.said += f"{text}\n"

    shutil.copy(min((world.pictures / "stands").iterdir()), world.pictures / "stands" / "copy.png")
    notes = Notes()
    run(world.recipe, out=world.place / "neu er", until="data", callbacks=[notes])
    return notes.said


def a_strict_run_on_a_damaged_picture(world: World) -> str:
    damaged = world.pictures / "stands" / "damaged.png"
    damaged.write_bytes(b"no picture")
    Path("r.toml").write_text(world.recipe.to_toml())
    said = world.error("train", "r.toml", "--strict", "--out", world.place / "neu er")
    damaged.unlink()  # the command writes a list either way, and then all is well
    return said


def a_preview_of_an_unfinished_run(world: World) -> str:
    return world.error("preview", world.new_run("data"), "--no-open")


def a_copied_recipe(world: World) -> str:
    said = world.output("recipes", "copy", "quick", "mein  Rezept.toml")
    Path("mein  Rezept.toml").write_text(world.recipe.to_toml())  # it is there to be edited
    return said


def options_that_are_not_in_the_file(world: World) -> str:
    """Labels in the right order for a file that has them reversed."""
    reversed_file = Path("ver kehrt.mlpackage")
    world.output("convert", f"./{world.model}", "--labels", REVERSED, "--out", reversed_file)
    return world.output(
        "verify", reversed_file, "--data", world.pictures, "--labels", "lies,slants,stands"
    )


def a_model_that_guesses(world: World) -> str:
    options = ("--scale=-1", "--bias", "0", "--crop", "fit")
    return world.output("evaluate", f"./{world.model}", "--data", world.pictures, *options)


def a_file_with_reversed_labels(world: World) -> str:
    reversed_file = Path("ver kehrt.mlpackage")
    world.output("convert", f"./{world.model}", "--labels", REVERSED, "--out", reversed_file)
    return world.error("verify", reversed_file, "--data", world.pictures)


def a_converted_run(world: World) -> str:
    return world.output("convert", world.typed, "--out", "neu  er.mlmodel")


def a_converted_keras_model(world: World) -> str:
    world.patch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    layers = [keras.Input((12, 12, 1)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]
    keras.Sequential(layers).save("mein  Modell.keras")
    labels = "lies,slants,stands"
    return world.output("convert", "mein  Modell.keras", "--labels", labels, "--out", "neu.mlmodel")


def a_file_to_compress_without_images(world: World) -> str:
    shutil.copytree(world.model, "mein  Modell.mlpackage")
    world.added = ["--kinds", "palette-8"]
    return world.error("compress", "mein  Modell.mlpackage")


def a_run_to_compress_without_its_images(world: World) -> str:
    world.added = ["--kinds", "palette-8"]
    shutil.copytree(world.pictures, "other")
    world.words["SOURCE"] = "other"
    shutil.rmtree(world.pictures)
    return world.error("compress", world.typed)


def an_unfinished_run_to_compress(world: World) -> str:
    return world.error("compress", world.new_run("data"))


def a_finished_training(world: World) -> str:
    Path("r.toml").write_text(world.recipe.to_toml())
    return world.output("train", "r.toml", "--out", world.place / "neu er")


def no_mnist(world: World) -> str:
    """Missing, and damaged; then the user is online."""
    with world.patch.context() as patch:
        patch.setitem(SETS, "mnist", replace(SETS["mnist"], mirrors=()))
        patch.setenv("POCKETLENS_DATA", str(world.place / "data"))
        missing = _error(lambda: load_data("mnist")) + str(pocketlens.data.resolve("auto").note)
        folder = world.place / "data" / "mnist"
        folder.mkdir(parents=True, exist_ok=True)
        for file in SETS["mnist"].files():
            (folder / file.name).write_bytes(b"damaged")
        damaged = _error(lambda: load_data("mnist"))
    world.patch.setattr(idx_loading, "download_idx_set", lambda *_, **__: [])
    return f"{missing} {damaged}"


def no_drawings(world: World) -> str:
    """Missing; then the user is online."""
    with world.patch.context() as patch:
        patch.setattr(quickdraw, "MIRRORS", ())
        patch.setenv("POCKETLENS_DATA", str(world.place / "data"))
        missing = _error(lambda: load_data("quickdraw:apple,ice cream@20"))
    world.patch.setattr(quickdraw, "fetch", lambda *_, **__: None)
    return missing


def an_unknown_source(world: World) -> str:
    return world.error("data", "show", "minst")


def a_sweep_without_training(world: World) -> str:
    """The search itself has tests of its own."""
    from pocketlens.scale import sweeping
    from pocketlens.scale.trials import Trial

    found = Trial(1, {"training.weight_decay": 0.01}, "done", (1.0,), 1.0, 9, 1000, 1.0, 10)
    world.patch.setattr(sweeping, "connected", lambda on: nullcontext())
    world.patch.setattr(sweeping, "require", lambda *packages, purpose: None)
    world.patch.setattr(
        sweeping, "run_trials", lambda plan, earlier, *, finished, **_: finished(found)
    )
    recipe = Path("mein rezept.toml")
    recipe.write_text(world.recipe.to_toml())
    return world.output(
        "sweep", recipe, "--search", "training.weight_decay=0..0.1", "--only-search",
        "-o", "such en",
    )  # fmt: skip


SITUATIONS: dict[str, list[Callable[[World], str]]] = {
    "app/check.py:_write_again": [an_app_with_other_fixtures],
    "app/check.py:check_app": [a_folder_that_is_no_app],
    "app/check_files.py:check_files": [an_app_without_a_file],
    "app/create.py:not_a_classifier": [
        a_model_that_is_no_classifier,
        a_model_without_class_names,
    ],
    "app/writer.py:written_files": [an_app_without_a_manifest],
    "cli/convert.py:convert": [a_converted_run, a_converted_keras_model],
    "cli/evaluate.py:evaluate": [a_model_that_guesses],
    "cli/inputs.py:InputOptions.mending": [
        options_that_are_not_in_the_file,
        a_file_with_reversed_labels,
    ],
    "cli/inputs.py:core_ml_file": [a_preview_of_an_unfinished_run],
    "cli/recipes.py:copy": [a_copied_recipe],
    "cli/train.py:train": [a_finished_training],
    "cli/verify.py:verify": [models_to_compare],
    "compression.py:_file": [an_unfinished_run_to_compress],
    "compression.py:_images": [
        a_file_to_compress_without_images,
        a_run_to_compress_without_its_images,
    ],
    "data/idx_loading.py:_download": [no_mnist],
    "data/idx_loading.py:load_idx_set": [no_mnist],
    "data/loading.py:_resolve_auto": [no_mnist],
    "data/quickdraw.py:download_quickdraw": [no_drawings],
    "data/loading.py:resolve": [an_unknown_source],
    "finetuning.py:correct": [corrections_for_an_unfinished_run],
    "shipped_recipes.py:_recipe_hint": [a_folder_of_photos_as_recipe],
    "recognizer.py:Recognizer.load": [weights_that_are_missing],
    "report/page.py:_commands": [a_complete_report],
    "report/page.py:_resume": [an_incomplete_report],
    "run_files.py:damaged": [a_damaged_run],
    "run_folder.py:read_run": [a_folder_that_is_no_run],
    "run_state.py:open_run": [an_unfinished_training],
    "stages/model.py:ModelStages.web": [a_network_that_no_website_can_run],
    "scale/trials.py:run_best": [a_sweep_without_training],
    "stages/data.py:_noted": [a_copy_among_the_pictures],
    "stages/data.py:refuse_problems": [a_strict_run_on_a_damaged_picture],
    "stages/model.py:ModelStages._more_precise": [a_file_that_disagrees],
    "stages/training.py:TrainingStages.train": [an_interrupted_training],
    "training/checkpoint.py:Checkpoint.check": [an_edited_recipe, other_images],
    "training/checkpoint.py:Checkpoint.epochs": [a_checkpoint_with_a_damaged_history],
    "training/checkpoint.py:Checkpoint.read": [a_damaged_checkpoint, an_old_checkpoint],
    "training/loop.py:_Loop.diverged": [a_diverged_training],
    "training/loop.py:_Loop.record": [a_full_disk],
    "training/loop.py:_Loop.restore": [a_checkpoint_of_another_network],
    "web/listing.py:read_listing": [a_folder_that_is_no_website],
    "web/ort_package.py:_ways": [no_npm_for_the_engine],
}
"""For each function that composes a command: how it comes to print it."""


def sources() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if "templates" not in path.parts)


def callers(path: Path) -> set[str]:
    """The functions in a module that compose a command."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (node.module, alias.name) in (
                    ("pocketlens.commands", "command"),
                    ("pocketlens.run_contents", "run_command"),
                    ("pocketlens.run_contents", "restart"),
                    ("pocketlens.run_contents", "float32_command"),
                ):
                    names.add(alias.asname or alias.name)
    if path.name == "run_contents.py":
        names.add("run_command")
    found = set()

    def visit(node: ast.AST, inside: str) -> None:
        for child in ast.iter_child_nodes(node):
            name = getattr(child, "name", None)
            scope = isinstance(child, ast.FunctionDef | ast.ClassDef)
            within = f"{inside}.{name}".lstrip(".") if scope else inside
            if isinstance(child, ast.Call) and ast.unparse(child.func) in names:
                found.add(f"{path.relative_to(SOURCE).as_posix()}:{inside}")
            visit(child, within)

    visit(tree, "")
    return found


def test_every_function_that_composes_a_command_has_a_situation() -> None:
    found = set().union(*(callers(path) for path in sources())) - set(PASSED_ON)
    assert found == set(SITUATIONS)


def test_no_command_is_written_by_hand() -> None:
    """In the code; the examples of `--help` are read by the next test."""
    for path in sources():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        allowed = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            is_group = isinstance(node, ast.Call) and ast.unparse(node.func) == "group"
            if is_group or (isinstance(node, ast.keyword) and node.arg in ("example", "epilog")):
                allowed |= {id(each) for each in ast.walk(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                name = path.relative_to(SOURCE).as_posix()
                text = node.value.replace(NOT_COMMANDS.get(name, "\0"), "")
                assert id(node) in allowed or not TYPED.search(text), f"{name}: {text}"


def parsed(line: str) -> None:
    """Check that the command line accepts a command; it is not run."""
    words = shlex.split(line, comments=True)
    assert words.pop(0) == "pocketlens"
    command: Any = typer.main.get_command(main)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context("pocketlens", words)


def test_every_example_and_every_header_of_a_recipe_is_a_valid_command() -> None:
    def examples(command: Any) -> list[str]:
        text = (command.epilog or "").partition("Examples:\n")[2]
        lines = text.replace("\\\n", " ").splitlines()
        inner = getattr(command, "commands", {}).values()
        return [*lines, *(line for each in inner for line in examples(each))]

    lines = [line.strip() for line in examples(typer.main.get_command(main))]
    lines = [line for line in lines if "COMMAND" not in line]
    for path in (SOURCE / "recipes").glob("*.toml"):
        lines += re.findall(r"^#\s+(pocketlens .*)$", path.read_text(), re.MULTILINE)
    assert len(lines) > 40
    for line in lines:
        parsed(line)


@pytest.mark.parametrize(
    ("site", "situation"),
    sampled(((site, each) for site, listed in SITUATIONS.items() for each in listed), 4, seed=2),
    ids=lambda value: getattr(value, "__name__", value),
)
@pytest.mark.skipif(sys.platform == "win32", reason="quoted for another shell")
def test_the_command_works(
    site: str,
    situation: Callable[[World], str],
    tmp_path: Path,
    bars_run: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(tmp_path, bars_run, monkeypatch)
    composed: set[tuple[str, str]] = set()
    original = commands._joined

    def joined(words: list[str]) -> str:
        frame = sys._getframe(1)
        name = ""
        while not name or name.startswith("commands.py:") or name in PASSED_ON:
            path = Path(frame.f_code.co_filename).relative_to(SOURCE).as_posix()
            name = f"{path}:{re.sub(r'[.]<.*', '', frame.f_code.co_qualname)}"
            assert frame.f_back
            frame = frame.f_back
        text = original(words)
        composed.add((name, text))
        return text

    with monkeypatch.context() as patch:
        patch.setattr(commands, "_joined", joined)
        said = situation(world)
    mine = sorted(text for name, text in composed if name == site)
    assert mine
    for text in mine:
        assert text in said
        words = shlex.split(text)
        assert words.pop(0) == "pocketlens"
        words = [world.words.get(word, word) for word in words]
        status, out, err = invoke(*words, *world.added)
        # `verify` asks whether another reading is better; then it exits with 1.
        asked = situation in (a_converted_keras_model, a_model_that_guesses)
        asked &= "parity passed" in out or "another reading is better" in out
        assert status in ((0, 1) if asked else (0,)), (text, out, err)


def test_paths_are_quoted_and_never_options() -> None:
    for path in ("a b", "-x", "--out", "it's", "a=b:c", "2024", "Größe", "$HOME", "a;b", "~/x"):
        words = shlex.split(commands.command("report", Path(path)))
        assert words[:2] == ["pocketlens", "report"]
        assert Path(words[2]) == Path(path)
        assert not words[2].startswith("-")


@pytest.mark.parametrize(
    "name", sampled(["2024", "1e3", "true", "-1", "a=b", "a:b", "x y", "[1]", "nan"], 2)
)
def test_paths_that_look_like_something_else(
    name: str, tmp_path: Path, bars_run: Path, bars_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number, an option, a setting or a list: as a run, data, corrections and output."""
    monkeypatch.chdir(tmp_path)
    source = Path(read_run(bars_run).recipe.data.source.removeprefix("folder:"))
    Path("runs").mkdir()
    shutil.copytree(bars_run, name)
    corrections = Path("corrections")
    for label in ("lies", "stands"):
        (corrections / label).mkdir(parents=True)
        shutil.copy(min((source / label).iterdir()), corrections / label)
    shutil.copytree(corrections, f"{name}c")
    words = ["correct", "--out", f"{name}o", "--", name, f"{name}c"]
    status, _, err = invoke(*words)
    assert status == 0, err
    made = read_run(Path(f"{name}o")).recipe
    assert made.training.start == str(tmp_path / name)
    assert made.data.extra == f"folder:{tmp_path / f'{name}c'}"
    shutil.copytree(source, f"{name}d")
    sets = [f"data.source=folder:{name}d", f"model.description={name}", "training.batch_size=30"]
    sets += ["input.height=12", "input.width=12"]
    done = run("quick", out=f"{name}r", overrides=sets, until="data")
    assert done.data
    assert done.data.source == f"folder:{name}d"
    assert done.recipe.model.description == name
    assert load(Path(f"{name}o") / "Bars.mlpackage").classes == ("lies", "slants", "stands")
