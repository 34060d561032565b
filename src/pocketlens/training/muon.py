"""Muon: momentum, with the update of every convolution made orthogonal before it is applied."""

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
"""The quintic iteration of the paper; five steps bring all singular values into [0.7, 1.2]."""


class Muon:
    """Muon for kernels of convolutions, AdamW for everything else.

    It has the interface of PyTorch's optimizers but does not derive from `torch.optim.Optimizer`:
    the first object of that class imports PyTorch's compiler, which takes two seconds.

    With either method, the root mean square of an update is 0.2 times the learning rate, so that
    both can use the same learning rate and weight decay.

    Sources: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; the
    common size is from Liu et al., "Muon is scalable for LLM training", 2025 (arXiv 2502.16982);
    Adam: Kingma and Ba, 2014 (arXiv 1412.6980).

    Args:
        groups: Parameter groups as for PyTorch's optimizers, each with `params` and `weight_decay`.
        lr: Learning rate.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float) -> None:
        self.param_groups: list[dict[str, Any]] = [{"lr": lr, **group} for group in groups]
        self.state: dict[Tensor, dict[str, Tensor]] = {
            parameter: {} for group in self.param_groups for parameter in group["params"]
        }

    def state_dict(self) -> dict[str, Any]:
        """The state, with parameters numbered in the order of the groups."""
        return {"state": dict(enumerate(self.state.values())), "param_groups": self.param_groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the result of `state_dict`."""
        for number, parameter in enumerate(self.state):
            self.state[parameter] = dict(state_dict["state"].get(number, {}))

    def zero_grad(self, *, set_to_none: bool = True) -> None:
        """Remove all gradients; with `set_to_none=False`, set them to 0."""
        for parameter in self.state:
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.zero_()

    @torch.no_grad()
    def step(self) -> None:
        """Apply one update to every parameter that has a gradient."""
        for group in self.param_groups:
            trained = [p for p in group["params"] if p.grad is not None]
            kernels = [p for p in trained if p.ndim == 4]
            others = [p for p in trained if p.ndim != 4]
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
        """The updates of all parameters, computed in one row; the first one keeps the state."""
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
    """For each matrix `(R, C)`, roughly the nearest orthogonal one: all singular values near 1.

    This is a Newton-Schulz iteration: an odd polynomial of a matrix x changes only its singular
    values. It equals a polynomial of the small matrix x·xᵀ, times x. So all steps are computed on
    x·xᵀ, for all matrices in one batch, each padded with zeros to the size of the largest.
    """
    if not matrices:
        return []
    wide = [matrix.T if matrix.shape[0] > matrix.shape[1] else matrix for matrix in matrices]
    wide = [matrix / (matrix.norm() + 1e-7) for matrix in wide]
    size = max(matrix.shape[0] for matrix in wide)
    square = wide[0].new_zeros(len(wide), size, size)
    for index, matrix in enumerate(wide):
        rows = matrix.shape[0]
        torch.mm(matrix, matrix.T, out=square[index, :rows, :rows])
    a, b, c = COEFFICIENTS
    identity = a * torch.eye(size, device=square.device)
    factor = torch.eye(size, device=square.device).expand_as(square)
    for left in reversed(range(STEPS)):
        step = identity + torch.baddbmm(square, square, square, beta=b, alpha=c)
        factor = step @ factor
        if left:
            square = step @ square @ step
    results = []
    for matrix, original, part in zip(wide, matrices, factor, strict=True):
        rows = matrix.shape[0]
        update = part[:rows, :rows] @ matrix
        results.append(update if update.shape == original.shape else update.T)
    return results
