"""`Recipe`: everything needed to repeat a run, as frozen dataclasses and as one TOML file.

Each table of the file is one dataclass below; its field names are the keys. Shipped recipes are
package data (`recipes/*.toml`); the comment at the top of each says what it is for and what it
measured. All faults of a recipe are reported at once.
"""

from __future__ import annotations

import json
import math
import tomllib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pocketlens.errors import OptionError, RecipeError, did_you_mean
from pocketlens.image import InputSpec

__all__ = [
    "AppOptions",
    "Choice",
    "DataOptions",
    "ModelOptions",
    "Recipe",
    "TrainingOptions",
    "list_recipes",
    "load_recipe",
    "recipe_text",
]

T = TypeVar("T")


def _between(low: float, high: float, *, default: Any = MISSING) -> Any:
    """A number's field: `low <= value <= high` is checked when the recipe is read."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True)
class DataOptions:
    """`[data]`: where the images come from.

    Args:
        source: `mnist`, `strokes`, `folder:PATH`, or `auto` (MNIST, or strokes when it is out of
            reach).
        validation: Fraction of the training images held back to choose the best epoch and the
            temperature, in [0, 0.5].
        share: Share of the source's training images that are used, in [0.001, 1].
        extra: A second source, such as `strokes`, whose training images (of a folder: all) are
            added to those of the first; never validated or tested on. Empty for none.
        extra_share: Share of the second source's images that are added, in [0.01, 1000]; with 3
            each is there three times.
        nothing: Share of each training batch that shows none of the classes, in [0, 0.9]; above 0
            the recognizer has a class `nothing`, and `[augment]` makes those frames.
    """

    source: str = "auto"
    validation: float = _between(0, 0.5, default=0.02)
    share: float = _between(0.001, 1, default=1.0)
    extra: str = ""
    extra_share: float = _between(0.01, 1000, default=1.0)
    nothing: float = _between(0, 0.9, default=0.0)


@dataclass(frozen=True)
class Choice:
    """`[network]` and `[augment]`: a name, and the options that this name takes."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingOptions:
    """`[training]`: how the network is trained.

    Args:
        epochs: Passes over the training images.
        batch_size: Images a step; at least 2, of one alone batch norm learns nothing.
        echo: How often each augmented batch is trained on, the later times among others.
        optimizer: `adamw`, `muon`, `sgd` (Nesterov momentum 0.9) or `adadelta`.
        learning_rate: The rate, or its peak with `one-cycle`.
        weight_decay: Decoupled for `adamw` and `muon`, L2 for the others.
        schedule: `one-cycle` (up for 30 % of the steps, then down, both along a cosine) or
            `constant`.
        label_smoothing: Share of each label spread over all classes, in [0, 1).
        teacher: Weight in the loss of seeing in each frame what a small network, trained first,
            sees in the clean image that it was made of; 0 for no such network.
        start: A run, or its weights, that training goes on from instead of from random weights;
            of the same network, input and classes. Empty for none.
        precision: Of the arithmetic while training: `float32`, `bfloat16` (autocast), or `auto`:
            bfloat16 where the device has matrix units for it.
        channels_last: Keep activations NHWC in memory, which CPUs and tensor cores prefer.
        device: `auto` (CUDA, else MPS, else CPU), `cpu`, `cuda` or `mps`.
    """

    epochs: int = _between(1, 100_000)
    batch_size: int = _between(2, 1_000_000, default=128)
    echo: int = _between(1, 100, default=1)
    optimizer: Literal["adamw", "muon", "sgd", "adadelta"] = "adamw"
    learning_rate: float = _between(1e-8, 100, default=0.01)
    weight_decay: float = _between(0, 10, default=0.01)
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    label_smoothing: float = _between(0, 0.99, default=0.0)
    teacher: float = _between(0, 100, default=0.0)
    start: str = ""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    channels_last: bool = True
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"


@dataclass(frozen=True)
class ModelOptions:
    """`[model]`: the Core ML file and what is written in it.

    Args:
        name: File name without suffix.
        format: `mlpackage` (ML Program, iOS 16 and later) or `mlmodel` (neural network).
        precision: Type of the weights and, in an ML Program, of the arithmetic.
        author: Author, shown by Xcode.
        license: License, shown by Xcode.
        version: Version, shown by Xcode.
        description: What the model does, in one sentence.
    """

    name: str = "Recognizer"
    format: Literal["mlpackage", "mlmodel"] = "mlpackage"
    precision: Literal["float16", "float32"] = "float16"
    author: str = "Made with Pocketlens"
    license: str = "MIT"
    version: str = "1.0"
    description: str = "Recognizes what is in an image."


@dataclass(frozen=True)
class AppOptions:
    """`[app]`: the Xcode project.

    Args:
        name: The app's name, also that of the Xcode project.
        bundle_id: Reverse-domain identifier.
        team: Apple team id of ten characters, or empty to choose it in Xcode.
    """

    name: str = "Pocketlens"
    bundle_id: str = "org.example.pocketlens"
    team: str = ""


@dataclass(frozen=True)
class Recipe:
    """Everything needed to repeat a run.

    Args:
        name: The recipe's name; the run folder is called after it unless told otherwise.
        seed: Seed of every random choice: split, weights, order, augmentation.
        data: Where the images come from.
        input: What the network eats.
        network: Architecture and its options.
        augment: Augmentation and its options; the name `none` for none.
        training: How it is trained.
        model: The Core ML file.
        app: The Xcode project.
    """

    name: str
    input: InputSpec
    network: Choice
    training: TrainingOptions
    seed: int = _between(0, 2**31 - 1, default=0)
    data: DataOptions = field(default_factory=DataOptions)
    augment: Choice = field(default_factory=lambda: Choice("none"))
    model: ModelOptions = field(default_factory=ModelOptions)
    app: AppOptions = field(default_factory=AppOptions)

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any], *, source: str = "the recipe") -> Recipe:
        """From the tables of a TOML file.

        Raises:
            RecipeError: With every unknown key, missing key, wrong type and value out of range.
        """
        faults: list[str] = []
        sound = _read_keys(cls, tables, "", faults)
        if faults:
            raise RecipeError(faults, source=source, sound=sound)
        return cls(**sound)

    @classmethod
    def from_toml(cls, text: str, *, source: str = "the recipe") -> Recipe:
        """From the text of a TOML file."""
        return cls.from_dict(_parse(text, source), source=source)

    def to_dict(self) -> dict[str, Any]:
        """The tables of the TOML file, with every default written out."""
        return {key: _plain(getattr(self, key)) for key in _key_order(Recipe)}

    def to_toml(self) -> str:
        """The TOML file, with every default written out; `from_toml` reads it back."""
        tables = self.to_dict()
        lines = [f"{k} = {_toml(v)}" for k, v in tables.items() if not isinstance(v, dict)]
        for name, table in tables.items():
            if isinstance(table, dict):
                lines += ["", f"[{name}]", *(f"{k} = {_toml(v)}" for k, v in table.items())]
        return "\n".join(lines) + "\n"

    def differences(self, other: Recipe) -> list[str]:
        """The dotted keys on which two recipes differ, as `training.epochs: 6, not 3`."""
        mine, theirs = _flat(self.to_dict()), _flat(other.to_dict())
        return [
            f"{key}: {mine.get(key)!r}, not {theirs.get(key)!r}"
            for key in sorted(mine.keys() | theirs.keys())
            if mine.get(key) != theirs.get(key)
        ]


def list_recipes() -> dict[str, str]:
    """The shipped recipes: name and the first line of each file's header."""
    files = resources.files("pocketlens") / "recipes"
    headers = {}
    for file in sorted(files.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            first = file.read_text(encoding="utf-8").partition("\n")[0]
            headers[file.name.removesuffix(".toml")] = first.removeprefix("#").strip()
    return headers


def recipe_text(name: str) -> str:
    """The text of a shipped recipe, header included.

    Raises:
        OptionError: No recipe of that name is shipped.
    """
    names = list_recipes()
    if name not in names:
        raise OptionError(f"there is no recipe '{name}'; {did_you_mean(name, names)}")
    file = resources.files("pocketlens") / "recipes" / f"{name}.toml"
    return file.read_text(encoding="utf-8")


def load_recipe(recipe: str | Path | Recipe, overrides: Iterable[str] = ()) -> Recipe:
    """A shipped recipe by name, or one from a `.toml` file, with some keys set otherwise.

    Args:
        recipe: Name of a shipped recipe, path of a TOML file, or a `Recipe`.
        overrides: `table.key=value` each, such as `training.epochs=3`; a value that is not TOML
            counts as a string.

    Raises:
        OptionError: An unknown recipe or an override of another form.
        RecipeError: A recipe with faults, all of them listed.
    """
    if isinstance(recipe, Recipe):
        tables, source = recipe.to_dict(), f"recipe '{recipe.name}'"
    elif str(recipe).endswith(".toml"):
        try:
            text = Path(recipe).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise OptionError(f"the recipe file {recipe} cannot be read: {error}") from error
        tables, source = _parse(text, str(recipe)), str(recipe)
    else:
        tables, source = _parse(recipe_text(str(recipe)), str(recipe)), f"recipe '{recipe}'"
    for override in overrides:
        _set(tables, override)
    return Recipe.from_dict(tables, source=source)


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError([f"it is not TOML: {error}"], source=source) from error


def _set(tables: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    table, dot, name = key.strip().rpartition(".")
    if not equals or not name or table.count("."):
        raise OptionError(
            f"an override is KEY=VALUE, such as training.epochs=3; received: {override!r}"
        )
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    target = tables.setdefault(table, {}) if dot else tables
    if not isinstance(target, dict):
        raise OptionError(f"'{table}' is not a table of a recipe; received: {override!r}")
    target[name] = value


def _key_order(cls: type) -> list[str]:
    """Plain keys first, as TOML wants them, then the tables in reading order."""
    tables = ["data", "input", "network", "augment", "training", "model", "app"]
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


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def _read(cls: type[T], table: Any, where: str, faults: list[str]) -> T | None:
    """Build dataclass `cls` from a TOML table, adding every fault to `faults`."""
    if not isinstance(table, Mapping):
        faults.append(f"{where.rstrip('.')} is a table; received: {table!r}")
        return None
    if cls is InputSpec:
        return _read_input(table, faults)  # type: ignore[return-value]
    if cls is Choice:
        return _read_choice(table, where, faults)  # type: ignore[return-value]
    before = len(faults)
    values = _read_keys(cls, table, where, faults)
    return cls(**values) if len(faults) == before else None


def _read_keys(
    cls: type, table: Mapping[str, Any], where: str, faults: list[str]
) -> dict[str, Any]:
    """The arguments for dataclass `cls` that have no fault."""
    hints = typing.get_type_hints(cls)
    known = {f.name: f for f in fields(cls)}
    sound: dict[str, Any] = {}
    for key, value in table.items():
        before = len(faults)
        if key not in known:
            faults.append(f"{where}{key} is not a key; {did_you_mean(key, known)}")
            continue
        if is_dataclass(hints[key]):
            value = _read(hints[key], value, f"{key}.", faults)
        else:
            value = _check(value, hints[key], known[key].metadata, where + key, faults)
        if len(faults) == before:
            sound[key] = value
    for key, spec in known.items():
        if key not in table and spec.default is MISSING and spec.default_factory is MISSING:
            faults.append(f"{where}{key} is missing")
    return sound


def _read_input(table: Mapping[str, Any], faults: list[str]) -> InputSpec | None:
    found = InputSpec.faults(table)
    faults += found
    return None if found else InputSpec.from_dict(table)


def _read_choice(table: Mapping[str, Any], where: str, faults: list[str]) -> Choice | None:
    name = table.get("name")
    if not isinstance(name, str):
        faults.append(f"{where}name is a string; received: {name!r}")
        return None
    # Which options a name takes is known to the room that has it (networks, augment).
    return Choice(name, {key: value for key, value in table.items() if key != "name"})


def _check(value: Any, hint: Any, limits: Mapping[str, float], key: str, faults: list[str]) -> Any:
    if get_origin(hint) is Literal:
        known = [str(item) for item in get_args(hint)]
        if value not in get_args(hint):
            faults.append(f"{key} {value!r} is not known; {did_you_mean(str(value), known)}")
        return value
    if hint is float and type(value) is int:
        value = float(value)
    if type(value) is not hint:
        names = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}
        faults.append(f"{key} is {names[hint]}; received: {value!r}")
    elif "low" in limits and not (
        math.isfinite(value) and limits["low"] <= value <= limits["high"]
    ):
        faults.append(f"{key} is from {limits['low']} to {limits['high']}; received: {value!r}")
    return value
