"""`convert` of a Keras model on the command line: what is assumed, and what the file then says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from command_line import error_of, output_of
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
    assert json.loads(output_of(*words, *told, "--head", "logits"))["assumed"] == []
    spec = load(tmp_path / "m.mlmodel").input_spec
    assert (spec.ink, spec.crop, spec.assumed) == ("dark", "fill", ())
    assert "head 'logit' is not known" in error_of(*words, "--force", "--head", "logit")
