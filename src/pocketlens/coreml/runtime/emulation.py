"""`Emulation` runs a model with any choice of its operations in float16, the others in float32.

What it computes in float16 is what a device computes that keeps every tensor in float16 and adds up
in float32, as Apple's Neural Engine does. How a certain chip approximates a function, and in which
order it adds, only the device shows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.time_limit import time_limited
from pocketlens.coreml.graph import Value
from pocketlens.coreml.graph.emulation import FLAGS, FLUSH, emulation_model, is_float, lost
from pocketlens.coreml.graph.memory import run_bytes
from pocketlens.coreml.graph.nodes import Node
from pocketlens.coreml.graph.pruning import live_nodes
from pocketlens.coreml.runtime.flexible import FlexibleModel
from pocketlens.coreml.runtime.graph_model import GraphModel
from pocketlens.coreml.runtime.model import CoreMLModel
from pocketlens.coreml.runtime.sequences import SequenceModel
from pocketlens.coreml.runtime.session import Session
from pocketlens.errors import UnsupportedModelError

__all__ = ["Emulation", "Operation", "all_lost", "check_graph", "graph_model", "runs_as_graph"]

COPIES = 3
"""How many tensors stand for one of the model: as computed, rounded, and the one chosen."""


@dataclass(frozen=True)
class Operation:
    """An operation of a Core ML model that computes with floating-point numbers.

    Attributes:
        name: Of an ML Program, its first output; of a neural network, the layer.
        kind: Such as `conv` or `softmax`.
        inputs: The tensors that it takes, without constants.
        outputs: The tensors that it computes.
        constants: Its constant inputs of floating-point numbers.
        half: Whether the file says that it computes in float16.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: tuple[NDArray[Any], ...]
    half: bool

    @property
    def loses_constants(self) -> bool:
        """Whether float16 can hold nothing of a constant, which then is 0 or another number."""
        return any(all_lost(each) for each in self.constants)


def all_lost(constant: NDArray[Any]) -> bool:
    """Whether float16 can hold none of a constant's numbers that are not 0, such as an epsilon."""
    return bool(np.array_equal(lost(constant), constant != 0) and constant.any())


def runs_as_graph(model: CoreMLModel) -> bool:
    """Whether `graph_model` accepts it: an ML Program or a neural network."""
    return isinstance(model, (GraphModel, FlexibleModel, SequenceModel))


def graph_model(model: CoreMLModel, inputs: Mapping[str, Any]) -> GraphModel:
    """The model that runs as one graph for inputs of these shapes.

    Raises:
        UnsupportedModelError: The model runs without a graph, such as a pipeline or trees.
    """
    check_graph(model)
    if isinstance(model, FlexibleModel):
        model = model.model_for(inputs)
    if isinstance(model, SequenceModel):
        model = model.one_step()
    assert isinstance(model, GraphModel)
    return model


def check_graph(model: CoreMLModel) -> None:
    """Refuse a model that `graph_model` does not accept.

    Raises:
        UnsupportedModelError: The model runs without a graph, such as a pipeline or trees.
    """
    if not runs_as_graph(model):
        raise UnsupportedModelError(
            f"{model.path} ({model.kind}) does not compute with tensors in float16; expected an ML "
            "Program or a neural network"
        )


class Emulation:
    """Runs a model with any of its operations in float16.

    Args:
        model: From `graph_model`.

    Attributes:
        operations: Those that the outputs depend on, in order. A loop or a branch is one, with what
            is inside.
        outputs: The names of the tensors that the model returns. Those of an array, image or
            dictionary have the name of the output in an ML Program.
    """

    def __init__(self, model: GraphModel) -> None:
        self._model = model
        graph = model._lowered.graph
        given = set(graph.inputs)
        self.outputs = tuple(value.name for value in graph.outputs)
        tensors = [
            value
            for value in graph.tensors.values()
            if value.const is None and value not in given and value.dtype.kind in "fiub"
        ]
        self._values = list(dict.fromkeys([*graph.outputs, *graph.extra, *tensors]))
        self.operations = _operations(model, self._values)
        self._flags = {each.name: number for number, each in enumerate(self.operations)}
        self._declared = {each.name for each in self.operations if each.half}
        self._sessions: dict[tuple[bool, bool], Session] = {}

    @property
    def fits(self) -> bool:
        """Whether all tensors together fit into the memory that the model may use."""
        model = self._model
        needed, _ = run_bytes(model._lowered.graph, self._values)
        return COPIES * needed <= model._file.budget.limit

    def run(
        self,
        inputs: Mapping[str, Any],
        half: Collection[str],
        *,
        flush: bool = False,
        intermediate: bool = False,
    ) -> dict[str, NDArray[Any]]:
        """The outputs of a run; see `CoreMLModel.run`. Numbers are float32; states are 0.

        Args:
            inputs: As `CoreMLModel.run` takes them.
            half: The names of the operations that compute in float16.
            flush: Whether constants that float16 cannot hold are 0 there; else, they are the
                smallest number above 0, as coremltools writes them.
            intermediate: Also return the tensors in between.
        """
        model = self._model
        feed = model._feed(inputs)
        if model.interface.states:
            feed |= model._states(model.make_state())
        session = self._session(set(half), flush, intermediate)
        if session is not model._session and half:
            feed[FLAGS] = np.zeros(len(self._flags), bool)
            feed[FLAGS][[self._flags[name] for name in half]] = True
            feed[FLUSH] = np.array(flush)
        names = [each.name for each in self._values] if intermediate else list(self.outputs)
        with time_limited(model.path, model._file.time_limit), np.errstate(all="ignore"):
            results = model._run(session, names, feed)
        return {
            name: each.astype(np.float32) if each.dtype == np.float16 else each
            for name, each in zip(names, results, strict=True)
        }

    def _session(self, half: set[str], flush: bool, intermediate: bool) -> Session:
        """The fastest session that computes this: that of the model itself, if possible."""
        if half == self._declared and not flush and not intermediate:
            return self._model._session
        key = bool(half), intermediate
        if key not in self._sessions:
            graph = self._model._lowered.graph
            self._sessions[key] = Session(
                self._model._file,
                graph,
                self._values if intermediate else [*graph.outputs, *graph.extra],
                write=partial(emulation_model, operations=self._flags if half else {}),
            )
        return self._sessions[key]


def _operations(model: GraphModel, outputs: list[Value]) -> tuple[Operation, ...]:
    graph = model._lowered.graph
    nodes = live_nodes(graph, outputs)[graph]
    homes = {value: node.place for node in nodes for value in node.outputs}
    places: dict[str, list[Node]] = {}
    for node in nodes:
        if node.place in graph.kinds:
            places.setdefault(node.place, []).append(node)
    found = []
    bound = set(graph.tensors.values()) | set(graph.outputs)
    for place, own in places.items():
        given = dict.fromkeys(
            value
            for node in own
            for value in node.inputs
            if value is not None and homes.get(value) != place
        )
        made = [v for node in own for v in node.outputs if v in bound]
        floats = [value for value in (*given, *made) if is_float(value)]
        if floats:
            found.append(
                Operation(
                    place,
                    graph.kinds[place],
                    tuple(value.name for value in given if value.const is None),
                    tuple(value.name for value in made),
                    tuple(
                        np.asarray(value.const)
                        for value in given
                        if value.const is not None and is_float(value)
                    ),
                    any(value.dtype == np.float16 for value in floats),
                )
            )
    return tuple(found)
