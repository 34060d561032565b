"""Compare a model file from arrays to arrays with its source, on data of the user."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketlens.conversion.array_checking import HALF_TOLERANCE, made_up_cases
from pocketlens.conversion.array_probes import probe_arrays
from pocketlens.conversion.core_ai.arrays import CoreAIArrays
from pocketlens.conversion.core_ml_arrays import CoreMLArrays
from pocketlens.conversion.labels import read_labels
from pocketlens.conversion.metadata import PROBABILITIES_FEATURE
from pocketlens.conversion.model_arrays import as_arrays
from pocketlens.conversion.source_kinds import ArraySource, SourceOptions
from pocketlens.conversion.sources import open_source
from pocketlens.coreai import CoreAIModel
from pocketlens.coreml import CoreMLModel
from pocketlens.coreml.file.time_limit import default_time_limit
from pocketlens.errors import OptionError
from pocketlens.evaluation.array_cases import split_cases
from pocketlens.evaluation.array_files import load_arrays
from pocketlens.evaluation.arrays import (
    ArrayModel,
    ArrayParity,
    Arrays,
    compare_arrays,
)

if TYPE_CHECKING:
    from pocketlens.model_files import Model

__all__ = ["verify_arrays"]

MODEL_FILES = (".mlpackage", ".mlmodel", ".aimodel")


def verify_arrays(
    source: Any,
    model: CoreMLModel | CoreAIModel | str | os.PathLike[str],
    data: Arrays | str | os.PathLike[str] | None = None,
    *,
    inputs: Any = None,
    labels: Any = None,
    tolerance: float | None = None,
    agreement: float = 0.999,
) -> ArrayParity:
    """Compare a Core ML file with arrays as outputs with the model that it was converted from.

    Args:
        source: What `convert` takes, the path of a file or a model in memory; or another Core ML or
            Core AI file.
        model: The Core ML or Core AI file.
        data: An array for each input by its name; of an image, `(N, H, W, C)` uint8 that fits the
            InputSpec. Or the path of an `.npz`, `.npy` or `.csv` file or of a folder of them. None:
            made-up arrays or images.
        inputs: As in `convert`; by default what the file takes.
        labels: As in `convert`; by default those of the file, if the source has none.
        tolerance: The largest difference allowed, as a share of the largest number of an output;
            by default 0.01, which rounding to float16 needs, and less for models that are not
            rounded.
        agreement: The smallest share of equal labels allowed, in [0, 1].

    Raises:
        OptionError: The source is an image classifier: compare it with `verify`.
        DataError: The data cannot be read, or do not fit the model.
        ConversionError: As in `convert`.
    """
    file = model if isinstance(model, (CoreMLModel, CoreAIModel)) else _loaded(model)
    first = _opened(source, file, inputs, labels)
    second = as_arrays(file, rows=first.rows)
    if tolerance is None:
        exact = isinstance(first, ArraySource) and not first.halves
        tolerance = first.tolerance if exact else HALF_TOLERANCE  # type: ignore[attr-defined]
    cases = _cases(first, data)
    found = compare_arrays(
        first, second, cases, tolerance=tolerance, agreement=agreement, made_up=data is None
    )
    if found.passed or not isinstance(first, ArraySource) or isinstance(file, CoreAIModel):
        return found
    return replace(found, note=first.first_difference(file, _worst_case(first, second, cases)))


def _opened(source: Any, file: Model, inputs: Any, labels: Any) -> ArrayModel:
    if isinstance(source, ArrayModel):
        return source
    if isinstance(source, (str, os.PathLike)) and Path(source).suffix in MODEL_FILES:
        source = _loaded(source)
    if isinstance(source, (CoreMLModel, CoreAIModel)):
        return as_arrays(source, rows=True)
    options = _options(source, file, inputs, None if labels is None else read_labels(labels))
    opened = open_source(source, options)
    if isinstance(opened, ArraySource) and options.labels is None and _numbered(opened, file):
        opened = open_source(source, replace(options, labels=file.classes))
    if not isinstance(opened, ArraySource):
        raise OptionError("the source classifies images; compare it with verify and a Dataset")
    return opened


def _options(
    source: Any, file: Model, inputs: Any, labels: tuple[str, ...] | None
) -> SourceOptions:
    """What was said about the source when the file was made, as far as the file shows it."""
    options = SourceOptions(inputs=inputs, labels=labels)
    if isinstance(file, CoreAIModel):
        return _core_ai_options(source, file, options)
    network = PROBABILITIES_FEATURE in (each.name for each in file.interface.outputs)
    if labels is None and network:
        options = replace(options, labels=file.classes)
    if (image := file.interface.image) is not None:
        sizes = tuple((height, width) for height, width in image.shapes)
        return replace(options, takes="image", input_spec=file.input_spec, sizes=sizes)
    onnx = str(source).lower().endswith(".onnx")
    if options.inputs is None and str(source).lower().endswith((".keras", ".h5", ".hdf5")):
        sizes_of = {each.name: each for each in CoreMLArrays(file).inputs}
        options = replace(options, inputs=sizes_of)
    if options.takes is None and (network or onnx):
        options = replace(options, takes="array")
    if options.inputs is None and onnx:
        shapes = {each.name: each.shape for each in file.interface.inputs if each.shape}
        options = replace(options, inputs=shapes)
    return options


def _core_ai_options(source: Any, file: CoreAIModel, options: SourceOptions) -> SourceOptions:
    if options.labels is None and file.classes:
        options = replace(options, labels=file.classes)
    if file.asset.input_spec is not None:
        return replace(options, takes="image", input_spec=file.input_spec)
    if options.inputs is None and str(source).lower().endswith((".keras", ".h5", ".hdf5")):
        options = replace(options, inputs={each.name: each for each in CoreAIArrays(file).inputs})
    return replace(options, takes="array") if options.labels is not None else options


def _numbered(source: ArraySource, file: Model) -> bool:
    """Whether the classes are numbers in the source, and have names in the file."""
    if isinstance(file, CoreAIModel):
        return False
    numbers = all(isinstance(each, int) for each in source.labels)
    named = all(isinstance(each, str) for each in file.labels)
    return bool(source.labels) and numbers and named and len(source.labels) == len(file.labels)


def _loaded(path: str | os.PathLike[str]) -> Model:
    from pocketlens.model_files import load

    return load(path, time_limit=default_time_limit())


def _cases(model: ArrayModel, data: Arrays | str | os.PathLike[str] | None) -> list[Arrays]:
    if data is None:
        if isinstance(model, ArraySource):
            return made_up_cases(model)
        return [arrays for _, arrays in probe_arrays(model.inputs)]
    sets = [dict(data)] if isinstance(data, Mapping) else load_arrays(data, model.inputs)
    return [case for each in sets for case in split_cases(model, each)]


def _worst_case(first: ArrayModel, second: ArrayModel, cases: list[Arrays]) -> Arrays:
    """The arrays of the run that differs most."""

    def distance(case: Arrays) -> float:
        found = compare_arrays(first, second, [case])
        return max(each.share if each.equal is None else 1 - each.equal for each in found.outputs)

    return max(cases, key=distance)
