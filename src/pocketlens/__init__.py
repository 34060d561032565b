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
    from pocketlens.app import check_app as check_app
    from pocketlens.app import create_app as create_app
    from pocketlens.callbacks import Callback as Callback
    from pocketlens.compression import compress as compress
    from pocketlens.conversion import KerasPredictor as KerasPredictor
    from pocketlens.conversion import ModelMetadata as ModelMetadata
    from pocketlens.conversion import convert as convert
    from pocketlens.conversion import verify_arrays as verify_arrays
    from pocketlens.conversion.compression.measuring import Measured as Measured
    from pocketlens.conversion.compression.results import Candidate as Candidate
    from pocketlens.conversion.compression.results import Compressed as Compressed
    from pocketlens.conversion.precision.checking import check_float16 as check_float16
    from pocketlens.conversion.precision.findings import Float16Check as Float16Check
    from pocketlens.conversion.precision.findings import Float16Finding as Float16Finding
    from pocketlens.conversion.precision.findings import LayerRange as LayerRange
    from pocketlens.coreai import CoreAIModel as CoreAIModel
    from pocketlens.coreml import ChosenMeaning as ChosenMeaning
    from pocketlens.coreml import CoreMLModel as CoreMLModel
    from pocketlens.coreml import Feature as Feature
    from pocketlens.coreml import Interface as Interface
    from pocketlens.coreml import OpSupport as OpSupport
    from pocketlens.coreml import State as State
    from pocketlens.coreml import export_onnx as export_onnx
    from pocketlens.coreml.ops.registry import ops as ops
    from pocketlens.data import Dataset as Dataset
    from pocketlens.data import download_data as download_data
    from pocketlens.data import load_data as load_data
    from pocketlens.data import load_folder as load_folder
    from pocketlens.data.check import DataCheck as DataCheck
    from pocketlens.data.check import Finding as Finding
    from pocketlens.data.check import check_data as check_data
    from pocketlens.data.wrong_labels import LabelCheck as LabelCheck
    from pocketlens.data.wrong_labels import WrongLabel as WrongLabel
    from pocketlens.errors import PocketlensError as PocketlensError
    from pocketlens.evaluation import Calibration as Calibration
    from pocketlens.evaluation import CalibrationBin as CalibrationBin
    from pocketlens.evaluation import ClassScore as ClassScore
    from pocketlens.evaluation import Disagreement as Disagreement
    from pocketlens.evaluation import Evaluation as Evaluation
    from pocketlens.evaluation import Histogram as Histogram
    from pocketlens.evaluation import Mistake as Mistake
    from pocketlens.evaluation import Parity as Parity
    from pocketlens.evaluation import Reading as Reading
    from pocketlens.evaluation import Readings as Readings
    from pocketlens.evaluation import Tolerance as Tolerance
    from pocketlens.evaluation import evaluate as evaluate
    from pocketlens.evaluation import find_readings as find_readings
    from pocketlens.evaluation import verify as verify
    from pocketlens.evaluation.arrays import ArrayInput as ArrayInput
    from pocketlens.evaluation.arrays import ArrayParity as ArrayParity
    from pocketlens.evaluation.arrays import OutputDifference as OutputDifference
    from pocketlens.evaluation.robustness import Rejection as Rejection
    from pocketlens.evaluation.robustness import Score as Score
    from pocketlens.evaluation.robustness import Share as Share
    from pocketlens.evaluation.robustness import SuiteResult as SuiteResult
    from pocketlens.evaluation.robustness import Table as Table
    from pocketlens.evaluation.robustness import run_suite as run_suite
    from pocketlens.explanation import Explanation as Explanation
    from pocketlens.explanation import explain as explain
    from pocketlens.finetuning import Corrected as Corrected
    from pocketlens.finetuning import correct as correct
    from pocketlens.history import Epoch as Epoch
    from pocketlens.history import FineTuning as FineTuning
    from pocketlens.history import LearningCurve as LearningCurve
    from pocketlens.history import Step as Step
    from pocketlens.image import InputSpec as InputSpec
    from pocketlens.model_files import inspect as inspect
    from pocketlens.model_files import load as load
    from pocketlens.model_files import predict as predict
    from pocketlens.numbers import Digit as Digit
    from pocketlens.numbers import Number as Number
    from pocketlens.numbers import draw_number as draw_number
    from pocketlens.numbers import read_number as read_number
    from pocketlens.pipeline import run as run
    from pocketlens.prediction import Prediction as Prediction
    from pocketlens.prediction import Predictor as Predictor
    from pocketlens.prediction import Thresholds as Thresholds
    from pocketlens.preview import serve_preview as serve_preview
    from pocketlens.preview.teaching import teach as teach
    from pocketlens.recipe import Recipe as Recipe
    from pocketlens.recipe import list_recipes as list_recipes
    from pocketlens.recipe import load_recipe as load_recipe
    from pocketlens.recipe_options import AppOptions as AppOptions
    from pocketlens.recipe_options import Choice as Choice
    from pocketlens.recipe_options import DataOptions as DataOptions
    from pocketlens.recipe_options import ModelOptions as ModelOptions
    from pocketlens.recipe_options import TrainingOptions as TrainingOptions
    from pocketlens.recipe_options import WebOptions as WebOptions
    from pocketlens.recognizer import Recognizer as Recognizer
    from pocketlens.report import write_report as write_report
    from pocketlens.run_comparison import ComparedRun as ComparedRun
    from pocketlens.run_comparison import RunComparison as RunComparison
    from pocketlens.run_comparison import compare_runs as compare_runs
    from pocketlens.run_folder import Check as Check
    from pocketlens.run_folder import DataSummary as DataSummary
    from pocketlens.run_folder import Metrics as Metrics
    from pocketlens.run_folder import Run as Run
    from pocketlens.run_folder import read_run as read_run
    from pocketlens.scale import Sweep as Sweep
    from pocketlens.scale import read_sweep as read_sweep
    from pocketlens.scale import sweep as sweep
    from pocketlens.scale.search import Dimension as Dimension
    from pocketlens.scale.trials import Trial as Trial
    from pocketlens.training import Training as Training
    from pocketlens.training import train as train
    from pocketlens.training.label_check import check_labels as check_labels
    from pocketlens.web import check_site as check_site
    from pocketlens.web import create_web as create_web

_HOME = {
    "AppOptions": "recipe_options",
    "ArrayInput": "evaluation.arrays",
    "ArrayParity": "evaluation.arrays",
    "Calibration": "evaluation",
    "CalibrationBin": "evaluation",
    "Callback": "callbacks",
    "Candidate": "conversion.compression.results",
    "Check": "run_folder",
    "Choice": "recipe_options",
    "ClassScore": "evaluation",
    "ChosenMeaning": "coreml",
    "ComparedRun": "run_comparison",
    "Compressed": "conversion.compression.results",
    "CoreAIModel": "coreai",
    "CoreMLModel": "coreml",
    "Corrected": "finetuning",
    "DataCheck": "data.check",
    "LabelCheck": "data.wrong_labels",
    "WrongLabel": "data.wrong_labels",
    "DataOptions": "recipe_options",
    "DataSummary": "run_folder",
    "Dataset": "data",
    "Digit": "numbers",
    "Dimension": "scale.search",
    "Disagreement": "evaluation",
    "Epoch": "history",
    "FineTuning": "history",
    "Evaluation": "evaluation",
    "Explanation": "explanation",
    "Feature": "coreml",
    "Finding": "data.check",
    "Float16Check": "conversion.precision.findings",
    "Float16Finding": "conversion.precision.findings",
    "Histogram": "evaluation",
    "InputSpec": "image",
    "Interface": "coreml",
    "KerasPredictor": "conversion",
    "LayerRange": "conversion.precision.findings",
    "LearningCurve": "history",
    "Measured": "conversion.compression.measuring",
    "Metrics": "run_folder",
    "Mistake": "evaluation",
    "ModelMetadata": "conversion",
    "ModelOptions": "recipe_options",
    "Number": "numbers",
    "OpSupport": "coreml",
    "OutputDifference": "evaluation.arrays",
    "Parity": "evaluation",
    "PocketlensError": "errors",
    "Prediction": "prediction",
    "Predictor": "prediction",
    "Reading": "evaluation",
    "Readings": "evaluation",
    "Recipe": "recipe",
    "Recognizer": "recognizer",
    "Rejection": "evaluation.robustness",
    "Run": "run_folder",
    "RunComparison": "run_comparison",
    "Score": "evaluation.robustness",
    "Share": "evaluation.robustness",
    "State": "coreml",
    "Step": "history",
    "SuiteResult": "evaluation.robustness",
    "Table": "evaluation.robustness",
    "Thresholds": "prediction",
    "Tolerance": "evaluation",
    "Sweep": "scale",
    "Training": "training",
    "Trial": "scale.trials",
    "TrainingOptions": "recipe_options",
    "WebOptions": "recipe_options",
    "check_app": "app",
    "check_data": "data.check",
    "check_float16": "conversion.precision.checking",
    "check_labels": "training.label_check",
    "check_site": "web",
    "compare_runs": "run_comparison",
    "compress": "compression",
    "convert": "conversion",
    "correct": "finetuning",
    "create_app": "app",
    "create_web": "web",
    "download_data": "data",
    "draw_number": "numbers",
    "evaluate": "evaluation",
    "explain": "explanation",
    "export_onnx": "coreml",
    "find_readings": "evaluation",
    "inspect": "model_files",
    "list_recipes": "recipe",
    "load": "model_files",
    "load_data": "data",
    "load_folder": "data",
    "load_recipe": "recipe",
    "ops": "coreml.ops.registry",
    "predict": "model_files",
    "read_number": "numbers",
    "read_run": "run_folder",
    "read_sweep": "scale",
    "run": "pipeline",
    "run_suite": "evaluation.robustness",
    "serve_preview": "preview",
    "sweep": "scale",
    "teach": "preview.teaching",
    "train": "training",
    "verify": "evaluation",
    "verify_arrays": "conversion",
    "write_report": "report",
}

__all__ = [
    "AppOptions",
    "ArrayInput",
    "ArrayParity",
    "Calibration",
    "CalibrationBin",
    "Callback",
    "Candidate",
    "Check",
    "Choice",
    "ChosenMeaning",
    "ClassScore",
    "ComparedRun",
    "Compressed",
    "CoreAIModel",
    "CoreMLModel",
    "Corrected",
    "DataCheck",
    "DataOptions",
    "DataSummary",
    "Dataset",
    "Digit",
    "Dimension",
    "Disagreement",
    "Epoch",
    "Evaluation",
    "Explanation",
    "Feature",
    "Finding",
    "FineTuning",
    "Float16Check",
    "Float16Finding",
    "Histogram",
    "InputSpec",
    "Interface",
    "KerasPredictor",
    "LabelCheck",
    "LayerRange",
    "LearningCurve",
    "Measured",
    "Metrics",
    "Mistake",
    "ModelMetadata",
    "ModelOptions",
    "Number",
    "OpSupport",
    "OutputDifference",
    "Parity",
    "PocketlensError",
    "Prediction",
    "Predictor",
    "Reading",
    "Readings",
    "Recipe",
    "Recognizer",
    "Rejection",
    "Run",
    "RunComparison",
    "Score",
    "Share",
    "State",
    "Step",
    "SuiteResult",
    "Sweep",
    "Table",
    "Thresholds",
    "Tolerance",
    "Training",
    "TrainingOptions",
    "Trial",
    "WebOptions",
    "WrongLabel",
    "check_app",
    "check_data",
    "check_float16",
    "check_labels",
    "check_site",
    "compare_runs",
    "compress",
    "convert",
    "correct",
    "create_app",
    "create_web",
    "download_data",
    "draw_number",
    "evaluate",
    "explain",
    "export_onnx",
    "find_readings",
    "inspect",
    "list_recipes",
    "load",
    "load_data",
    "load_folder",
    "load_recipe",
    "ops",
    "predict",
    "read_number",
    "read_run",
    "read_sweep",
    "run",
    "run_suite",
    "serve_preview",
    "sweep",
    "teach",
    "train",
    "verify",
    "verify_arrays",
    "write_report",
]

COMMANDS = {
    "run": "run",
    "train": "train",
    "evaluate": "evaluate",
    "convert": "convert",
    "compress": "compress",
    "inspect": "inspect",
    "ops": "ops",
    "onnx": "export_onnx",
    "predict": "predict",
    "explain": "explain",
    "preview": "serve_preview",
    "teach": "teach",
    "verify": "verify",
    "app": "create_app",
    "web": "create_web",
    "report": "write_report",
    "correct": "correct",
    "sweep": "sweep",
    "runs compare": "compare_runs",
    "recipes list": "list_recipes",
    "recipes show": "load_recipe",
    "data show": "load_data",
    "data check": "check_data",
    "data download": "download_data",
}
"""The function of each command. If a subpackage (such as `app`) or a library (`onnx`) has the name
of the command, the function has a verb in front."""

_SUBPACKAGES = (
    *(
        "app",
        "coreai",
        "coreml",
        "data",
        "errors",
        "evaluation",
        "networks",
        "preview",
        "report",
        "web",
    ),
)
"""Subpackages that work as attributes after `import pocketlens`."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("pocketlens")
    if name in _SUBPACKAGES:
        return importlib.import_module(f"pocketlens.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'pocketlens' has no attribute '{name}'")
    try:
        value = getattr(importlib.import_module(f"pocketlens.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        errors = importlib.import_module("pocketlens.errors")
        raise errors.missing_package(error, purpose=f"pocketlens.{name}") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
