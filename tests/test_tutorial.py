"""Every line of the tutorial and of the guides, run in order in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pocketlens
from pocketlens import networks
from pocketlens.data import resolve
from pocketlens.recipe import load_recipe

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def script(page: str) -> str:
    """The page as one Python program: shell blocks run through bash, each told as it starts."""
    lines = ["import subprocess"]
    for language, code in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        if language == "sh":
            lines.append(f"subprocess.run(['bash', '-euxc', {code!r}], check=True)")
        else:
            lines.append(code)
    return "\n".join(lines)


def run(page: str, folder: Path) -> str:
    """What the page's lines print in `folder`."""
    beside = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{beside}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-c", script(page)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


@pytest.mark.skipif(resolve("auto").name != "mnist", reason="MNIST is out of reach")
def test_the_tutorial(tmp_path: Path) -> None:
    printed = run("tutorial.md", tmp_path)
    for made in ("looked/samples.png", "runs/mine/weights.safetensors", "Digits.mlpackage",
                 "DigitsApp/Digits.xcodeproj", "runs/quick/report.html", "FromPythonApp",
                 "runs/photos/report.html", "Walk.mlpackage"):  # fmt: skip
        assert (tmp_path / made).exists(), made
    assert printed.count("parity passed") == 2


def test_the_guide_to_the_runtime(tmp_path: Path) -> None:
    recipe = load_recipe("quick")
    network = networks.build(recipe.network, recipe.input, 10)
    recognizer = pocketlens.Recognizer(network, recipe.network, tuple("0123456789"), recipe.input)
    pocketlens.convert(recognizer, tmp_path / "Digits.mlpackage")
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.jpg")
    printed = run("runtime.md", tmp_path)
    said = pocketlens.load(tmp_path / "Digits.mlpackage").predict(tmp_path / "photo.jpg")
    assert printed.startswith(f"{said.label} {said.confidence}")
    assert (tmp_path / "digits.onnx").read_bytes() == (tmp_path / "again.onnx").read_bytes()
