"""What both dialects' readers give, and how they say where in a file something is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.package import ModelFile
from pocketlens.errors import (
    ModelFileError,
    PocketlensError,
    UnsupportedModelError,
    UnsupportedOp,
    UnsupportedParameter,
)

__all__ = ["Lowered", "finish", "in_place", "missing", "one_line"]

MAX_MESSAGE = 2000
"""The longest error message, in characters."""


@dataclass(frozen=True)
class Lowered:
    """A model as an ONNX graph.

    Attributes:
        graph: The graph, its inputs and outputs declared under Core ML's names.
        classes: A classifier's labels in the order of its probabilities, else empty.
        probabilities: A classifier's probabilities, one for each class.
        states: Where in `graph.extra` the new value of each state is that a run changes.
    """

    graph: Graph
    classes: tuple[str | int, ...] = ()
    probabilities: Value | None = None
    states: Mapping[str, Value] = field(default_factory=dict)


def finish(g: Graph, states: Iterable[str] = ()) -> dict[str, Value]:
    """Have the graph give what it does beside the outputs: new states, and the loops' steps left.

    Returns:
        The new value of each of `states` that a run changes.
    """
    g.scope("")
    changed = {
        name: g.extra_output(f"{name}/new", g.tensors[name])
        for name in states
        if g.tensors[name].name != name  # no longer the input itself
    }
    if g.steps is not None:
        g.steps = g.extra_output("steps_left", g.steps)
    return changed


@contextmanager
def in_place(file: ModelFile, place: str) -> Iterator[None]:
    """Begin the message of any error raised inside with the file and the place in it."""
    try:
        yield
    except (
        ModelFileError,
        UnsupportedModelError,
        UnsupportedOp,
        UnsupportedParameter,
    ) as error:
        message = str(error)
        if message.startswith(f"{file.path}: "):
            raise
        raise type(error)(f"{file.path}: {place}: {message}") from error
    except OverflowError as error:  # sizes come from the file, and no size has more than 64 bits
        raise ModelFileError(
            f"{file.path}: {place}: a number is larger than any size can be ({error}); "
            "the file is damaged: export or download it again"
        ) from error


@contextmanager
def one_line() -> Iterator[None]:
    """Keep what a damaged file calls its parts from breaking or flooding an error message."""
    try:
        yield
    except PocketlensError as error:
        message = str(error)
        clean = "".join(
            each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in message
        )
        if len(clean) > MAX_MESSAGE:
            clean = f"{clean[:MAX_MESSAGE]}…"
        if clean == message:
            raise
        raise type(error)(clean) from error


def missing(file: ModelFile, opset: str, noun: str, faults: Mapping[str, str]) -> UnsupportedOp:
    """The error that names every op without a lowering at once."""
    plural = noun if len(faults) == 1 else f"{noun}s"
    return UnsupportedOp(
        f"{file.path} ({opset}) needs {len(faults)} {plural} that cannot run here: "
        + "; ".join(faults.values())
    )
