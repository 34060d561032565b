"""The registry: which function lowers which Core ML op, layer or model type to ONNX.

A lowering is a function with the op's name from the specification. Its parameters are the op's
fields, with the specification's defaults. One decorator registers it:

    @mil()
    def leaky_relu(g: Graph, x: Value, alpha: float) -> Value:
        return g.LeakyRelu(x, alpha=alpha)

A later version of the op is a second function with a later `since`; a model gets the newest version
that its own opset allows. `unsupported` lists the ops that have no lowering, each with a reason, so
that no op is forgotten.

Models that are not graphs (trees, linear models, pipelines, ...) have a dialect of their own,
`classic`: the function has the name of the model type, and its parameters are the fields of that
type's message.

The annotation of a parameter tells the reader how to convert the field. `INPUT_ANNOTATIONS` and
`FIELD_ANNOTATIONS` list what each reader understands; anything else is an error at registration.
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

from pocketlens.coreml.file.budget import charge
from pocketlens.coreml.file.proto import repeated
from pocketlens.coreml.ops.choice import Choice
from pocketlens.coreml.ops.classic_choices import CLASSIC_CHOICES
from pocketlens.coreml.ops.graph_choices import GRAPH_CHOICES
from pocketlens.errors import ModelFileError, UnsupportedOp, UnsupportedParameter

__all__ = [
    "CHOICES",
    "IOS15",
    "IOS16",
    "IOS17",
    "IOS18",
    "Dialect",
    "Lowering",
    "classic",
    "layer",
    "lookup",
    "mil",
    "ops",
    "unsupported",
]

Dialect = Literal["classic", "mil", "neural_network"]

ELEMENT_BYTES = 40
"""About what one element of a field takes as an object of Python in a tuple."""
FAMILIES: dict[Dialect, str] = {
    "classic": "pocketlens.coreml.classic",
    "mil": "pocketlens.coreml.ops.mil",
    "neural_network": "pocketlens.coreml.ops.neural_network",
}
"""The package with the op families of each dialect; a lookup imports all of them."""

# MIL opsets by the number in their name: `CoreML5` came with iOS 15.
IOS15, IOS16, IOS17, IOS18 = 5, 6, 7, 8

SCALARS: dict[str, type] = {"bool": bool, "float": float, "int": int, "str": str}
"""Annotations of a constant with one element -> the type of that element."""

TUPLES: dict[str, type] = {"Bools": bool, "Floats": float, "Ints": int}
"""Annotations of a constant with any number of elements -> the type of an element."""

INPUT_ANNOTATIONS: dict[Dialect, frozenset[str]] = {
    "classic": frozenset(),
    "mil": frozenset({"Array", "Block", "State", "Value", "Values", *SCALARS, *TUPLES}),
    "neural_network": frozenset({"Value", "*Value"}),
}
"""What each reader understands on a positional parameter, without `| None`.

`*Value` is `*xs: Value`. An ML Program does not separate inputs from fields, so all its parameters
are positional.
"""

FIELD_ANNOTATIONS: dict[Dialect, frozenset[str]] = {
    "classic": frozenset(
        {"Message", "tuple[Message, ...]", "tuple[str, ...]", *SCALARS, *TUPLES},
    ),
    "mil": INPUT_ANNOTATIONS["mil"],
    "neural_network": frozenset({"Block", "Message", *SCALARS, *TUPLES}),
}
"""What each reader understands on a keyword-only parameter, without `| None`."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Parameter:
    """One parameter of a lowering.

    Attributes:
        name: The field's name in the specification.
        annotation: Its annotation as written, without `| None`; with `*` or `**` in front for a
            parameter that collects the rest.
        optional: It has a default.
        positional: It is an input of the layer, not a field of the layer's message.
        variadic: It takes any number of inputs (`*xs`).
    """

    name: str
    annotation: str
    optional: bool
    positional: bool
    variadic: bool


_STARS = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}


@dataclass(frozen=True)
class Lowering:
    """One registered function.

    Attributes:
        dialect: `mil`, `neural_network` or `classic`.
        op: The op's name in the specification; for `classic`, the model type.
        since: The first MIL opset that the function supports; 0 for a layer or a model type.
        function: Takes the graph (`classic`: the model's interface), then the op's fields;
            returns the op's outputs (`classic`: the step that runs).
        restrictions: Which uses of the op are not supported, as text; empty if all are.
    """

    dialect: Dialect
    op: str
    since: int
    function: Callable[..., Any] = field(repr=False)
    restrictions: str = ""

    @cached_property
    def parameters(self) -> MappingProxyType[str, Parameter]:
        """Its parameters after the first (the graph or the interface), by name, in order."""
        found = {}
        for parameter in list(inspect.signature(self.function).parameters.values())[1:]:
            empty = parameter.annotation is inspect.Parameter.empty
            annotation = "" if empty else str(parameter.annotation)
            found[parameter.name] = Parameter(
                parameter.name,
                _STARS.get(parameter.kind.name, "") + annotation.removesuffix(" | None"),
                optional=parameter.default is not inspect.Parameter.empty,
                positional=parameter.kind is not inspect.Parameter.KEYWORD_ONLY,
                variadic=parameter.kind is inspect.Parameter.VAR_POSITIONAL,
            )
        return MappingProxyType(found)

    def check_annotations(self) -> None:
        """Check that the dialect's reader understands the annotation of every parameter.

        Raises:
            ValueError: One that it does not understand; the message lists those that it does.
        """
        for parameter in self.parameters.values():
            table = INPUT_ANNOTATIONS if parameter.positional else FIELD_ANNOTATIONS
            known = table[self.dialect]
            if parameter.annotation not in known:
                expected = ", ".join(sorted(known)) or "a keyword-only parameter"
                raise ValueError(
                    f"{self.function.__qualname__} ({self.dialect} {self.op}): the reader does not "
                    f"know the annotation '{parameter.annotation}' of the parameter "
                    f"'{parameter.name}'; expected {expected}"
                )

    @property
    def inputs(self) -> tuple[int, int | None]:
        """The smallest and the largest number of inputs of a layer (None: any number)."""
        given = [p for p in self.parameters.values() if p.positional]
        variadic = any(p.variadic for p in given)
        least = sum(not p.optional and not p.variadic for p in given)
        return (max(least, 1) if variadic else least), (None if variadic else len(given))

    def bind(self, message: Any) -> dict[str, Any]:
        """The fields that a message sets, as keyword arguments of the function.

        Raises:
            UnsupportedParameter: The message sets a field that the function does not take.
            ModelFileError: A required field is missing, or an enumeration has an unknown value.
        """
        noun = "layer" if self.dialect == "neural_network" else "model"
        fields = {}
        for each, value in message.ListFields():
            parameter = self.parameters.get(each.name)
            if parameter is None or parameter.positional:
                shown = " ".join(str(value).split())[:80]
                raise UnsupportedParameter(
                    f"it sets {each.name} to {shown}, which is not supported here"
                )
            if each.enum_type is not None:
                known = each.enum_type.values_by_number
                if value not in known:
                    raise ModelFileError(f"{each.name} is number {value}; expected a known one")
                fields[each.name] = known[value].name
            elif repeated(each):
                charge(ELEMENT_BYTES * len(value), each.name)
                fields[each.name] = tuple(value)
            else:
                fields[each.name] = value
        for name, parameter in self.parameters.items():
            if not parameter.positional and not parameter.optional and name not in fields:
                raise ModelFileError(f"it has no {name!r}, which this {noun} needs")
        return fields


CHOICES: tuple[Choice, ...] = (*GRAPH_CHOICES, *CLASSIC_CHOICES)
"""The meanings that were chosen, because the text leaves them open or a device differs from it."""

_lowerings: dict[tuple[Dialect, str], dict[int, Lowering]] = {}
_unsupported: dict[tuple[Dialect, str], str] = {}
_loaded: set[Dialect] = set()


def _register(
    dialect: Dialect, op: str, since: int, function: Callable[..., Any], restrictions: str
) -> None:
    if since in _lowerings.get((dialect, op), {}):
        raise ValueError(f"{dialect} {op} since {since} is registered twice")
    lowering = Lowering(dialect, op, since, function, restrictions)
    lowering.check_annotations()
    _lowerings.setdefault((dialect, op), {})[since] = lowering


def mil(*, since: int = IOS15, name: str = "", restrictions: str = "") -> Callable[[F], F]:
    """Register an ML Program op.

    Args:
        since: The first opset that the function supports.
        name: The op's name, where it differs from the function's.
        restrictions: Which uses of the op are not supported, as text.
    """

    def register(function: F) -> F:
        _register("mil", name or function.__name__, since, function, restrictions)
        return function

    return register


def layer(*, name: str = "", restrictions: str = "") -> Callable[[F], F]:
    """Register a NeuralNetwork layer; the arguments are those of `mil`."""

    def register(function: F) -> F:
        _register("neural_network", name or function.__name__, 0, function, restrictions)
        return function

    return register


def classic(*, name: str = "", restrictions: str = "") -> Callable[[F], F]:
    """Register a model type that is not a graph; the arguments are those of `mil`."""

    def register(function: F) -> F:
        _register("classic", name or function.__name__, 0, function, restrictions)
        return function

    return register


def unsupported(dialect: Dialect, reason: str, *ops: str) -> None:
    """Record that `ops` have no lowering, and why."""
    for op in ops:
        if (dialect, op) in _unsupported:
            raise ValueError(f"{dialect} {op} is listed as unsupported twice")
        _unsupported[dialect, op] = reason


def _load(dialect: Dialect) -> None:
    """Import all families of a dialect, so that lookups do not depend on the import order."""
    if dialect in _loaded:
        return
    package = importlib.import_module(FAMILIES[dialect])
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    _loaded.add(dialect)


def lookup(dialect: Dialect, op: str, opset: int = 0) -> Lowering:
    """The newest lowering of `op` that a model with this `opset` may use.

    Raises:
        UnsupportedOp: There is none; the message says why.
    """
    _load(dialect)
    versions = _lowerings.get((dialect, op), {})
    since = max((version for version in versions if version <= opset), default=None)
    if since is not None:
        return versions[since]
    if versions:
        raise UnsupportedOp(f"{op} (needs CoreML{min(versions)} or later)")
    reason = _unsupported.get((dialect, op), "unknown op")
    raise UnsupportedOp(f"{op} ({reason})")


@dataclass(frozen=True)
class ChosenMeaning:
    """A meaning of one op that was chosen; see `Choice`."""

    meaning: str
    reason: str
    source: str


def _chosen(dialect: Dialect, op: str) -> tuple[ChosenMeaning, ...]:
    return tuple(
        ChosenMeaning(choice.meaning, choice.reason, choice.source)
        for choice in CHOICES
        if op in choice.ops(dialect)
    )


@dataclass(frozen=True)
class OpSupport:
    """One row of the coverage table.

    Attributes:
        dialect: `mil`, `neural_network` or `classic`.
        op: The op's name in the specification; for `classic`, the model type.
        versions: The opsets with a lowering of their own, oldest first; (0,) for a layer or a
            model type; empty if it is not supported.
        supported: Whether it runs.
        remark: Its restrictions, or why it is not supported.
        chosen: The meanings that we chose, because the text leaves them open or a device differs
            from it; with the reason and the source.
    """

    dialect: Dialect
    op: str
    versions: tuple[int, ...]
    supported: bool
    remark: str
    chosen: tuple[ChosenMeaning, ...] = ()


def ops(dialect: Dialect | None = None) -> list[OpSupport]:
    """List the Core ML ops, layers and model types, and whether they run here.

    Args:
        dialect: `mil`, `neural_network` or `classic`; None for all three.

    Returns:
        One row per op, sorted by dialect and name.
    """
    rows = []
    for each in FAMILIES if dialect is None else (dialect,):
        _load(each)
        for (of, op), versions in _lowerings.items():
            if of == each:
                remarks = dict.fromkeys(v.restrictions for v in versions.values())
                remark = "; ".join(r for r in remarks if r)
                chosen = _chosen(each, op)
                rows.append(OpSupport(each, op, tuple(sorted(versions)), True, remark, chosen))
        rows += [
            OpSupport(each, op, (), False, reason)
            for (of, op), reason in _unsupported.items()
            if of == each
        ]
    return sorted(rows, key=lambda row: (row.dialect, row.op))
