"""From probabilities to a label."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.graph import Graph, Value
from pocketlens.errors import ModelFileError

__all__ = ["classifier"]


def classifier(g: Graph, probabilities: Value, classes: NDArray[Any]) -> tuple[Value, Value]:
    """The most likely class (the first of equals), and the probabilities as one row.

    Args:
        g: The graph.
        probabilities: One number per class, in any shape.
        classes: [K] strings or int64. Labels may repeat: ImageNet has two classes "crane", and
            Core ML requires only as many classes as probabilities.

    Returns:
        The class, a scalar; the probabilities [K].
    """
    count = int(np.prod(probabilities.sizes))
    if count != classes.size:
        raise ModelFileError(
            f"there are {count} probabilities; expected {classes.size}, one per class"
        )
    row = g.reshape(probabilities, [count])
    best = g.ArgMax(row, axis=0, keepdims=0)
    return g.Gather(classes.reshape(-1), best, axis=0), row
