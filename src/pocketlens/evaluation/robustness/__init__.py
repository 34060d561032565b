"""The evaluation suite: what a recognizer does in front of a camera, and where it gives way.

Simulated photographs and empty scenes (`photos`, `empty`), corruptions, turns, sizes and places of
the clean image, and whether it says `nothing` when nothing is there. It is written apart from
`augment`, with NumPy and Pillow alone, so that no network is examined with its own exercises.
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
