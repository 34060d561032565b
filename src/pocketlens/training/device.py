"""The device that trains, its arithmetic, and the allocator settings that make a CPU fast."""

from __future__ import annotations

import ctypes
import platform

import torch
from torch import Tensor, nn

from pocketlens.compat import multiplies_bfloat16
from pocketlens.errors import TrainingError

__all__ = ["choose_device", "keep_freed_memory", "use_bfloat16"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h


def choose_device(name: str) -> torch.device:
    """The device for `training.device` of a recipe.

    Args:
        name: `cpu`, `cuda`, `mps`, or `auto`: CUDA if available, else MPS, else the CPU.

    Raises:
        TrainingError: This computer, or this build of PyTorch, does not have the device.
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


def use_bfloat16(precision: str, device: torch.device, network: nn.Module, image: Tensor) -> bool:
    """Whether to train under bfloat16 autocast, given `training.precision` of a recipe.

    `auto` is float32 on hardware that emulates bfloat16, which is slower (CUDA before Ampere, CPUs
    without Intel AMX or AVX-512 BF16); and where PyTorch computes wrong gradients on a CPU, see
    `_narrow`.

    Args:
        precision: `auto`, `bfloat16` or `float32`.
        device: The device that trains.
        network: The network to train, on the device.
        image: `(1, C, H, W)` float32, an input of the network.

    Raises:
        TrainingError: `bfloat16` on a CPU, for a network whose gradients would be wrong.
    """
    if precision == "float32":
        return False
    if device.type == "cpu":
        if precision == "auto":
            return multiplies_bfloat16() and not _narrow(network, image)
        if _narrow(network, image):
            raise TrainingError(
                "training.precision 'bfloat16' gives wrong gradients on a CPU for a convolution "
                "with stride whose result is 1 pixel wide; use --set training.precision=auto"
            )
    if precision == "bfloat16":
        return True
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def _narrow(network: nn.Module, image: Tensor) -> bool:
    """Whether the network has a convolution with stride and padding whose result is 1 pixel wide.

    For these, oneDNN 3.12 (PyTorch 2.13) leaves parts of the bfloat16 gradient of the weights
    unwritten: NaN or arbitrary numbers. Found by comparison with float32: with an input of width 1
    always, with one of width 2 for some numbers of channels. Convolutions without stride, without
    padding, or 1 × 1 are correct.
    """
    narrow = []

    def look(layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        padded = layer.padding not in ((0, 0), "valid")
        narrow.append(max(layer.stride) > 1 and padded and output.shape[3] == 1)

    hooks = [
        layer.register_forward_hook(look)
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(image)
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return any(narrow)


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory instead of returning it to the kernel.

    Every training step frees and allocates the same large activations. If they come from the kernel
    each time, page faults take about half the time of a step on a CPU. The setting applies to the
    whole process and cannot be undone. Without glibc, this function does nothing.
    Source: mallopt(3).
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
