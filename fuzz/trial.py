"""One trial: load a file that may be damaged, run it, write its ONNX; and what came of it."""

from __future__ import annotations

import contextlib
import math
import random
from pathlib import Path
from typing import Any

import numpy as np

from pocketlens.coreml import describe, load
from pocketlens.coreml.file import values
from pocketlens.coreml.file.features import Feature
from pocketlens.coreml.graph import builder
from pocketlens.coreml.ops.common import control
from pocketlens.errors import OptionError, PocketlensError, UnsupportedModelError

__all__ = ["lower_limits", "trial"]

LARGEST_INPUT = 1 << 16
LONGEST_MESSAGE = 2100


def lower_limits() -> None:
    """Make the runtime's own limits small, so that what forgets one shows as a blow-up."""
    for module in (builder, control):
        module.MAX_TENSOR_BYTES = 1 << 24
    values.MAX_CONSTANT_BYTES = 1 << 24
    control.MAX_STEPS = 2000


def trial(path: Path, chance: random.Random) -> str:
    """`ran`, or the name of the error of ours with which the file was refused.

    Raises:
        AssertionError: The error's message is not one line of printable text.
        Exception: Whatever else the file brings about: that is a finding.
    """
    try:
        _use(path, chance)
    except PocketlensError as error:
        message = str(error)
        assert message, "an error without a message"
        assert message.isprintable(), f"an error of several lines: {message!r}"
        assert len(message) <= LONGEST_MESSAGE, f"an error of {len(message)} characters"
        return type(error).__name__
    return "ran"


def _use(path: Path, chance: random.Random) -> None:
    described = describe(path)
    functions = described.get("functions") or [None]
    function = chance.choice(list(functions)) if chance.random() < 0.5 else None
    try:
        model = load(path, function=function if isinstance(function, str) else None)
    except OptionError:
        model = load(path)
    features = model.interface.inputs
    given = {
        feature.name: _given(feature, chance)
        for feature in features
        if not (feature.optional and chance.random() < 0.5)
    }
    if any(value is None for value in given.values()):
        return  # it asks for more than a trial gives
    state = model.make_state() if model.interface.states else None
    answer = model.run(given, state=state, intermediate=chance.random() < 0.3)
    missing = {feature.name for feature in model.interface.outputs} - set(answer)
    assert not missing, f"outputs that did not come: {missing}"
    if chance.random() < 0.1:
        with contextlib.suppress(UnsupportedModelError):  # trees and their like have none
            model.to_onnx(path.with_name("fuzzed.onnx"), force=True)


def _given(feature: Feature, chance: random.Random) -> Any:
    """Something that the feature says it takes; None if that would be too large."""
    draw = np.random.default_rng(chance.getrandbits(32))
    shape = chance.choice([feature.shape, *feature.shapes]) if feature.shapes else feature.shape
    if feature.ranges and feature.kind in ("array", "image") and chance.random() < 0.5:
        shape = tuple(
            chance.choice([low, low + 1 if high is None else min(high, low + 3)])
            for low, high in feature.ranges
        )
    if math.prod(shape) > LARGEST_INPUT or any(size < 0 for size in shape):
        return None
    keyed = feature.dtype == "int64"
    match feature.kind:
        case "image":
            return draw.integers(0, 256, (*shape, 3), np.uint8)
        case "array":
            numbers = draw.normal(0, chance.choice([0.1, 1, 1e3]), shape)
            return numbers.astype(feature.dtype or "float32")
        case "dictionary":
            return {0: 1.0, 7: -2.0} if keyed else {"a": 1.0, "b": -2.0}
        case "sequence":
            return [0, 1] if keyed else ["a", "b"]
        case "string":
            return chance.choice(["a", "", "zz"])
        case "double":
            return float(draw.normal())
    return chance.choice([0, 1, -1, 2**62])
