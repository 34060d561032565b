"""Which processor trains, and the memory settings that make it fast on a CPU."""

from __future__ import annotations

import ctypes
import platform

import torch

from pocketlens.errors import TrainingError

__all__ = ["choose_device", "keep_freed_memory", "use_bfloat16"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def choose_device(name: str) -> torch.device:
    """The device of a recipe's `training.device`; `auto` is CUDA, else MPS, else the CPU.

    Raises:
        TrainingError: A device that this computer, or this build of PyTorch, does not have.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(device for device, there in available.items() if there))
    if not available.get(name, False):
        there = ", ".join(device for device, there in available.items() if there)
        raise TrainingError(
            f"device '{name}' is not available to PyTorch here; available: {there}; "
            "use --set training.device=auto"
        )
    return torch.device(name)


def use_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether to train under bfloat16 autocast, given a recipe's `training.precision`.

    Without matrix units (CUDA from Ampere on, Intel AMX) bfloat16 is emulated and slower.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and torch.cpu._is_amx_tile_supported()


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory instead of giving it back to the kernel.

    A training step frees and asks again for the same large activations; each round through the
    kernel costs a page fault a page, about half the time of a step on a CPU. Elsewhere than on
    glibc there is nothing to set. Source: mallopt(3).
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
