"""The recipes of this package: `recipes/*.toml`."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from pocketlens.commands import command
from pocketlens.errors import OptionError, did_you_mean

__all__ = ["list_recipes", "recipe_text"]


def list_recipes() -> dict[str, str]:
    """The shipped recipes: name and first line of the header."""
    files = resources.files("pocketlens") / "recipes"
    headers = {}
    for file in sorted(files.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            first = file.read_text(encoding="utf-8").partition("\n")[0]
            headers[file.name.removesuffix(".toml")] = first.removeprefix("#").strip()
    return headers


def recipe_text(name: str) -> str:
    """The text of a shipped recipe, including its header.

    Raises:
        OptionError: There is no shipped recipe with this name.
    """
    names = list_recipes()
    if name not in names:
        raise OptionError(f"there is no recipe '{name}'; {_recipe_hint(name, names)}")
    file = resources.files("pocketlens") / "recipes" / f"{name}.toml"
    return file.read_text(encoding="utf-8")


def _recipe_hint(name: str, names: Iterable[str]) -> str:
    if Path(name).is_dir():
        # People type the folder of their photos where the recipe goes.
        recipe = "photos" if "photos" in names else "quick"
        hint = command("run", recipe, "--data", Path(name))
        return f"it is a folder; to train on its images: {hint}"
    return did_you_mean(name, names)
