"""The op tables: which Core ML op or layer is lowered by which function.

A lowering is a function named as the specification names the op; its parameters are the op's
fields, with the specification's defaults. Registering it is one decorator:

    @mil()
    def leaky_relu(g: Graph, x: Value, alpha: float) -> Value:
        return g.LeakyRelu(x, alpha=alpha)

A later version of the op is a second function with a later `since`; a model gets the newest whose
`since` is not beyond the model's own opset. An op without a lowering is listed by `unsupported`
with the reason, so that nothing is merely forgotten.

The kinds of model that are no graphs (trees, linear models, pipelines, ...) are a table of their
own, `classic`: a function named as the kind, whose parameters are its message's fields.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from pocketlens.coreml.file.proto import repeated
from pocketlens.errors import ModelFileError, UnsupportedOp, UnsupportedParameter

__all__ = [
    "IOS15",
    "IOS16",
    "IOS17",
    "IOS18",
    "Dialect",
    "Lowering",
    "classic",
    "coverage",
    "layer",
    "lookup",
    "mil",
    "unsupported",
]

Dialect = Literal["classic", "mil", "neural_network"]
FAMILIES: dict[Dialect, str] = {
    "classic": "pocketlens.coreml.classic",
    "mil": "pocketlens.coreml.ops.mil",
    "neural_network": "pocketlens.coreml.ops.neural_network",
}
"""The package that holds the families of each dialect; a lookup imports them all."""

# MIL opsets by the number in their name: `CoreML5` came with iOS 15.
IOS15, IOS16, IOS17, IOS18 = 5, 6, 7, 8

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Parameter:
    """One parameter of a lowering.

    Attributes:
        name: The field's name in the specification.
        kind: Its annotation, without `| None`.
        optional: It has a default.
        positional: A layer's input rather than a field of its message.
        several: It stands for any number of inputs (`*xs`).
    """

    name: str
    kind: str
    optional: bool
    positional: bool
    several: bool


@dataclass(frozen=True)
class Lowering:
    """One registered function.

    Attributes:
        dialect: `mil`, `neural_network` or `classic`.
        op: The op's name in the specification; of `classic`, the kind of model.
        since: The first opset (MIL) that it serves; 0 for a layer or a kind.
        function: Takes the graph (of `classic`, the model's interface), then the op's fields;
            returns the op's outputs (of `classic`, the step that runs).
        restrictions: What of the op it does not take, in words; empty for nothing.
    """

    dialect: Dialect
    op: str
    since: int
    function: Callable[..., Any] = field(repr=False)
    restrictions: str = ""

    @cached_property
    def parameters(self) -> MappingProxyType[str, Parameter]:
        """Its parameters after the graph, by name, in order."""
        found = {}
        for parameter in list(inspect.signature(self.function).parameters.values())[1:]:
            kind = str(parameter.annotation)
            optional = parameter.default is not inspect.Parameter.empty
            found[parameter.name] = Parameter(
                parameter.name,
                kind.removesuffix(" | None"),
                optional,
                parameter.kind is not inspect.Parameter.KEYWORD_ONLY,
                parameter.kind is inspect.Parameter.VAR_POSITIONAL,
            )
        return MappingProxyType(found)

    @property
    def inputs(self) -> tuple[int, int | None]:
        """How many inputs a layer takes: at least, and at most (None: any number)."""
        given = [p for p in self.parameters.values() if p.positional]
        several = any(p.several for p in given)
        least = sum(not p.optional and not p.several for p in given)
        return (max(least, 1) if several else least), (None if several else len(given))

    def bind(self, message: Any) -> dict[str, Any]:
        """The fields that a message sets, as the function's keyword arguments.

        Raises:
            UnsupportedParameter: A field that the function does not take.
            ModelFileError: A field missing that it must have, or an enumeration's unknown value.
        """
        noun = "layer" if self.dialect == "neural_network" else "model"
        fields = {}
        for each, value in message.ListFields():
            parameter = self.parameters.get(each.name)
            if parameter is None or parameter.positional:
                shown = " ".join(str(value).split())[:80]
                raise UnsupportedParameter(
                    f"it sets {each.name} to {shown}, which does not run here"
                )
            if each.enum_type is not None:
                known = each.enum_type.values_by_number
                if value not in known:
                    raise ModelFileError(f"{each.name} is number {value}; expected a known one")
                fields[each.name] = known[value].name
            else:
                fields[each.name] = tuple(value) if repeated(each) else value
        for name, parameter in self.parameters.items():
            if not parameter.positional and not parameter.optional and name not in fields:
                raise ModelFileError(f"it has no {name!r}, which this {noun} needs")
        return fields


_lowerings: dict[tuple[Dialect, str], dict[int, Lowering]] = {}
_unsupported: dict[tuple[Dialect, str], str] = {}
_loaded: set[Dialect] = set()


def _register(
    dialect: Dialect, op: str, since: int, function: Callable[..., Any], restrictions: str
) -> None:
    versions = _lowerings.setdefault((dialect, op), {})
    if since in versions:
        raise ValueError(f"{dialect} {op} since {since} is registered twice")
    versions[since] = Lowering(dialect, op, since, function, restrictions)


def mil(*, since: int = IOS15, name: str = "", restrictions: str = "") -> Callable[[F], F]:
    """Register an ML Program op; `name` where Python's own words forbid the op's."""

    def register(function: F) -> F:
        _register("mil", name or function.__name__, since, function, restrictions)
        return function

    return register


def layer(*, name: str = "", restrictions: str = "") -> Callable[[F], F]:
    """Register a NeuralNetwork layer."""

    def register(function: F) -> F:
        _register("neural_network", name or function.__name__, 0, function, restrictions)
        return function

    return register


def classic(*, name: str = "", restrictions: str = "") -> Callable[[F], F]:
    """Register a kind of model that is no graph."""

    def register(function: F) -> F:
        _register("classic", name or function.__name__, 0, function, restrictions)
        return function

    return register


def unsupported(dialect: Dialect, reason: str, *ops: str) -> None:
    """List ops that have no lowering, with the reason."""
    for op in ops:
        if (dialect, op) in _unsupported:
            raise ValueError(f"{dialect} {op} is listed as unsupported twice")
        _unsupported[dialect, op] = reason


def _load(dialect: Dialect) -> None:
    """Import every family of a dialect, so that what is found depends on no import order."""
    if dialect in _loaded:
        return
    package = importlib.import_module(FAMILIES[dialect])
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    _loaded.add(dialect)


def lookup(dialect: Dialect, op: str, opset: int = 0) -> Lowering:
    """The newest lowering of `op` that a model of `opset` may use.

    Raises:
        UnsupportedOp: There is none; the message gives the reason.
    """
    _load(dialect)
    versions = _lowerings.get((dialect, op), {})
    since = max((version for version in versions if version <= opset), default=None)
    if since is not None:
        return versions[since]
    if versions:
        raise UnsupportedOp(f"{op} (exists only from CoreML{min(versions)} on)")
    reason = _unsupported.get((dialect, op), "no op of this name is known")
    raise UnsupportedOp(f"{op} ({reason})")


@dataclass(frozen=True)
class Coverage:
    """One row of the coverage table.

    Attributes:
        dialect: `mil`, `neural_network` or `classic`.
        op: The op's name in the specification; of `classic`, the kind of model.
        versions: The opsets whose lowerings differ, oldest first; (0,) for a layer or a kind.
        supported: Whether it runs.
        remark: Its restrictions, or why it does not run.
    """

    dialect: Dialect
    op: str
    versions: tuple[int, ...]
    supported: bool
    remark: str


def coverage(dialect: Dialect | None = None) -> list[Coverage]:
    """What is supported and what is not: one row per op, sorted by dialect and name."""
    rows = []
    for each in FAMILIES if dialect is None else (dialect,):
        _load(each)
        for (of, op), versions in _lowerings.items():
            if of == each:
                remarks = dict.fromkeys(v.restrictions for v in versions.values())
                remark = "; ".join(r for r in remarks if r)
                rows.append(Coverage(each, op, tuple(sorted(versions)), True, remark))
        rows += [
            Coverage(each, op, (), False, reason)
            for (of, op), reason in _unsupported.items()
            if of == each
        ]
    return sorted(rows, key=lambda row: (row.dialect, row.op))
