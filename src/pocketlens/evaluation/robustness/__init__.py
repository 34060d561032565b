"""The robustness suite: how a recognizer performs with camera images, and where it fails.

It tests simulated photos and empty scenes (`photos`, `empty`), corrupted, rotated, scaled and
shifted images, and whether the recognizer predicts `nothing` when there is nothing. The code is
independent of `augment` and uses only NumPy and Pillow, so that a network is not tested with the
same code that made its training images.
"""

from pocketlens.evaluation.robustness.corruptions import CORRUPTIONS, corrupt
from pocketlens.evaluation.robustness.empty import EMPTY_KINDS, empty_kind, empty_scenes
from pocketlens.evaluation.robustness.examination import run_suite
from pocketlens.evaluation.robustness.photos import photograph, surface_of
from pocketlens.evaluation.robustness.result import Rejection, Score, Share, SuiteResult, Table

__all__ = [
    "CORRUPTIONS",
    "EMPTY_KINDS",
    "Rejection",
    "Score",
    "Share",
    "SuiteResult",
    "Table",
    "corrupt",
    "empty_kind",
    "empty_scenes",
    "photograph",
    "run_suite",
    "surface_of",
]
