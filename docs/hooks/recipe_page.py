"""The page of every recipe key, from the dataclasses that read a recipe."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any

from markdown_text import arguments_of, code, first_line, table
from pocketlens.image import MAX_SIDE, InputSpec
from pocketlens.recipe import Recipe, list_recipes, load_recipe, recipe_text
from pocketlens.recipe_options import Choice
from pocketlens.registry import AUGMENTATIONS, NETWORKS, Registry

HEADER = ("Key", "Value", "Default", "Meaning")
SIDES = {("input", "height"): (1, MAX_SIDE), ("input", "width"): (1, MAX_SIDE)}
"""Ranges that are checked by `InputSpec` itself."""

INTRODUCTION = """\
# Recipe keys

<!-- Generated from the dataclasses in `pocketlens.recipe`; do not edit. -->

A *recipe* is one TOML file with everything that is needed to repeat a run. Copy a shipped one and
change it:

    pocketlens recipes copy quick mine.toml
    pocketlens run mine.toml --out runs/mine

or change single keys: `pocketlens run quick --set training.epochs=3 --set model.name=Numbers`. In
Python: `pocketlens.load_recipe("quick").replace(training={"epochs": 3})`.

An unknown key, a wrong type or a value out of range is an error, and all errors of a recipe are
reported together, before the run starts. A key without a default is required.
"""


def text() -> str:
    """The page."""
    hints = typing.get_type_hints(Recipe)
    meanings = arguments_of(Recipe.__doc__)
    plain = [f for f in fields(Recipe) if not is_dataclass(hints[f.name])]
    parts = [INTRODUCTION, "## Keys outside of tables\n", _keys("", plain, hints, meanings)]
    for name in load_recipe("quick").to_dict():  # the order of the file
        kind = hints[name]
        if kind is InputSpec:
            parts.append(f"## `[{name}]`\n\n{first_line(InputSpec.__doc__)}\n")
            parts.append(_dataclass(name, InputSpec))
        elif kind is Choice:
            parts.append(_choices(name, meanings[name]))
        elif is_dataclass(kind):
            summary = first_line(kind.__doc__).partition(": ")[2]
            parts.append(f"## `[{name}]`\n\n{summary[:1].upper()}{summary[1:]}\n")
            parts.append(_dataclass(name, kind))
    parts.append("## The shipped recipes\n")
    parts += [f"### `{name}`\n\n```toml\n{recipe_text(name)}```\n" for name in list_recipes()]
    return "\n".join(parts)


def _dataclass(table_name: str, kind: Any) -> str:
    return _keys(table_name, fields(kind), typing.get_type_hints(kind), arguments_of(kind.__doc__))


def _keys(
    table_name: str,
    found: typing.Iterable[Field[Any]],
    hints: dict[str, Any],
    meanings: dict[str, str],
) -> str:
    rows = []
    for item in found:
        key = f"{table_name}.{item.name}" if table_name else item.name
        default = "" if item.default is MISSING else _value(item.default)
        limits = tuple(item.metadata.values()) or SIDES.get((table_name, item.name), ())
        value = _type(hints[item.name])
        if limits:
            value += " from " + " to ".join(map(_number, limits))
        rows.append((code(key), value, default, meanings[item.name]))
    return table(HEADER, rows)


def _choices(name: str, meaning: str) -> str:
    registry = {"network": NETWORKS, "augment": AUGMENTATIONS}[name]
    own = [each for each in registry.names() if each not in registry.plugins()]
    parts = [
        f"## `[{name}]`\n\n{meaning} The other keys of the table are its options. Installed "
        f"packages can add names, see [plug-ins](../guides/plug_ins.md).\n",
        table(
            HEADER,
            [
                (
                    code(f"{name}.name"),
                    "one of " + ", ".join(map(code, own)),
                    code('"none"') if name == "augment" else "",
                    f"The {registry.kind}.",
                )
            ],
        ),
    ]
    parts += [_options(registry, name, each) for each in own if each not in registry.builtin]
    return "\n".join(parts)


def _options(registry: Registry, table_name: str, name: str) -> str:
    found = registry.find(name)
    meanings = arguments_of(found.__doc__)
    try:
        hints = typing.get_type_hints(found.__init__ if inspect.isclass(found) else found)
    except NameError:  # an annotation that is only imported by type checkers
        hints = {}
    rows = [
        (
            code(f"{table_name}.{parameter.name}"),
            _type(hints.get(parameter.name, parameter.annotation)),
            _value(parameter.default),
            meanings.get(parameter.name, ""),
        )
        for parameter in inspect.signature(found).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    title = f"### {table_name} `{name}`\n\n{_summary(found)}\n"
    return title + "\n" + (table(HEADER, rows) if rows else "It has no options.\n")


def _summary(found: Callable[..., Any]) -> str:
    summary = first_line(found.__doc__)
    return summary[:1].upper() + summary[1:]


def _type(hint: Any) -> str:
    """A type in plain words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return "one of " + ", ".join(code(f'"{value}"') for value in arguments)
    if origin in (typing.Union, UnionType):
        return " or ".join(_type(each) for each in arguments if each is not NoneType)
    if arguments and origin is not None:
        inner = [each for each in arguments if each is not Ellipsis]
        each = _type(inner[0])
        return "list of " + (
            each.replace("list of", "lists of") if each.startswith("list") else f"{each}s"
        )
    names = {int: "integer", float: "number", str: "string", bool: "`true` or `false`"}
    return names.get(hint) or str(getattr(hint, "__name__", hint))


def _value(default: Any) -> str:
    """A default as it is written in TOML."""
    if default is inspect.Parameter.empty:
        return ""
    if isinstance(default, bool):
        return code(str(default).lower())
    if isinstance(default, tuple):
        return code(json.dumps(default) if len(default) != 1 else _number(default[0]))
    if isinstance(default, str):
        return code(f'"{default}"')
    return code(_number(default))


def _number(value: Any) -> str:
    return f"{value:,}" if type(value) is int and value >= 1_000_000 else str(value)
