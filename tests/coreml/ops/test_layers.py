"""Every supported NeuralNetwork layer, compared with NumPy or PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from layer_cases.activation import ACTIVATIONS
from layer_cases.case import Case
from layer_cases.convolution import CONVOLUTIONS, POOLS
from layer_cases.elementwise import ELEMENTWISE, REDUCTIONS
from layer_cases.indexing import INDEXING
from layer_cases.linear import DENSE, NORMALIZATIONS
from layer_cases.resizing import RESIZING
from layer_cases.tensor_creation import CREATION
from layer_cases.transformation import TRANSFORMATION
from pocketlens.coreml.ops.registry import ops

CASES = [
    *CONVOLUTIONS,
    *POOLS,
    *ACTIVATIONS,
    *DENSE,
    *NORMALIZATIONS,
    *ELEMENTWISE,
    *REDUCTIONS,
    *TRANSFORMATION,
    *RESIZING,
    *INDEXING,
    *CREATION,
]

# Layers with tests of their own, in the file with the name of their family.
ELSEWHERE = {
    "NonMaximumSuppression",
    "biDirectionalLSTM",
    "branch",
    "categoricalDistribution",
    "convolution3d",
    "cropResize",
    "globalPooling3d",
    "gru",
    "loop",
    "loopBreak",
    "loopContinue",
    "pooling3d",
    *(
        f"random{kind}{form}"
        for kind in ("Bernoulli", "Normal", "Uniform")
        for form in ("Dynamic", "Like", "Static")
    ),
    "sequenceRepeat",
    "simpleRecurrent",
    "sliceDynamic",
    "uniDirectionalLSTM",
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_layer(case: Case, run_layer: Callable[..., list[np.ndarray]]) -> None:
    expected = case.expected(*case.inputs)
    several = expected if isinstance(expected, (list, tuple)) else [expected]
    arrays = [e.numpy() if isinstance(e, torch.Tensor) else np.asarray(e) for e in several]
    answers = run_layer(case.layer, case.inputs, case.fields, [a.shape for a in arrays])
    for answer, array in zip(answers, arrays, strict=True):
        assert answer.shape == array.shape
        np.testing.assert_allclose(answer, array, rtol=3e-5, atol=3e-6)


def test_every_supported_layer_has_a_case() -> None:
    supported = {row.op for row in ops("neural_network") if row.supported}
    assert {case.layer for case in CASES} | ELSEWHERE == supported
