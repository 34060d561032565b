"""`GraphModel` runs an ML Program or a neural network with ONNX Runtime."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.budget import charge
from pocketlens.coreml.file.errors import located_errors, one_line_errors
from pocketlens.coreml.file.features import Feature, Interface
from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.file.time_limit import time_limited
from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.graph.export import onnx_model
from pocketlens.coreml.graph.memory import run_bytes, shapes_of_run
from pocketlens.coreml.ops.common import control
from pocketlens.coreml.ops.lowered import Lowered
from pocketlens.coreml.runtime.inputs import (
    Planes,
    array_input,
    default_input,
    image_input,
    image_output,
    image_planes,
)
from pocketlens.coreml.runtime.model import CoreMLModel, Picture
from pocketlens.coreml.runtime.scores import ending_of_graph
from pocketlens.coreml.runtime.session import Session
from pocketlens.coreml.runtime.state import State
from pocketlens.errors import FeatureError, ModelFileError, with_article
from pocketlens.heads import Ending
from pocketlens.image import INPUT_SPEC_KEY
from pocketlens.prediction import by_name

__all__ = ["GraphModel"]

MAX_CHECKED = 1000
"""Of how many input shapes a model remembers that they fit into memory."""
TINY_GRAPH = 100_000
"""With fewer elements in all tensors together, a run is fastest on a single thread."""
SMALL_GRAPH = 20_000_000
"""With fewer elements, many images run fastest in parallel, with one thread for each."""


class GraphModel(CoreMLModel):
    """An ML Program or a neural network that runs as one ONNX graph in ONNX Runtime."""

    def __init__(self, file: ModelFile, interface: Interface, lowered: Lowered) -> None:
        super().__init__(file, interface, lowered.classes)
        self._lowered = lowered
        graph = lowered.graph
        self._names = [value.name for value in graph.outputs]
        for feature in interface.inputs:
            if feature.kind not in ("image", "array"):
                raise ModelFileError(
                    f"{file.path}: the input '{feature.name}' is {with_article(feature.kind)}; "
                    "expected an image or an array"
                )
        for feature, value in zip(interface.outputs, graph.outputs, strict=True):
            _check_output(file, feature, value, len(lowered.classes))
        if lowered.probabilities is not None and lowered.probabilities not in graph.outputs:
            graph.outputs.append(lowered.probabilities)
        needed, largest = run_bytes(graph, [*graph.outputs, *graph.extra])
        charge(needed, f"{file.path}: a run, whose largest tensor is {largest!r},")
        self._open = any(value.shape is None or None in value.shape for value in graph.inputs)
        self._checked: set[tuple[tuple[int, ...], ...]] = set()
        threads = 1 if graph.elements() < TINY_GRAPH else 0
        with located_errors(file, "its weights"):
            self._session = Session(file, graph, threads=threads)
        self._one_thread = self._session if threads == 1 else None
        self._debug: tuple[Session, list[str], list[str]] | None = None

    def _probabilities_in_graph(self) -> tuple[Graph, Value] | None:
        found = self._lowered.probabilities if self.labels else None
        return None if found is None else (self._lowered.graph, found)

    def _ending(self, output: str) -> Ending:
        at = [feature.name for feature in self.interface.outputs].index(output)
        return ending_of_graph(self._lowered.graph, self._names[at])

    def _has_probabilities(self) -> bool:
        return bool(self.labels) and self._lowered.probabilities is not None

    def _probabilities(self, images: NDArray[np.uint8], picture: Picture) -> NDArray[np.float32]:
        self._states(None)
        feature, probabilities = self.interface.inputs[0], self._lowered.probabilities
        assert probabilities is not None
        value = self._lowered.graph.inputs[0]
        result = np.empty((len(images), len(self._classes)), np.float32)

        def work(session: Session, rows: range) -> None:
            for row in rows:
                given = picture(images[row])
                if isinstance(given, Planes) or feature.kind == "image":
                    array = image_planes(given, feature.color, value)
                else:
                    array = array_input(given, feature, value)
                (scores,) = self._run(session, [probabilities.name], {value.name: array})
                result[row] = scores.reshape(-1)

        workers = min(os.cpu_count() or 1, len(images) // 32)
        if workers < 2 or self._lowered.graph.elements() >= SMALL_GRAPH:
            work(self._session, range(len(images)))
        else:
            session = self._one_thread_session()
            bounds = np.linspace(0, len(images), workers + 1).astype(int).tolist()
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(partial(work, session), map(range, bounds, bounds[1:])))
        return result

    def _one_thread_session(self) -> Session:
        """A session that uses one thread per run, so that several runs go in parallel."""
        if self._one_thread is None:
            self._one_thread = Session(self._file, self._lowered.graph, threads=1)
        return self._one_thread

    def _run_once(
        self, inputs: Mapping[str, Any], *, state: Any, intermediate: bool
    ) -> dict[str, Any]:
        arrays = self._states(state)
        feed = self._feed(inputs) | arrays
        self._check_memory(feed)
        if intermediate:
            session, names, keys = self._debug_session()
            tensors = dict(zip(keys, self._run(session, names, feed), strict=True))
            return tensors | self._run_once(inputs, state=state, intermediate=False)
        changed = self._lowered.states
        names = [*self._names, *(value.name for value in changed.values())]
        results = self._run(self._session, names, feed)
        count = len(self._names)
        arrays.update(zip(changed, results[count:], strict=True))
        return {
            feature.name: self._output(feature, result)
            for feature, result in zip(self.interface.outputs, results[:count], strict=True)
        }

    def _check_memory(self, feed: Mapping[str, NDArray[Any]]) -> None:
        """Check the memory of a run whose shapes the file leaves open."""
        graph = self._lowered.graph
        shapes = tuple(array.shape for array in feed.values())
        if not self._open or shapes in self._checked:
            return
        known = shapes_of_run(graph, {name: array.shape for name, array in feed.items()})
        needed, largest = run_bytes(graph, [*graph.outputs, *graph.extra], known)
        size = " × ".join(map(str, known.get(largest.name, ()))) if largest else ""
        try:
            self._file.budget.check(needed, f"{self.path}: a run with a tensor of {size}")
        except ModelFileError as error:
            raise FeatureError(str(error)) from error
        if len(self._checked) >= MAX_CHECKED:
            self._checked.clear()
        self._checked.add(shapes)

    def _states(self, state: Any) -> dict[str, NDArray[Any]]:
        """The arrays of the state that is passed to a run."""
        if not self.interface.states:
            self._check_stateless(state)
            return {}
        if isinstance(state, State):
            return state._arrays_for(self._file)
        names = ", ".join(repr(feature.name) for feature in self.interface.states)
        raise FeatureError(
            f"{self.path} keeps {names} between predictions; expected a state made by its "
            f"make_state(), as in run(inputs, state=state); received: {type(state).__name__}"
        )

    def _onnx(self) -> bytes:
        model = onnx_model(self._lowered.graph)
        if self._declared_spec is not None:  # the network itself scales pixels
            spec = self._declared_spec.with_values(scale=1.0, bias=0.0)
            model.metadata_props.add(key=INPUT_SPEC_KEY, value=spec.to_json())
        content: bytes = model.SerializeToString()
        return content

    def _feed(self, inputs: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        values = {value.name: value for value in self._lowered.graph.inputs}
        inputs = self._given(inputs)
        feed = {}
        for feature in self.interface.inputs:
            value = values[feature.name]
            if feature.name not in inputs:
                feed[feature.name] = array_input(default_input(feature), feature, value)
                continue
            convert = image_input if feature.kind == "image" else array_input
            feed[feature.name] = convert(inputs[feature.name], feature, value)
        return feed

    def _run(
        self, session: Session, names: list[str], feed: dict[str, NDArray[Any]]
    ) -> list[NDArray[Any]]:
        graph = self._lowered.graph
        outputs = names if graph.steps is None else [*names, graph.steps.name]
        with one_line_errors(), time_limited(self.path, self._file.time_limit):
            results = session.run(outputs, feed)
            if graph.steps is not None:
                message = control.run_error(graph, int(results.pop()))
                if message is not None:
                    raise FeatureError(f"{self.path}: {message}")
        return results

    def _output(self, feature: Feature, result: NDArray[Any]) -> Any:
        if feature.kind == "dictionary":
            return by_name(self.labels, result.reshape(-1))
        if feature.kind in ("string", "int64", "double"):
            if result.size != 1:
                raise FeatureError(
                    f"{self.path}: the output '{feature.name}' is one {feature.kind}; "
                    f"the model computes {result.size} values"
                )
            item = result.reshape(()).item()
            return {"string": str, "int64": int, "double": float}[feature.kind](item)
        if feature.kind == "image":
            return image_output(result, feature)
        array = result.reshape(1) if result.ndim == 0 else result  # a multi-array has a dimension
        return array.astype(feature.dtype) if feature.dtype else array

    def _debug_session(self) -> tuple[Session, list[str], list[str]]:
        if self._debug is None:
            graph = self._lowered.graph
            given = {each.name for each in graph.inputs}
            tensors = {
                name: value
                for name, value in graph.tensors.items()
                if value.const is None and name not in given
            }
            values: Iterable[Value] = {v.name: v for v in tensors.values()}.values()
            session = Session(self._file, graph, list(values))
            self._debug = (session, [v.name for v in tensors.values()], list(tensors))
        return self._debug


def _check_output(file: ModelFile, feature: Feature, value: Value, classes: int) -> None:
    """Check that the graph's output matches its declaration.

    Raises:
        ModelFileError: Type or shape cannot match.
    """
    sizes = None if value.shape is None or None in value.shape else value.sizes
    count = None if sizes is None else math.prod(sizes)
    if feature.kind == "dictionary":
        fits = classes > 0 and count == classes
    elif feature.kind in ("string", "int64", "double"):
        kinds = {"string": "O", "int64": "iub", "double": "fiu"}[feature.kind]
        fits = value.dtype.kind in kinds and count in (None, 1)
    elif feature.kind == "image":
        fits = value.dtype.kind in "fiu" and (
            sizes is None or (len(sizes) >= 2 and count == feature.channels * math.prod(sizes[-2:]))
        )
    else:
        fits = feature.kind == "array" and value.dtype.kind != "O"
    if not fits:
        raise ModelFileError(
            f"{file.path}: the output '{feature.name}' is declared as {feature.kind}; "
            f"the model computes {value.dtype}{list(value.shape or ())}"
        )
