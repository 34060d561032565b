"""One trial: load a file that may be damaged, run it, export it to ONNX, and report the result."""

from __future__ import annotations

import contextlib
import math
import random
from pathlib import Path
from typing import Any

import numpy as np

from pocketlens.coreml import inspect, load
from pocketlens.coreml.file import values
from pocketlens.coreml.file.features import Feature
from pocketlens.coreml.graph import builder
from pocketlens.coreml.ops.common import control
from pocketlens.errors import OptionError, PocketlensError, UnsupportedModelError

__all__ = ["lower_limits", "trial"]

LARGEST_INPUT = 1 << 16
LONGEST_MESSAGE = 2100


def lower_limits() -> None:
    """Lower the runtime's limits, so that code that ignores one fails visibly."""
    for module in (builder, control):
        module.MAX_TENSOR_BYTES = 1 << 24
    values.MAX_CONSTANT_BYTES = 1 << 24
    control.MAX_STEPS = 2000


def trial(path: Path, rng: random.Random) -> str:
    """Run one trial.

    Returns:
        `ran`, or the name of our error that was raised.

    Raises:
        AssertionError: The error's message is not one line of printable text.
        Exception: Any other exception is a finding.
    """
    try:
        _use(path, rng)
    except PocketlensError as error:
        message = str(error)
        assert message, "an error without a message"
        assert message.isprintable(), f"an error of several lines: {message!r}"
        assert len(message) <= LONGEST_MESSAGE, f"an error of {len(message)} characters"
        return type(error).__name__
    return "ran"


def _use(path: Path, rng: random.Random) -> None:
    described = inspect(path)
    functions = described.get("functions") or [None]
    function = rng.choice(list(functions)) if rng.random() < 0.5 else None
    try:
        model = load(path, function=function if isinstance(function, str) else None)
    except OptionError:
        model = load(path)
    features = model.interface.inputs
    inputs = {
        feature.name: _random_value(feature, rng)
        for feature in features
        if not (feature.optional and rng.random() < 0.5)
    }
    if any(value is None for value in inputs.values()):
        return  # too large for a trial
    state = model.make_state() if model.interface.states else None
    results = model.run(inputs, state=state, intermediate=rng.random() < 0.3)
    missing = {feature.name for feature in model.interface.outputs} - set(results)
    assert not missing, f"missing outputs: {missing}"
    if rng.random() < 0.1:
        with contextlib.suppress(UnsupportedModelError):  # classic models cannot be exported
            model.to_onnx(path.with_name("fuzzed.onnx"), force=True)


def _random_value(feature: Feature, rng: random.Random) -> Any:
    """A value that the feature accepts; None if it would be too large."""
    numpy_rng = np.random.default_rng(rng.getrandbits(32))
    shape = rng.choice([feature.shape, *feature.shapes]) if feature.shapes else feature.shape
    if feature.ranges and feature.kind in ("array", "image") and rng.random() < 0.5:
        shape = tuple(
            rng.choice([low, low + 1 if high is None else min(high, low + 3)])
            for low, high in feature.ranges
        )
    if math.prod(shape) > LARGEST_INPUT or any(size < 0 for size in shape):
        return None
    keyed = feature.dtype == "int64"
    match feature.kind:
        case "image":
            return numpy_rng.integers(0, 256, (*shape, 3), np.uint8)
        case "array":
            numbers = numpy_rng.normal(0, rng.choice([0.1, 1, 1e3]), shape)
            return numbers.astype(feature.dtype or "float32")
        case "dictionary":
            return {0: 1.0, 7: -2.0} if keyed else {"a": 1.0, "b": -2.0}
        case "sequence":
            return [0, 1] if keyed else ["a", "b"]
        case "string":
            return rng.choice(["a", "", "zz"])
        case "double":
            return float(numpy_rng.normal())
    return rng.choice([0, 1, -1, 2**62])
