"""Small versions of pictures, by which near-duplicates are found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["CHROMA", "LUMA", "Fingerprints", "fingerprint"]

LUMA, CHROMA = 48, 16
"""The sides of the brightness and of the two color planes. A picture is stretched to a square."""

FLAT = 3.0
"""The standard deviation of the brightness (0 to 255) below which a picture has no content."""


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """The fingerprints of N pictures; 2.8 kB each.

    Args:
        luma: `(N, 48, 48)` uint8, brightness.
        chroma: `(N, 2, 16, 16)` uint8, Cb and Cr; 128 is gray.
    """

    luma: NDArray[np.uint8]
    chroma: NDArray[np.uint8]

    @classmethod
    def of(cls, images: list[Image.Image]) -> Fingerprints:
        """The fingerprints of images."""
        return cls.stacked([fingerprint(image) for image in images])

    @classmethod
    def stacked(cls, each: list[NDArray[np.uint8]]) -> Fingerprints:
        """From what `fingerprint` returns."""
        whole = np.stack(each) if each else np.zeros((0, LUMA**2 + 2 * CHROMA**2), np.uint8)
        split = LUMA**2
        return cls(
            whole[:, :split].reshape(-1, LUMA, LUMA),
            whole[:, split:].reshape(-1, 2, CHROMA, CHROMA),
        )

    def __len__(self) -> int:
        return len(self.luma)

    def flat(self) -> NDArray[np.bool_]:
        """`(N,)`: whether a picture has no content, such as one of a single color."""
        flat: NDArray[np.bool_] = self.luma.astype(np.float32).std(axis=(1, 2)) < FLAT
        return flat


def fingerprint(image: Image.Image) -> NDArray[np.uint8]:
    """The fingerprint `(2816,)` uint8 of an image of mode `L` or `RGB`."""
    from PIL import Image as Images

    bilinear = Images.Resampling.BILINEAR
    small = image.resize((LUMA, LUMA), bilinear)
    if small.mode == "L":
        gray = np.full(2 * CHROMA**2, 128, np.uint8)
        return np.concatenate([np.asarray(small).ravel(), gray])
    luma, *colors = small.convert("YCbCr").split()
    planes = [np.asarray(plane.resize((CHROMA, CHROMA), bilinear)).ravel() for plane in colors]
    return np.concatenate([np.asarray(luma).ravel(), *planes])
