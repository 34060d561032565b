"""Measure a predictor: accuracy on a data set, parity of two predictors, and robustness.

The robustness suite is in `pocketlens.evaluation.robustness`; it is imported only when used.
"""

from pocketlens.evaluation.accuracy import (
    Calibration,
    CalibrationBin,
    ClassScore,
    Evaluation,
    Mistake,
    evaluate,
)
from pocketlens.evaluation.parity import Disagreement, Histogram, Parity, Tolerance, verify
from pocketlens.evaluation.readings import Reading, Readings, find_readings

__all__ = [
    "Calibration",
    "CalibrationBin",
    "ClassScore",
    "Disagreement",
    "Evaluation",
    "Histogram",
    "Mistake",
    "Parity",
    "Reading",
    "Readings",
    "Tolerance",
    "evaluate",
    "find_readings",
    "verify",
]
