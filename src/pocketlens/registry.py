"""Rooms whose files are found by name: a network or an augmentation is one file of its room.

A recipe says `name = "strided"`; the room `networks` then has a file `strided.py` with a class or
function called in the recipe's word, and its keyword-only arguments are the options. A file whose
name begins with `_` is what the others share.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

from pocketlens.errors import did_you_mean
from pocketlens.recipe import Choice

__all__ = ["faults", "find", "names"]


def names(room: str) -> list[str]:
    """The names that a recipe may use in `room` (a package's dotted name), sorted."""
    paths = importlib.import_module(room).__path__
    found = (module.name for module in pkgutil.iter_modules(paths))
    return sorted(name for name in found if not name.startswith("_"))


def find(room: str, name: str) -> Callable[..., Any]:
    """What the file `name` of `room` is there for: the function `name` or the class `Name`."""
    module = importlib.import_module(f"{room}.{name}")
    found = getattr(module, name, None) or getattr(module, name.title())
    assert callable(found)
    return found


def faults(room: str, choice: Choice, table: str) -> list[str]:
    """What is wrong with `[table]` of a recipe: an unknown name or unknown options."""
    known = names(room)
    if choice.name not in known:
        return [f"{table}.name '{choice.name}' is not known; {did_you_mean(choice.name, known)}"]
    parameters = inspect.signature(find(room, choice.name)).parameters.values()
    options = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    return [
        f"{table}.{key} is not an option of '{choice.name}'; "
        + (did_you_mean(key, options) if options else "it takes none")
        for key in choice.options
        if key not in options
    ]
