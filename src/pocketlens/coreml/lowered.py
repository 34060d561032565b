"""What both dialects' readers give, and how they say where in a file something is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.package import ModelFile
from pocketlens.errors import (
    ModelFileError,
    UnsupportedModelError,
    UnsupportedOp,
    UnsupportedParameter,
)

__all__ = ["Lowered", "in_place", "missing"]


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


def missing(file: ModelFile, opset: str, noun: str, faults: Mapping[str, str]) -> UnsupportedOp:
    """The error that names every op without a lowering at once."""
    plural = noun if len(faults) == 1 else f"{noun}s"
    return UnsupportedOp(
        f"{file.path} ({opset}) needs {len(faults)} {plural} that cannot run here: "
        + "; ".join(faults.values())
    )
