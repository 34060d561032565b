"""Recipes: TOML there and back, all faults at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pocketlens.errors import OptionError, RecipeError
from pocketlens.recipe import Recipe, list_recipes, load_recipe, recipe_text


@pytest.mark.parametrize("name", list_recipes())
def test_shipped_recipes_read_and_write(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert Recipe.from_toml(recipe.to_toml()) == recipe
    header = recipe_text(name).partition("\n\n")[0]
    assert f"#     pocketlens run {name} --out runs/{name}" in header


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


def test_all_faults_are_told_at_once() -> None:
    settings = ["training.epoch=3", "training.device=gpu", "data.validation=2", "inptu.x=1"]
    settings += ["input.height=0", "network.name=3", "training.batch_size=1.5", "seed=true"]
    settings += ["input.width='9'", "input.scale=[1, 2]", "input.crop=center", "input.depth=3"]
    with pytest.raises(RecipeError) as caught:
        load_recipe("quick", settings)
    assert sorted(caught.value.faults) == sorted(
        [
            "training.epoch is not a key; did you mean 'epochs'?",
            "training.device 'gpu' is not known; did you mean 'cpu'?",
            "data.validation is from 0 to 0.5; received: 2.0",
            "inptu is not a key; did you mean 'input'?",
            "input.height is a whole number from 1 to 4096; received: 0",
            "input.width is a whole number from 1 to 4096; received: '9'",
            "input.scale is a finite number, or one for each of the 1 channel(s) of gray; "
            "received: [1, 2]",
            "input.crop 'center' is not known; expected one of: center-crop, fit, fill",
            "input.depth is not a key; did you mean 'width'?",
            "network.name is a string; received: 3",
            "training.batch_size is a whole number; received: 1.5",
            "seed is a whole number; received: True",
        ]
    )
    assert str(caught.value).startswith("recipe 'quick' has 12 faults: ")
    assert set(caught.value.sound) == {"name", "augment", "model", "app"}


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("training.epochs=0", "training.epochs is from 1 to 100000; received: 0"),
        ("training.batch_size=1", "training.batch_size is from 2 to 1000000; received: 1"),
        (
            "training.learning_rate=nan",
            "training.learning_rate is from 1e-08 to 100; received: nan",
        ),
        ("seed=-1", "seed is from 0 to 2147483647; received: -1"),
    ],
)
def test_values_out_of_range(setting: str, fault: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("quick", [setting])
    assert caught.value.faults == (fault,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "mine.toml has a fault: it is not TOML"),
        ("name = 'x'", "mine.toml has 3 faults: input is missing; network is missing; training"),
        ("training = 3\nname = 'x'\n[input]\nheight = 1\nwidth = 1\n[network]\nname = 'a'",
         "training is a table; received: 3"),
    ],
)  # fmt: skip
def test_files_with_faults(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(RecipeError, match=message):
        load_recipe(tmp_path / "mine.toml")


def test_what_is_no_recipe() -> None:
    with pytest.raises(OptionError, match="there is no recipe 'quik'; did you mean 'quick'?"):
        load_recipe("quik")
    with pytest.raises(OptionError, match=r"nowhere.toml cannot be read"):
        load_recipe("nowhere.toml")
    for override in ("epochs", "=3", "a.b.c=1", "training=3=4"):
        with pytest.raises((OptionError, RecipeError), match=r"an override is KEY=VALUE|a table"):
            load_recipe("quick", [override])


def test_differences_name_the_keys() -> None:
    assert load_recipe("quick", ["seed=1"]).differences(load_recipe("quick")) == ["seed: 1, not 0"]
