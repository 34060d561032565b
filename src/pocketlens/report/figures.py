"""The figures of a run: data, training, quality and parity.

Every function draws one figure, writes it to `path` as PNG or SVG (by its suffix) and returns that
path. All raise `OptionError` for another suffix, `OutputError` if the file cannot be written, and
`MissingExtraError` if Matplotlib is not installed. The same data results in identical files.
"""

from pocketlens.report.check_figures import draw_findings, draw_suspects
from pocketlens.report.data_figures import draw_balance, draw_one_hot, draw_pixels, draw_samples
from pocketlens.report.explanation_figures import draw_explanation
from pocketlens.report.result_figures import (
    draw_confusion,
    draw_history,
    draw_learning_curve,
    draw_mistakes,
    draw_parity,
    draw_reliability,
)

__all__ = [
    "draw_balance",
    "draw_confusion",
    "draw_explanation",
    "draw_findings",
    "draw_history",
    "draw_learning_curve",
    "draw_mistakes",
    "draw_one_hot",
    "draw_parity",
    "draw_pixels",
    "draw_reliability",
    "draw_samples",
    "draw_suspects",
]
