"""Fixtures that load a classic model from a dictionary of its fields, and check its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import CoreMLModel


def set_fields(message: Any, fields: dict[str, Any]) -> None:
    """Set a message's fields: a list fills a repeated field or a vector, a dictionary a map."""
    for name, value in fields.items():
        field = getattr(message, name)
        if isinstance(value, dict):
            field.SetInParent()
            field.map.update(value)
        elif isinstance(value, list) and hasattr(field, "vector"):
            field.SetInParent()
            field.vector.extend(value)
        elif isinstance(value, list) and name == "inputList":
            for column, size in value:
                field.add(inputColumn=column, inputDimensions=size)
        elif isinstance(value, list):
            field.extend(value)
        else:
            setattr(message, name, value)


@pytest.fixture
def feature_model(
    spec_of: Callable[..., Any], open_spec: Callable[[Any], CoreMLModel]
) -> Callable[..., CoreMLModel]:
    def make(kind: str, fields: dict[str, Any], source: Any, output: Any) -> CoreMLModel:
        inputs = source if isinstance(source, dict) else {"x": source}
        spec = spec_of(kind, inputs, {"y": output})
        set_fields(getattr(spec, kind), fields)
        return open_spec(spec)

    return make


def _check_result(model: CoreMLModel, value: Any, output: Any, expected: Any) -> None:
    result = model.run({} if value is None else {"x": value})["y"]
    if isinstance(output, str):
        assert result == expected
        assert type(result) is type(expected)
    else:
        np.testing.assert_allclose(result, expected, rtol=1e-15)
        assert result.dtype == ("int32" if "int32" in output else "float64")
        assert result.shape == np.shape(expected)


@pytest.fixture
def check_result() -> Callable[..., None]:
    """Run a model on one value (None: omitted) and compare result and type."""
    return _check_result
