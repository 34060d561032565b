"""`pocketlens recipes list | show | copy`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pocketlens.cli.shell import Force, Json, command, group, print_json, say
from pocketlens.commands import command as command_line

recipes = group(
    "recipes",
    "List, show and copy the shipped recipes.",
    "pocketlens recipes list",
    "pocketlens recipes copy quick mine.toml",
)

Name = Annotated[str, typer.Argument(help="Name of a shipped recipe.")]


@command(on=recipes, name="list", example=("pocketlens recipes list",))
def list_all(json: Json = False) -> None:
    """List the shipped recipes."""
    from pocketlens.recipe import list_recipes

    found = list_recipes()
    if json:
        print_json(found)
        return
    width = max(len(name) for name in found)
    for name, headline in found.items():
        say(f"{name:{width}}  {headline}")


@command(on=recipes, example=("pocketlens recipes show quick",))
def show(name: Name, json: Json = False) -> None:
    """Print a recipe with its header; with --json, all keys including defaults."""
    from pocketlens.recipe import load_recipe, recipe_text

    if json:
        print_json(load_recipe(name).to_dict())
    else:
        say(*recipe_text(name).removesuffix("\n").split("\n"))


@command(
    on=recipes,
    example=("pocketlens recipes copy quick mine.toml", "pocketlens run mine.toml"),
)
def copy(
    name: Name,
    target: Annotated[Path | None, typer.Argument(help="Default: NAME.toml.")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Copy a recipe to a file, to edit it."""
    from pocketlens.files import aside
    from pocketlens.recipe import recipe_text

    text = recipe_text(name)
    target = target or Path(f"{name}.toml")
    with aside(target, force=force) as new:
        new.write_text(text, encoding="utf-8")
    if json:
        print_json({"recipe": str(target)})
    else:
        say(f"wrote {target}; run it with: {command_line('run', target)}")
