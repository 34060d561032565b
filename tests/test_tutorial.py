"""Every line of the tutorial and of the guides, run in order in an empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pocketlens
from pocketlens import networks
from pocketlens.data import resolve
from pocketlens.image import InputSpec
from pocketlens.recipe import load_recipe
from pocketlens.run_folder import read_run

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def script(page: str, *, until: str = "\0") -> str:
    """The page as one Python program; blocks of shell commands run in bash, which prints them.

    Args:
        page: The page, as a path in the documentation.
        until: The heading of the first section to leave out.
    """
    text = (DOCS / page).read_text(encoding="utf-8").split(f"\n## {until}\n")[0]
    lines = ["import subprocess"]
    for language, code in BLOCK.findall(text):
        if language == "sh":
            lines.append(f"subprocess.run(['bash', '-euxc', {code!r}], check=True)")
        else:
            lines.append(code)
    assert len(lines) > 1, f"{page} has no block to run"
    return "\n".join(lines)


def environment(*packages: Path) -> dict[str, str]:
    """The environment of the page's commands: `pocketlens` is on the path, and so are packages."""
    programs = str(Path(sys.executable).parent)
    found = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    if packages:
        found["PYTHONPATH"] = os.pathsep.join(map(str, packages))
    return found


def run(code: str, folder: Path, *packages: Path) -> str:
    """What a program prints that runs in `folder`."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment(*packages),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with `Digits.mlpackage`, an untrained network, and `photo.jpg`, which is noise."""
    recipe = load_recipe("quick")
    network = networks.build(recipe.network, recipe.input, 10)
    recognizer = pocketlens.Recognizer(network, recipe.network, tuple("0123456789"), recipe.input)
    pocketlens.convert(recognizer, tmp_path / "Digits.mlpackage")
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.jpg")
    return tmp_path


@pytest.fixture
def preview(folder: Path) -> Iterator[str]:
    """The address of a preview of `Digits.mlpackage`, without `http://`."""
    program = Path(sys.executable).with_name("pocketlens")
    with subprocess.Popen(
        [program, "preview", "Digits.mlpackage", "--port", "0", "--no-open", "--json"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        try:
            line = server.stdout.readline()  # printed when the server is ready
            yield json.loads(line)["address"].removeprefix("http://").rstrip("/")
        finally:
            server.terminate()


@pytest.mark.skipif(resolve("auto").name != "mnist", reason="MNIST is not on this computer")
def test_the_first_half_of_the_tutorial(tmp_path: Path) -> None:
    printed = run(script("tutorial.md", until="8. All of it at once"), tmp_path)
    for made in ("shown/samples.png", "runs/mine/weights.safetensors", "Digits.mlpackage",
                 "DigitsApp/Digits.xcodeproj"):  # fmt: skip
        assert (tmp_path / made).exists(), made
    assert printed.count("parity passed") == 1


@pytest.mark.slow  # what the second half shows has tests of its own
@pytest.mark.skipif(resolve("auto").name != "mnist", reason="MNIST is not on this computer")
def test_the_tutorial(tmp_path: Path) -> None:
    printed = run(script("tutorial.md"), tmp_path)
    for made in ("runs/quick/report.html", "FromPythonApp", "runs/my-photos/report.html",
                 "FromKeras.mlpackage"):  # fmt: skip
        assert (tmp_path / made).exists(), made
    assert printed.count("parity passed") == 2
    assert "epoch 1: validation accuracy 9" in printed


@pytest.mark.slow  # what it shows has tests of its own
def test_the_guide_to_the_runtime(folder: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    foreign = InputSpec(8, 8, "bgr")
    pocketlens.convert(network, folder / "Foreign.mlpackage", input_spec=foreign, labels=["a", "b"])
    printed = run(script("runtime.md"), folder)
    prediction = pocketlens.load(folder / "Digits.mlpackage").predict(folder / "photo.jpg")
    assert printed.startswith(f"{prediction.label} {prediction.confidence}")
    assert (folder / "digits.onnx").read_bytes() == (folder / "again.onnx").read_bytes()


def test_the_guide_to_the_preview(folder: Path, preview: str) -> None:
    code = script("preview.md")
    host, _, token = preview.partition("/?token=")
    assert "127.0.0.1:8765" in code
    assert "Bearer TOKEN" in code
    printed = run(code.replace("127.0.0.1:8765", host).replace("TOKEN", token), folder)
    assert printed.strip() in {*"0123456789", "None"}  # a label, or none that is sure


def write_teachable_machine(path: Path) -> None:
    """An export of Teachable Machine with a small network."""
    from keras2 import write_h5
    from pocketlens.conversion import from_keras

    layers = from_keras._import_keras().layers
    image = layers.Input((32, 32, 3), name="input_1")
    pooled = layers.GlobalAveragePooling2D(name="pool")(image)
    scores = layers.Dense(2, activation="softmax", name="dense_Dense1")(pooled)
    model = from_keras._import_keras().Model(image, scores, name="model1")
    write_h5(path.with_name("keras_model.h5"), model)
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(path.with_name("keras_model.h5"), "keras_model.h5")
        archive.writestr("labels.txt", "0 cup\n1 spoon\n")


@pytest.mark.slow  # each of its kinds of model has tests of its own
def test_the_guide_to_your_own_model(tmp_path: Path) -> None:
    write_teachable_machine(tmp_path / "converted_keras.zip")
    printed = run(script("guides/your_own_model.md"), tmp_path)
    assert printed.count("parity passed in 5 runs on your data") == 1
    assert pocketlens.load(tmp_path / "Teachable.mlpackage").classes == ("cup", "spoon")
    assert pocketlens.load(tmp_path / "Cups.mlpackage").classes == ("cup", "spoon")
    model = pocketlens.load(tmp_path / "CupOrSpoon.mlpackage")
    assert model.classes == ("cup", "spoon")
    assert model.input_spec.shape == (64, 64, 3)
    side = pocketlens.load(tmp_path / "Side.mlmodel")
    assert isinstance(side, pocketlens.CoreMLModel)
    assert side.labels == ("left", "right")
    assert side.kind == "tree ensemble (classifier)"
    assert printed.count("parity passed in 1 run on your data") == 2
    assert pocketlens.load(tmp_path / "Motion.mlpackage").classes == ("walk", "run", "sit")
    depth = pocketlens.load(tmp_path / "Depth2.mlpackage")
    assert isinstance(depth, pocketlens.CoreMLModel)
    assert depth.interface.image
    for name in ("Boosted", "Light"):
        assert pocketlens.load(tmp_path / f"{name}.mlmodel").classes == ("left", "right")


@pytest.mark.slow
def test_the_guide_to_training_in_python(tmp_path: Path) -> None:
    printed = run(script("guides/training_in_python.md"), tmp_path).splitlines()
    assert "parity passed on 2000 images" in printed
    epochs, interrupted = next(line for line in printed if line.endswith("True")).split()
    assert int(epochs) < 20
    assert interrupted == "True"
    assert (tmp_path / "mine.safetensors").is_file()


@pytest.mark.slow
def test_the_guide_to_plug_ins(tmp_path: Path) -> None:
    page = (DOCS / "guides" / "plug_ins.md").read_text(encoding="utf-8")
    files = dict(FILE.findall(page))
    assert sorted(files) == [
        "pocketlens-example/pocketlens_example.py",
        "pocketlens-example/pyproject.toml",
    ]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    packages = tmp_path / "packages"  # not into the environment of the tests
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--no-index", "--no-deps", "--no-build-isolation", "--target", str(packages),
         str(tmp_path / "pocketlens-example")],
        check=True,
    )  # fmt: skip
    printed = run(script("guides/plug_ins.md"), tmp_path, packages)
    accuracies = [float(line) for line in printed.splitlines()]
    assert len(accuracies) == 3
    assert min(accuracies) > 0.5
    for name in ("pooled", "edges", "shapes"):
        done = read_run(tmp_path / "runs" / name)
        assert done.check is not None
        assert done.check.parity.passed
