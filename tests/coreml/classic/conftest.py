"""Classic models written field by field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pocketlens.coreml import CoreMLModel, load
from pocketlens.coreml.file.proto import generated

ARRAYS = {"float32": 65568, "float64": 65600, "int32": 131104}


def declare(feature: Any, name: str, kind: Any) -> None:
    """A feature's type: `double`, `int64`, `string`, `dictionary string`, `sequence int64`, the
    shape of an array of doubles, or (element type, *shape); `?` after a word makes it optional."""
    feature.name = name
    if not isinstance(kind, str):
        sizes = list(kind)
        element = sizes.pop(0) if isinstance(sizes[0], str) else "float64"
        feature.type.multiArrayType.dataType = ARRAYS[element.rstrip("?")]
        feature.type.multiArrayType.shape.extend(sizes)
        feature.type.isOptional = element.endswith("?")
        return
    feature.type.isOptional = kind.endswith("?")
    match kind.rstrip("?").split():
        case ["dictionary", key]:
            getattr(feature.type.dictionaryType, f"{key}KeyType").SetInParent()
        case ["sequence", key]:
            getattr(feature.type.sequenceType, f"{key}Type").SetInParent()
            feature.type.sequenceType.sizeRange.upperBound = -1
        case [plain]:
            getattr(feature.type, f"{plain}Type").SetInParent()


def classic_spec(
    kind: str,
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
    label: str = "",
    probabilities: str = "",
) -> Any:
    """A model of `kind` whose message is still empty."""
    spec = generated("Model_pb2").Model()
    spec.specificationVersion = 4
    for name, each in inputs.items():
        declare(spec.description.input.add(), name, each)
    for name, each in outputs.items():
        declare(spec.description.output.add(), name, each)
    spec.description.predictedFeatureName = label
    spec.description.predictedProbabilitiesName = probabilities
    getattr(spec, kind).SetInParent()
    return spec


@pytest.fixture(scope="session")
def spec_of() -> Callable[..., Any]:
    return classic_spec


@pytest.fixture
def open_spec(save: Callable[..., Path]) -> Callable[[Any], CoreMLModel]:
    """Load a specification as a file."""
    return lambda spec: load(save(spec))
