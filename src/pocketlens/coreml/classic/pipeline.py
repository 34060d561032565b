# ruff: noqa: N802 (kinds are functions named as the specification names them)
"""Pipelines: models in a row, each taking what the caller or an earlier model gives, by name."""

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
from pocketlens.coreml.graph import Message
from pocketlens.coreml.ops.registry import classic, lookup
from pocketlens.coreml.runtime.inputs import given_features
from pocketlens.coreml.runtime.model import CoreMLModel
from pocketlens.errors import ModelFileError

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
    """Refuse a pipeline that sets a field which is unknown here."""
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
        """Open every stage and hold its features against those that come before.

        Args:
            file: The pipeline.
            interface: Its inputs and outputs.
            make: Opens a stage, a model of any kind, so many pipelines deep.
            depth: How many pipelines this one is inside of.
        """
        if depth >= MAX_DEPTH:
            raise ModelFileError(f"{file.path}: pipelines are nested more than {MAX_DEPTH} deep")
        _check_fields(file, interface)
        self._stages = [make(stage, depth + 1) for stage in stages_of(file)]
        known = {feature.name: feature for feature in interface.inputs}
        for stage in self._stages:
            for feature in stage.interface.inputs:
                if feature.name in known or not feature.optional:
                    _check(feature, known, f"{stage.path} takes")
            known |= {feature.name: feature for feature in stage.interface.outputs}
        for feature in interface.outputs:
            _check(feature, known, f"{file.path}: the description promises")
        interface = replace(interface, inputs=_as_needed(interface.inputs, self._stages))
        super().__init__(file, *_naming(interface, self._stages))

    def run(
        self, inputs: Mapping[str, Any], *, state: Any = None, intermediate: bool = False
    ) -> dict[str, Any]:
        self._check_stateless(state)
        self._check_given(inputs)
        known = given_features(inputs, self.interface.inputs)
        made: dict[str, Any] = {}
        for stage in self._stages:
            taken = [feature for feature in stage.interface.inputs if feature.name in known]
            made |= stage.run({each.name: _fitted(known[each.name], each) for each in taken})
            known |= made
        outputs = {each.name: _fitted(known[each.name], each) for each in self.interface.outputs}
        return made | outputs if intermediate else outputs


def _fitted(value: Any, feature: Feature) -> Any:
    """What is known, in a shape that `feature` declares, if that holds as many numbers.

    A network of the older mapping whose description is silent gives [1, 1, C, 1, 1], and the model
    behind it takes [C].
    """
    if feature.kind != "array" or feature.allows(np.shape(value)):
        return value
    array = np.asarray(value)
    for shape in (feature.shape, array.squeeze().shape):
        if feature.allows(shape) and math.prod(shape) == array.size:
            return array.reshape(shape)
    return value


def _as_needed(inputs: tuple[Feature, ...], stages: Iterable[CoreMLModel]) -> tuple[Feature, ...]:
    """The inputs, optional those that every stage which takes them does without.

    Converters do not mark the thresholds of a suppression as optional, and leave them out.
    """
    taken = [feature for stage in stages for feature in stage.interface.inputs]
    spare = {each.name for each in taken} - {each.name for each in taken if not each.optional}
    return tuple(replace(each, optional=each.optional or each.name in spare) for each in inputs)


def _naming(
    interface: Interface, stages: Iterable[CoreMLModel]
) -> tuple[Interface, tuple[str | int, ...]]:
    """The interface with its label and probabilities, and the classes that these are of.

    A plain pipeline's description does not say which of its outputs name the picture: those of its
    last classifier do.
    """
    given = {feature.name for feature in interface.outputs}
    classifiers = [
        stage
        for stage in stages
        if stage.labels
        and stage.interface.label in given
        and stage.interface.label == (interface.label or stage.interface.label)
    ]
    if not classifiers:
        return interface, ()
    last = classifiers[-1]
    probabilities = last.interface.probabilities if last.interface.probabilities in given else ""
    return (
        replace(
            interface,
            label=last.interface.label,
            probabilities=interface.probabilities or probabilities,
        ),
        last.labels,
    )


def _check(feature: Feature, known: Mapping[str, Feature], what: str) -> None:
    """`feature` is known by its name, and of the kind that it is declared as."""
    source = known.get(feature.name)
    if source is None:
        raise ModelFileError(
            f"{what} '{feature.name}', which neither an input nor an earlier model gives; "
            f"known by then: {', '.join(known)}"
        )
    # The types of arrays may differ: a stage takes what its own type can hold.
    if source.kind != feature.kind or (source.kind != "array" and source.dtype != feature.dtype):
        raise ModelFileError(
            f"{what} '{feature.name}' as {feature.kind}; by then it is {source.kind}"
        )
