"""Numbers to numbers: scaler, normalizer, feature extractor, confidence thresholding, identity."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.classic.step import NUMBERS, Features, Step, single_feature
from pocketlens.coreml.file.features import Feature, Interface
from pocketlens.coreml.graph import Floats, Ints, Message
from pocketlens.coreml.ops.registry import classic
from pocketlens.errors import FeatureError, ModelFileError


def numbers(inputs: Features, feature: Feature) -> NDArray[np.float64]:
    """The value of a number or an array, as doubles.

    Raises:
        FeatureError: The input is missing.
    """
    if feature.name not in inputs:
        raise FeatureError(
            f"the input '{feature.name}' ({feature.kind}) is missing; this model needs it"
        )
    return np.asarray(inputs[feature.name], np.float64)


@classic()
def scaler(model: Interface, *, shiftValue: Floats = (), scaleValue: Floats = ()) -> Step:
    source, output = (
        single_feature(model.inputs, "input", *NUMBERS),
        single_feature(model.outputs, "output", *NUMBERS),
    )
    size = math.prod(source.shape)
    for name, values in (("shiftValue", shiftValue), ("scaleValue", scaleValue)):
        if len(values) not in (0, 1) and (source.kind != "array" or len(values) != size):
            raise ModelFileError(f"it has {len(values)} numbers in {name}; expected 0, 1 or {size}")
    shift = np.array(shiftValue or (0.0,))
    scale = np.array(scaleValue or (1.0,))

    def run(inputs: Features) -> dict[str, Any]:
        x = numbers(inputs, source)
        if {scale.size, shift.size} - {1, x.size}:
            raise FeatureError(
                f"the input '{source.name}' has {x.size} numbers; "
                f"the model scales {max(scale.size, shift.size)}"
            )
        return {output.name: (scale * (x.reshape(-1) + shift)).reshape(x.shape)}

    return Step(run, (output.name,))


@classic()
def normalizer(model: Interface, *, normType: str = "LMax") -> Step:
    source, output = (
        single_feature(model.inputs, "input", "array"),
        single_feature(model.outputs, "output", "array"),
    )
    norms: dict[str, Callable[[NDArray[np.float64]], np.float64]] = {
        "LMax": lambda x: x.max(initial=-np.inf),
        "L1": lambda x: np.abs(x).sum(),
        "L2": lambda x: np.sqrt((x**2).sum()),
    }
    norm = norms[normType]

    def run(inputs: Features) -> dict[str, Any]:
        x = numbers(inputs, source)
        return {output.name: x / (norm(x) or 1.0)}

    return Step(run, (output.name,))


@classic()
def arrayFeatureExtractor(model: Interface, *, extractIndex: Ints) -> Step:
    source, output = (
        single_feature(model.inputs, "input", "array"),
        single_feature(model.outputs, "output", *NUMBERS),
    )
    if output.kind != "array" and len(extractIndex) != 1:
        raise ModelFileError(
            f"it extracts {len(extractIndex)} numbers; its output is declared as {output.kind}"
        )
    highest = max(extractIndex)
    fixed = source.shape and not source.shapes and not source.ranges
    if fixed and highest >= math.prod(source.shape):
        raise ModelFileError(
            f"it extracts number {highest}, counted from 0; its input has {math.prod(source.shape)}"
        )

    def run(inputs: Features) -> dict[str, Any]:
        x = numbers(inputs, source).reshape(-1)
        if highest >= x.size:
            raise FeatureError(
                f"the input '{source.name}' has {x.size} numbers; "
                f"the model extracts number {highest}, counted from 0"
            )
        return {output.name: x[list(extractIndex)]}

    return Step(run, (output.name,))


@classic()
def classConfidenceThresholding(
    model: Interface, *, precisionRecallCurves: tuple[Message, ...] = ()
) -> Step:
    """[C] -> [2, C]: the confidences, and 1 for each class.

    The precision-recall curves are not used: an app reads them to choose its thresholds.
    """
    source, output = (
        single_feature(model.inputs, "input", "array"),
        single_feature(model.outputs, "output", "array"),
    )
    classes = math.prod(source.shape)
    if precisionRecallCurves and source.shape and len(precisionRecallCurves) != classes:
        raise ModelFileError(f"it has {len(precisionRecallCurves)} curves for {classes} classes")

    def run(inputs: Features) -> dict[str, Any]:
        x = numbers(inputs, source).reshape(-1)
        return {output.name: np.stack([x, np.ones_like(x)])}

    return Step(run, (output.name,))


@classic()
def identity(model: Interface) -> Step:
    """Each output is the input with the same name, else the input at the same position."""
    named = {feature.name: feature for feature in model.inputs}
    sources = {}
    for position, output in enumerate(model.outputs):
        source = named.get(output.name)
        if source is None and len(model.inputs) == len(model.outputs):
            source = model.inputs[position]
        if source is None or (source.kind, source.dtype) != (output.kind, output.dtype):
            raise ModelFileError(
                f"there is no input of type {output.kind} for its output '{output.name}'"
            )
        sources[output.name] = source

    def run(inputs: Features) -> dict[str, Any]:
        for source in sources.values():
            if source.name not in inputs:
                raise FeatureError(f"the input '{source.name}' is missing; this model needs it")
        return {name: inputs[source.name] for name, source in sources.items()}

    return Step(run, tuple(sources))
