"""Recognizers predict the same from memory and from disk; no pickle."""

from __future__ import annotations

import pickle
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save

from pocketlens import networks
from pocketlens import recognizer as recognizer_module
from pocketlens.errors import OptionError, OutputExistsError, RunError
from pocketlens.image import Color, InputSpec
from pocketlens.recipe import Choice
from pocketlens.recognizer import Recognizer, planes


def untrained(spec: InputSpec, *, temperature: float = 1.7) -> Recognizer:
    choice = Choice("strided", {"channels": [4]})
    network = networks.build(choice, spec, 3)
    return Recognizer(network, choice, ("a", "b", "ü"), spec, temperature=temperature)


@pytest.mark.parametrize("color", ["gray", "rgb", "bgr"])
@pytest.mark.parametrize("scales", [1, 3])
def test_planes_match_the_input_spec(color: Color, scales: int) -> None:
    count = 1 if color == "gray" else scales
    scale, bias = (0.5, 0.25, 2.0)[:count], (1.0, -3.0, 0.0)[:count]
    spec = InputSpec(5, 4, color, scale=scale, bias=bias)
    images = np.random.default_rng(0).integers(0, 256, (2, *spec.shape), dtype=np.uint8)
    ours = planes(torch.from_numpy(images).permute(0, 3, 1, 2), spec)
    assert np.array_equal(ours.numpy(), spec.network_input(images))


def test_a_saved_recognizer_predicts_the_same(tmp_path: Path) -> None:
    recognizer = untrained(InputSpec(9, 7, "rgb", bias=(0.1, 0.2, 0.3), crop="fit"))
    file = recognizer.save(tmp_path / "weights.safetensors")
    again = Recognizer.load(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (5, 9, 7, 3), dtype=np.uint8)
    assert np.array_equal(again.probabilities(images), recognizer.probabilities(images))
    assert again.classes == recognizer.classes
    assert again.input_spec == recognizer.input_spec
    assert again.temperature == 1.7
    with pytest.raises(OutputExistsError, match="exists; choose another name or pass force=True"):
        recognizer.save(file)


def test_the_temperature_divides_the_logits() -> None:
    recognizer = untrained(InputSpec(8, 8), temperature=4.0)
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    expected = (recognizer.logits(images) / 4).softmax(1).numpy()
    assert np.allclose(recognizer.probabilities(images), expected)
    assert recognizer.probabilities(images[:0]).shape == (0, 3)


@pytest.mark.parametrize(("most", "sizes"), [(10**9, [5]), (2 * 64, [2, 2, 1]), (1, [1] * 5)])
def test_the_pixels_of_a_batch_are_limited(
    monkeypatch: pytest.MonkeyPatch, most: int, sizes: list[int]
) -> None:
    recognizer = untrained(InputSpec(8, 8))
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    expected = recognizer.probabilities(images)
    seen: list[int] = []
    recognizer.network.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    monkeypatch.setattr(recognizer_module, "MOST_PIXELS", most)
    assert np.allclose(recognizer.probabilities(images), expected, atol=1e-6)
    assert seen == sizes


def test_damaged_files_are_rejected(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    with pytest.raises(RunError, match="does not exist; train first: pocketlens run RECIPE"):
        Recognizer.load(tmp_path)
    content = untrained(InputSpec(8, 8)).save(file).read_bytes()
    damages = [b"", b"text", content[:30], content[:-1], pickle.dumps({"a": 1}), b"\xff" * 100]
    damages += [content.replace(b"strided", b"strudel"), content.replace(b'\\"a\\"', b'\\"b\\"')]
    for damage in damages:
        file.write_bytes(damage)
        with pytest.raises(RunError, match="cannot be read as a recognizer") as caught:
            Recognizer.load(file)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "pocketlens-weights-1", "is not a Pocketlens recognizer; expected format pock"),
        ("network", "[]", r"cannot be read as a recognizer: network \[\]"),
        ("network", '"strided"', "cannot be read as a recognizer: network 'strided'"),
        ("network", '{"name": "strudel"}', "cannot be read as a recognizer: .*'strudel'"),
        (
            "network",
            '{"name": "plain"}',
            "do not fit the network Plain: .*; expected the weig",
        ),
        (
            "classes",
            '["a", "b", "a"]',
            r"cannot be read as a recognizer: classes \('a', 'b', 'a'\)",
        ),
        ("temperature", "0", "cannot be read as a recognizer: .* temperature 0"),
        ("thresholds", "{}x", "cannot be read as a recognizer: expected thresholds as JSON"),
    ],
)
def test_invalid_headers_are_rejected(tmp_path: Path, key: str, value: str, message: str) -> None:
    file = untrained(InputSpec(28, 28)).save(tmp_path / "weights.safetensors")
    with safe_open(file, framework="pt") as opened:
        header = opened.metadata()
        weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    file.write_bytes(save(weights, metadata={**header, key: value}))
    with pytest.raises(RunError, match=message) as caught:
        Recognizer.load(file)
    assert "\n" not in str(caught.value)


def test_a_network_larger_than_its_weights_takes_no_memory(tmp_path: Path) -> None:
    file = untrained(InputSpec(28, 28)).save(tmp_path / "weights.safetensors")
    with safe_open(file, framework="pt") as opened:
        header = opened.metadata()
    # 40 blocks of 4096 channels: 48 GB, in a file of a few hundred bytes.
    header["network"] = '{"name": "residual", "channels": [4096, 4096], "blocks": 40}'
    file.write_bytes(save({}, metadata=header))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RunError, match="do not fit the network Residual") as caught:
        Recognizer.load(file)
    assert len(str(caught.value)) < 2_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


@pytest.mark.parametrize("kind", [torch.float16, torch.float32])
def test_weights_of_another_type_are_converted(tmp_path: Path, kind: torch.dtype) -> None:
    recognizer = untrained(InputSpec(8, 8))
    file = recognizer.save(tmp_path / "weights.safetensors")
    with safe_open(file, framework="pt") as opened:
        header = opened.metadata()
        weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    half = {name: w.to(kind) if w.is_floating_point() else w for name, w in weights.items()}
    file.write_bytes(save(half, metadata=header))
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    found = Recognizer.load(file)
    assert {each.dtype for each in found.network.parameters()} == {torch.float32}
    assert np.allclose(found.probabilities(images), recognizer.probabilities(images), atol=1e-2)


def test_another_reading_of_the_same_network() -> None:
    recognizer = untrained(InputSpec(8, 8, "rgb"))
    read = recognizer.with_input(color="bgr", scale=0.5, labels=("x", "y", "z"))
    spec = InputSpec(8, 8, "bgr", scale=(0.5,))
    same = Recognizer(recognizer.network, recognizer.choice, read.classes, spec, temperature=1.7)
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    assert np.array_equal(read.probabilities(images), same.probabilities(images))
    assert read.classes == ("x", "y", "z")
    assert recognizer.input_spec == InputSpec(8, 8, "rgb")
    with pytest.raises(OptionError, match="so its color is rgb or bgr; received: gray"):
        recognizer.with_input(color="gray")
