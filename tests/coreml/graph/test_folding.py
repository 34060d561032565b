"""Sizes that a model computes are known beforehand, where its shapes are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import load
from pocketlens.coreml.graph.builder import Graph
from pocketlens.coreml.graph.folding import MAX_FOLDED
from pocketlens.errors import FeatureError, PocketlensError


def test_what_follows_from_known_shapes() -> None:
    g = Graph()
    x = g.input("x", np.float32, (2, None, 6))
    last = g.Shape(x, start=-1)
    assert last.const.tolist() == [6]
    doubled = g.Concat(g.Mul(last, np.array(2)), np.array([-1]), axis=0)
    assert doubled.const.tolist() == [12, -1]
    assert g.Reshape(x, doubled).shape == (12, None)
    assert [node.op for node in g.nodes] == ["Reshape"]


def test_what_does_not_follow() -> None:
    g = Graph()
    x = g.input("x", np.float32, (2, None, 6))
    large = g.constant(np.arange(MAX_FOLDED + 1))
    for value in (
        g.Shape(x),  # a size is open
        g.Add(large, np.array(1)),  # weights, not sizes
        g.Div(np.array([1]), np.array([0])),  # an error of the run
        g.Gather(np.array([1, 2]), np.array(5)),
        g.Range(np.array(0), np.array(9), np.array(1)),
    ):
        assert value.const is None


@pytest.mark.parametrize("op", ["GreaterOrEqual", "LessOrEqual"])
def test_types_that_older_onnx_does_not_infer(op: str) -> None:
    """With ONNX 1.17 to 1.19, which the package allows, this was a KeyError."""
    g = Graph()
    x = g.input("x", np.float32, (2, None, 6))
    (value,) = g.op(op, x, np.zeros((1, 6), np.float32))
    assert (value.dtype, value.shape) == (np.dtype(bool), (2, None, 6))
    assert [node.op for node in g.nodes] == [op]


def test_a_division_by_zero_comes_out_in_the_run(files: Any, save: Callable[..., Path]) -> None:
    """As an error of ours: ONNX Runtime before 1.25 would end the process."""
    numbers = {"x": np.int32([7, -7]), "y": np.int32([0, 2])}
    outputs = [("int32", (2,))]
    with pytest.raises(PocketlensError, match="out of data bounds"):
        load(save(files.program_spec("mod", {}, numbers, outputs))).run({"unused": [0]})
    model = load(save(files.program_spec("mod", numbers, {}, outputs)))
    with pytest.raises(FeatureError, match="out of data bounds"):
        model.run(numbers)
    assert model.run({"x": [7, -7], "y": [3, 2]})["y0"].tolist() == [1, 1]


def test_a_causal_mask_as_long_as_the_sentence(tmp_path: Path) -> None:
    """coremltools makes the mask of ones in a size that the model computes."""
    import coremltools
    import torch

    class Network(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            length = x.shape[1]
            ahead = torch.tril(torch.ones(length, length))
            return (x @ x.transpose(1, 2) * ahead) @ x

    example = torch.randn(1, 7, 4)
    converted = coremltools.convert(
        torch.jit.trace(Network(), example),
        inputs=[coremltools.TensorType("x", (1, coremltools.RangeDim(2, 40, default=7), 4))],
        compute_precision=coremltools.precision.FLOAT32,
        minimum_deployment_target=coremltools.target.iOS15,
        skip_model_load=True,
    )
    converted.save(str(tmp_path / "m.mlpackage"))
    model = load(tmp_path / "m.mlpackage")
    for length in (7, 2, 40):
        x = torch.randn(1, length, 4)
        (given,) = model.run({"x": x.numpy()}).values()
        np.testing.assert_allclose(given, Network()(x), rtol=1e-4, atol=1e-4)
