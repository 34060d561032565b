"""Muon: orthogonal updates for kernels, AdamW's own for all else."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from pocketlens.training.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(16, 25), (64, 288), (96, 16), (32, 32)])
def test_singular_values_come_near_to_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    [answer] = orthogonal([matrix])
    assert answer.shape == matrix.shape
    values = torch.linalg.svdvals(answer)
    assert values.min() > 0.3  # a square matrix has a very small one to begin with
    assert values.median() > 0.65
    assert values.max() < 1.25
    # The directions stay: what it does to the matrix is positive definite.
    assert torch.linalg.eigvalsh(_symmetric(answer @ matrix.T)).min() > -1e-3


def test_several_at_once_are_each_as_alone() -> None:
    random = torch.Generator().manual_seed(0)
    matrices = [torch.randn(s, generator=random) for s in [(8, 20), (8, 50), (30, 8), (5, 5)]]
    for together, matrix in zip(orthogonal(matrices), matrices, strict=True):
        assert torch.allclose(together, orthogonal([matrix])[0], atol=1e-5)


def _symmetric(matrix: torch.Tensor) -> torch.Tensor:
    return (matrix + matrix.T) / 2


def test_what_is_no_kernel_moves_as_with_adamw() -> None:
    torch.manual_seed(0)
    mine, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
    theirs.load_state_dict(mine.state_dict())
    ours = Muon([{"params": list(mine.parameters()), "weight_decay": 0.1}], lr=0.01)
    pytorchs = torch.optim.AdamW(theirs.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(20):
        x = torch.randn(7, 5)
        for network, optimizer in ((mine, ours), (theirs, pytorchs)):
            optimizer.zero_grad()
            network(x).square().sum().backward()
            optimizer.step()
    assert torch.allclose(mine.weight, theirs.weight, atol=1e-6)
    assert torch.allclose(mine.bias, theirs.bias, atol=1e-6)


def test_every_direction_of_a_kernel_is_learned_equally_fast() -> None:
    kernel = nn.Parameter(torch.zeros(4, 4, 1, 1))
    optimizer = Muon([{"params": [kernel], "weight_decay": 0.0}], lr=0.5)
    # A gradient a thousand times as steep in one direction as in another.
    kernel.grad = torch.diag(torch.tensor([1000.0, 100.0, 10.0, 1.0]))[:, :, None, None]
    optimizer.step()
    moved = -kernel.detach()[:, :, 0, 0].diagonal()
    assert moved.max() < 1.3 * 0.5 * 0.2 * 2
    assert moved[:3].min() > 0.4 * moved.max()


def test_a_parameter_without_gradient_stays() -> None:
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
