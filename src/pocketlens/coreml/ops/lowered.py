"""`Lowered`, the result of the readers of both dialects, and the last steps that build it."""

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
        classes: The labels of a classifier in the order of its probabilities, else empty.
        probabilities: The probabilities of a classifier, one per class, else None.
        states: The name of each state that a run changes -> its new value, in `graph.extra`.
    """

    graph: Graph
    classes: tuple[str | int, ...] = ()
    probabilities: Value | None = None
    states: Mapping[str, Value] = field(default_factory=dict)


def finish(g: Graph, states: Iterable[str] = ()) -> dict[str, Value]:
    """Add the extra outputs of the graph: new states, and the remaining loop steps.

    Returns:
        The name of each of `states` that a run changes -> its new value.
    """
    g.scope("", "the model")
    changed = {
        name: g.extra_output(f"{name}/new", g.tensors[name])
        for name in states
        if g.tensors[name].name != name  # no longer the input itself
    }
    if g.steps is not None:
        g.steps = g.extra_output("steps_left", g.steps)
    return changed


def unsupported_ops(
    file: ModelFile, opset: str, noun: str, reasons: Mapping[str, str]
) -> UnsupportedOp:
    """One error for all ops without a lowering.

    Args:
        file: The model file.
        opset: The opset or specification version, for the message.
        noun: `op` or `layer`.
        reasons: The name of each such op -> why it cannot run.
    """
    plural = noun if len(reasons) == 1 else f"{noun}s"
    return UnsupportedOp(
        f"{file.path} ({opset}) needs {len(reasons)} {plural} that cannot run here: "
        + "; ".join(reasons.values())
    )
