"""From a folder of images to a recognizer in your pocket.

The whole walk in Python:

    >>> import pocketlens
    >>> data = pocketlens.load_data("mnist")
    >>> recognizer = pocketlens.train("quick", data).recognizer
    >>> pocketlens.evaluate(recognizer, pocketlens.load_data("mnist", split="test")).accuracy
    >>> path = pocketlens.convert(recognizer, "Digits.mlpackage")
    >>> pocketlens.load(path).predict("photo.jpg").top(3)

Names are imported when first used, so `import pocketlens` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketlens.app import create_app as create_app
    from pocketlens.conversion import convert as convert
    from pocketlens.coreml import CoreMLModel as CoreMLModel
    from pocketlens.coreml import load as load
    from pocketlens.coreml import predict as predict
    from pocketlens.data import Dataset as Dataset
    from pocketlens.data import load_data as load_data
    from pocketlens.errors import PocketlensError as PocketlensError
    from pocketlens.evaluation.accuracy import evaluate as evaluate
    from pocketlens.evaluation.parity import verify as verify
    from pocketlens.evaluation.robustness import run_suite as run_suite
    from pocketlens.image import InputSpec as InputSpec
    from pocketlens.pipeline import run as run
    from pocketlens.prediction import Prediction as Prediction
    from pocketlens.prediction import Predictor as Predictor
    from pocketlens.recipe import Recipe as Recipe
    from pocketlens.recipe import load_recipe as load_recipe
    from pocketlens.recognizer import Recognizer as Recognizer
    from pocketlens.report import write_report as write_report
    from pocketlens.run_folder import Run as Run
    from pocketlens.training import train as train

_HOME = {
    "CoreMLModel": "coreml",
    "Dataset": "data",
    "InputSpec": "image",
    "PocketlensError": "errors",
    "Prediction": "prediction",
    "Predictor": "prediction",
    "Recipe": "recipe",
    "Recognizer": "recognizer",
    "Run": "run_folder",
    "convert": "conversion",
    "create_app": "app",
    "evaluate": "evaluation",
    "load": "coreml",
    "load_data": "data",
    "load_recipe": "recipe",
    "predict": "coreml",
    "run": "pipeline",
    "run_suite": "evaluation.robustness",
    "train": "training",
    "verify": "evaluation.parity",
    "write_report": "report",
}

__all__ = [
    "CoreMLModel",
    "Dataset",
    "InputSpec",
    "PocketlensError",
    "Prediction",
    "Predictor",
    "Recipe",
    "Recognizer",
    "Run",
    "convert",
    "create_app",
    "evaluate",
    "load",
    "load_data",
    "load_recipe",
    "predict",
    "run",
    "run_suite",
    "train",
    "verify",
    "write_report",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pocketlens' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"pocketlens.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
