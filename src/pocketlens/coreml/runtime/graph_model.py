"""`GraphModel`: an ML Program or a neural network, run by ONNX Runtime."""

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
from pocketlens.coreml.runtime.model import CoreMLModel
from pocketlens.coreml.runtime.state import State
from pocketlens.errors import (
    FeatureError,
    ModelFileError,
    UnsupportedModelError,
)
from pocketlens.prediction import by_name

__all__ = ["GraphModel"]

MAX_ONNX_BYTES = 2**31 - 1
TINY_GRAPH = 100_000
"""Below this many elements in all tensors together, several threads only cost one run time."""
SMALL_GRAPH = 20_000_000
"""Below this many, many images go fastest with one thread for each of several at once."""


class GraphModel(CoreMLModel):
    """An ML Program or a neural network, run by ONNX Runtime."""

    def __init__(self, file: ModelFile, interface: Interface, lowered: Lowered) -> None:
        super().__init__(file, interface, lowered.classes)
        self._lowered = lowered
        graph = lowered.graph
        self._names = [value.name for value in graph.outputs]
        for feature in interface.inputs:
            if feature.kind not in ("image", "array"):
                raise ModelFileError(
                    f"{file.path}: the input '{feature.name}' is a {feature.kind}; "
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

    def _gives_probabilities(self) -> bool:
        return bool(self.labels) and self._lowered.probabilities is not None

    def _probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self._states(None)
        color, probabilities = self.input_spec.color, self._lowered.probabilities
        assert probabilities is not None
        value = self._lowered.graph.inputs[0]
        result = np.empty((len(images), len(self._classes)), np.float32)

        def work(session: Any, rows: range) -> None:
            for row in rows:
                feed = {value.name: image_planes(images[row], color, value)}
                (answer,) = self._run(session, [probabilities.name], feed)
                result[row] = answer.reshape(-1)

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
        """What runs an image on one thread, so that others run beside it."""
        if self._one_thread is None:
            self._one_thread, weights = _session(self._file, self._lowered.graph, threads=1)
            self._weights += weights
        return self._one_thread

    def run(
        self, inputs: Mapping[str, Any], *, state: Any = None, intermediate: bool = False
    ) -> dict[str, Any]:
        held = self._states(state)
        feed = self._feed(inputs) | held
        if intermediate:
            session, names, keys = self._debug_session()
            tensors = dict(zip(keys, self._run(session, names, feed), strict=True))
            return tensors | self.run(inputs, state=state)
        changed = self._lowered.states
        names = [*self._names, *(value.name for value in changed.values())]
        answers = self._run(self._session, names, feed)
        count = len(self._names)
        held.update(zip(changed, answers[count:], strict=True))
        return {
            feature.name: self._output(feature, answer)
            for feature, answer in zip(self.interface.outputs, answers[:count], strict=True)
        }

    def _states(self, state: Any) -> dict[str, NDArray[Any]]:
        """The arrays of the state that a run is given."""
        if not self.interface.states:
            self._check_stateless(state)
            return {}
        if isinstance(state, State):
            return state.arrays(self._file)
        kept = ", ".join(repr(feature.name) for feature in self.interface.states)
        raise FeatureError(
            f"{self.path} keeps {kept} between predictions; expected a state made by its "
            f"make_state(), as in run(inputs, state=state); received: {type(state).__name__}"
        )

    def _onnx(self) -> bytes:
        content: bytes = onnx_model(self._lowered.graph).SerializeToString()
        return content

    def _feed(self, inputs: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        values = {value.name: value for value in self._lowered.graph.inputs}
        self._check_given(inputs)
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
        asked = names if graph.steps is None else [*names, graph.steps.name]
        try:
            answers: list[NDArray[Any]] = session.run(asked, feed)
        except Exception as error:  # ONNX Runtime's own exceptions share no narrower base
            reason = " ".join(str(error).split())
            with one_line_errors():
                raise FeatureError(f"{self.path} fails on these inputs: {reason}") from error
        if graph.steps is not None:
            fault = control.fault(graph, int(answers.pop()))
            if fault is not None:
                with one_line_errors():
                    raise FeatureError(f"{self.path}: {fault}")
        return answers

    def _output(self, feature: Feature, answer: NDArray[Any]) -> Any:
        if feature.kind == "dictionary":
            return by_name(self.labels, answer.reshape(-1))
        if feature.kind in ("string", "int64", "double"):
            if answer.size != 1:
                raise FeatureError(
                    f"{self.path}: the output '{feature.name}' is one {feature.kind}; "
                    f"the model gives {answer.size} values"
                )
            item = answer.reshape(()).item()
            return {"string": str, "int64": int, "double": float}[feature.kind](item)
        if feature.kind == "image":
            return image_output(answer, feature)
        array = answer.reshape(1) if answer.ndim == 0 else answer  # as a multi-array has it
        return array.astype(feature.dtype) if feature.dtype else array

    def _debug_session(self) -> tuple[Any, list[str], list[str]]:
        if self._debug is None:
            graph = self._lowered.graph
            tensors = {
                name: value
                for name, value in graph.tensors.items()
                if value.const is None and name not in {each.name for each in graph.inputs}
            }
            values: Iterable[Value] = {v.name: v for v in tensors.values()}.values()
            session, weights = _session(self._file, graph, list(values))
            self._weights += weights
            self._debug = (session, [v.name for v in tensors.values()], list(tensors))
        return self._debug


def _check_output(file: ModelFile, feature: Feature, value: Value, classes: int) -> None:
    """A graph can give what the description says of an output."""
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
            f"the model gives {value.dtype}{list(value.shape or ())}"
        )


def _session(
    file: ModelFile, graph: Graph, outputs: Sequence[Value] | None = None, *, threads: int = 0
) -> tuple[Any, list[Any]]:
    """What runs the graph, and the weights, which must live as long: they are not copied here.

    `threads`: how many work on one run; 0 for as many as there are processors.
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
    options.log_severity_level = 4  # what goes wrong comes as an exception, not as a log line
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(weight) for weight in weights.values()]
    options.add_external_initializers(list(weights), values)
    options.intra_op_num_threads = threads
    # Between a dequantize and a quantize it would make the weights int8, which the file does not.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        session = onnxruntime.InferenceSession(
            model,
            options,
            providers=["CPUExecutionProvider"],
            # It moves a padding of zeros into the pooling that follows, which then refuses one
            # as large as its window.
            disabled_optimizers=["Pad_Fusion"] if _pads_before_pooling(graph) else None,
        )
    except Exception as error:  # ONNX Runtime's own exceptions share no narrower base
        reason = " ".join(str(error).split())
        raise ModelFileError(f"{file.path} cannot be run: {reason}") from error
    return session, values


def _pads_before_pooling(graph: Graph) -> bool:
    """Whether some padding goes into a pooling, here or in a graph inside."""
    padded: set[str] = set()
    for node in graph.nodes:
        if any(_pads_before_pooling(e) for e in node.attributes.values() if isinstance(e, Graph)):
            return True
        after_padding = any(value is not None and value.name in padded for value in node.inputs)
        if after_padding and node.op.endswith("Pool"):
            return True
        if node.op == "Pad" or (after_padding and node.op == "Identity"):
            padded.update(value.name for value in node.outputs)
    return False
