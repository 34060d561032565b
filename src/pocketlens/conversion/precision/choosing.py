"""Which ops `convert` keeps in float32, and what it says about a file in float16."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pocketlens.conversion.array_checking import made_up_cases
from pocketlens.conversion.checking import NO_CHECK, loaded, run_error
from pocketlens.conversion.core_ml_arrays import CoreMLArrays
from pocketlens.conversion.precision.checking import cases_of, examine, fitting_images, some
from pocketlens.conversion.precision.findings import change_text
from pocketlens.conversion.precision.mixed import Mixed, Precision
from pocketlens.conversion.precision.search import Trials
from pocketlens.conversion.probes import probe_images
from pocketlens.conversion.source_kinds import ArraySource, ImageSource
from pocketlens.errors import CheckFailedError, FeatureError, ModelFileError, UnsupportedModelError

__all__ = ["check_half", "chosen_ops", "samples_of"]

PATIENCE = 5
"""How much longer the search may take if its result decides what is written."""


def chosen_ops(exact: Path, source: ImageSource | ArraySource, data: Any) -> Mixed:
    """The ops that have to compute in float32, and why.

    Args:
        exact: The model, converted in float32.
        source: What it was converted from.
        data: Images or arrays; None: made-up ones.

    Raises:
        CheckFailedError: The model cannot run here.
    """
    trials = _trials(exact, source, data, mixed=True)
    found = examine(trials, made_up=data is None, place=source.place)
    outputs = trials.cases[0].emulation.outputs
    return Mixed(found.at_risk, frozenset(outputs).intersection(found.at_risk))


def check_half(
    file: Path, source: ImageSource | ArraySource, data: Any, precision: Precision
) -> list[str]:
    """What float16 changes in a converted file, as notes for the user.

    Raises:
        CheckFailedError: A file of mixed precision still differs from float32, or cannot run here.
    """
    try:
        trials = _trials(file, source, data)
    except UnsupportedModelError:  # its tensors do not fit into memory
        if isinstance(precision, Mixed):
            raise
        return []
    if not trials.as_is:  # in float32
        return []
    if isinstance(precision, Mixed):
        change = max(trials.change(case, trials.candidates) for case in trials.cases)
        if change > 0.01:
            raise CheckFailedError(
                f"with {len(precision.reasons)} ops in float32, the outputs still "
                f"{change_text(change)}; nothing was written; use precision float32 (--precision "
                f"float32), or {NO_CHECK}"
            )
        return []
    found = examine(trials, made_up=data is None, place=source.place)
    if found.passed:
        return []
    return [found.summary(mixed=file.suffix == ".mlpackage")]


def samples_of(source: ImageSource | ArraySource, data: Any) -> Any:
    """Data of the user as images `(N, H, W, C)`, or as the arrays of some runs.

    Raises:
        DataError: They cannot be read, or do not fit the model.
    """
    if isinstance(source, ImageSource):
        return np.stack(some(fitting_images(source.input_spec, data)))
    return some(cases_of(source, data))


def _trials(
    file: Path, source: ImageSource | ArraySource, data: Any, *, mixed: bool = False
) -> Trials:
    """The trials of a file; if its ops are chosen, on all that it is then checked with."""
    model = loaded(file)
    features: list[Mapping[str, Any]]
    if isinstance(source, ImageSource):
        images, _ = probe_images(source.input_spec)
        if data is not None:
            images = samples_of(source, data)
        features = [model.features_for(each) for each in (images if mixed else some(images))]
    else:
        arrays = CoreMLArrays(model, rows=source.rows)
        cases = made_up_cases(source, large=mixed) if data is None else samples_of(source, data)
        features = [arrays.features(each) for each in (cases if mixed else some(cases))]
    try:
        return Trials(model, features, made_up=data is None, patience=PATIENCE if mixed else 1)
    except (ModelFileError, FeatureError) as error:
        raise run_error(file, error) from error
