"""The names that a recipe can use: files of a subpackage, and plug-ins of installed packages.

For `name = "strided"` in a recipe, the network is the function `strided` or the class `Strided` in
`networks/strided.py`. A name's hyphens are underscores in the file's name. A file whose name starts
with `_` contains shared code. Another package can add a name with an entry point:

    [project.entry-points."pocketlens.networks"]
    mobile = "my_package.networks:mobile"

In both cases, the keyword-only arguments are the options that the recipe may set. A plug-in is
imported only when its name is used.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, wraps
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Any

from pocketlens.errors import OptionError, PluginError, PocketlensError, did_you_mean
from pocketlens.recipe_options import Choice

__all__ = ["AUGMENTATIONS", "BACKBONES", "NETWORKS", "SOURCES", "Registry"]


@dataclass(frozen=True)
class Registry:
    """The names for one key of a recipe, such as networks.

    Args:
        kind: What the names stand for, in error messages, such as `network`.
        group: The group of entry points with which packages add names.
        package: The subpackage whose public files are built-in names; None if there is none.
        builtin: Other built-in names.
        apart: Modules of the subpackage that are no names.
    """

    kind: str
    group: str
    package: str | None = None
    builtin: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()

    @cached_property
    def _own(self) -> frozenset[str]:
        found = set(self.builtin)
        if self.package is not None:
            paths = importlib.import_module(self.package).__path__
            modules = {module.name for module in pkgutil.iter_modules(paths)} - {*self.apart}
            found |= {name.replace("_", "-") for name in modules if not name.startswith("_")}
        return frozenset(found)

    @cached_property
    def _plugins(self) -> dict[str, list[EntryPoint]]:
        found: dict[str, list[EntryPoint]] = {}
        for point in _entry_points().select(group=self.group):
            same = found.setdefault(point.name, [])
            # A package that is installed twice (such as editable) lists its points twice.
            if all((_origin(point), point.value) != (_origin(p), p.value) for p in same):
                same.append(point)
        return found

    def names(self) -> list[str]:
        """All names, built-in ones and plug-ins, sorted."""
        return sorted(self._own | self._plugins.keys())

    def plugins(self) -> list[str]:
        """The names that installed packages add, sorted."""
        return sorted(self._plugins.keys() - self._own)

    def is_plugin(self, name: str) -> bool:
        """Whether an installed package provides the name.

        Raises:
            PluginError: Several packages provide it.
        """
        return bool(self._plugins.get(name)) and len(self._owners(name)) == 1

    def find(self, name: str) -> Callable[..., Any]:
        """The function or class that `name` stands for.

        Raises:
            OptionError: There is no such name.
            PluginError: Several packages provide the name, or the plug-in cannot be imported.
        """
        if not self._owners(name):
            raise OptionError(f"unknown {self.kind} '{name}'; {did_you_mean(name, self.names())}")
        if points := self._plugins.get(name):
            return self._load(points[0])
        if self.package is None:
            raise OptionError(f"the {self.kind} '{name}' is built in and has no function")
        file = name.replace("-", "_")
        module = importlib.import_module(f"{self.package}.{file}")
        plain = file.replace("_", "")
        for own in vars(module):
            if own.lower() in (file, plain) and callable(found := getattr(module, own)):
                return found  # type: ignore[no-any-return]  # getattr of a module
        raise TypeError(f"{module.__name__} has no function {file} and no class {plain.title()}")

    def errors(self, choice: Choice, table: str) -> list[str]:
        """What is wrong with a table of a recipe: an unknown name, a broken plug-in, or options
        that the named function does not have."""
        if choice.name not in self.names():
            hint = did_you_mean(choice.name, self.names())
            return [f"{table}.name: unknown {self.kind} '{choice.name}'; {hint}"]
        try:
            parameters = inspect.signature(self.find(choice.name)).parameters.values()
        except PluginError as error:
            return [f"{table}.name: {error}"]
        options = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        return [
            f"{table}.{key} is not an option of '{choice.name}'; "
            + (did_you_mean(key, options) if options else "it has no options")
            for key in choice.options
            if key not in options
        ]

    def _owners(self, name: str) -> list[str]:
        """The package that provides the name; an empty list if there is none.

        Raises:
            PluginError: Several packages provide it.
        """
        points = self._plugins.get(name, [])
        owners = [*(["pocketlens"] if name in self._own else []), *map(_origin, points)]
        if len(owners) > 1:
            raise PluginError(
                f"the {self.kind} '{name}' is provided by {len(owners)} packages: "
                f"{', '.join(owners)}; uninstall one of them, or rename its entry point in the "
                f"group {self.group}"
            )
        return owners

    def _load(self, point: EntryPoint) -> Callable[..., Any]:
        origin = _origin(point)
        try:
            found = point.load()
        except (Exception, SystemExit) as error:  # its import may raise anything
            raise PluginError(
                f"the {self.kind} '{point.name}' of the package {origin} cannot be imported from "
                f"{point.value}: {type(error).__name__}: {error}; update or uninstall {origin}"
            ) from error
        if not callable(found):
            raise PluginError(
                f"the {self.kind} '{point.name}' of the package {origin} must be a function or a "
                f"class; {point.value} is a {type(found).__name__}"
            )
        return self._guarded(found, point)

    def _guarded(self, function: Callable[..., Any], point: EntryPoint) -> Callable[..., Any]:
        """The same function, which names its package in the errors that are not ours."""

        @wraps(function)
        def guarded(*args: Any, **options: Any) -> Any:
            try:
                return function(*args, **options)
            except PocketlensError:
                raise
            except (Exception, SystemExit) as error:
                raise PluginError(
                    f"the {self.kind} '{point.name}' of the package {_origin(point)} failed: "
                    f"{type(error).__name__}: {error}; report it to the package's authors, or use "
                    f"another {self.kind}"
                ) from error

        return guarded


@cache
def _entry_points() -> EntryPoints:
    """All entry points, read once, because that takes about 0.04 s."""
    found: EntryPoints = entry_points()  # type: ignore[assignment]  # the stubs have the old type
    return found


def _origin(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module


NETWORKS = Registry("network", "pocketlens.networks", "pocketlens.networks", apart=("backbones",))
AUGMENTATIONS = Registry(
    "augmentation", "pocketlens.augmentations", "pocketlens.augment", builtin=("none",)
)
SOURCES = Registry(
    "data source",
    "pocketlens.sources",
    builtin=(
        "auto",
        "mnist",
        "fashion-mnist",
        "kmnist",
        "emnist-digits",
        "emnist-letters",
        "strokes",
        "doodles",
        "quickdraw",
        "folder",
        "csv",
    ),
)
BACKBONES = Registry(
    "backbone", "pocketlens.backbones", "pocketlens.networks.backbones", apart=("huggingface",)
)
