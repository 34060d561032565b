"""`load` opens a Core ML file and picks the class that runs it; `predict` loads and predicts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import overload

from pocketlens.coreml.file.errors import one_line_errors
from pocketlens.coreml.file.features import Interface, read_interface
from pocketlens.coreml.file.kinds import NETWORKS, PIPELINES, check_kind
from pocketlens.coreml.file.package import ModelFile, open_model
from pocketlens.coreml.file.time_limit import default_time_limit
from pocketlens.coreml.ops.lowered import Lowered
from pocketlens.coreml.runtime.flexible import FlexibleModel, is_flexible
from pocketlens.coreml.runtime.graph_model import GraphModel
from pocketlens.coreml.runtime.model import CoreMLModel
from pocketlens.errors import OptionError, UnsupportedModelError, UnsupportedOp
from pocketlens.image import ImageSource
from pocketlens.prediction import ImageSources, Prediction

__all__ = ["export_onnx", "load", "predict"]


def load(
    path: str | os.PathLike[str],
    *,
    function: str | None = None,
    time_limit: float | None = None,
    max_memory: int | None = None,
) -> CoreMLModel:
    """Load a Core ML model.

    Args:
        path: A `.mlpackage` folder or a `.mlmodel` file.
        function: The function to run if an ML Program has several; by default the one that the
            file marks as its default.
        time_limit: How many seconds one run may take, all stages of a pipeline together; None for
            no limit. A run that takes longer is stopped and raises a FeatureError.
        max_memory: How many bytes the model may need, for its weights and for the tensors of a run;
            by default 4 GiB, or the number in the environment variable POCKETLENS_MAX_MEMORY.

    Raises:
        ModelFileError: The file does not exist, or is damaged, truncated or unsafe; or it needs
            more than `max_memory`.
        UnsupportedModelError: This kind of model cannot run here.
        UnsupportedOp: The model uses unsupported ops; the message lists all of them.
        UnsupportedParameter: An op sets a field that its implementation does not support.
        OptionError: The model has no function of this name, or a limit is not positive.
    """
    if time_limit is not None and not time_limit > 0:
        raise OptionError(f"time_limit is {time_limit!r}; expected a positive number of seconds")
    with one_line_errors():
        file = open_model(path, time_limit=time_limit, max_memory=max_memory)
        with file.budget.active():
            return _model(file, function)


def export_onnx(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    function: str | None = None,
    force: bool = False,
) -> Path:
    """Export a Core ML model to ONNX; see `CoreMLModel.to_onnx`.

    Args:
        path: A `.mlpackage` folder or a `.mlmodel` file.
        out: The ONNX file to write.
        function: As in `load`.
        force: Overwrite an existing file.

    Returns:
        `out`.

    Raises:
        ModelFileError, UnsupportedModelError, OptionError: As in `load`.
        UnsupportedModelError: Neither an ML Program nor a neural network.
        OutputExistsError: `out` already exists and `force` is false.
        OutputError: It cannot be written.
    """
    return load(path, function=function).to_onnx(out, force=force)


@overload
def predict(path: str | os.PathLike[str], images: ImageSource) -> Prediction: ...  # type: ignore[overload-overlap]
@overload
def predict(path: str | os.PathLike[str], images: ImageSources) -> list[Prediction]: ...
def predict(
    path: str | os.PathLike[str], images: ImageSource | ImageSources
) -> Prediction | list[Prediction]:
    """Classify one image, or each of several, with the Core ML model at `path`.

    To classify more than once, `load` the model and call its `predict`. Here, each image may take
    60 seconds, or the number in the environment variable POCKETLENS_TIME_LIMIT.

    Raises:
        ModelFileError, UnsupportedModelError: As in `load`.
        FeatureError: The model is not an image classifier, takes other inputs besides an image, or
            takes too long.
        ImageError: An image cannot be read.
    """
    return load(path, time_limit=default_time_limit()).predict(images)


def _model(file: ModelFile, function: str | None = None, depth: int = 0) -> CoreMLModel:
    """The model for a file, or for a pipeline's stage; `depth` pipelines are around it."""
    check_kind(file)
    interface = read_interface(file, function)
    kind = file.spec.WhichOneof("Type")
    if kind == "mlProgram":
        from pocketlens.coreml.ops.program import lower_program

        return _graph_model(file, interface, lower_program)
    if kind in NETWORKS:
        from pocketlens.coreml.ops.network import lower_network, takes_steps

        if not takes_steps(file, interface):
            return _graph_model(file, interface, lower_network)
        from pocketlens.coreml.runtime.sequences import SequenceModel

        return SequenceModel(
            file, interface, lambda reshaped: _graph_model(file, reshaped, lower_network)
        )
    if kind in PIPELINES:
        from pocketlens.coreml.classic.pipeline import PipelineModel

        return PipelineModel(
            file, interface, lambda stage, stage_depth: _model(stage, None, stage_depth), depth
        )
    from pocketlens.coreml.classic.model import ClassicModel

    return ClassicModel(file, interface)


def _graph_model(
    file: ModelFile, interface: Interface, lower: Callable[[ModelFile, Interface], Lowered]
) -> CoreMLModel:
    """One graph for all input shapes; if an op needs fixed sizes, a graph for each shape."""

    def make(fixed: Interface) -> CoreMLModel:
        with file.budget.active():
            return GraphModel(file, fixed, lower(file, fixed))

    try:
        return make(interface)
    except UnsupportedOp:
        raise
    except UnsupportedModelError:
        if not is_flexible(interface):
            raise
        return FlexibleModel(file, interface, make)
