# ruff: noqa: N802, N803 (kinds and fields are named as the specification names them)
"""Numbers made of numbers: scaling, normalizing, choosing, thresholding, passing on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.classic.step import Features, Step, only
from pocketlens.coreml.file.features import Feature, Interface
from pocketlens.coreml.graph import Floats, Ints, Message
from pocketlens.coreml.ops.registry import classic
from pocketlens.errors import FeatureError, ModelFileError

NUMBERS = ("int64", "double", "array")


def numbers(given: Features, feature: Feature) -> NDArray[np.float64]:
    """The value of a number or an array, as doubles.

    Raises:
        FeatureError: It is left out.
    """
    if feature.name not in given:
        raise FeatureError(
            f"the input '{feature.name}' ({feature.kind}) is left out; this model needs it"
        )
    return np.asarray(given[feature.name], np.float64)


@classic()
def scaler(model: Interface, *, shiftValue: Floats = (), scaleValue: Floats = ()) -> Step:
    taken, output = only(model.inputs, "input", *NUMBERS), only(model.outputs, "output", *NUMBERS)
    size = math.prod(taken.shape)
    for name, values in (("shiftValue", shiftValue), ("scaleValue", scaleValue)):
        if len(values) not in (0, 1) and (taken.kind != "array" or len(values) != size):
            raise ModelFileError(f"it has {len(values)} numbers in {name}; expected 0, 1 or {size}")
    shift = np.array(shiftValue or (0.0,))
    scale = np.array(scaleValue or (1.0,))

    def run(given: Features) -> dict[str, Any]:
        x = numbers(given, taken)
        if {scale.size, shift.size} - {1, x.size}:
            raise FeatureError(
                f"the input '{taken.name}' holds {x.size} numbers; "
                f"the model scales {max(scale.size, shift.size)}"
            )
        return {output.name: (scale * (x.reshape(-1) + shift)).reshape(x.shape)}

    return Step(run, (output.name,))


@classic(restrictions="an array whose norm is 0 stays as it is")
def normalizer(model: Interface, *, normType: str = "LMax") -> Step:
    taken, output = only(model.inputs, "input", "array"), only(model.outputs, "output", "array")
    norm = {
        "LMax": lambda x: x.max(initial=-np.inf),
        "L1": lambda x: np.abs(x).sum(),
        "L2": lambda x: np.sqrt((x**2).sum()),
    }[normType]

    def run(given: Features) -> dict[str, Any]:
        x = numbers(given, taken)
        return {output.name: x / (norm(x) or 1.0)}

    return Step(run, (output.name,))


@classic()
def arrayFeatureExtractor(model: Interface, *, extractIndex: Ints) -> Step:
    taken, output = only(model.inputs, "input", "array"), only(model.outputs, "output", *NUMBERS)
    if output.kind != "array" and len(extractIndex) != 1:
        raise ModelFileError(
            f"it extracts {len(extractIndex)} numbers; its output is declared as {output.kind}"
        )
    highest = max(extractIndex)
    fixed = taken.shape and not taken.shapes and not taken.ranges
    if fixed and highest >= math.prod(taken.shape):
        raise ModelFileError(
            f"it extracts number {highest}, counted from 0; "
            f"its input holds {math.prod(taken.shape)}"
        )

    def run(given: Features) -> dict[str, Any]:
        x = numbers(given, taken).reshape(-1)
        if highest >= x.size:
            raise FeatureError(
                f"the input '{taken.name}' holds {x.size} numbers; "
                f"the model extracts number {highest}, counted from 0"
            )
        return {output.name: x[list(extractIndex)]}

    return Step(run, (output.name,))


@classic()
def classConfidenceThresholding(
    model: Interface, *, precisionRecallCurves: tuple[Message, ...] = ()
) -> Step:
    """[C] -> [2, C]: the confidences, and 1 for each class; the curves are for the app to read."""
    taken, output = only(model.inputs, "input", "array"), only(model.outputs, "output", "array")
    classes = math.prod(taken.shape)
    if precisionRecallCurves and taken.shape and len(precisionRecallCurves) != classes:
        raise ModelFileError(f"it has {len(precisionRecallCurves)} curves for {classes} classes")

    def run(given: Features) -> dict[str, Any]:
        x = numbers(given, taken).reshape(-1)
        return {output.name: np.stack([x, np.ones_like(x)])}

    return Step(run, (output.name,))


@classic()
def identity(model: Interface) -> Step:
    """Each output is the input of its name, or else the one at its place in the description."""
    named = {feature.name: feature for feature in model.inputs}
    sources = {}
    for place, output in enumerate(model.outputs):
        source = named.get(output.name)
        if source is None and len(model.inputs) == len(model.outputs):
            source = model.inputs[place]
        if source is None or (source.kind, source.dtype) != (output.kind, output.dtype):
            raise ModelFileError(
                f"no input of type {output.kind} belongs to its output '{output.name}'"
            )
        sources[output.name] = source

    def run(given: Features) -> dict[str, Any]:
        for source in sources.values():
            if source.name not in given:
                raise FeatureError(f"the input '{source.name}' is left out; this model needs it")
        return {name: given[source.name] for name, source in sources.items()}

    return Step(run, tuple(sources))
