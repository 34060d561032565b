"""A backbone for tests: small, and ready without training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pocketlens.image import InputSpec

SIZE = 16


class Squares(nn.Module):
    """A backbone without training: mean and variation of each color in four quarters, and more."""

    input_spec = InputSpec(SIZE, SIZE, "rgb", scale=(1 / 128,), bias=(-127 / 128,))

    def __init__(self, input_spec: InputSpec) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.mix = nn.Conv2d(3, 24, 3, padding=1)
        with torch.no_grad():
            self.mix.weight.copy_(torch.randn(self.mix.weight.shape, generator=generator))
            self.mix.bias.zero_()  # type: ignore[union-attr]
        self.concepts = nn.Linear(24, 5)
        with torch.no_grad():
            self.concepts.weight.copy_(torch.randn(self.concepts.weight.shape, generator=generator))

    def forward(self, x: Tensor) -> Tensor:  # (N, 3, H, W) -> (N, 24, H, W)
        return self.mix(x).relu()  # type: ignore[no-any-return]
