"""A model file, of Core ML or Core AI, as a model from arrays to arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pocketlens.conversion.core_ml_arrays import CoreMLArrays
from pocketlens.coreml import CoreMLModel
from pocketlens.evaluation.arrays import ArrayModel

if TYPE_CHECKING:
    from pocketlens.model_files import Model

__all__ = ["as_arrays"]


def as_arrays(model: Model, *, rows: bool) -> ArrayModel:
    """The model; `rows` says whether the first dimension counts rows, see `CoreMLArrays`."""
    if isinstance(model, CoreMLModel):
        return CoreMLArrays(model, rows=rows)
    from pocketlens.conversion.core_ai.arrays import CoreAIArrays

    return CoreAIArrays(model)
