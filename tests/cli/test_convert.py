"""`convert` of a Keras model on the command line: what is assumed, and what the file then says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from command_line import error_of, output_of, run_command
from onnx_networks import FLOAT, network, node, written
from pocketlens.conversion import from_keras
from pocketlens.coreml import load

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras: Any = from_keras._import_keras()
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Rescaling(1 / 255, name="own"),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    path = tmp_path_factory.mktemp("keras") / "net.keras"
    network.save(path)
    return path


def test_what_is_assumed_is_said_and_stored(model: Path, tmp_path: Path) -> None:
    text = output_of("convert", model, "--labels", "a,b", "-o", tmp_path / "m.mlmodel")
    assert "scales pixels itself, in the layer 'own' (Rescaling)" in text
    assert "assumed, as the file does not say it: crop center-crop, ink light" in text
    spec = load(tmp_path / "m.mlmodel").input_spec
    assert (spec.scale, spec.ink, spec.assumed) == ((1.0,), "light", ("crop", "ink"))


def test_what_is_said_is_known(model: Path, tmp_path: Path) -> None:
    words = ["convert", model, "--labels", "a,b", "-o", tmp_path / "m.mlmodel", "--json"]
    told = ["--ink", "dark", "--crop", "fill", "--scale", "1", "--bias", "0", "--no-check"]
    status, out, error = run_command(*words, *told, "--head", "logits")
    assert (status, json.loads(out)["assumed"]) == (0, [])
    assert error == f"pocketlens: note: {tmp_path / 'm.mlmodel'} was not compared with its source\n"
    spec = load(tmp_path / "m.mlmodel").input_spec
    assert (spec.ink, spec.crop, spec.assumed) == ("dark", "fill", ())
    assert "head 'logit' is not known" in error_of(*words, "--force", "--head", "logit")


def test_an_onnx_network_with_a_shape_of_its_own(tmp_path: Path) -> None:
    twice = network([node("Add", "x x", "y")], [("x", FLOAT, ["N", "S"])], [("y", FLOAT, None)])
    path, out = written(twice, tmp_path), tmp_path / "Twice.mlpackage"
    assert "add its sizes, such as --shape x=1,224" in error_of("convert", path, "-o", out)
    assert "--shape must be NAME=SIZES" in error_of("convert", path, "--shape", "x=a", "-o", out)
    text = output_of("convert", path, "--shape", "x=2,3", "-o", out)
    assert "input x: float32 (2, 3)" in text
    np.save(tmp_path / "x.npy", np.arange(6, dtype=np.float32).reshape(2, 3))
    assert "parity passed in 1 run" in output_of("verify", path, out, "--data", tmp_path / "x.npy")


def test_data_shows_a_better_reading(tmp_path: Path) -> None:
    """The labels are in the wrong order: the file agrees with its source, but not with the data."""
    keras: Any = from_keras._import_keras()
    last = keras.layers.Dense(3)
    network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), last])
    last.kernel.assign(np.tile([0.0, 20 / 64, 40 / 64], (64, 1)))
    last.bias.assign([0.0, -6.0, -20.0])  # by the mean: up to 0.3, up to 0.7, above
    network.save(tmp_path / "net.keras")
    random = np.random.default_rng(0)
    for name, low in (("dark", 0), ("gray", 90), ("light", 180)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(20):
            image = Image.fromarray(random.integers(low, low + 75, (8, 8), dtype=np.uint8))
            image.save(tmp_path / "images" / name / f"{number}.png")
    words = ["convert", tmp_path / "net.keras", "--data", f"folder:{tmp_path / 'images'}"]
    status, _, error = run_command(
        *words, "-o", tmp_path / "m.mlmodel", "--labels", "light,dark,gray"
    )
    assert status == 1
    assert "reads these images better in another way" in error
    assert "convert it again with --force --labels dark,gray,light" in error
    right = [
        *words,
        "-o",
        tmp_path / "m.mlmodel",
        "--labels",
        "dark,gray,light",
        "--force",
        "--json",
    ]
    assert json.loads(output_of(*right))["reading"]["passed"]
