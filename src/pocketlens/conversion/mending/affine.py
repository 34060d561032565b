"""`Affine`: what has to happen to pixels before a network scales them itself."""

from __future__ import annotations

from dataclasses import dataclass

from pocketlens.image import InputSpec

__all__ = ["Affine"]


@dataclass(frozen=True)
class Affine:
    """`pixel * factor + term`, one of each per channel, in the order in which the network has them.

    After it, the network's own scale and bias give the numbers that were asked for.
    """

    factor: tuple[float, ...]
    term: tuple[float, ...]

    @classmethod
    def between(cls, before: InputSpec, after: InputSpec) -> Affine:
        """From the scale and bias of the file to those that were asked for."""
        own = list(zip(before.scale, before.bias, strict=True))
        if (before.scale, before.bias) == (after.scale, after.bias):
            return cls((1.0,) * len(own), (0.0,) * len(own))
        factor = (new / old for new, (old, _) in zip(after.scale, own, strict=True))
        term = ((new - old) / scale for new, (scale, old) in zip(after.bias, own, strict=True))
        return cls(tuple(factor), tuple(term))

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return set(self.factor) == {1.0} and set(self.term) == {0.0}
