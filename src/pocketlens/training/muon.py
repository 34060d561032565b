"""Muon: momentum whose every update of a convolution is made orthogonal before it is applied."""

from __future__ import annotations

import math
from collections.abc import Iterable
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

    It is used as PyTorch's optimisers are, but is none of them: making the first of those imports
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
            rate, decay = group["lr"], group["weight_decay"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                update = self._kernel if parameter.ndim == 4 else self._adam
                parameter.mul_(1 - rate * decay)
                parameter.add_(update(parameter.grad, self.state[parameter]), alpha=-rate)

    def _kernel(self, gradient: Tensor, state: dict[str, Tensor]) -> Tensor:
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        matrix = gradient.lerp(momentum, MOMENTUM).flatten(1)  # Nesterov; (out, in · k · k)
        return (orthogonal(matrix) * (0.2 * math.sqrt(max(matrix.shape)))).view(gradient.shape)

    def _adam(self, gradient: Tensor, state: dict[str, Tensor]) -> Tensor:
        if not state:
            state["step"] = torch.zeros(())
            state["mean"] = torch.zeros_like(gradient)
            state["square"] = torch.zeros_like(gradient)
        state["step"] += 1
        step = float(state["step"])
        mean = state["mean"].lerp_(gradient, 1 - BETAS[0]) / (1 - BETAS[0] ** step)
        square = state["square"].lerp_(gradient.square(), 1 - BETAS[1]) / (1 - BETAS[1] ** step)
        return mean / square.sqrt().add_(EPSILON)


def orthogonal(matrix: Tensor) -> Tensor:
    """The orthogonal matrix nearest to `matrix` `(R, C)`, roughly: its singular values go to 1.

    A Newton-Schulz iteration: an odd polynomial of the matrix acts on its singular values alone.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(STEPS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x
