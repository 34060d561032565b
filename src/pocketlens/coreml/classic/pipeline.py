"""Pipelines: models that run one after another.

Features are passed by name: a stage's input is an input of the pipeline or an earlier output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pocketlens.coreml.file.errors import located_errors
from pocketlens.coreml.file.features import Feature, Interface
from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.file.pipelines import MAX_DEPTH, NamedStages, name_stages, stages_of
from pocketlens.coreml.file.time_limit import check_time
from pocketlens.coreml.graph import Message
from pocketlens.coreml.ops.registry import classic, lookup
from pocketlens.coreml.runtime.inputs import read_features
from pocketlens.coreml.runtime.model import CoreMLModel
from pocketlens.errors import ModelFileError
from pocketlens.heads import Ending

__all__ = ["PipelineModel"]


@classic()
def pipeline(
    _: Interface, *, models: tuple[Message, ...] = (), names: tuple[str, ...] = ()
) -> NamedStages:
    return name_stages(models, names)


@classic()
def pipelineClassifier(model: Interface, *, pipeline: Message) -> NamedStages:
    return _inner(model, pipeline)


@classic()
def pipelineRegressor(model: Interface, *, pipeline: Message) -> NamedStages:
    return _inner(model, pipeline)


def _inner(model: Interface, message: Message) -> NamedStages:
    lowering = lookup("classic", "pipeline")
    named: NamedStages = lowering.function(model, **lowering.bind(message))
    return named


def _check_fields(file: ModelFile, interface: Interface) -> None:
    """Check that the pipeline's message sets only known fields."""
    kind = file.spec.WhichOneof("Type")
    with located_errors(file, f"the model ({kind})"):
        lowering = lookup("classic", kind)
        lowering.function(interface, **lowering.bind(getattr(file.spec, kind)))


class PipelineModel(CoreMLModel):
    """A pipeline of any of the three kinds; a stage may be a pipeline itself."""

    def __init__(
        self,
        file: ModelFile,
        interface: Interface,
        make: Callable[[ModelFile, int], CoreMLModel],
        depth: int = 0,
    ) -> None:
        """Load every stage and check that its inputs are available when it runs.

        Args:
            file: The pipeline.
            interface: Its inputs and outputs.
            make: Loads a stage, a model of any kind: `(file, depth)`.
            depth: How many pipelines are around this one.

        Raises:
            ModelFileError: Pipelines are nested too deep, or an input or output is not available.
        """
        if depth >= MAX_DEPTH:
            raise ModelFileError(f"{file.path}: pipelines are nested more than {MAX_DEPTH} deep")
        _check_fields(file, interface)
        self._stages = [make(stage, depth + 1) for stage in stages_of(file)]
        known = {feature.name: feature for feature in interface.inputs}
        for stage in self._stages:
            for feature in stage.interface.inputs:
                if feature.name in known or not feature.optional:
                    _check(feature, known, f"{stage.path} needs")
            known |= {feature.name: feature for feature in stage.interface.outputs}
        for feature in interface.outputs:
            _check(feature, known, f"{file.path}: the description declares")
        interface = replace(interface, inputs=_with_optional(interface.inputs, self._stages))
        super().__init__(file, *_with_classes(interface, self._stages))

    def _ending(self, output: str) -> Ending:
        for stage in reversed(self._stages):
            if output in [feature.name for feature in stage.interface.outputs]:
                return stage._ending(output)
        return "unknown"

    def _run_once(
        self, inputs: Mapping[str, Any], *, state: Any, intermediate: bool
    ) -> dict[str, Any]:
        self._check_stateless(state)
        inputs = self._given(inputs)
        known = read_features(inputs, self.interface.inputs)
        computed: dict[str, Any] = {}
        for stage in self._stages:
            check_time()
            needed = [feature for feature in stage.interface.inputs if feature.name in known]
            computed |= stage.run({each.name: _reshape(known[each.name], each) for each in needed})
            known |= computed
        outputs = {each.name: _reshape(known[each.name], each) for each in self.interface.outputs}
        return computed | outputs if intermediate else outputs


def _reshape(value: Any, feature: Feature) -> Any:
    """The value in a shape that `feature` allows, if it has as many elements.

    A network of the older mapping that declares no output shape returns [1, 1, C, 1, 1], and the
    model after it expects [C].
    """
    if feature.kind != "array" or feature.allows(np.shape(value)):
        return value
    array = np.asarray(value)
    for shape in (feature.shape, array.squeeze().shape):
        if feature.allows(shape) and math.prod(shape) == array.size:
            return array.reshape(shape)
    return value


def _with_optional(
    inputs: tuple[Feature, ...], stages: Iterable[CoreMLModel]
) -> tuple[Feature, ...]:
    """The inputs; an input is optional if it is optional in every stage that uses it.

    Converters declare the thresholds of a non-maximum suppression as required, but users may leave
    them out.
    """
    used = [feature for stage in stages for feature in stage.interface.inputs]
    optional = {each.name for each in used} - {each.name for each in used if not each.optional}
    return tuple(replace(each, optional=each.optional or each.name in optional) for each in inputs)


def _with_classes(
    interface: Interface, stages: Iterable[CoreMLModel]
) -> tuple[Interface, tuple[str | int, ...]]:
    """The interface with the names of its label and probabilities; and the classes.

    The description of a plain pipeline does not say which outputs are label and probabilities: they
    are those of its last classifier.
    """
    outputs = {feature.name for feature in interface.outputs}
    classifiers = [
        stage
        for stage in stages
        if stage.labels
        and stage.interface.label in outputs
        and stage.interface.label == (interface.label or stage.interface.label)
    ]
    if not classifiers:
        return interface, ()
    last = classifiers[-1]
    probabilities = last.interface.probabilities if last.interface.probabilities in outputs else ""
    return (
        replace(
            interface,
            label=last.interface.label,
            probabilities=interface.probabilities or probabilities,
        ),
        last.labels,
    )


def _check(feature: Feature, known: Mapping[str, Feature], what: str) -> None:
    """Check that `feature` is among the known features, with the same kind.

    Raises:
        ModelFileError: It is not; the message begins with `what`.
    """
    source = known.get(feature.name)
    if source is None:
        raise ModelFileError(
            f"{what} '{feature.name}', which is neither an input nor an output of an earlier "
            f"model; available at this point: {', '.join(known)}"
        )
    # Element types of arrays may differ: the stage converts the values.
    if source.kind != feature.kind or (source.kind != "array" and source.dtype != feature.dtype):
        raise ModelFileError(
            f"{what} '{feature.name}' as {feature.kind}; at this point it is {source.kind}"
        )
