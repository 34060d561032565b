"""Figures that show why a model answers as it does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketlens.evaluation.accuracy import percent
from pocketlens.explanation import METHODS, Explanation
from pocketlens.explanation.heat import heat_picture
from pocketlens.report.canvas import INK, MUTED, gallery, short, style

__all__ = ["LEGEND", "draw_explanation"]

LEGEND = "orange: for the label, blue: against it"


@style()
def draw_explanation(
    picture: NDArray[np.uint8], explanation: Explanation, path: str | Path
) -> Path:
    """Draw a picture, and beside it the parts that speak for its label.

    Args:
        picture: `(H, W, 3)` or `(H, W, 1)` uint8, the part of the image that the model sees.
        explanation: Its explanation.
        path: The output file, `.png` or `.svg`.
    """
    label = f"{short(explanation.label, 40)}: {percent(explanation.confidence)}"
    subtitle = (
        f"{METHODS[explanation.method]}; half of what speaks for the label is in "
        f"{100 * explanation.share:.0f} % of the image"
    )
    heat = heat_picture(picture, explanation)
    rgb = np.broadcast_to(picture, heat.shape)
    captions = [[("what the model sees", MUTED)], [(LEGEND, INK)]]
    return gallery([rgb, heat], captions, 2, label, subtitle, path)
