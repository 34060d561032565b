"""`ClassicModel`: a model that runs as one NumPy step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pocketlens.coreml.classic.step import Step, feature_output
from pocketlens.coreml.file.budget import charge
from pocketlens.coreml.file.errors import located_errors
from pocketlens.coreml.file.features import Interface
from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.ops.registry import lookup
from pocketlens.coreml.runtime.inputs import read_features
from pocketlens.coreml.runtime.model import CoreMLModel
from pocketlens.errors import ModelFileError

__all__ = ["ClassicModel"]


class ClassicModel(CoreMLModel):
    """A tree ensemble, a linear model, a scaler, ...: a `Step` that runs in NumPy.

    An optional number, string or dictionary that is left out is a missing value. Trees have a
    branch for it, an imputer replaces it, and any other model raises a FeatureError.
    """

    def __init__(self, file: ModelFile, interface: Interface) -> None:
        kind = file.spec.WhichOneof("Type")
        with located_errors(file, f"the model ({kind})"):
            lowering = lookup("classic", kind)
            arrays = [
                each for each in (*interface.inputs, *interface.outputs) if each.kind == "array"
            ]
            charge(8 * sum(math.prod(each.shape) for each in arrays), "the arrays of a run")
            step: Step = lowering.function(interface, **lowering.bind(getattr(file.spec, kind)))
            for feature in interface.outputs:
                if feature.name not in step.outputs:
                    raise ModelFileError(
                        f"the description declares the output '{feature.name}'; "
                        f"the model has: {', '.join(step.outputs)}"
                    )
        inputs = {each.name: each for each in (*interface.inputs, *step.optional_inputs)}
        super().__init__(file, replace(interface, inputs=tuple(inputs.values())), step.classes)
        self._step = step

    def _run_once(
        self,
        inputs: Mapping[str, Any],
        *,
        state: Any,
        intermediate: bool,  # noqa: ARG002 (a single step has no intermediate values)
    ) -> dict[str, Any]:
        self._check_stateless(state)
        inputs = self._given(inputs)
        values = read_features(inputs, self.interface.inputs)
        with np.errstate(all="ignore"):  # infinity and NaN are valid results
            results = self._step.run(values)
        return {
            feature.name: feature_output(results[feature.name], feature)
            for feature in self.interface.outputs
        }
