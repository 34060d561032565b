"""What the rows are made of: a network around an op, and a module that is made anew."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Made", "Net", "around", "flow", "rows", "vectors"]

SIZE = 12


class Net(nn.Module):
    """The op, and a linear layer with fixed weights whose outputs are of ordinary size."""

    def __init__(self, op: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.op = op
        inputs = torch.rand(4, 3, SIZE, SIZE) * 4 - 2
        with torch.no_grad():
            outputs = torch.cat([op(each[None]).float().reshape(1, -1) for each in inputs])
        self.last = nn.Linear(outputs.shape[1], 3)
        with torch.no_grad():
            self.last.weight.div_(outputs.nan_to_num(0, 0, 0).std().clamp(min=1e-3)).mul_(3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.op(x).float().reshape(1, -1))
        return logits


class Made:
    """A row whose op is a module, made anew for each test."""

    def __init__(self, make: Callable[..., nn.Module], *args: Any, **options: Any) -> None:
        self.make = partial(make, *args, **options)

    def __call__(self) -> nn.Module:
        return self.make()


class Function(nn.Module):
    """A module around a function of the module's own layer and the planes."""

    def __init__(self, layer: nn.Module, call: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.call = layer, call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.layer, x)


def around(
    call: Callable[[Any, Tensor], Tensor],
    make: Callable[..., nn.Module],
    *args: Any,
    **options: Any,
) -> Made:
    return Made(lambda: Function(make(*args, **options), call))


def rows(x: Tensor) -> Tensor:
    """`(1, 12, 36)`: a sequence of 12 vectors."""
    return x.permute(0, 2, 1, 3).reshape(1, SIZE, -1)


def vectors(x: Tensor) -> Tensor:
    """`(36, 12)`."""
    return x.reshape(-1, SIZE)


def flow(x: Tensor) -> Tensor:
    """Sampling positions `(1, 7, 9, 2)`, some of them outside the image."""
    return torch.tanh(x[:, :2, :7, :9]).permute(0, 2, 3, 1) * 1.4
