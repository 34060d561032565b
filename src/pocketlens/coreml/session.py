"""`load`: a Core ML file that runs here, through ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.description import describe_file
from pocketlens.coreml.emission import onnx_model
from pocketlens.coreml.features import (
    Feature,
    Interface,
    declared_input_spec,
    declared_thresholds,
    read_interface,
)
from pocketlens.coreml.graph import Value
from pocketlens.coreml.inputs import array_input, image_input, image_output
from pocketlens.coreml.kinds import KINDS, check_kind
from pocketlens.coreml.lowered import Lowered, one_line
from pocketlens.coreml.package import ModelFile, open_model
from pocketlens.errors import (
    FeatureError,
    ModelFileError,
    UnsupportedModelError,
    did_you_mean,
)
from pocketlens.files import aside
from pocketlens.image import ImageSource, InputSpec
from pocketlens.prediction import ImageSources, Prediction, Predictor, Thresholds

__all__ = ["CoreMLModel", "load", "predict"]

MAX_ONNX_BYTES = 2**31 - 1
SMALL_GRAPH = 20_000_000
"""Below this many elements in all tensors together, one image runs fastest on one thread."""


def load(path: str | os.PathLike[str], *, function: str | None = None) -> CoreMLModel:
    """Open a Core ML file and make it ready to run.

    Args:
        path: A `.mlpackage` folder or a `.mlmodel` file.
        function: Which function of an ML Program with several; its default one if left out.

    Raises:
        ModelFileError: No such file; damaged, cut short or unsafe.
        UnsupportedModelError: A kind of model that does not run here.
        UnsupportedOp: Ops without a lowering, all of them.
        UnsupportedParameter: A field that an op's lowering does not take.
        OptionError: No function of this name.
    """
    with one_line():
        file = open_model(path)
        check_kind(file)
        interface = read_interface(file, function)
        return CoreMLModel(file, interface, _lower(file, interface))


@overload
def predict(path: str | os.PathLike[str], images: ImageSource) -> Prediction: ...  # type: ignore[overload-overlap]
@overload
def predict(path: str | os.PathLike[str], images: ImageSources) -> list[Prediction]: ...
def predict(
    path: str | os.PathLike[str], images: ImageSource | ImageSources
) -> Prediction | list[Prediction]:
    """Name what is in one picture, or in each of several, with the Core ML file at `path`.

    For more than one call, `load` the file once and use its `predict`.

    Raises:
        ModelFileError, UnsupportedModelError: As in `load`.
        FeatureError: The model is not a classifier of one image.
        ImageError: A picture that cannot be read.
    """
    return load(path).predict(images)


def _lower(file: ModelFile, interface: Interface) -> Lowered:
    if file.spec.WhichOneof("Type") == "mlProgram":
        from pocketlens.coreml.program import lower_program

        return lower_program(file, interface)
    from pocketlens.coreml.network import lower_network

    return lower_network(file, interface)


class CoreMLModel(Predictor):
    """A Core ML file that runs here. Made by `load`.

    `run` is Core ML's own view: features in, features out, by name and type. `predict` and
    `probabilities` are the classifier's view.
    """

    def __init__(self, file: ModelFile, interface: Interface, lowered: Lowered) -> None:
        self.path: Path = file.path
        self.kind: str = KINDS[file.spec.WhichOneof("Type")]
        self._file = file
        self._interface = interface
        self._lowered = lowered
        self._classes = tuple(str(name) for name in lowered.classes)
        self._spec = declared_input_spec(file, interface)
        self._thresholds = declared_thresholds(file)
        graph = lowered.graph
        self._names = [value.name for value in graph.outputs]
        if lowered.probabilities is not None and lowered.probabilities not in graph.outputs:
            graph.outputs.append(lowered.probabilities)
        self._session = _session(file, onnx_model(graph).SerializeToString(), graph.elements())
        self._debug: tuple[Any, list[str], list[str]] | None = None

    def __repr__(self) -> str:
        return f"<CoreMLModel {self.path} ({self.kind})>"

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in the order of the probabilities; empty if this is no classifier.

        Classes that the file numbers (int64) are named by their decimal digits.
        """
        return self._classes

    @property
    def input_spec(self) -> InputSpec:
        """How a picture is made ready: from the file's metadata, else from its image input.

        Raises:
            FeatureError: The model does not take exactly one image.
        """
        if self._spec is None:
            taken = ", ".join(f"{f.name} ({f.kind})" for f in self._interface.inputs)
            raise FeatureError(
                f"{self.path} takes {taken}, not one image; call run() with its inputs by name"
            )
        return self._spec

    @property
    def thresholds(self) -> Thresholds:
        """How sure it must be for its label to be shown: from the file, else the usual ones."""
        return self._thresholds

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities `(N, K)` float32, in the order of `classes`.

        Args:
            images: `(N, H, W, C)` uint8 in picture order (grey or RGB), fitting `input_spec`.

        Raises:
            FeatureError: Not a classifier of one image, or images of another shape.
        """
        spec = self.input_spec
        probabilities = self._lowered.probabilities
        if not self._classes or probabilities is None:
            raise FeatureError(
                f"{self.path} is not a classifier: it has no classes; call run() for its outputs"
            )
        if images.ndim != 4 or images.shape[1:] != spec.shape or images.dtype != np.uint8:
            raise FeatureError(
                f"{self.path} takes images of shape (N, {spec.height}, {spec.width}, "
                f"{spec.channels}) uint8; received: {images.shape} {images.dtype}"
            )
        value = self._lowered.graph.inputs[0]
        result = np.empty((len(images), len(self._classes)), np.float32)

        def work(rows: range) -> None:
            for row in rows:
                planes = images[row : row + 1].transpose(0, 3, 1, 2)
                if spec.colour == "bgr":
                    planes = planes[:, ::-1]
                feed = {value.name: np.ascontiguousarray(planes, value.dtype)}
                (answer,) = self._run(self._session, [probabilities.name], feed)
                result[row] = answer.reshape(-1)

        workers = min(os.cpu_count() or 1, len(images) // 32)
        if workers < 2 or self._lowered.graph.elements() >= SMALL_GRAPH:
            work(range(len(images)))
        else:
            bounds = np.linspace(0, len(images), workers + 1).astype(int).tolist()
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(work, map(range, bounds, bounds[1:])))
        return result

    def run(
        self, inputs: Mapping[str, Any], *, state: Any = None, intermediate: bool = False
    ) -> dict[str, Any]:
        """Run the model once, as Core ML would.

        Args:
            inputs: One entry per input. An image: a path, a Pillow image or an array `(H, W)`,
                `(H, W, 1)` or `(H, W, 3)` uint8 of exactly the declared size; its colours are
                converted. A multi-array: anything NumPy makes an array of the declared shape from.
            state: A state made by `make_state`; a model without states takes none.
            intermediate: Give every tensor that the model computes, by its Core ML name, too.

        Returns:
            The outputs by name: a class label as str or int, probabilities as a dictionary, an
            image as a Pillow image, anything else as an array of the declared type.

        Raises:
            FeatureError: An input missing, unknown, or of another size or type than declared.
            ImageError: A picture that cannot be read.
        """
        if state is not None:
            raise FeatureError(f"{self.path} keeps no state; expected state=None")
        feed = self._feed(inputs)
        if intermediate:
            session, names, keys = self._debug_session()
            tensors = dict(zip(keys, self._run(session, names, feed), strict=True))
            return tensors | self.run(inputs)
        answers = self._run(self._session, self._names, feed)
        return {
            feature.name: self._output(feature, answer)
            for feature, answer in zip(self._interface.outputs, answers, strict=True)
        }

    def make_state(self) -> Any:
        """An empty state, for a model that keeps one between predictions.

        Raises:
            UnsupportedModelError: This model keeps none.
        """
        raise UnsupportedModelError(f"{self.path} keeps no state between predictions")

    def describe(self) -> dict[str, Any]:
        """Everything that the file says of itself, ready for JSON; see `describe`."""
        return describe_file(self._file)

    def to_onnx(self, path: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write the model as an ONNX file; pixels go in as 0-255, as they do in Core ML.

        Raises:
            OutputExistsError: The file is there already and `force` is not given.
            OutputError: It cannot be written.
        """
        with aside(path, force=force) as new:
            new.write_bytes(onnx_model(self._lowered.graph).SerializeToString())
        return Path(path)

    def _feed(self, inputs: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        values = {value.name: value for value in self._lowered.graph.inputs}
        for name in inputs:
            if name not in values:
                raise FeatureError(
                    f"{self.path} has no input {name!r}; {did_you_mean(str(name), values)}"
                )
        feed = {}
        for feature in self._interface.inputs:
            if feature.name not in inputs:
                raise FeatureError(
                    f"{self.path} needs the input '{feature.name}' ({feature.kind}); "
                    f"received: {', '.join(inputs) or 'nothing'}"
                )
            given, value = inputs[feature.name], values[feature.name]
            convert = image_input if feature.kind == "image" else array_input
            feed[feature.name] = convert(given, feature, value)
        return feed

    def _run(
        self, session: Any, names: list[str], feed: dict[str, NDArray[Any]]
    ) -> list[NDArray[Any]]:
        try:
            answers: list[NDArray[Any]] = session.run(names, feed)
        except Exception as error:  # ONNX Runtime's own exceptions share no narrower base
            reason = " ".join(str(error).split())
            raise FeatureError(f"{self.path} fails on these inputs: {reason}") from error
        return answers

    def _output(self, feature: Feature, answer: NDArray[Any]) -> Any:
        if feature.kind == "dictionary":
            return {
                name: float(p)
                for name, p in zip(self._lowered.classes, answer.reshape(-1), strict=True)
            }
        if feature.kind == "string":
            return str(answer.reshape(()).item())
        if feature.kind in ("int64", "double"):
            number = answer.reshape(()).item()
            return int(number) if feature.kind == "int64" else float(number)
        if feature.kind == "image":
            return image_output(answer, feature)
        return answer.astype(feature.dtype) if feature.dtype else answer

    def _debug_session(self) -> tuple[Any, list[str], list[str]]:
        if self._debug is None:
            graph = self._lowered.graph
            tensors = {
                name: value
                for name, value in graph.tensors.items()
                if value.const is None and name not in {each.name for each in graph.inputs}
            }
            values: Iterable[Value] = {v.name: v for v in tensors.values()}.values()
            model = onnx_model(graph, list(values)).SerializeToString()
            session = _session(self._file, model, graph.elements())
            self._debug = (session, [v.name for v in tensors.values()], list(tensors))
        return self._debug


def _session(file: ModelFile, model: bytes, elements: int) -> Any:
    import onnxruntime

    if len(model) > MAX_ONNX_BYTES:
        raise UnsupportedModelError(
            f"{file.path} has {len(model)} bytes as an ONNX graph; "
            f"expected at most {MAX_ONNX_BYTES}"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong comes as an exception, not as a log line
    if elements < SMALL_GRAPH:
        options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(
            model,
            options,
            providers=["CPUExecutionProvider"],
            # It moves a padding of zeros into the pooling that follows, which then refuses one
            # as large as its window.
            disabled_optimizers=["Pad_Fusion"],
        )
    except Exception as error:  # ONNX Runtime's own exceptions share no narrower base
        reason = " ".join(str(error).split())
        raise ModelFileError(f"{file.path} cannot be run: {reason}") from error
