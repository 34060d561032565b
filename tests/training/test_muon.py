"""Muon: orthogonal updates for convolution kernels, AdamW for all other parameters."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from pocketlens.training.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(16, 25), (64, 288), (96, 16), (32, 32)])
def test_singular_values_get_close_to_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    [update] = orthogonal([matrix])
    assert update.shape == matrix.shape
    values = torch.linalg.svdvals(update)
    assert values.min() > 0.3  # a square matrix starts with a very small one
    assert values.median() > 0.65
    assert values.max() < 1.25
    # Directions are kept: the product with the matrix is positive semidefinite.
    assert torch.linalg.eigvalsh(_symmetric(update @ matrix.T)).min() > -1e-3


def test_a_list_gives_the_same_as_each_matrix_alone() -> None:
    random = torch.Generator().manual_seed(0)
    matrices = [torch.randn(s, generator=random) for s in [(8, 20), (8, 50), (30, 8), (5, 5)]]
    for together, matrix in zip(orthogonal(matrices), matrices, strict=True):
        assert torch.allclose(together, orthogonal([matrix])[0], atol=1e-5)


def _symmetric(matrix: torch.Tensor) -> torch.Tensor:
    return (matrix + matrix.T) / 2


def test_other_parameters_are_updated_as_by_adamw() -> None:
    torch.manual_seed(0)
    mine, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
    theirs.load_state_dict(mine.state_dict())
    ours = Muon([{"params": list(mine.parameters()), "weight_decay": 0.1}], lr=0.01)
    pytorchs = torch.optim.AdamW(theirs.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(20):
        x = torch.randn(7, 5)
        for network, optimizer in ((mine, ours), (theirs, pytorchs)):
            optimizer.zero_grad()
            torch.autograd.backward(network(x).square().sum())
            optimizer.step()
    assert torch.allclose(mine.weight, theirs.weight, atol=1e-6)
    assert torch.allclose(mine.bias, theirs.bias, atol=1e-6)


def test_all_directions_of_a_kernel_get_updates_of_similar_size() -> None:
    kernel = nn.Parameter(torch.zeros(4, 4, 1, 1))
    optimizer = Muon([{"params": [kernel], "weight_decay": 0.0}], lr=0.5)
    # A gradient a thousand times as steep in one direction as in another.
    kernel.grad = torch.diag(torch.tensor([1000.0, 100.0, 10.0, 1.0]))[:, :, None, None]
    optimizer.step()
    moved = -kernel.detach()[:, :, 0, 0].diagonal()
    assert moved.max() < 1.3 * 0.5 * 0.2 * 2
    assert moved[:3].min() > 0.4 * moved.max()


def test_a_parameter_without_gradient_does_not_change() -> None:
    kernel = nn.Parameter(torch.ones(2, 2, 3, 3))
    Muon([{"params": [kernel], "weight_decay": 0.5}], lr=0.5).step()
    assert torch.equal(kernel.detach(), torch.ones(2, 2, 3, 3))


def test_it_does_not_import_the_compiler() -> None:
    code = (
        "import sys, torch\n"
        "from pocketlens.training.muon import Muon\n"
        "p = torch.nn.Parameter(torch.ones(2, 2, 3, 3)); p.grad = torch.ones_like(p)\n"
        "Muon([{'params': [p], 'weight_decay': 0.1}], lr=0.1).step()\n"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
