"""What both dialects' readers give, and how they say where in a file something is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.package import ModelFile
from pocketlens.errors import (
    ModelFileError,
    PocketlensError,
    UnsupportedModelError,
    UnsupportedOp,
    UnsupportedParameter,
)

__all__ = ["Lowered", "in_place", "missing", "one_line"]

MAX_MESSAGE = 2000
"""The longest error message, in characters."""


@dataclass(frozen=True)
class Lowered:
    """A model as an ONNX graph.

    Attributes:
        graph: The graph, its inputs and outputs declared under Core ML's names.
        classes: A classifier's labels in the order of its probabilities, else empty.
        probabilities: A classifier's probabilities, one for each class.
    """

    graph: Graph
    classes: tuple[str | int, ...] = ()
    probabilities: Value | None = None


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
