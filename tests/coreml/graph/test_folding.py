"""Sizes that a model computes are folded to constants if its shapes are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import load
from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.graph.folding import MAX_FOLDED
from pocketlens.errors import FeatureError, PocketlensError


def content(value: Value) -> Any:
    assert value.const is not None
    return value.const.tolist()


def test_results_that_follow_from_known_shapes() -> None:
    g = Graph()
    x = g.input("x", np.float32, (2, None, 6))
    last = g.Shape(x, start=-1)
    assert content(last) == [6]
    doubled = g.Concat(g.Mul(last, np.array(2)), np.array([-1]), axis=0)
    assert content(doubled) == [12, -1]
    assert g.Reshape(x, doubled).shape == (12, None)
    assert [node.op for node in g.nodes] == ["Reshape"]


def test_results_that_are_not_folded() -> None:
    g = Graph()
    x = g.input("x", np.float32, (2, None, 6))
    large = g.constant(np.arange(MAX_FOLDED + 1))
    for value in (
        g.Shape(x),  # a size is unknown
        g.Add(large, np.array(1)),  # weights, not sizes
        g.Div(np.array([1]), np.array([0])),  # an error when the model runs
        g.Gather(np.array([1, 2]), np.array(5)),
        g.Range(np.array(0), np.array(9), np.array(1)),
    ):
        assert value.const is None


@pytest.mark.parametrize("op", ["GreaterOrEqual", "LessOrEqual"])
def test_types_that_older_onnx_does_not_infer(op: str) -> None:
    """A KeyError in ONNX 1.17 to 1.19, which the package supports."""
    g = Graph()
    x = g.input("x", np.float32, (2, None, 6))
    (value,) = g.op(op, x, np.zeros((1, 6), np.float32))
    assert (value.dtype, value.shape) == (np.dtype(bool), (2, None, 6))
    assert [node.op for node in g.nodes] == [op]


def test_division_by_zero_raises_when_the_model_runs(files: Any, save: Callable[..., Path]) -> None:
    """One of our errors: ONNX Runtime before 1.25 would crash the process."""
    numbers = {"x": np.array([7, -7], np.int32), "y": np.array([0, 2], np.int32)}
    outputs = [("int32", (2,))]
    with pytest.raises(PocketlensError, match="the op mod 'y0' divides an integer by 0"):
        load(save(files.program_spec("mod", {}, numbers, outputs))).run({"unused": [0]})
    model = load(save(files.program_spec("mod", numbers, {}, outputs)))
    with pytest.raises(FeatureError, match="the op mod 'y0' divides an integer by 0"):
        model.run(numbers)
    assert model.run({"x": [7, -7], "y": [3, 2]})["y0"].tolist() == [1, 1]


def test_causal_mask_of_flexible_size(tmp_path: Path) -> None:
    """coremltools creates the mask from ones in a size that the model computes."""
    import coremltools
    import torch

    class Network(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            length = x.shape[1]
            ahead = torch.tril(torch.ones(length, length))
            return (x @ x.transpose(1, 2) * ahead) @ x

    torch.manual_seed(0)
    trace: Callable[..., Any] = torch.jit.trace
    converted = coremltools.convert(
        trace(Network(), torch.randn(1, 7, 4)),
        inputs=[coremltools.TensorType("x", (1, coremltools.RangeDim(2, 40, default=7), 4))],
        compute_precision=coremltools.precision.FLOAT32,
        minimum_deployment_target=coremltools.target.iOS15,
        skip_model_load=True,
    )
    converted.save(str(tmp_path / "m.mlpackage"))
    model = load(tmp_path / "m.mlpackage")
    for length in (7, 2, 40):
        x = torch.randn(1, length, 4)
        (result,) = model.run({"x": x.numpy()}).values()
        np.testing.assert_allclose(result, Network()(x), rtol=1e-4, atol=1e-4)
