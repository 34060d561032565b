"""Plug-ins: a package that is installed for the test adds networks, augmentations and more."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import pocketlens
from command_line import error_of, output_of
from pocketlens import augment, networks, registry
from pocketlens.data import Dataset, load_data, resolve
from pocketlens.errors import OptionError, PluginError, RecipeError
from pocketlens.image import InputSpec
from pocketlens.recipe import Choice, load_recipe
from pocketlens.registry import AUGMENTATIONS, BACKBONES, NETWORKS, SOURCES

CODE = """
import numpy as np
import torch
from torch import nn

from pocketlens import Dataset


class Linear(nn.Module):
    def __init__(self, input_spec, classes, *, bias=True):
        super().__init__()
        height, width, channels = input_spec.shape
        self.head = nn.Linear(height * width * channels, classes, bias=bias)

    def forward(self, x):
        return self.head(x.flatten(1))


def negative(images, generator, *, strength=255):
    return strength - images


def halves(split, *, seed, input_spec):
    random = np.random.default_rng([seed, split == "test"])
    images = random.integers(0, 99, (60, 8, 8, 1), dtype=np.uint8)
    labels = np.arange(60) % 2
    images[labels == 0, :4] += 100
    images[labels == 1, 4:] += 100
    return Dataset(images, labels, ("top", "bottom"), "halves")


def wrong_source(split, *, seed, input_spec):
    return [1, 2, 3]


class Pooled(nn.Module):
    def __init__(self, input_spec):
        super().__init__()
        self.norm = nn.BatchNorm2d(input_spec.channels)

    def forward(self, x):
        return nn.functional.adaptive_avg_pool2d(self.norm(x), 2).flatten(1)


class Unpooled(Pooled):
    def forward(self, x):
        return self.norm(x).flatten(2)


def failing(input_spec, classes):
    raise RuntimeError("no \\x1b[31mluck")


def leaving(input_spec, classes):
    raise SystemExit(7)


def no_module(input_spec, classes):
    return "a network"


class Triple(Linear):
    def __init__(self, input_spec, classes):
        super().__init__(input_spec, 3)


def nothing_returned(images, generator):
    pass


NOT_CALLABLE = 3
"""

ENTRY_POINTS = """
[pocketlens.networks]
flat = test_plugin:Linear
missing_module = test_plugin_without_this_module:Linear
missing_name = test_plugin:Nothing
number = test_plugin:NOT_CALLABLE
failing = test_plugin:failing
leaving = test_plugin:leaving
no_module = test_plugin:no_module
triple = test_plugin:Triple
strided = test_plugin:Linear

[pocketlens.augmentations]
negative = test_plugin:negative
nothing_returned = test_plugin:nothing_returned

[pocketlens.sources]
halves = test_plugin:halves
wrong = test_plugin:wrong_source
mnist = test_plugin:halves

[pocketlens.backbones]
pooled = test_plugin:Pooled
unpooled = test_plugin:Unpooled
function = test_plugin:negative
"""


def install(site: Path, name: str, points: str) -> None:
    """Write what an installer writes for a package: its metadata with the entry points."""
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Make the registries read the entry points again."""

    def forget() -> None:
        registry._entry_points.cache_clear()
        for each in (NETWORKS, AUGMENTATIONS, SOURCES, BACKBONES):
            vars(each).pop("_plugins", None)
        sys.modules.pop("test_plugin", None)

    forget()
    yield
    forget()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    install(folder, "test-plugin", ENTRY_POINTS)
    (folder / "test_plugin.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(folder))
    return folder


SPEC = InputSpec(8, 8)


def test_names_are_built_in_ones_and_plugins(site: Path) -> None:
    assert {"flat", "strided", "residual"} <= set(NETWORKS.names())
    assert NETWORKS.names() == sorted(NETWORKS.names())
    assert AUGMENTATIONS.names() == [
        "camera",
        "negative",
        "none",
        "nothing_returned",
        "shift",
        "warp",
    ]
    assert SOURCES.plugins() == ["halves", "wrong"]
    assert BACKBONES.plugins() == ["function", "pooled", "unpooled"]
    assert "efficientnet-lite0" in BACKBONES.names()


def test_a_network_and_an_augmentation_of_another_package(site: Path) -> None:
    network = networks.build(Choice("flat", {"bias": False}), SPEC, 3)
    assert type(network).__name__ == "Linear"
    assert [*network.state_dict()] == ["head.weight"]
    change = augment.build(Choice("negative", {"strength": 200})).change
    assert change is not None
    import torch

    images = torch.zeros((1, 1, 2, 2), dtype=torch.uint8)
    assert torch.equal(change(images, torch.Generator()), torch.full_like(images, 200))


def test_a_whole_run_of_plugins(site: Path, tmp_path: Path) -> None:
    recipe = load_recipe("quick").replace(
        name="halves",
        data={"source": "halves", "validation": 0.2},
        input={"height": 8, "width": 8},
        network={"name": "flat"},
        augment={"name": "negative"},
        training={"batch_size": 8, "epochs": 2},
    )
    done = pocketlens.run(recipe, out=tmp_path / "run", until="evaluate")
    assert done.data and done.data.source == "halves"
    assert done.data.classes == ("top", "bottom")
    assert done.data.train + done.data.validation == 60
    assert done.metrics and done.metrics.network == "flat"
    assert done.evaluation and done.evaluation.n == 60


def test_a_source_of_another_package(site: Path) -> None:
    assert resolve("halves").name == "halves"
    data = load_data("halves", split="test", seed=3)
    assert isinstance(data, Dataset)
    assert len(data) == 60
    again = load_data("halves", split="test", seed=3)
    np.testing.assert_array_equal(data.images, again.images)
    fitted = load_data("halves", input_spec=InputSpec(4, 6, "rgb"))
    assert fitted.images.shape == (60, 4, 6, 3)
    with pytest.raises(PluginError, match="'wrong' .* must return a Dataset; received: list"):
        load_data("wrong")
    with pytest.raises(OptionError, match="did you mean 'halves'"):
        load_data("halfs")


def test_the_command_lists_sources_of_other_packages(site: Path) -> None:
    assert re.search(r"^halves +from an installed plug-in$", output_of("data", "list"), re.M)
    assert {"name": "halves"} in json.loads(output_of("data", "list", "--json"))


def test_options_of_a_plugin_are_checked(site: Path) -> None:
    with pytest.raises(RecipeError, match="network.bais is not an option of 'flat'; did you mean"):
        networks.build(Choice("flat", {"bais": False}), SPEC, 3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "missing_module",
            "the network 'missing_module' of the package test-plugin cannot be imported from "
            "test_plugin_without_this_module:Linear: ModuleNotFoundError: No module named "
            "'test_plugin_without_this_module'; update or uninstall test-plugin",
        ),
        (
            "missing_name",
            "the network 'missing_name' of the package test-plugin cannot be imported from "
            "test_plugin:Nothing: AttributeError: module 'test_plugin' has no attribute 'Nothing'; "
            "update or uninstall test-plugin",
        ),
        (
            "number",
            "the network 'number' of the package test-plugin must be a function or a class; "
            "test_plugin:NOT_CALLABLE is a int",
        ),
        (
            "strided",
            "the network 'strided' is provided by 2 packages: pocketlens, test-plugin; uninstall "
            "one of them, or rename its entry point in the group pocketlens.networks",
        ),
    ],
)
def test_entry_points_that_cannot_be_used(site: Path, name: str, message: str) -> None:
    with pytest.raises(PluginError) as caught:
        NETWORKS.find(name)
    assert str(caught.value) == message
    assert NETWORKS.errors(Choice(name), "network") == [f"network.name: {message}"]
    assert NETWORKS.errors(Choice("plain"), "network") == [], "the other names still work"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "failing",
            "the network 'failing' of the package test-plugin failed: RuntimeError: no .*luck; "
            "report it to the package's authors, or use another network",
        ),
        ("leaving", "of the package test-plugin failed: SystemExit: 7; report it"),
        ("no_module", "the network 'no_module' must be a torch.nn.Module; received: str"),
    ],
)
def test_networks_that_fail(site: Path, name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        networks.build(Choice(name), SPEC, 3)
    error = error_of("run", "quick", "--set", f"network.name={name}", "--out", tmp_path / "run")
    assert error.rstrip("\n").isprintable()
    assert not (tmp_path / "run").exists()


def test_a_network_with_another_number_of_outputs(site: Path) -> None:
    recipe = load_recipe("quick", {"network.name": "triple", "training.batch_size": 8}).replace(
        data={"source": "halves", "validation": 0.2}, input={"height": 8, "width": 8}
    )
    with pytest.raises(OptionError, match="Triple .*expected"):
        pocketlens.train(recipe, load_data("halves"))


def test_an_augmentation_that_returns_nothing(site: Path) -> None:
    found = augment.errors(Choice("nothing_returned"), input_spec=SPEC)
    assert found == [
        "the augmentation 'nothing_returned' must return uint8 images of the same shape, "
        "(2, 1, 8, 8); received: NoneType ()"
    ]


def test_a_taken_name_is_reported_before_the_run_starts(site: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert "'strided' is provided by 2 packages" in error_of("run", "quick", "--out", out)
    assert "'mnist' is provided by 2 packages" in error_of(
        "run", "quick", "--data", "mnist", "--set", "network.name=plain", "--out", out
    )
    assert not out.exists()


def test_a_source_whose_name_is_taken(site: Path) -> None:
    with pytest.raises(PluginError, match="'mnist' is provided by 2 packages: pocketlens, test-pl"):
        load_data("mnist")


def test_two_packages_with_the_same_name(site: Path) -> None:
    install(site, "other-plugin", "[pocketlens.networks]\nflat = other_plugin:Flat\n")
    with pytest.raises(PluginError, match=r"provided by 2 packages: (other|test)-plugin, "):
        NETWORKS.find("flat")


def test_a_package_that_is_found_twice_is_one(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "second", "test-plugin", ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(tmp_path / "second"))
    assert NETWORKS.find("flat").__name__ == "Linear"


def test_a_plugin_is_not_imported_before_it_is_used(site: Path) -> None:
    (site / "test_plugin.py").write_text("raise RuntimeError('imported')")
    assert "flat" in NETWORKS.names()
    assert NETWORKS.find("plain").__name__ == "Plain"
    with pytest.raises(PluginError, match="RuntimeError: imported"):
        NETWORKS.find("flat")


def backbone(name: str, **options: object) -> Callable[[], object]:
    return lambda: networks.build(Choice("backbone", {"backbone": name, **options}), SPEC, 3)


def test_a_network_on_a_backbone(site: Path) -> None:
    import torch

    network = networks.build(Choice("backbone", {"backbone": "pooled"}), SPEC, 3)
    assert {n for n, p in network.named_parameters() if p.requires_grad} == {
        "head.weight",
        "head.bias",
    }
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.train()
    assert network(torch.randn(4, 1, 8, 8)).shape == (4, 3)
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), f"{key}: batch norm statistics stay as they are"
    trained = networks.build(Choice("backbone", {"backbone": "pooled", "train": True}), SPEC, 3)
    assert all(p.requires_grad for p in trained.parameters())


def test_training_leaves_a_frozen_backbone_as_it_is(site: Path, tmp_path: Path) -> None:
    import torch

    recipe = load_recipe("quick").replace(
        data={"source": "halves", "validation": 0.2},
        input={"height": 8, "width": 8},
        network={"name": "backbone", "backbone": "pooled"},
        training={"batch_size": 8, "epochs": 3},
    )
    trained = pocketlens.train(recipe, load_data("halves")).recognizer
    norm = trained.network.state_dict()["backbone.norm.running_mean"]
    assert torch.equal(norm, torch.zeros(1))
    assert pocketlens.evaluate(trained, load_data("halves", split="test")).accuracy > 0.9


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("poled", "unknown backbone 'poled'; did you mean 'pooled'?"),
        (
            "unpooled",
            r"the backbone 'unpooled' must return features of shape \(N, F\) or \(N, F, h, w\); "
            r"for two images of 8 × 8 it returns \(2, 1, 64\)",
        ),
    ],
)
def test_backbones_that_do_not_fit(site: Path, name: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        backbone(name)()


def test_no_backbone_is_installed() -> None:
    with pytest.raises(
        RecipeError,
        match="unknown backbone 'pooled'; expected one of: efficientnet-lite0; or hf:NAME, an",
    ):
        backbone("pooled")()


def test_the_registry_of_a_file_without_its_function() -> None:
    odd = registry.Registry("case", "pocketlens.test", "pocketlens.cli")
    with pytest.raises(TypeError, match="pocketlens.cli.inputs has no function inputs and no"):
        odd.find("inputs")
