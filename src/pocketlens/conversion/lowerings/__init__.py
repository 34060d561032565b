"""PyTorch ops that coremltools refuses or gets wrong, in terms of ops that it gets right.

Each lowering is a function of the op's own arguments that computes the same with other ops. It is
traced with the shapes of one node, and its nodes take that node's place. So nothing in coremltools
changes. A lowering returns `NotImplemented` where coremltools is right already.
"""

from pocketlens.conversion.lowerings import (  # noqa: F401 - they register their lowerings
    activations,
    arithmetic,
    convolutions,
    norms,
    pools,
    resizes,
    views,
)
from pocketlens.conversion.lowerings.registry import LOWERINGS
from pocketlens.conversion.lowerings.replacing import inline, lower, trace

__all__ = ["LOWERINGS", "inline", "lower", "trace"]
