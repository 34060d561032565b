"""`load`, `inspect` and `predict` for every kind of model file: Core ML and Core AI."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from pocketlens.image import ImageSource
from pocketlens.prediction import ImageSources, Prediction

if TYPE_CHECKING:
    from pocketlens.coreai import CoreAIModel
    from pocketlens.coreml import CoreMLModel

__all__ = ["Model", "inspect", "is_core_ai", "load", "predict"]

Model: TypeAlias = "CoreMLModel | CoreAIModel"


def is_core_ai(path: str | os.PathLike[str]) -> bool:
    """Whether `path` has the suffix of a Core AI model."""
    return Path(path).suffix.lower() == ".aimodel"


def load(
    path: str | os.PathLike[str],
    *,
    function: str | None = None,
    time_limit: float | None = None,
    max_memory: int | None = None,
) -> Model:
    """Load a Core ML or a Core AI model.

    Args:
        path: A `.mlpackage` folder or a `.mlmodel` file; or an `.aimodel` folder (experimental).
        function: The function to run if the model has several; by default the one that the file
            marks as its default, or `main`.
        time_limit: How many seconds one run may take, all stages of a pipeline together; None for
            no limit. A run that takes longer is stopped and raises a FeatureError, or a
            CoreAIError.
        max_memory: How many bytes the model may need, for its weights and for the tensors of a run;
            by default 4 GiB, or the number in the environment variable POCKETLENS_MAX_MEMORY.

    Returns:
        A `CoreMLModel` or a `CoreAIModel`; both are a `Predictor` with `run`.

    Raises:
        ModelFileError: The file does not exist, or is damaged, truncated or unsafe; or it needs
            more than `max_memory`. For a Core AI model it is a CoreAIError.
        UnsupportedModelError: This kind of model cannot run here.
        UnsupportedOp: The model uses unsupported ops; the message lists all of them.
        UnsupportedParameter: An op sets a field that its implementation does not support.
        OptionError: The model has no function of this name, or a limit is not positive.
        MissingExtraError: A Core AI model, and the extra `coreai` is not installed.
    """
    if is_core_ai(path):
        from pocketlens.coreai import load as load_core_ai
        from pocketlens.coreml.file.budget import Budget

        limit = Budget(max_memory).limit
        return load_core_ai(path, function=function, time_limit=time_limit, max_memory=limit)
    from pocketlens.coreml import load as load_core_ml

    return load_core_ml(path, function=function, time_limit=time_limit, max_memory=max_memory)


def inspect(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Describe a Core ML or a Core AI model with plain values that can be written as JSON.

    Args:
        path: A `.mlpackage` folder or a `.mlmodel` file; or an `.aimodel` folder (experimental).

    Returns:
        `path`, `kind`, `specification_version`, `problems` (why the model cannot run here; empty if
        it can, as far as this reads it), `opset` and `functions` (of an ML Program or a Core AI
        model), `stages` (of a pipeline: name and kind), `inputs`, `outputs`, `states` and
        `training_inputs` (name, type, shape, color, description), `classes`, `input_spec`,
        `metadata` (author, license, version, description, user), `ops` (name to count, of all
        functions), `per_function` (the opset, ops and features of each function), `parameters`
        (count), `weights` (type to count), `weight_bytes` (type to bytes), `compressed`
        (`quantized`, `palettized` or `sparse` to the number of tensors), `updatable`,
        `updatable_layers` and `bytes`.

    Raises:
        ModelFileError: The file does not exist, or is damaged, truncated or unsafe.
        UnsupportedModelError: A compiled model, or a specification version that is too new.
        MissingExtraError: A Core AI model, and the extra `coreai` is not installed.
    """
    if is_core_ai(path):
        from pocketlens.coreai import inspect as inspect_core_ai
        from pocketlens.coreml.file.budget import Budget

        return inspect_core_ai(path, max_memory=Budget().limit)
    from pocketlens.coreml import inspect as inspect_core_ml

    return inspect_core_ml(path)


@overload
def predict(path: str | os.PathLike[str], images: ImageSource) -> Prediction: ...  # type: ignore[overload-overlap]
@overload
def predict(path: str | os.PathLike[str], images: ImageSources) -> list[Prediction]: ...
def predict(
    path: str | os.PathLike[str], images: ImageSource | ImageSources
) -> Prediction | list[Prediction]:
    """Classify one image, or each of several, with the model at `path`.

    To classify more than once, `load` the model and call its `predict`. Here, each image may take
    60 seconds, or the number in the environment variable POCKETLENS_TIME_LIMIT.

    Raises:
        ModelFileError, UnsupportedModelError, MissingExtraError: As in `load`.
        FeatureError: The model is not an image classifier, takes other inputs besides an image, or
            takes too long.
        ImageError: An image cannot be read.
    """
    from pocketlens.coreml.file.time_limit import default_time_limit

    return load(path, time_limit=default_time_limit()).predict(images)
