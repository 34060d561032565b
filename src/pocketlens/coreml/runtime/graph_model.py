"""`GraphModel` runs an ML Program or a neural network with ONNX Runtime."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.errors import one_line_errors
from pocketlens.coreml.file.features import Feature, Interface
from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.graph.export import onnx_model
from pocketlens.coreml.ops.common import control
from pocketlens.coreml.ops.lowered import Lowered
from pocketlens.coreml.runtime.inputs import (
    array_input,
    default_input,
    image_input,
    image_output,
    image_planes,
)
from pocketlens.coreml.runtime.model import CoreMLModel, Picture
from pocketlens.coreml.runtime.state import State
from pocketlens.errors import (
    FeatureError,
    ModelFileError,
    UnsupportedModelError,
    with_article,
)
from pocketlens.prediction import by_name

__all__ = ["GraphModel"]

MAX_ONNX_BYTES = 2**31 - 1
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
        threads = 1 if graph.elements() < TINY_GRAPH else 0
        self._session, self._weights = _session(file, graph, threads=threads)
        self._one_thread: Any = self._session if threads == 1 else None
        self._debug: tuple[Any, list[str], list[str]] | None = None

    def _has_probabilities(self) -> bool:
        return bool(self.labels) and self._lowered.probabilities is not None

    def _probabilities(self, images: NDArray[np.uint8], picture: Picture) -> NDArray[np.float32]:
        self._states(None)
        color, probabilities = self.interface.inputs[0].color, self._lowered.probabilities
        assert probabilities is not None
        value = self._lowered.graph.inputs[0]
        result = np.empty((len(images), len(self._classes)), np.float32)

        def work(session: Any, rows: range) -> None:
            for row in rows:
                feed = {value.name: image_planes(picture(images[row]), color, value)}
                (scores,) = self._run(session, [probabilities.name], feed)
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

    def _one_thread_session(self) -> Any:
        """A session that uses one thread per run, so that several runs go in parallel."""
        if self._one_thread is None:
            self._one_thread, weights = _session(self._file, self._lowered.graph, threads=1)
            self._weights += weights
        return self._one_thread

    def run(
        self, inputs: Mapping[str, Any], *, state: Any = None, intermediate: bool = False
    ) -> dict[str, Any]:
        arrays = self._states(state)
        feed = self._feed(inputs) | arrays
        if intermediate:
            session, names, keys = self._debug_session()
            tensors = dict(zip(keys, self._run(session, names, feed), strict=True))
            return tensors | self.run(inputs, state=state)
        changed = self._lowered.states
        names = [*self._names, *(value.name for value in changed.values())]
        results = self._run(self._session, names, feed)
        count = len(self._names)
        arrays.update(zip(changed, results[count:], strict=True))
        return {
            feature.name: self._output(feature, result)
            for feature, result in zip(self.interface.outputs, results[:count], strict=True)
        }

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
        content: bytes = onnx_model(self._lowered.graph).SerializeToString()
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
        self, session: Any, names: list[str], feed: dict[str, NDArray[Any]]
    ) -> list[NDArray[Any]]:
        graph = self._lowered.graph
        outputs = names if graph.steps is None else [*names, graph.steps.name]
        try:
            results: list[NDArray[Any]] = session.run(outputs, feed)
        except Exception as error:  # ONNX Runtime's exceptions have no narrower common base class
            reason = " ".join(str(error).split())
            with one_line_errors():
                raise FeatureError(f"{self.path} fails on these inputs: {reason}") from error
        if graph.steps is not None:
            message = control.run_error(graph, int(results.pop()))
            if message is not None:
                with one_line_errors():
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

    def _debug_session(self) -> tuple[Any, list[str], list[str]]:
        if self._debug is None:
            graph = self._lowered.graph
            given = {each.name for each in graph.inputs}
            tensors = {
                name: value
                for name, value in graph.tensors.items()
                if value.const is None and name not in given
            }
            values: Iterable[Value] = {v.name: v for v in tensors.values()}.values()
            session, weights = _session(self._file, graph, list(values))
            self._weights += weights
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


def _session(
    file: ModelFile, graph: Graph, outputs: Sequence[Value] | None = None, *, threads: int = 0
) -> tuple[Any, list[Any]]:
    """An ONNX Runtime session for the graph, and its weights.

    The session uses the weights in place, so the caller must keep them as long as the session.

    Args:
        file: The model file, for messages.
        graph: The finished graph.
        outputs: The session's outputs; the graph's outputs by default.
        threads: How many threads one run uses; 0: as many as there are processors.
    """
    import onnxruntime

    weights: dict[str, NDArray[Any]] = {}
    model = onnx_model(graph, outputs, apart=weights).SerializeToString()
    if len(model) > MAX_ONNX_BYTES:
        raise UnsupportedModelError(
            f"{file.path} has {len(model)} bytes as an ONNX graph; "
            f"expected at most {MAX_ONNX_BYTES}"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised as exceptions; a log line would repeat them
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(weight) for weight in weights.values()]
    options.add_external_initializers(list(weights), values)
    options.intra_op_num_threads = threads
    # ONNX Runtime would turn float weights between dequantize and quantize into int8.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        session = onnxruntime.InferenceSession(
            model,
            options,
            providers=["CPUExecutionProvider"],
            # Pad_Fusion moves zero padding into the pooling that follows, and pooling rejects
            # padding that is as large as its window.
            disabled_optimizers=["Pad_Fusion"] if _pads_before_pooling(graph) else None,
        )
    except Exception as error:  # ONNX Runtime's exceptions have no narrower common base class
        reason = " ".join(str(error).split())
        raise ModelFileError(f"{file.path} cannot be run: {reason}") from error
    return session, values


def _pads_before_pooling(graph: Graph) -> bool:
    """Whether the input of any pooling is a padded tensor, here or in an inner graph."""
    padded: set[str] = set()
    for node in graph.nodes:
        inner = (each for each in node.attributes.values() if isinstance(each, Graph))
        if any(map(_pads_before_pooling, inner)):
            return True
        after_padding = any(value is not None and value.name in padded for value in node.inputs)
        if after_padding and node.op.endswith("Pool"):
            return True
        if node.op == "Pad" or (after_padding and node.op == "Identity"):
            padded.update(value.name for value in node.outputs)
    return False
