"""Muon: momentum whose every update of a convolution is made orthogonal before it is applied."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["Muon", "orthogonal"]

MOMENTUM = 0.9
BETAS = (0.9, 0.999)
EPSILON = 1e-8

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5
"""The quintic iteration of the paper: after five steps all singular values lie in [0.7, 1.2]."""


class Muon:
    """Muon for kernels of convolutions, AdamW for everything else.

    It is used as PyTorch's optimizers are, but is none of them: making the first of those imports
    PyTorch's compiler, two seconds before the first step.

    An update of size `rate` is 0.2 root mean square in either, so that one rate and one weight
    decay serve both. Source: Jordan et al., "Muon: an optimizer for hidden layers in neural
    networks", 2024; the common size after Liu et al., "Muon is scalable for LLM training", 2025
    (arXiv 2502.16982). Adam: Kingma and Ba, 2014 (arXiv 1412.6980).

    Args:
        groups: Parameter groups as PyTorch takes them, each with its `params` and `weight_decay`.
        lr: Learning rate.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float) -> None:
        self.param_groups: list[dict[str, Any]] = [{"lr": lr, **group} for group in groups]
        self.state: dict[Tensor, dict[str, Tensor]] = {
            parameter: {} for group in self.param_groups for parameter in group["params"]
        }

    def state_dict(self) -> dict[str, Any]:
        """The state, its parameters numbered in the order of the groups."""
        return {"state": dict(enumerate(self.state.values())), "param_groups": self.param_groups}

    def load_state_dict(self, stored: dict[str, Any]) -> None:
        """Take up the state that `state_dict` gave."""
        for number, parameter in enumerate(self.state):
            self.state[parameter] = dict(stored["state"].get(number, {}))

    def zero_grad(self, *, set_to_none: bool = True) -> None:
        """Forget all gradients, or with `set_to_none` off make them 0."""
        for parameter in self.state:
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.zero_()

    @torch.no_grad()
    def step(self) -> None:
        """Apply one update to every parameter that has a gradient."""
        for group in self.param_groups:
            alive = [p for p in group["params"] if p.grad is not None]
            kernels = [p for p in alive if p.ndim == 4]
            others = [p for p in alive if p.ndim != 4]
            updates = [*self._orthogonal(kernels), *self._adam(others)]
            for parameter, update in zip([*kernels, *others], updates, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update.view_as(parameter), alpha=-group["lr"])

    def _orthogonal(self, kernels: Sequence[Tensor]) -> list[Tensor]:
        matrices = []
        for kernel in kernels:
            assert kernel.grad is not None
            state = self.state[kernel]
            if not state:
                state["momentum"] = torch.zeros_like(kernel)
            momentum = state["momentum"].lerp_(kernel.grad, 1 - MOMENTUM)
            matrices.append(kernel.grad.lerp(momentum, MOMENTUM).flatten(1))  # (out, in · k · k)
        return [update.mul_(0.2 * math.sqrt(max(update.shape))) for update in orthogonal(matrices)]

    def _adam(self, parameters: Sequence[Tensor]) -> list[Tensor]:
        """The update of each parameter, all in one row; the first keeps the row's state."""
        if not parameters:
            return []
        row = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
        state = self.state[parameters[0]]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"] = torch.zeros_like(row)
            state["square"] = torch.zeros_like(row)
        state["step"] += 1
        step = float(state["step"])
        mean = state["mean"].lerp_(row, 1 - BETAS[0]) / (1 - BETAS[0] ** step)
        square = state["square"].lerp_(row.square(), 1 - BETAS[1]) / (1 - BETAS[1] ** step)
        update = mean / square.sqrt_().add_(EPSILON)
        return list(update.split([parameter.numel() for parameter in parameters]))


def orthogonal(matrices: Sequence[Tensor]) -> list[Tensor]:
    """The orthogonal matrix nearest to each `(R, C)`, roughly: all singular values go to 1.

    A Newton-Schulz iteration: an odd polynomial of a matrix x acts on its singular values alone.
    Since that is a polynomial of the small matrix x·xᵀ, times x, all steps are done on x·xᵀ; and on
    those of all matrices at once, each with zeros round it up to the size of the largest.
    """
    if not matrices:
        return []
    wide = [matrix.T if matrix.shape[0] > matrix.shape[1] else matrix for matrix in matrices]
    wide = [matrix / (matrix.norm() + 1e-7) for matrix in wide]
    most = max(matrix.shape[0] for matrix in wide)
    square = wide[0].new_zeros(len(wide), most, most)
    for place, matrix in enumerate(wide):
        rows = matrix.shape[0]
        torch.mm(matrix, matrix.T, out=square[place, :rows, :rows])
    a, b, c = COEFFICIENTS
    whole = a * torch.eye(most, device=square.device)
    factor = torch.eye(most, device=square.device).expand_as(square)
    for left in reversed(range(STEPS)):
        step = whole + torch.baddbmm(square, square, square, beta=b, alpha=c)
        factor = step @ factor
        if left:
            square = step @ square @ step
    found = []
    for matrix, given, part in zip(wide, matrices, factor, strict=True):
        rows = matrix.shape[0]
        update = part[:rows, :rows] @ matrix
        found.append(update if update.shape == given.shape else update.T)
    return found
