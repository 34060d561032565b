"""The op that makes a model a classifier."""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.graph import Array, Graph, Value
from pocketlens.coreml.ops.common.classifier import classifier
from pocketlens.coreml.ops.registry import mil


@mil()
def classify(g: Graph, probabilities: Value, classes: Array) -> tuple[Value, Value]:
    """The most likely class, and the probabilities in the order of `classes`."""
    return classifier(g, g.cast(probabilities, np.float32), classes)
