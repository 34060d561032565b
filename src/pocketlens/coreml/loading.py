"""`load`: opens a Core ML file and picks what runs it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import overload

from pocketlens.coreml.file.errors import one_line_errors
from pocketlens.coreml.file.features import Interface, read_interface
from pocketlens.coreml.file.kinds import NETWORKS, PIPELINES, check_kind
from pocketlens.coreml.file.package import ModelFile, open_model
from pocketlens.coreml.ops.lowered import Lowered
from pocketlens.coreml.runtime.flexible import FlexibleModel, is_flexible
from pocketlens.coreml.runtime.graph_model import GraphModel
from pocketlens.coreml.runtime.model import CoreMLModel
from pocketlens.errors import UnsupportedModelError, UnsupportedOp
from pocketlens.image import ImageSource
from pocketlens.prediction import ImageSources, Prediction

__all__ = ["load", "predict"]


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
    with one_line_errors():
        return _model(open_model(path), function)


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


def _model(file: ModelFile, function: str | None = None, depth: int = 0) -> CoreMLModel:
    """The model of a file, or of a stage that is `depth` pipelines deep in it."""
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
            file, interface, lambda other: _graph_model(file, other, lower_network)
        )
    if kind in PIPELINES:
        from pocketlens.coreml.classic.pipeline import PipelineModel

        return PipelineModel(file, interface, lambda part, deep: _model(part, None, deep), depth)
    from pocketlens.coreml.classic.model import ClassicModel

    return ClassicModel(file, interface)


def _graph_model(
    file: ModelFile, interface: Interface, lower: Callable[[ModelFile, Interface], Lowered]
) -> CoreMLModel:
    """One graph for all shapes of the inputs or, where that cannot be, one for each."""

    def make(fixed: Interface) -> CoreMLModel:
        return GraphModel(file, fixed, lower(file, fixed))

    try:
        return make(interface)
    except UnsupportedOp:
        raise
    except UnsupportedModelError:
        if not is_flexible(interface):
            raise
        return FlexibleModel(file, interface, make)
