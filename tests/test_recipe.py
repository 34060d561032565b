"""Recipes: reading and writing TOML, and errors that are reported together."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pocketlens.errors import OptionError, RecipeError
from pocketlens.image import InputSpec
from pocketlens.recipe import (
    MAX_RECIPE_BYTES,
    Recipe,
    list_recipes,
    load_recipe,
    parse_override,
    recipe_text,
)
from pocketlens.recipe_options import Choice


@pytest.mark.parametrize("name", list_recipes())
def test_shipped_recipes_read_and_write(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert Recipe.from_toml(recipe.to_toml()) == recipe
    header = recipe_text(name).partition("\n\n")[0]
    options = "--data my_photos" if name.startswith("photos") else f"--out runs/{name}"
    assert f"#     pocketlens run {name} {options}\n" in header


def test_strings_survive_toml() -> None:
    odd = 'a "quoted" \\ name\twith\nlines, \x7f and 🙂'
    recipe = load_recipe("quick", ["training.epochs=3"])
    tables = recipe.to_dict()
    tables["model"]["description"] = odd
    there = Recipe.from_dict(tables)
    assert Recipe.from_toml(there.to_toml()).model.description == odd


def test_overrides() -> None:
    settings = ["training.epochs=3", "model.name=My Digits", "network.channels=[8]", "seed = 7"]
    recipe = load_recipe("quick", settings)
    assert recipe.training.epochs == 3
    assert recipe.model.name == "My Digits"
    assert recipe.network.options == load_recipe("quick").network.options | {"channels": [8]}
    assert recipe.seed == 7


def test_all_errors_are_reported_together() -> None:
    settings = ["training.epoch=3", "training.device=gpu", "data.validation=2", "inptu.x=1"]
    settings += ["input.height=0", "network.name=3", "training.batch_size=1.5", "seed=true"]
    settings += ["input.width='9'", "input.scale=[1, 2]", "input.crop=center", "input.depth=3"]
    settings += ["epochs=3", "model=3", "input.assumed=['ink']"]
    with pytest.raises(RecipeError) as caught:
        load_recipe("quick", settings)
    assert sorted(caught.value.errors) == sorted(
        [
            "unknown key training.epoch; did you mean training.epochs?",
            "training.device cannot be 'gpu'; did you mean 'cpu'?",
            "data.validation must be from 0 to 0.5; received: 2.0",
            "unknown key inptu; did you mean input?",
            "input.height must be an integer from 1 to 4096; received: 0",
            "input.width must be an integer from 1 to 4096; received: '9'",
            "input.scale must be a finite number, or one for each of the 1 channel(s) of gray; "
            "received: [1, 2]",
            "unknown input.crop 'center'; did you mean 'center-crop'?",
            "unknown key input.depth; did you mean 'width'?",
            "unknown key input.assumed; remove it",
            "network.name must be a string; received: 3",
            "training.batch_size must be an integer; received: 1.5",
            "seed must be an integer; received: True",
            "unknown key epochs; did you mean training.epochs?",
            "model must be a table; received: 3",
        ]
    )
    assert str(caught.value).startswith("recipe 'quick' has 15 errors: ")
    assert set(caught.value.valid) == {"name", "augment", "app"}


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("epochs=3", "unknown key epochs; did you mean training.epochs?"),
        ("source=mnist", "unknown key source; did you mean data.source?"),
        ("data.soruce=mnist", "unknown key data.soruce; did you mean data.source?"),
        ("data.epochs=3", "unknown key data.epochs; did you mean training.epochs?"),
        (
            "app.xyzzy=3",
            "unknown key app.xyzzy; known: app.name, app.bundle_id, app.team",
        ),
    ],
)
def test_an_unknown_key_comes_with_the_nearest_one(setting: str, hint: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("quick", [setting])
    assert caught.value.errors == (hint,)


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("training.epochs=0", "training.epochs must be from 1 to 100000; received: 0"),
        ("training.batch_size=1", "training.batch_size must be from 2 to 1000000; received: 1"),
        (
            "training.learning_rate=nan",
            "training.learning_rate must be a finite number; received: nan",
        ),
        (
            "training.learning_rate=0.0",
            "training.learning_rate must be from 1e-08 to 100; received: 0.0",
        ),
        ("seed=-1", "seed must be from 0 to 2147483647; received: -1"),
    ],
)
def test_values_out_of_range(setting: str, text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("quick", [setting])
    assert caught.value.errors == (text,)


def test_replace() -> None:
    quick = load_recipe("quick")
    changed = quick.replace(training={"epochs": 3}, seed=7, network={"name": "plain"})
    assert changed.differences(quick) == [
        "network.channels: None, not [16, 32, 64]",
        "network.margin: None, not 3",
        "network.name: 'plain', not 'strided'",
        "seed: 7, not 0",
        "training.epochs: 3, not 1",
    ]
    assert quick == load_recipe("quick"), "the recipe itself does not change"
    kept = quick.replace(network={"margin": 0})
    assert kept.network.options == {"channels": [16, 32, 64], "margin": 0}
    with pytest.raises(RecipeError) as caught:
        quick.replace(training={"epoch": 3}, seed="x", data={"source": 3})
    assert sorted(caught.value.errors) == [
        "data.source must be a string; received: 3",
        "seed must be an integer; received: 'x'",
        "unknown key training.epoch; did you mean training.epochs?",
    ]


def test_replace_takes_the_types_of_the_package() -> None:
    quick = load_recipe("quick")
    spec = InputSpec(32, 32, "rgb")
    changed = quick.replace(input=spec, training=quick.training, network=Choice("plain"))
    assert (changed.input, changed.training, changed.network) == (
        spec,
        quick.training,
        Choice("plain"),
    )


def test_a_new_network_drops_the_options_of_the_old_one() -> None:
    settings = ["network.name=strided", "network.margin=0"]
    assert load_recipe("quick", settings).network.options == {"channels": [16, 32, 64], "margin": 0}
    assert load_recipe("quick", ["network.name=plain"]).network == Choice("plain")
    settings = ["network.channels=[8]", "network.name=plain"]
    assert load_recipe("quick", settings).network == Choice("plain", {"channels": [8]})


def test_a_table_in_a_mapping_changes_only_its_keys() -> None:
    changed = load_recipe("digits", {"training": {"epochs": 77}, "augment.name": "none"})
    digits = load_recipe("digits")
    differences = changed.differences(digits)
    assert f"training.epochs: 77, not {digits.training.epochs}" in differences
    assert all(line.startswith(("training.epochs", "augment.")) for line in differences)


def test_a_table_as_text_replaces_the_old_one() -> None:
    changed = load_recipe("quick", ["network={name='strided', channels=[4]}"])
    assert changed.network == Choice("strided", {"channels": [4]})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("training.epochs=3", "overrides must be a dictionary"),
        (None, "overrides must be a dictionary"),
        ([3], "an override must be KEY=VALUE"),
        ({3: 4}, "the key of an override must be a string; received: 3"),
    ],
)
def test_overrides_of_other_types(overrides: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load_recipe("quick", overrides)


def test_overrides_as_a_mapping() -> None:
    path = "folder:a path with = and 'quotes'"
    recipe = load_recipe("quick", {"training.epochs": 3, "data.source": path, "seed": 7})
    assert (recipe.training.epochs, recipe.data.source, recipe.seed) == (3, path, 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "mine.toml has an error: it is not TOML"),
        ("name = 'x'", "mine.toml has 3 errors: input is missing; network is missing; training"),
        ("training = 3\nname = 'x'\n[input]\nheight = 1\nwidth = 1\n[network]\nname = 'a'",
         "training must be a table; received: 3"),
    ],
)  # fmt: skip
def test_invalid_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(RecipeError, match=message):
        load_recipe(tmp_path / "mine.toml")


def test_unknown_recipes_and_invalid_overrides(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="there is no recipe 'quik'; did you mean 'quick'?"):
        load_recipe("quik")
    with pytest.raises(
        OptionError, match=r"it is a folder; to train on its images: pocketlens run "
    ):
        load_recipe(str(tmp_path))
    with pytest.raises(OptionError, match=r"nowhere.toml does not exist; expected a .toml file"):
        load_recipe("nowhere.toml")
    for override in ("epochs", "=3", "a.b.c=1", "training=3=4"):
        with pytest.raises((OptionError, RecipeError), match=r"an override|a table"):
            load_recipe("quick", [override])


def test_differences_name_the_keys() -> None:
    assert load_recipe("quick", ["seed=1"]).differences(load_recipe("quick")) == ["seed: 1, not 0"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a = " + "[" * 100_000, "it is nested too deeply"),
        ("a" + ".a" * 100_000 + " = 1", "it is nested too deeply: a key has more than 100 parts"),
        ("x = {" + '"b" . ' * 101 + "c = 1}", "it is nested too deeply: a key has more than 100"),
        ("a = " + "9" * 5000, "it is not TOML: "),
        ("\x1b[31m", "it is not TOML: "),
    ],
    ids=["nesting", "long key", "long key in a table", "digits", "control characters"],
)
def test_a_hostile_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(content)
    with pytest.raises(RecipeError, match=message):
        load_recipe(path)
    assert parse_override(f"a=[{content}")[0] == "a"


def test_a_file_that_is_not_a_recipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "large.toml").write_bytes(b"#" * (MAX_RECIPE_BYTES + 1))
    (tmp_path / "latin.toml").write_bytes(b"\xe9")
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    os.mkfifo(tmp_path / "pipe.toml")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(OptionError, match="cannot be read"):
            load_recipe(path)


def hub_folder(place: Path, **values: object) -> str:
    """The name of a backbone that was trained on 48 × 40."""
    (place / "config.json").write_text('{"model_type": "resnet"}')
    described = {"size": {"height": 48, "width": 40}, "image_mean": 0.5, "image_std": 0.25}
    (place / "preprocessor_config.json").write_text(json.dumps(described | values))
    return f"hf:{place}"


def test_a_new_backbone_brings_its_own_input(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    name = hub_folder(tmp_path)
    photos = load_recipe("photos")
    found = load_recipe("photos", [f"network.backbone={name}"]).input
    assert (found.height, found.width, found.color) == (48, 40, "rgb")
    assert found.scale == pytest.approx([4 / 255] * 3, abs=1e-12)
    assert found.bias == pytest.approx([-2] * 3, abs=1e-12)
    assert (found.crop, found.ink) == (photos.input.crop, photos.input.ink)
    sides = {"input.height": 96, "input.width": 80}
    larger = load_recipe("photos", {"network.backbone": name, **sides})
    assert larger.input == found.with_values(height=96, width=80)
    again = load_recipe(larger, ["network.backbone=efficientnet-lite0"])
    assert again.input == photos.input
    assert larger.replace(network={"backbone": name, "train": True}).input == larger.input
    table = found.with_values(crop="fit").to_dict()
    whole = load_recipe("photos", {"network.backbone": name, "input": table})
    assert whole.input == found.with_values(crop="fit")


def test_a_recipe_may_leave_out_the_input_of_its_backbone(tmp_path: Path) -> None:
    pytest.importorskip("torch")

    def recipe(network: str, table: str = "") -> Recipe:
        return Recipe.from_toml(f"name = 'mine'\n[network]\n{network}\n[training]\n{table}")

    named = recipe("name = 'backbone'")
    assert named.input == load_recipe("photos").input
    assert recipe(f"name = 'backbone'\nbackbone = '{hub_folder(tmp_path)}'").input.height == 48
    larger = recipe("name = 'backbone'", "[input]\nheight = 320\nwidth = 320\ncrop = 'fit'").input
    assert larger == named.input.with_values(height=320, width=320, crop="fit")
    with pytest.raises(RecipeError, match="the recipe has an error: input is missing"):
        recipe("name = 'strided'")


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("efficientnet", "network.backbone: unknown backbone 'efficientnet'; did you mean"),
        ("hf:someone/net", "network.backbone: the backbone 'hf:someone/net' is not on this comp"),
        (
            "hf:.",
            "network.backbone: 'hf:.' does not say which input it was trained with; "
            "set input.height, input.width, input.color, input.scale, input.bias",
        ),
    ],
)
def test_a_backbone_without_an_input(
    backbone: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RecipeError) as raised:
        load_recipe("photos", [f"network.backbone={backbone}", "training.epochs=0"])
    found = raised.value.errors
    assert len(found) == 2
    assert found[0].startswith(message)
    assert found[1].startswith("training.epochs must be")
    own = {"input": load_recipe("photos").input.to_dict()}  # said by the user: no need to know more
    assert load_recipe("photos", {"network.backbone": backbone, **own}).input.height == 224


def test_another_network_keeps_the_input() -> None:
    changed = load_recipe("photos", ["network.name=strided"])
    assert changed.input == load_recipe("photos").input
