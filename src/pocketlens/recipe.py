"""`Recipe`: everything needed to repeat a run, as frozen dataclasses and as one TOML file.

Each table of the file is one dataclass below; its field names are the keys. Shipped recipes are
package data (`recipes/*.toml`); the comment at the top of each says what it is for and what was
measured. All errors of a recipe are reported together.
"""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pocketlens.errors import OptionError, RecipeError
from pocketlens.files import read_limited
from pocketlens.image import InputSpec
from pocketlens.recipe_input import KEYS, backbone_of, complete_input
from pocketlens.recipe_options import (
    AppOptions,
    Choice,
    DataOptions,
    ModelOptions,
    TrainingOptions,
    WebOptions,
    between,
)
from pocketlens.shipped_recipes import list_recipes, recipe_text
from pocketlens.toml import parse_toml

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = [
    "MAX_RECIPE_BYTES",
    "WITHOUT_EFFECT",
    "AppOptions",
    "Choice",
    "DataOptions",
    "ModelOptions",
    "Overrides",
    "Recipe",
    "TrainingOptions",
    "WebOptions",
    "list_recipes",
    "load_recipe",
    "parse_override",
    "parse_overrides",
    "recipe_text",
]

MAX_RECIPE_BYTES = 1 << 20
"""The largest recipe file, in bytes."""

WITHOUT_EFFECT = (
    *("name", "app", "web", "model.author", "model.description", "model.license", "model.name"),
    "model.version",
)
"""Keys and tables that change no result: neither accuracy nor size nor speed."""

Overrides: TypeAlias = "Mapping[str, Any] | Iterable[str]"
"""Changed keys of a recipe: `{"training.epochs": 3}`, or text as on the command line,
`["training.epochs=3"]`; a value that is not TOML is read as a string."""


@dataclass(frozen=True)
class Recipe:
    """Everything needed to repeat a run.

    Args:
        name: The recipe's name; the run folder is `runs/NAME` by default.
        seed: Seed of every random choice: split, initial weights, order, augmentation.
        data: Where the images come from.
        input: The network's input.
        network: Architecture and its options. A backbone adds what `input` leaves out.
        augment: Augmentation and its options; the name `none` for no augmentation.
        training: How the network is trained.
        model: The Core ML file.
        app: The Xcode project.
        web: The website.
    """

    name: str
    input: InputSpec
    network: Choice
    training: TrainingOptions
    seed: int = between(0, 2**31 - 1, default=0)
    data: DataOptions = field(default_factory=DataOptions)
    augment: Choice = field(default_factory=lambda: Choice("none"))
    model: ModelOptions = field(default_factory=ModelOptions)
    app: AppOptions = field(default_factory=AppOptions)
    web: WebOptions = field(default_factory=WebOptions)

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any], *, source: str = "the recipe") -> Recipe:
        """From the tables of a TOML file.

        Raises:
            RecipeError: Unknown keys, missing keys, wrong types, values out of range: all of them.
        """
        valid, errors = _read(tables)
        if errors:
            raise RecipeError(errors, source=source, valid=valid)
        return cls(**valid)

    @classmethod
    def from_toml(cls, text: str, *, source: str = "the recipe") -> Recipe:
        """From the text of a TOML file."""
        return cls.from_dict(_parse(text, source), source=source)

    def to_dict(self) -> dict[str, Any]:
        """The tables of the TOML file, with every default written out."""
        return {key: _plain(getattr(self, key)) for key in _key_order(Recipe)}

    def to_toml(self) -> str:
        """The TOML file, with every default written out; the inverse of `from_toml`."""
        import tomli_w

        return tomli_w.dumps(self.to_dict())

    def replace(self, **changes: Any) -> Recipe:
        """A copy with some keys changed, checked like a recipe that is read from a file.

        Args:
            changes: New values by key. A table takes a dictionary of its changed keys. A new name
                of a network or augmentation drops the options of the old one.

        Raises:
            RecipeError: Unknown keys or invalid values: all of them.

        Examples:
            >>> load_recipe("quick").replace(training={"epochs": 3}, seed=1).training.epochs
            3
        """
        return load_recipe(self, changes)

    @property
    def settings(self) -> dict[str, Any]:
        """Every key by its dotted name, such as `training.epochs`."""
        return _flat(self.to_dict())

    def differences(self, other: Recipe) -> list[str]:
        """The dotted keys on which two recipes differ, such as `training.epochs: 6, not 3`."""
        mine, theirs = self.settings, other.settings
        return [
            f"{key}: {mine.get(key)!r}, not {theirs.get(key)!r}"
            for key in sorted(mine.keys() | theirs.keys())
            if mine.get(key) != theirs.get(key)
        ]


def load_recipe(recipe: str | Path | Recipe, overrides: Overrides = ()) -> Recipe:
    """A shipped recipe by name, or one from a `.toml` file, with some keys changed.

    Args:
        recipe: Name of a shipped recipe, path of a TOML file, or a `Recipe`.
        overrides: Changed keys, `{"training.epochs": 3}` or `["training.epochs=3"]`.

    Raises:
        OptionError: There is no such recipe, or an override is not of the form KEY=VALUE.
        RecipeError: An invalid recipe; all errors are listed.
    """
    if isinstance(recipe, Recipe):
        tables, source = recipe.to_dict(), f"recipe '{recipe.name}'"
    elif str(recipe).endswith(".toml"):
        try:
            text = read_limited(recipe, MAX_RECIPE_BYTES).decode()
        except FileNotFoundError as error:
            raise OptionError(
                f"the recipe file {recipe} does not exist; expected a .toml file, or one of: "
                f"{', '.join(list_recipes())}"
            ) from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise OptionError(f"the recipe file {recipe} cannot be read: {reason}") from error
        except UnicodeDecodeError as error:
            raise OptionError(
                f"the recipe file {recipe} cannot be read: not UTF-8 text (byte {error.start})"
            ) from error
        tables, source = _parse(text, str(recipe)), str(recipe)
    else:
        tables, source = _parse(recipe_text(str(recipe)), str(recipe)), f"recipe '{recipe}'"
    _override(tables, parse_overrides(overrides))
    return Recipe.from_dict(tables, source=source)


def parse_overrides(overrides: Overrides) -> dict[str, Any]:
    """The overrides as a dictionary.

    Raises:
        OptionError: An override is not of the form KEY=VALUE.
    """
    if isinstance(overrides, Mapping):
        pairs = {key: _plain(value) for key, value in overrides.items()}
    elif isinstance(overrides, str) or not isinstance(overrides, Iterable):
        raise OptionError(
            'overrides must be a dictionary, {"training.epochs": 3}, or a list, '
            f'["training.epochs=3"]; received: {overrides!r:.80}'
        )
    else:
        pairs = dict(map(parse_override, overrides))
    if wrong := [key for key in pairs if not isinstance(key, str)]:
        raise OptionError(f"the key of an override must be a string; received: {wrong[0]!r:.80}")
    return pairs


def _override(tables: dict[str, Any], pairs: Mapping[str, Any]) -> None:
    """Change keys of the tables. A table's new name (of a network or augmentation) comes first: it
    drops the options of the old one. A new backbone drops the input of the old one."""
    flat: dict[str, Any] = {}
    for key, value in pairs.items():
        merged = isinstance(value, Mapping) and not isinstance(value, _WholeTable)
        if merged and isinstance(tables.get(key), dict):
            flat |= {f"{key}.{name}": each for name, each in value.items()}
        else:
            flat[key] = value
    for table in ("network", "augment"):
        old, name = tables.get(table), flat.get(f"{table}.name")
        if name is not None and isinstance(old, dict) and old.get("name") != name:
            tables[table] = {}
    before = backbone_of(tables)
    for key, value in flat.items():
        _set(tables, key, value)
    own, after = tables.get("input"), backbone_of(tables)
    if before and after and before != after and isinstance(own, dict) and "input" not in flat:
        # `complete_input` adds what the new backbone was trained with.
        tables["input"] = {k: v for k, v in own.items() if k not in KEYS or f"input.{k}" in flat}


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        return parse_toml(text)
    except ValueError as error:  # also of a number of too many digits
        raise RecipeError([f"it is not TOML: {error}"], source=source) from error


def parse_override(override: str) -> tuple[str, Any]:
    """The key and the value of `training.epochs=3`."""
    key, equals, text = override.partition("=") if isinstance(override, str) else ("", "", "")
    if not equals:
        raise OptionError(
            f"an override must be KEY=VALUE, such as training.epochs=3; received: {override!r}"
        )
    try:
        values = parse_toml(f"value = {text.strip()}")
    except ValueError:
        return key.strip(), text.strip()
    if len(values) > 1:
        return key.strip(), text
    value = values["value"]
    if key.strip() in _string_keys() and not isinstance(value, str):
        return key.strip(), text.strip()  # a name such as 2024, a version such as 1.0
    return key.strip(), _WholeTable(value) if isinstance(value, dict) else value


class _WholeTable(dict[str, Any]):
    """A table written as text, `network={name='plain'}`: it replaces the old one."""


def _set(tables: dict[str, Any], dotted: str, value: Any) -> None:
    table, dot, name = dotted.rpartition(".")
    if not name or table.count("."):
        raise OptionError(
            "an override's key must be KEY or TABLE.KEY, such as training.epochs; "
            f"received: {dotted!r}"
        )
    target = tables.setdefault(table, {}) if dot else tables
    if not isinstance(target, dict):
        raise OptionError(f"'{table}' is not a table of a recipe; received: {dotted!r}")
    target[name] = value


def _key_order(cls: type) -> list[str]:
    """Plain keys first, as TOML requires, then the tables in reading order."""
    tables = ["data", "input", "network", "augment", "training", "model", "app", "web"]
    return [f.name for f in fields(cls) if f.name not in tables] + tables


def _plain(value: Any) -> Any:
    if isinstance(value, Choice):
        return {"name": value.name, **value.options}
    if isinstance(value, InputSpec):
        return value.to_dict()
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in fields(value)}
    return value


def _flat(tables: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": item for inner, item in value.items()}
        else:
            flat[key] = value
    return flat


def _read(tables: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The arguments of `Recipe` that are valid, and the errors of the others."""
    from pocketlens.json_fields import error_texts

    converter, hints = _converter(), typing.get_type_hints(Recipe)
    known = {f.name: f for f in fields(Recipe)}
    valid: dict[str, Any] = {}
    tables, problem = complete_input(tables)
    errors = [problem] if problem else []
    for key, value in tables.items():
        if key not in known:
            errors.append(f"unknown key {key}")
        elif is_dataclass(hints[key]) and not isinstance(value, Mapping):
            errors.append(f"{key} must be a table; received: {value!r:.80}")
        elif hints[key] is Choice and not isinstance(value.get("name"), str):
            errors.append(f"{key}.name must be a string; received: {value.get('name')!r:.80}")
        else:
            try:
                limits = known[key].metadata
                value = converter.structure(value, hints[key])
                valid[key] = _in_range(value, limits) if limits else value
            except Exception as error:  # cattrs raises groups of whatever its hooks raise
                errors += error_texts(error, key)
    for key, spec in known.items():
        if key not in tables and spec.default is MISSING and spec.default_factory is MISSING:
            errors.append(f"{key} is missing")
    if problem:  # it is why keys of the input are missing
        errors = [text for text in errors if not re.match(r"input(\.\w+)? is missing", text)]
    return valid, [_with_hint(text) for text in errors]


def _with_hint(text: str) -> str:
    """The text of an unknown key, with the nearest known one."""
    unknown = "unknown key "
    if not text.startswith(unknown) or ";" in text:
        return text
    key = text.removeprefix(unknown)
    dotted = _known_keys()
    table, _, name = key.rpartition(".")
    same_name = [each for each in dotted if each.rpartition(".")[2] == name]
    inside = [each for each in dotted if each.rpartition(".")[0] == table]
    close = same_name or get_close_matches(key, inside, n=1) or get_close_matches(key, dotted, n=1)
    return f"{text}; " + (f"did you mean {close[0]}?" if close else f"known: {', '.join(inside)}")


@cache
def _known_keys() -> tuple[str, ...]:
    """Every dotted key of a recipe, except the options of networks and augmentations."""
    hints = typing.get_type_hints(Recipe)
    found = []
    for spec in fields(Recipe):
        found.append(spec.name)
        if is_dataclass(hints[spec.name]):
            inner = (
                ["name"]
                if hints[spec.name] is Choice
                else [f.name for f in fields(hints[spec.name])]
            )
            found += [f"{spec.name}.{name}" for name in inner]
    return tuple(found)


@cache
def _string_keys() -> frozenset[str]:
    """The dotted keys whose value is any string."""
    tables: list[tuple[str, type]] = [("", Recipe)]
    tables += [(f"{name}.", kind) for name, kind in typing.get_type_hints(Recipe).items()]
    return frozenset(
        f"{prefix}{name}"
        for prefix, kind in tables
        if is_dataclass(kind) and kind is not Choice
        for name, hint in typing.get_type_hints(kind).items()
        if hint is str
    )


@cache
def _converter() -> Converter:
    from cattrs.gen import make_dict_structure_fn, override

    from pocketlens.json_fields import strict_converter

    converter = strict_converter()
    for cls in (DataOptions, TrainingOptions, ModelOptions, AppOptions, WebOptions):
        hints = typing.get_type_hints(cls)
        limited: Any = {
            f.name: override(struct_hook=_range_hook(converter, hints[f.name], f.metadata))
            for f in fields(cls)
            if f.metadata
        }
        converter.register_structure_hook(
            cls,
            make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True, **limited),
        )
    converter.register_structure_hook(InputSpec, _read_input)
    converter.register_structure_hook(Choice, _read_choice)
    return converter


def _range_hook(converter: Converter, hint: Any, limits: Mapping[str, float]) -> Any:
    return lambda value, _: _in_range(converter.structure(value, hint), limits)


def _in_range(value: float, limits: Mapping[str, float]) -> float:
    if not (math.isfinite(value) and limits["low"] <= value <= limits["high"]):
        raise ValueError(f"must be from {limits['low']} to {limits['high']}; received: {value!r}")
    return value


def _read_input(table: Mapping[str, Any], _: Any) -> InputSpec:
    from pocketlens.json_fields import InvalidFieldsError

    errors = InputSpec.errors(table)
    if "assumed" in table:  # for foreign models only; a recipe says what it wants
        errors.append("unknown key input.assumed; remove it")
    if errors:
        raise InvalidFieldsError(errors)
    return InputSpec.from_dict(table)


def _read_choice(table: Mapping[str, Any], _: Any) -> Choice:
    # The packages `networks` and `augment` check the options of their names.
    return Choice(table["name"], {key: value for key, value in table.items() if key != "name"})
