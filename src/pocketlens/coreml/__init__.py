"""The Core ML runtime: reads Core ML files and runs them on any system.

    model = load("Digits.mlpackage")
    model.predict("seven.jpg").label
    model.run({"image": "seven.png"})["classLabel"]

An ML Program or a neural network is translated to an ONNX graph, op by op, and ONNX Runtime runs
that. Classic models (trees, linear models, ...) and what pipelines put between run in NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketlens.coreml.file.description import describe
    from pocketlens.coreml.loading import load, predict
    from pocketlens.coreml.ops.registry import Coverage, coverage
    from pocketlens.coreml.runtime.model import CoreMLModel

__all__ = ["CoreMLModel", "Coverage", "coverage", "describe", "load", "predict"]

_HOMES = {
    "CoreMLModel": "runtime.model",
    "Coverage": "ops.registry",
    "coverage": "ops.registry",
    "describe": "file.description",
    "load": "loading",
    "predict": "loading",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: onnx takes 0.2 s, and the package's own import stays light.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
