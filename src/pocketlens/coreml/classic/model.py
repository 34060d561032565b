"""`ClassicModel`: one model that is no graph and no pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pocketlens.coreml.classic.step import Step, feature_output
from pocketlens.coreml.file.errors import located_errors
from pocketlens.coreml.file.features import Interface
from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.ops.registry import lookup
from pocketlens.coreml.runtime.inputs import given_features
from pocketlens.coreml.runtime.model import CoreMLModel
from pocketlens.errors import ModelFileError

__all__ = ["ClassicModel"]


class ClassicModel(CoreMLModel):
    """A tree ensemble, a linear model, a scaler, ...: a step that runs in NumPy.

    An optional number, string or dictionary that is left out is a missing value: trees send it
    their own way, an imputer fills it in, and what needs it refuses.
    """

    def __init__(self, file: ModelFile, interface: Interface) -> None:
        kind = file.spec.WhichOneof("Type")
        with located_errors(file, f"the model ({kind})"):
            lowering = lookup("classic", kind)
            step: Step = lowering.function(interface, **lowering.bind(getattr(file.spec, kind)))
            for feature in interface.outputs:
                if feature.name not in step.outputs:
                    raise ModelFileError(
                        f"the description promises the output '{feature.name}'; "
                        f"the model gives {', '.join(step.outputs)}"
                    )
        inputs = {each.name: each for each in (*interface.inputs, *step.options)}
        super().__init__(file, replace(interface, inputs=tuple(inputs.values())), step.classes)
        self._step = step

    def run(
        self,
        inputs: Mapping[str, Any],
        *,
        state: Any = None,
        intermediate: bool = False,  # noqa: ARG002 (a step is one: there is nothing on the way)
    ) -> dict[str, Any]:
        self._check_stateless(state)
        self._check_given(inputs)
        given = given_features(inputs, self.interface.inputs)
        with np.errstate(all="ignore"):  # infinity and NaN are answers like any others
            answers = self._step.run(given)
        return {
            feature.name: feature_output(answers[feature.name], feature)
            for feature in self.interface.outputs
        }
