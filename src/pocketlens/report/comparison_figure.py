"""Several runs side by side: accuracy with its interval, and the validation curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pocketlens.report.canvas import LINE, PALETTE, new_figure, plural, save, style

if TYPE_CHECKING:
    from pocketlens.run_comparison import RunComparison

__all__ = ["draw_comparison"]


@style()
def draw_comparison(found: RunComparison, path: str | Path) -> Path:
    """Draw the test accuracies with their intervals, and the validation accuracy by epoch.

    Args:
        found: The result of `compare_runs`.
        path: The output file, `.png` or `.svg`.
    """
    from matplotlib.ticker import MaxNLocator

    height = max(2.6, 0.35 * len(found.runs) + 1)
    subtitle = "left: test images, with the 95 % confidence interval; right: validation images"
    figure = new_figure(9, height, plural(len(found.runs), "run"), subtitle)
    left, right = figure.subplots(1, 2, width_ratios=(3, 4))
    names = [each.folder.name[:28] for each in found.runs]
    for place, each in enumerate(found.runs):
        color = PALETTE[place % len(PALETTE)]
        if each.accuracy is not None and each.interval is not None:
            low, high = each.interval
            left.plot([100 * low, 100 * high], [place] * 2, color=LINE, linewidth=4)
            left.plot(100 * each.accuracy, place, "o", color=color)
        if each.validation:
            right.plot(
                range(1, len(each.validation) + 1),
                [100 * accuracy for accuracy in each.validation],
                color=color,
                marker="o",
                markersize=3,
                label=names[place],
            )
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    left.margins(y=0.2)
    left.set(xlabel="test accuracy, %")
    right.set(xlabel="epoch", ylabel="validation accuracy, %")
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    return save(figure, path)
