"""PyTorch's global random generators: seeded for a training, restored afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["restored_random_state", "seed_generators"]


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the global generators of the CPU and of `device`, and no others.

    `torch.manual_seed` also seeds every other GPU, which `restored_random_state` would not restore.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


@contextmanager
def restored_random_state(device: torch.device) -> Iterator[None]:
    """Restore the global generators of the CPU and of `device` at the end of the block."""
    cpu = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    mps = torch.mps.get_rng_state() if device.type == "mps" else None
    try:
        yield
    finally:
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda, device)
        if mps is not None:
            torch.mps.set_rng_state(mps)
