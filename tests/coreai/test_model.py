"""`CoreAIModel`: runs in Apple's own interpreter."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import pocketlens
from core_ai_networks import LABELS, SPEC, classifier, needs_core_ai
from pocketlens.coreai import CoreAIModel, load
from pocketlens.errors import CoreAIError, FeatureError, OptionError, UnsupportedModelError

pytestmark = needs_core_ai


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("core_ai") / "Pets.aimodel"
    return pocketlens.convert(
        classifier(),
        target,
        precision="float32",
        labels=LABELS,
        input_spec=SPEC,
        metadata=pocketlens.ModelMetadata("Ä", "MIT", "1.2", "Pets"),
        check=False,
    )


@pytest.fixture(scope="module")
def model(path: Path) -> Iterator[CoreAIModel]:
    found = pocketlens.load(path, time_limit=60)
    assert isinstance(found, CoreAIModel)
    yield found
    found.close()


def images(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(1).integers(0, 256, (count, *SPEC.shape)).astype(np.uint8)


def test_it_computes_what_pytorch_computes(model: CoreAIModel) -> None:
    pixels = images(20)
    with torch.no_grad():
        want = classifier()(torch.from_numpy(SPEC.network_input(pixels))).softmax(1).numpy()
    np.testing.assert_allclose(model.probabilities(pixels), want, atol=1e-6)
    np.testing.assert_allclose(
        model.run({"image": pixels[:1].astype(int)})["probabilities"], want[:1], atol=1e-6
    )
    assert model.probabilities(pixels[:0]).shape == (0, 3)


def test_it_is_a_predictor(model: CoreAIModel) -> None:
    assert model.classes == LABELS
    assert model.input_spec == SPEC
    assert [each.name for each in model.function.inputs] == ["image"]
    found = model.predict(list(images(2)))
    assert [each.label in LABELS for each in found] == [True, True]
    renamed = model.with_input(labels=("a", "b", "c"), crop="fill")
    assert renamed.predict(images(1)[0]).label in "abc"
    with pytest.raises(OptionError, match="the scale of a Core AI model is part of its network"):
        model.with_input(scale=1.0)


def test_wrong_inputs_are_refused(model: CoreAIModel) -> None:
    for inputs, message in (
        ({}, r"needs the input 'image' \(uint8 \(1, 10, 12, 3\)\); received: nothing"),
        ({"picture": 1}, "has no input 'picture'; expected one of: image"),
        ({"image": np.zeros((10, 12, 3))}, r"is uint8 \(1, 10, 12, 3\); received: float64"),
        ({"image": np.full((1, 10, 12, 3), 0.5)}, "has whole numbers .* from 0.5 to 0.5"),
        ({"image": np.full((1, 10, 12, 3), 256)}, "has whole numbers .* from 256 to 256"),
        ({"image": "seven.png"}, "received: <U9"),
    ):
        with pytest.raises(FeatureError, match=message):
            model.run(inputs)
    with pytest.raises(FeatureError, match="keeps no state; expected state=None"):
        model.run({"image": images(1)}, state={"x": np.zeros(1)})
    with pytest.raises(FeatureError, match=r"takes images of shape \(N, 10, 12, 3\) uint8"):
        model.probabilities(images(1)[:, 1:])
    with pytest.raises(UnsupportedModelError, match="keeps no state"):
        model.make_state()


def test_inspection(model: CoreAIModel) -> None:
    found = model.inspect()
    assert found["inputs"][0]["shape"] == [1, 10, 12, 3]
    assert found["outputs"][0]["name"] == "probabilities"
    assert found["ops"]["conv2d"] == 1
    weights = sum(each.numel() for each in classifier().parameters())
    assert found["parameters"] >= weights - 16  # the batch norm is folded
    assert found["weight_bytes"]["float32"] == 4 * found["weights"]["float32"]
    assert found["metadata"]["author"] == "Ä"
    assert found["metadata"]["version"] == "1.2"
    assert tuple(found["classes"]) == LABELS
    assert found["opset"] == "iOS27"


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a truncated program": lambda data: data[: len(data) // 2],
    "garbage": lambda data: b"ML\xefR" + bytes(range(256)) * 4,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_program_is_one_error(name: str, path: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(path, tmp_path / "Damaged.aimodel")
    program = DAMAGE[name]((copy / "main.mlirb").read_bytes())
    (copy / "main.mlirb").write_bytes(program)
    (copy / "main.hash").write_bytes(hashlib.sha256(program).digest())
    with pytest.raises(CoreAIError, match="Apple's interpreter crashed while reading it") as found:
        load(copy, time_limit=60)
    assert "convert it again" in str(found.value)
    assert "\n" not in str(found.value)


def test_metadata_must_fit_the_program(model: CoreAIModel) -> None:
    wide = replace(model.asset, input_spec=replace(SPEC, width=13))
    more = replace(model.asset, labels=(*LABELS, "bird"))
    with pytest.raises(
        CoreAIError, match=r"metadata say that it takes the image uint8 \(1, 10, 13, 3\)"
    ):
        CoreAIModel(wide, model._session)
    with pytest.raises(CoreAIError, match="has 4 classes, but no output probabilities"):
        CoreAIModel(more, model._session)
    with pytest.raises(OptionError, match="has no function 'other'; expected one of: main"):
        CoreAIModel(model.asset, model._session, "other")
