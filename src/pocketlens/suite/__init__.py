"""The evaluation suite: what a recogniser does in front of a camera, and where it gives way.

Simulated photographs and empty scenes (`photos`, `empty`), corruptions, turns, sizes and places of
the clean image, and whether it says `nothing` when nothing is there. It is written apart from
`augment`, with NumPy and Pillow alone, so that no network is examined with its own exercises.
"""

from pocketlens.suite.empty import EMPTY_KINDS, empty_kind, empty_scenes
from pocketlens.suite.photos import photograph, surface_of

__all__ = ["EMPTY_KINDS", "empty_kind", "empty_scenes", "photograph", "surface_of"]
