"""`Step`: what a classic model comes to when its message has been read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.features import Feature, Interface
from pocketlens.coreml.runtime.inputs import held_in, int64_or_none
from pocketlens.errors import FeatureError, ModelFileError

__all__ = ["MAX_ITEMS", "Features", "Step", "declared", "feature_output", "only", "predicted"]

Features: TypeAlias = "Mapping[str, Any]"
"""Values by feature name, in the types that `inputs.feature_input` gives."""

MAX_ITEMS = 2**24
"""The most numbers that a model may make of its own accord: 128 MiB of doubles."""


@dataclass(frozen=True)
class Step:
    """A model ready to run.

    Attributes:
        run: Takes the inputs that were given, gives every output in `outputs`.
        outputs: The names of what it gives.
        classes: A classifier's labels in the order of its probabilities, else empty.
        options: Inputs that it does without, whether the description lists them or not.
    """

    run: Callable[[Features], dict[str, Any]]
    outputs: tuple[str, ...]
    classes: tuple[str | int, ...] = ()
    options: tuple[Feature, ...] = ()


def declared(features: tuple[Feature, ...], name: str, what: str, *kinds: str) -> Feature:
    """The declared feature `name`, which must be of one of `kinds`.

    Raises:
        ModelFileError: There is none, or it is of another kind; the message calls it `what`.
    """
    found = next((feature for feature in features if feature.name == name), None)
    if found is None:
        raise ModelFileError(
            f"its {what} should be {name!r}; "
            f"the description has: {', '.join(f.name for f in features)}"
        )
    if found.kind not in kinds:
        raise ModelFileError(
            f"its {what} '{name}' is declared as {found.kind}; expected {' or '.join(kinds)}"
        )
    return found


def only(features: tuple[Feature, ...], what: str, *kinds: str) -> Feature:
    """The single declared feature, which must be of one of `kinds`.

    Raises:
        ModelFileError: There are several, or it is of another kind.
    """
    if len(features) != 1:
        raise ModelFileError(
            f"it has {len(features)} {what}s ({', '.join(f.name for f in features)}); expected one"
        )
    return declared(features, features[0].name, what, *kinds)


def predicted(model: Interface, *kinds: str) -> Feature:
    """The output that holds a regressor's or classifier's answer."""
    name = model.label or (model.outputs[0].name if len(model.outputs) == 1 else "")
    return declared(model.outputs, name, "prediction", *kinds)


def feature_output(value: Any, feature: Feature) -> Any:
    """What a step computed, in the type that the model's description declares for it.

    Raises:
        FeatureError: A value that the declared type or shape cannot hold.
    """
    if feature.kind == "array":
        return _array(np.asarray(value), feature)
    if feature.kind in ("int64", "double"):
        array = np.asarray(value)
        if array.size != 1:
            raise FeatureError(
                f"the output '{feature.name}' is declared as {feature.kind}; "
                f"the model gives {array.size} numbers"
            )
        number = array.reshape(()).item()
        return _whole(number, feature) if feature.kind == "int64" else float(number)
    if feature.kind == "dictionary":
        return {key: float(number) for key, number in value.items()}
    return value


def _array(array: NDArray[Any], feature: Feature) -> NDArray[Any]:
    fits = array.size == np.prod(feature.shape, dtype=np.int64)
    if feature.shape and fits and not (feature.ranges or feature.shapes):
        array = array.reshape(feature.shape)
    if not feature.allows(array.shape):
        raise FeatureError(
            f"the output '{feature.name}' is declared as {feature.expected()}; "
            f"the model gives {' × '.join(map(str, array.shape))}"
        )
    dtype = np.dtype(feature.dtype or np.float64)
    held = held_in(array, dtype)
    if held is None:
        raise FeatureError(
            f"the output '{feature.name}' is an array of {dtype}; "
            f"the model gives values that {dtype} cannot hold"
        )
    return held


def _whole(number: float, feature: Feature) -> int:
    whole = int64_or_none(number)
    if whole is None:
        raise FeatureError(
            f"the output '{feature.name}' is a whole number (int64); the model gives {number}"
        )
    return whole
