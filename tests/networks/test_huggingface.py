"""`hf:NAME`: networks of the Hugging Face hub, saved by the test; nothing is downloaded."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hub_networks
from hub_networks import DEEP, MAKERS, MAPS, SIDE, WITH_CLASSES
from pocketlens import networks
from pocketlens.conversion import convert
from pocketlens.coreml import load
from pocketlens.data import Dataset
from pocketlens.errors import MissingExtraError, OptionError, RecipeError, RunError
from pocketlens.evaluation.parity import verify
from pocketlens.hub import read_input_spec
from pocketlens.image import InputSpec
from pocketlens.networks import backbones
from pocketlens.networks.backbones import huggingface
from pocketlens.recipe import Choice, Recipe, load_recipe
from pocketlens.recognizer import Recognizer
from pocketlens.training.frozen import train_on_features
from sampling import sampled

pytest.importorskip("transformers")

RGB = InputSpec(SIDE, SIDE, "rgb")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def images(count: int, side: int = SIDE) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def colors(count: int = 30) -> Dataset:
    """Noise of one of three colors."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 3
    pictures = random.integers(0, 120, (count, SIDE, SIDE, 3), dtype=np.uint8)
    pictures[np.arange(count), :, :, labels] += 100
    return Dataset(pictures, labels, ("red", "green", "blue"), "colors")


def recipe_for(name: str) -> Recipe:
    return load_recipe(
        "photos",
        {"network": {"name": "backbone", "backbone": name}, "input": RGB.to_dict()},
    )


@pytest.mark.parametrize("kind", sampled(MAKERS, 2))
def test_features_are_what_the_networks_own_classes_are_computed_from(
    kind: str, tmp_path: Path
) -> None:
    name = hub_networks.save(kind, tmp_path)
    side = 64 if kind in MAPS else SIDE
    built: Any = backbones.build(name, InputSpec(side, side, "rgb"))
    built.load_pretrained()
    original = hub_networks.make(kind)
    with torch.no_grad():
        features = built.eval()(images(3, side))
        assert features.dim() == (4 if kind in MAPS else 2)
        pooled = features.mean((2, 3)) if features.dim() == 4 else features
        if kind in WITH_CLASSES:
            logits = built.concepts(pooled)
            assert torch.allclose(logits, original(images(3, side)).logits, atol=1e-5)
            assert kind in DEEP or logits.std(0).min() > 1e-5  # they depend on the image
        else:
            assert not hasattr(built, "concepts")


@pytest.mark.parametrize("kind", ["clip", "siglip", "dinov3"])
def test_a_network_without_classes_gives_its_pooled_output(kind: str, tmp_path: Path) -> None:
    name = hub_networks.save(kind, tmp_path)
    built: Any = backbones.build(name, RGB)
    built.load_pretrained()
    original = hub_networks.make(kind)
    with torch.no_grad():
        expected = getattr(original, "vision_model", original)(pixel_values=images(2))
        assert torch.allclose(built.eval()(images(2)), expected.pooler_output, atol=1e-6)


@pytest.mark.parametrize("kind", sampled([kind for kind in MAKERS if kind not in DEEP], 1))
def test_from_training_to_a_checked_core_ml_file(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "network"
    recipe, data = recipe_for(hub_networks.save(kind, folder)), colors()
    trained = train_on_features(recipe, data).recognizer
    found = trained.probabilities(data.images)[:, :3].argmax(1)
    assert (found == data.labels).mean() > 0.9
    trained.save(tmp_path / "weights.safetensors")
    folder.rename(tmp_path / "moved")  # a saved recognizer needs no file of the hub
    again = Recognizer.load(tmp_path / "weights.safetensors")
    assert np.array_equal(again.probabilities(data.images), trained.probabilities(data.images))
    model = load(convert(again, tmp_path / "M.mlpackage", precision="float32"))
    assert not [record for record in caplog.records if record.name == "coremltools"]
    assert model.input_spec == RGB
    assert verify(again, model, data).passed


def processor(folder: Path, values: dict[str, Any], file: str = "preprocessor_config.json") -> str:
    (folder / "config.json").write_text('{"model_type": "vit"}')
    (folder / file).write_text(json.dumps(values))
    return f"hf:{folder}"


IMAGENET = {"image_mean": list(MEAN), "image_std": list(STD), "do_normalize": True}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"size": 224, **IMAGENET}, (224, 224, "rgb", 1 / 255, MEAN, STD)),
        (
            {
                "size": {"shortest_edge": 256},
                "crop_size": {"height": 224, "width": 192},
                **IMAGENET,
            },
            (224, 192, "rgb", 1 / 255, MEAN, STD),
        ),
        ({"size": {"height": 64, "width": 48}, **IMAGENET}, (64, 48, "rgb", 1 / 255, MEAN, STD)),
        (
            {"size": 256, "crop_size": 224, "do_center_crop": False, **IMAGENET},
            (256, 256, "rgb", 1 / 255, MEAN, STD),
        ),
        (
            {"size": [90, 80], "rescale_factor": 1 / 127.5, "rescale_offset": True},
            (90, 80, "rgb", 1 / 127.5, (1,) * 3, (1,) * 3),
        ),
        ({"size": 32, "do_rescale": False}, (32, 32, "rgb", 1, (0,) * 3, (1,) * 3)),
        (
            {"size": 32, "do_normalize": False, "image_mean": [9, 9, 9], "image_std": [9, 9, 9]},
            (32, 32, "rgb", 1 / 255, (0,) * 3, (1,) * 3),
        ),
        (
            {"size": 32, "image_mean": 0.5, "image_std": 0.25},
            (32, 32, "rgb", 1 / 255, (0.5,) * 3, (0.25,) * 3),
        ),
        (
            {"size": 32, "do_flip_channel_order": True},
            (32, 32, "bgr", 1 / 255, (0,) * 3, (1,) * 3),
        ),
    ],
)
def test_the_input_of_the_image_processor(
    values: dict[str, Any], expected: tuple[Any, ...], tmp_path: Path
) -> None:
    height, width, color, factor, mean, std = expected
    spec = read_input_spec(processor(tmp_path, values))
    assert spec is not None
    assert (spec.height, spec.width, spec.color) == (height, width, color)
    pixels = np.array([[0.0], [1.0], [128.0], [255.0]])
    normalized = (pixels * factor - np.array(mean)) / np.array(std)
    assert np.allclose(pixels * np.array(spec.scale) + np.array(spec.bias), normalized, atol=1e-12)
    assert spec == read_input_spec(
        processor(tmp_path, {"image_processor": values}, "processor_config.json")
    )


@pytest.mark.parametrize("kind", ["ViT", "EfficientNet", "ConvNext"])
def test_the_input_agrees_with_the_image_processor_itself(kind: str, tmp_path: Path) -> None:
    import transformers

    made = getattr(transformers, f"{kind}ImageProcessorPil")(image_std=[0.2, 0.3, 0.4])
    made.save_pretrained(tmp_path)
    name = processor(tmp_path, json.loads((tmp_path / "preprocessor_config.json").read_text()))
    spec = read_input_spec(name)
    assert spec is not None
    picture = np.random.default_rng(0).integers(0, 256, spec.shape, dtype=np.uint8)
    expected = made(picture, do_resize=False, do_center_crop=False, return_tensors="np")
    found = spec.network_input(picture[None])
    assert np.allclose(found, expected["pixel_values"], atol=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image_mean": [0, 0, 0], "image_std": [1, 1, 1]}, "'size'"),
        ({"size": 32, "do_normalize": True}, "'image_mean'"),
        ({"size": {"longest_edge": 800}}, "'shortest_edge'"),
        ({"size": 32, "image_mean": [0, 0], "image_std": [1, 1]}, r"three channels; received: \["),
        ({"size": 32, "image_mean": [0] * 3, "image_std": [0] * 3}, "division by zero"),
        ({"size": "big"}, "invalid literal"),
        ({"size": 1e9}, "from 1 to 4096"),
        ({"size": 32, "image_mean": [float("nan")] * 3, "image_std": [1] * 3}, "finite"),
        ({"image_processor": [1]}, r"expected an object; received: \[1\]"),
    ],
)
def test_a_processor_that_does_not_say_the_input(
    values: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=message) as raised:
        read_input_spec(processor(tmp_path, values))
    assert "preprocessor_config.json does not say which input" in str(raised.value)
    assert "set input.height" in str(raised.value)


def test_a_folder_without_a_processor_says_nothing_of_the_input(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert backbones.input_spec_of(f"hf:{tmp_path}") is None


def test_reading_the_input_imports_no_pytorch(tmp_path: Path) -> None:
    name = processor(tmp_path, {"size": 32})
    code = f"import sys; from pocketlens.networks.backbones import input_spec_of as f; f({name!r})"
    code += "; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_network_in_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    place = tmp_path / "models--someone--small"
    hub_networks.save("vit", place / "snapshots" / "abc")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("abc")
    built: Any = backbones.build("hf:someone/small", RGB)
    built.load_pretrained()
    original = hub_networks.make("vit")
    with torch.no_grad():
        expected = original(images(2)).logits
        assert torch.allclose(built.concepts(built.eval()(images(2))), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "hf:microsoft/resnet-18",
            "'hf:microsoft/resnet-18' is not on this computer, .* download it with: "
            "hf download microsoft/resnet-18; or use another backbone, such as efficientnet-lite0",
        ),
        ("hf:a b/c", "is not a name of the Hugging Face hub, such as"),
        ("hf:", "is not a name of the Hugging Face hub, such as"),
        ("hf:./nowhere", "nowhere is not a folder with a config.json; expected a folder that save"),
    ],
)
def test_a_network_that_is_not_here(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OptionError, match=message):
        backbones.input_spec_of(name)
    with pytest.raises(RecipeError, match=message):
        networks.build(Choice("backbone", {"backbone": name}), RGB, 2)


def test_transformers_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = processor(tmp_path, {"size": 32})
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"needs the package 'transformers'.*\.\[hf\]"):
        backbones.build(name, RGB)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "config.json cannot be read: .*; download it again"),
        ("[1]", r"expected a JSON object; received: '\[1\]'"),
        ("[" * 100_000, "nested too deeply"),
        ("\xff", "config.json cannot be read"),
        ("{}", "of a kind that transformers .* does not know: None"),
        ('{"model_type": "newest"}', "does not know: 'newest'; update transformers, or use"),
        ('{"model_type": ["vit"]}', "of a kind that transformers .* does not know"),
        ('{"model_type": "bert"}', "is not a network for images; it is of the kind 'bert'"),
        ('{"model_type": "wav2vec2"}', "is not a network for images"),
        ('{"model_type": "imagegpt"}', "is not a network for images"),
        ('{"model_type": "vit", "hidden_size": "wide"}', "cannot be built from its config.json"),
        ('{"model_type": "vit", "hidden_size": -1}', "cannot be built from its config.json"),
        ('{"model_type": "vit", "num_hidden_layers": 1e9}', "more than 1000 layers"),
        ('{"model_type": "resnet", "depths": [400, 400, 400]}', "more than 1000 layers"),
        ('{"model_type": "vit", "intermediate_size": 100000000}', "parameters; the most is 1,5"),
        ('{"model_type": "vit_mae"}', "describes the parts of an image, but not the whole"),
    ],
)
def test_descriptions_that_cannot_be_used(config: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(config.encode("latin-1"))
    with pytest.raises(OptionError, match=message):
        backbones.build(f"hf:{tmp_path}", InputSpec(224, 224, "rgb"))
    if config.startswith('{"model_type": "vit"'):  # the same in a saved recognizer
        with pytest.raises(OptionError, match=message):
            backbones.build("hf:x", InputSpec(224, 224, "rgb"), config=config)


def test_code_that_comes_with_a_network_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    evil = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C", "AutoModel": "evil.M"}}
    (tmp_path / "config.json").write_text(json.dumps(evil))
    with pytest.raises(OptionError, match="does not know: 'evil'"):
        backbones.build(f"hf:{tmp_path}", RGB)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        ("vit", InputSpec(SIDE, SIDE), "needs an input of 3 channels; received: gray; set input.c"),
        (
            "vit",
            InputSpec(48, 40, "rgb"),
            "48 × 40: .*; set input.height to 32 and input.width to 32",
        ),
        ("siglip", InputSpec(8, 8, "rgb"), "does not accept an input of 8 × 8"),
        ("resnet", InputSpec(1, 1, "rgb"), ""),
    ],
)
def test_inputs_that_a_network_does_not_accept(
    kind: str, spec: InputSpec, message: str, tmp_path: Path
) -> None:
    name = hub_networks.save(kind, tmp_path)
    if not message:
        assert isinstance(backbones.build(name, spec), nn.Module)
        return
    with pytest.raises(OptionError, match=message):
        backbones.build(name, spec)


@pytest.mark.parametrize("damage", ["cut", "pickle", "other", "empty", "none"])
def test_weights_that_cannot_be_used(damage: str, tmp_path: Path) -> None:
    name = hub_networks.save("vit", tmp_path)
    file = tmp_path / "model.safetensors"
    message = "the weights in .* cannot be read: .*; download them again, or use another"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "pickle":
        file.write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    elif damage == "other":
        hub_networks.make("resnet").save_pretrained(tmp_path / "other")
        (tmp_path / "other" / "model.safetensors").replace(file)
        message = "lack .* tensors of the network, such as"
    else:
        file.unlink()
        (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
        message = (
            "no weights in safetensors format; other .* it has: config.json, pytorch_model.bin"
        )
    built: Any = backbones.build(name, RGB)
    with pytest.raises(RunError, match=message):
        built.load_pretrained()
    assert not (tmp_path / "ran").exists()


class Bomb:
    """What its pickle does when it is read: it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_transformers_keeps_its_own_settings(tmp_path: Path) -> None:
    from transformers.utils import logging

    name = hub_networks.save("vit", tmp_path)
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    built: Any = backbones.build(name, RGB)
    built.load_pretrained()
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_a_description_in_a_recognizer_has_no_names_of_labels_or_folders(tmp_path: Path) -> None:
    built: Any = backbones.build(hub_networks.save("resnet", tmp_path), RGB)
    text = built.options["config"]
    assert "LABEL_" not in text
    assert str(tmp_path) not in text
    assert huggingface.MAX_LAYERS == 1000
