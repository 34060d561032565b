"""The Core ML runtime: reads Core ML files and runs them on any operating system.

    model = load("Digits.mlpackage")
    model.predict("seven.jpg").label
    model.run({"image": "seven.png"})["classLabel"]

Data flows through the packages inside in this order, and each imports only those above it:

    file      .mlmodel or .mlpackage -> specification message, weights, declared features
    graph     an ONNX graph under construction; constant folding; export to an ONNX model
    ops       one function per Core ML op or layer that adds ONNX nodes to the graph
    runtime   runs the ONNX graph with ONNX Runtime: inputs, outputs, flexible shapes, state
    classic   trees, linear models, feature engineering and pipelines; these run in NumPy

`loading.load` picks the right class for a file: `runtime.graph_model.GraphModel` for an ML Program
or a neural network, `classic.model.ClassicModel` or `classic.pipeline.PipelineModel` for the rest.
All of them are a `runtime.model.CoreMLModel`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketlens.coreml.file.features import Feature, Interface
    from pocketlens.coreml.file.inspection import inspect
    from pocketlens.coreml.loading import export_onnx, load, predict
    from pocketlens.coreml.ops.registry import ChosenMeaning, OpSupport
    from pocketlens.coreml.runtime.model import CoreMLModel
    from pocketlens.coreml.runtime.state import State

__all__ = [
    "ChosenMeaning",
    "CoreMLModel",
    "Feature",
    "Interface",
    "OpSupport",
    "State",
    "export_onnx",
    "inspect",
    "load",
    "predict",
]

_MODULES = {
    "ChosenMeaning": "ops.registry",
    "CoreMLModel": "runtime.model",
    "Feature": "file.features",
    "Interface": "file.features",
    "OpSupport": "ops.registry",
    "State": "runtime.state",
    "export_onnx": "loading",
    "inspect": "file.inspection",
    "load": "loading",
    "predict": "loading",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: importing onnx takes 0.2 s, importing this package must be quick.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
