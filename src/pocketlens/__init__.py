"""Train an image classifier, convert it to Core ML, check it anywhere, and write the iPhone app.

The whole walk in Python:

    >>> import pocketlens
    >>> data = pocketlens.load_data("mnist")
    >>> recognizer = pocketlens.train("quick", data).recognizer
    >>> pocketlens.evaluate(recognizer, pocketlens.load_data("mnist", split="test")).accuracy
    >>> path = pocketlens.convert(recognizer, "Digits.mlpackage")
    >>> pocketlens.load(path).predict("photo.jpg").top(3)

Every command of the command line is a function here, see `COMMANDS`. Names are imported when they
are first used, so `import pocketlens` is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketlens.app import create_app as create_app
    from pocketlens.callbacks import Callback as Callback
    from pocketlens.conversion import ModelMetadata as ModelMetadata
    from pocketlens.conversion import convert as convert
    from pocketlens.coreml import CoreMLModel as CoreMLModel
    from pocketlens.coreml import Coverage as Coverage
    from pocketlens.coreml import Feature as Feature
    from pocketlens.coreml import Interface as Interface
    from pocketlens.coreml import State as State
    from pocketlens.coreml import coverage as coverage
    from pocketlens.coreml import load as load
    from pocketlens.coreml import predict as predict
    from pocketlens.data import Dataset as Dataset
    from pocketlens.data import load_data as load_data
    from pocketlens.errors import PocketlensError as PocketlensError
    from pocketlens.evaluation import Evaluation as Evaluation
    from pocketlens.evaluation import Parity as Parity
    from pocketlens.evaluation import Tolerance as Tolerance
    from pocketlens.evaluation import evaluate as evaluate
    from pocketlens.evaluation import verify as verify
    from pocketlens.evaluation.robustness import run_suite as run_suite
    from pocketlens.finetuning import Corrected as Corrected
    from pocketlens.finetuning import correct as correct
    from pocketlens.history import Epoch as Epoch
    from pocketlens.history import Step as Step
    from pocketlens.image import InputSpec as InputSpec
    from pocketlens.pipeline import run as run
    from pocketlens.prediction import Prediction as Prediction
    from pocketlens.prediction import Predictor as Predictor
    from pocketlens.prediction import Thresholds as Thresholds
    from pocketlens.recipe import Recipe as Recipe
    from pocketlens.recipe import list_recipes as list_recipes
    from pocketlens.recipe import load_recipe as load_recipe
    from pocketlens.recognizer import Recognizer as Recognizer
    from pocketlens.report import write_report as write_report
    from pocketlens.run_folder import Run as Run
    from pocketlens.run_folder import read_run as read_run
    from pocketlens.training import Training as Training
    from pocketlens.training import train as train

_HOME = {
    "Callback": "callbacks",
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
    "verify": "evaluation",
    "write_report": "report",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("pocketlens")
    if name not in _HOME:
        raise AttributeError(f"module 'pocketlens' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"pocketlens.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
