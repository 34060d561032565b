"""Random views of photos for fine-tuning, and what the first layers of a backbone make of them.

These layers are not trained, so their results are computed once and stay in memory.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from pocketlens.callbacks import Callback
from pocketlens.data.large_arrays import rows
from pocketlens.errors import OptionError
from pocketlens.image import InputSpec
from pocketlens.recognizer import planes
from pocketlens.training.features import BATCH, REPORT_SECONDS, Runner

__all__ = ["Activations", "draw_views"]

MAX_VIEWS, TOGETHER = 12, 3_200
"""The most random views of an image, and of all images together; one of each if there are more."""

MAX_BYTES = 1 << 30
"""The most memory for what the first layers give."""

LEAST_AREA = 0.6
"""The smallest crop, as a share of the image's area."""

STRETCH = 0.2
"""Largest change in the logarithm of width / height."""

LIGHT, COLOR = 0.3, 0.1
"""Largest change in the logarithm of brightness, contrast and saturation, and of one color."""


def draw_views(
    images: NDArray[np.uint8], random: np.random.Generator, *, mirrored: bool
) -> NDArray[np.uint8]:
    """A view of each image: a random crop, resized, in another light; `(N, H, W, C)`.

    Args:
        images: `(N, H, W, C)` uint8.
        random: Draws the views.
        mirrored: Mirror half of them.
    """
    n, _, _, channels = images.shape
    side = np.sqrt(random.uniform(LEAST_AREA, 1, n))
    stretch = np.exp(random.uniform(-STRETCH, STRETCH, n) / 2)
    size = np.minimum(np.stack([side * stretch, side / stretch], 1), 1)  # (N, 2): x, y
    place = random.uniform(-1, 1, (n, 2)) * (1 - size)
    flip = np.where(random.random(n) < 0.5, -1, 1) if mirrored else np.ones(n)
    grid = np.zeros((n, 2, 3), np.float32)
    grid[:, 0, 0], grid[:, 1, 1], grid[:, :, 2] = size[:, 0] * flip, size[:, 1], place
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    where = F.affine_grid(torch.from_numpy(grid), list(x.shape), align_corners=False)
    x = F.grid_sample(x, where, padding_mode="reflection", align_corners=False)

    def gain(limit: float, *shape: int) -> torch.Tensor:
        drawn = np.exp(random.uniform(-limit, limit, shape)).astype(np.float32)
        return torch.from_numpy(drawn)

    x = x * gain(LIGHT, n, 1, 1, 1) * gain(COLOR, n, channels, 1, 1)
    for middle in (x.mean((1, 2, 3), keepdim=True), x.mean(1, keepdim=True)):
        x = middle + (x - middle) * gain(LIGHT, n, 1, 1, 1)  # contrast, then saturation
    found: NDArray[np.uint8] = x.clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
    return found


class Activations:
    """What the first layers of a backbone give for images and random views of them.

    Args:
        first: The layers.
        input_spec: The network's input.
        callbacks: Their `features` is called as the work proceeds, `note` for a problem.
    """

    def __init__(
        self, first: nn.Module, input_spec: InputSpec, callbacks: Sequence[Callback] = ()
    ) -> None:
        self.run = Runner(_First(first, input_spec), callbacks)
        self.callbacks = callbacks

    def of_views(self, images: NDArray[np.uint8], *, mirrored: bool, seed: int) -> Tensor:
        """`(N, V, ...)` float16: the images as they are, then their random views.

        Few images have more views than many, see `MAX_VIEWS`.

        Args:
            images: `(N, H, W, C)` uint8.
            mirrored: Mirror half of the views.
            seed: Draws them.

        Raises:
            OptionError: One view of each image needs more memory than `MAX_BYTES`.
            KeyboardInterrupt: Ctrl-C.
        """
        shape = self.run(rows(images, np.arange(1))).shape[1:]
        most = MAX_BYTES // (2 * len(images) * int(np.prod(shape)))  # float16
        views = min(MAX_VIEWS, max(1, TOGETHER // len(images)), most - 1)
        if views < 1:
            raise OptionError(
                f"fine-tuning {len(images):,} images of {images.shape[1]} × {images.shape[2]} "
                f"needs more than {MAX_BYTES >> 30} GB of memory; use the recipe photos, or a "
                "smaller input.height and input.width"
            )
        found = torch.empty(len(images), 1 + views, *shape, dtype=torch.float16)
        random = np.random.default_rng(seed)
        started = reported = time.perf_counter()
        total = len(images) * (1 + views)
        for first in range(0, len(images), BATCH):
            some = rows(images, np.arange(first, min(first + BATCH, len(images))))
            for view in range(1 + views):
                shown = draw_views(some, random, mirrored=mirrored) if view else some
                found[first : first + len(some), view] = torch.from_numpy(self.run(shown))
                done, now = first * (1 + views) + len(some) * (1 + view), time.perf_counter()
                if now - reported >= REPORT_SECONDS or done == total:
                    reported = now
                    for callback in self.callbacks:
                        callback.features(done, total, done / (now - started))
        return found

    def __call__(self, images: NDArray[np.uint8]) -> Tensor:
        """`(N, ...)` float16, of a few images as they are."""
        parts = np.array_split(images, max(1, -(-len(images) // BATCH)))
        return torch.cat([torch.from_numpy(self.run(part)).half() for part in parts])


class _First(nn.Module):
    """Images `(N, H, W, C)` uint8 → what the first layers give: what is exported."""

    def __init__(self, first: nn.Module, input_spec: InputSpec) -> None:
        super().__init__()
        self.first = first
        self.input_spec = input_spec

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.first(planes(images.permute(0, 3, 1, 2), self.input_spec))
        return found
