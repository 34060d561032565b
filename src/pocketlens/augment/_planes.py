"""Random numbers, noise and blur for the augmentations.

A *plane* here is a `(N, S, S)` float32 tensor: one value per pixel for N images. Coordinates
run from -1 to 1 over the frame, x to the right and y down, as in `torch.nn.functional.grid_sample`.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["Random", "blur_matrices", "coordinates", "rotated"]


class Random:
    """Seeded random numbers for a batch of `count` frames of `side` × `side` pixels.

    Args:
        generator: Source of all randomness; results are on its device.
        count: Number of frames in the batch, `N`.
        side: Height and width of a frame in pixels, `S`.
    """

    def __init__(self, generator: torch.Generator, count: int, side: int) -> None:
        self.generator = generator
        self.count = count
        self.side = side

    @property
    def device(self) -> torch.device:
        return self.generator.device

    def part(self, count: int) -> Random:
        """The same source of randomness, for `count` frames."""
        return Random(self.generator, count, self.side)

    def uniform(self, low: float | Tensor, high: float | Tensor) -> Tensor:
        """`(N, 1, 1)` uniform in [low, high); the limits may differ from frame to frame."""
        return low + (high - low) * self._rand(self.count, 1, 1)

    def symmetric(self, limit: float | Tensor) -> Tensor:
        """`(N, 1, 1)` uniform from -`limit` to `limit`."""
        return self.uniform(-limit, limit)

    def log_uniform(self, low: float, high: float) -> Tensor:
        """`(N, 1, 1)` in [low, high); the logarithm is uniform."""
        return low * (high / low) ** self._rand(self.count, 1, 1)

    def normals(self, columns: int) -> Tensor:
        """`(N, columns)` Gaussian numbers of mean 0 and deviation 1."""
        return torch.randn((self.count, columns), generator=self.generator, device=self.device)

    def points(self, columns: int) -> Tensor:
        """`(N, columns, 2)` points, uniform in [-1, 1)."""
        return 2 * self._rand(self.count, columns, 2) - 1

    def bernoulli(self, share: float) -> Tensor:
        """`(N, 1, 1)`: 1 with probability `share`, else 0."""
        return (self._rand(self.count, 1, 1) < share).float()

    def sign(self) -> Tensor:
        """`(N, 1, 1)`: 1 or -1 with equal probability."""
        return 2 * self.bernoulli(0.5) - 1

    def choose(self, share: float) -> Tensor:
        """Indices `(M,)` of random frames, each chosen with probability `share`; `M` may be 0."""
        return (self._rand(self.count) < share).nonzero().squeeze(1)

    def smooth(self, cells: int) -> Tensor:
        """A plane of noise in [-1, 1], smooth within cells of 1 / `cells` of the frame's side."""
        return self._crops(_smooth_atlas(cells, self.side, self.device))

    def noise(self) -> Tensor:
        """A plane of independent Gaussian noise of deviation 1."""
        return self._crops(_noise_atlas(self.side, self.device))

    def _crops(self, atlas: Tensor) -> Tensor:
        """Frames cut from a tall strip at random heights: as varied as new noise, but cheaper."""
        crops = atlas.unfold(0, self.side, 1).mT  # a view `(positions, S, S)`
        high = len(crops)
        place = torch.randint(high, (self.count,), generator=self.generator, device=self.device)
        return crops[place]

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.device)


ATLAS = 300
"""Height of an atlas in frames: about 15,000 positions for a frame of 48 pixels."""


@lru_cache(maxsize=32)
def _smooth_atlas(cells: int, side: int, device: torch.device) -> Tensor:
    """`(ATLAS * S, S)`: noise in [-1, 1], interpolated between points `S / cells` pixels apart."""
    generator = torch.Generator().manual_seed(cells)
    corners = 2 * torch.rand((ATLAS * cells + 1, cells + 1), generator=generator) - 1
    rows, down = _between(ATLAS * cells, ATLAS * side)
    columns, right = _between(cells, side)
    plane = corners[rows] + down[:, None] * (corners[rows + 1] - corners[rows])
    plane = plane[:, columns] + right * (plane[:, columns + 1] - plane[:, columns])
    return plane.to(device)


def _between(cells: int, pixels: int) -> tuple[Tensor, Tensor]:
    """For each of `pixels`, the grid point before it and the weight of the next (cosine easing)."""
    place = torch.linspace(0, cells, pixels)
    before = place.floor().clamp(max=cells - 1).long()
    return before, (1 - torch.cos(torch.pi * (place - before))) / 2


@lru_cache(maxsize=4)
def _noise_atlas(side: int, device: torch.device) -> Tensor:
    """`(ATLAS * S, S)`: Gaussian noise of deviation 1."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn((ATLAS * side, side), generator=generator).to(device)


@lru_cache(maxsize=8)
def coordinates(side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """`x` `(1, S)` and `y` `(S, 1)` of the pixel centers."""
    line = (torch.arange(side, device=device) + 0.5) * (2 / side) - 1
    return line[None, :], line[:, None]


def rotated(side: int, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates `(N, S, S)` along and across a direction: `angle` `(N, 1, 1)` in radians."""
    x, y = coordinates(side, angle.device)
    cos, sin = angle.cos(), angle.sin()
    return cos * x + sin * y, cos * y - sin * x


@lru_cache(maxsize=8)
def blur_matrices(side: int, deviations: tuple[float, ...], device: torch.device) -> Tensor:
    """`(D, S, S)`: for each deviation in pixels, the matrix that blurs a line of `S` pixels.

    `B @ plane @ B.T` blurs a plane in both directions. Two products of small matrices are several
    times as fast as a convolution with one channel.
    """
    place = torch.arange(side, device=device)
    apart = (place[:, None] - place) ** 2
    wide = torch.tensor(deviations, device=device)[:, None, None]
    matrices = torch.exp(-0.5 * apart / wide**2)
    matrices[matrices < 1e-6] = 0  # denormal numbers would make each product ten times slower
    return matrices / matrices.sum(-1, keepdim=True)
