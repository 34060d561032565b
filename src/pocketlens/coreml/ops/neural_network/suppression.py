"""Non-maximum suppression. Indices and counts are floating-point numbers."""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.common.suppression import MAX_BOXES, suppress
from pocketlens.coreml.ops.registry import layer
from pocketlens.errors import ModelFileError


@layer()
def NonMaximumSuppression(
    g: Graph,
    boxes: Value,  # [B, N, 4]
    scores: Value,  # [B, N, C]
    iou: Value | None = None,  # these three replace the fields
    least: Value | None = None,
    most: Value | None = None,
    *,
    iouThreshold: float = 0.0,
    scoreThreshold: float = 0.0,
    maxBoxes: int = 0,
    perClassSuppression: bool = False,
) -> tuple[Value, ...]:
    if maxBoxes > MAX_BOXES:
        raise ModelFileError(f"maxBoxes is {maxBoxes}; expected at most {MAX_BOXES}")
    left, of_left, indices, count = suppress(
        g,
        boxes,
        scores,
        g.constant(iouThreshold, np.float32) if iou is None else iou,
        g.constant(scoreThreshold, np.float32) if least is None else least,
        g.constant(maxBoxes, np.int64) if most is None else most,
        per_class=perClassSuppression,
    )
    return left, of_left, g.cast(indices, np.float32), g.cast(count, np.float32)
