"""`Lowered`: what the readers of both dialects return, and how they finish it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.graph import Graph, Value
from pocketlens.errors import UnsupportedOp

__all__ = ["Lowered", "finish", "unsupported_ops"]


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


def unsupported_ops(
    file: ModelFile, opset: str, noun: str, faults: Mapping[str, str]
) -> UnsupportedOp:
    """The error that names every op without a lowering at once."""
    plural = noun if len(faults) == 1 else f"{noun}s"
    return UnsupportedOp(
        f"{file.path} ({opset}) needs {len(faults)} {plural} that cannot run here: "
        + "; ".join(faults.values())
    )
