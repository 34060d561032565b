"""ML Programs with several functions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import inspect, load
from pocketlens.errors import (
    OptionError,
)


def test_several_functions(tmp_path: Path) -> None:
    """As coremltools merges them: one base, two adapters, shared weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import coremltools as ct
        from coremltools.converters.mil import Builder as mb

        base = np.random.default_rng(4).standard_normal((4, 3)).astype(np.float32)

        def adapted(factor: float) -> Any:
            decorator: Callable[..., Any] = mb.program(
                input_specs=[mb.TensorSpec((1, 3))], opset_version=ct.target.iOS18
            )

            @decorator
            def program(x: Any) -> Any:
                return mb.mul(x=mb.linear(x=x, weight=base), y=np.float32(factor), name="y")

            return program

        adapters = {"plus": 2.0, "minus": -3.0}
        descriptor = ct.utils.MultiFunctionDescriptor()
        for name, factor in adapters.items():
            one = str(tmp_path / f"{name}.mlpackage")
            ct.convert(
                adapted(factor),
                minimum_deployment_target=ct.target.iOS18,
                compute_precision=ct.precision.FLOAT32,
            ).save(one)
            descriptor.add_function(one, src_function_name="main", target_function_name=name)
        descriptor.default_function_name = "plus"
        path = tmp_path / "both.mlpackage"
        ct.utils.save_multifunction(descriptor, str(path))
    x = np.array([[1, -2, 3]], np.float32)
    for name, factor in adapters.items():
        answer = load(path, function=name).run({"x": x})["y"]
        np.testing.assert_allclose(answer, x @ base.T * factor, rtol=1e-5)
    np.testing.assert_allclose(load(path).run({"x": x})["y"], x @ base.T * 2, rtol=1e-5)
    assert sorted(inspect(path)["functions"]) == ["minus", "plus"]
    with pytest.raises(OptionError, match="has no function 'main'; did you mean 'minus'"):
        load(path, function="main")
