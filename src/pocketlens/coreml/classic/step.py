"""`Step`: a classic model that is ready to run, and the checks its functions share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.features import Feature, FeatureKind, Interface
from pocketlens.coreml.runtime.inputs import cast_or_none, int64_or_none
from pocketlens.errors import FeatureError, ModelFileError

__all__ = [
    "MAX_ITEMS",
    "NUMBERS",
    "Features",
    "Step",
    "as_optional",
    "feature_output",
    "find_feature",
    "predicted_output",
    "single_feature",
]

Features: TypeAlias = "Mapping[str, Any]"
"""Values by feature name, in the types that `runtime.inputs.feature_input` returns."""

NUMBERS: tuple[FeatureKind, ...] = ("int64", "double", "array")
"""The kinds of features with numbers."""

MAX_ITEMS = 2**24
"""The most numbers that a vector whose size is in the file may have: 128 MiB of doubles."""


@dataclass(frozen=True)
class Step:
    """A classic model that is ready to run.

    Attributes:
        run: Takes the inputs (optional ones may be missing), returns every output in `outputs`.
        outputs: The names of the outputs.
        classes: A classifier's labels in the order of its probabilities, else empty.
        optional_inputs: Inputs that the specification calls optional, whether or not the
            description declares them as optional, or at all.
    """

    run: Callable[[Features], dict[str, Any]]
    outputs: tuple[str, ...]
    classes: tuple[str | int, ...] = ()
    optional_inputs: tuple[Feature, ...] = ()


def as_optional(features: Iterable[Feature]) -> tuple[Feature, ...]:
    """The features, each of them optional."""
    return tuple(replace(feature, optional=True) for feature in features)


def find_feature(
    features: tuple[Feature, ...], name: str, what: str, *kinds: FeatureKind
) -> Feature:
    """The declared feature `name`, which must be of one of `kinds`.

    Raises:
        ModelFileError: It is not declared, or has another kind; the message calls it `what`.
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


def single_feature(features: tuple[Feature, ...], what: str, *kinds: FeatureKind) -> Feature:
    """The only declared feature, which must be of one of `kinds`.

    Raises:
        ModelFileError: There are several, or it has another kind; the message calls it `what`.
    """
    if len(features) != 1:
        raise ModelFileError(
            f"it has {len(features)} {what}s ({', '.join(f.name for f in features)}); expected one"
        )
    return find_feature(features, features[0].name, what, *kinds)


def predicted_output(model: Interface, *kinds: FeatureKind) -> Feature:
    """The output with a regressor's value or a classifier's label.

    Raises:
        ModelFileError: It is not declared, or is not of one of `kinds`.
    """
    name = model.label or (model.outputs[0].name if len(model.outputs) == 1 else "")
    return find_feature(model.outputs, name, "prediction", *kinds)


def feature_output(value: Any, feature: Feature) -> Any:
    """Convert a step's result to the type that the model's description declares.

    Raises:
        FeatureError: The value does not fit into the declared type or shape.
    """
    if feature.kind == "array":
        return _array(np.asarray(value), feature)
    if feature.kind in ("int64", "double"):
        array = np.asarray(value)
        if array.size != 1:
            raise FeatureError(
                f"the output '{feature.name}' is declared as {feature.kind}; "
                f"the model computes {array.size} numbers"
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
            f"the model computes {' × '.join(map(str, array.shape))}"
        )
    dtype = np.dtype(feature.dtype or np.float64)
    converted = cast_or_none(array, dtype)
    if converted is None:
        raise FeatureError(
            f"the output '{feature.name}' is an array of {dtype}; "
            f"the model computes values that {dtype} cannot hold"
        )
    return converted


def _whole(number: float, feature: Feature) -> int:
    whole = int64_or_none(number)
    if whole is None:
        raise FeatureError(
            f"the output '{feature.name}' is an integer (int64); the model computes {number}"
        )
    return whole
