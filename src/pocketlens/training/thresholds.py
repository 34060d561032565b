"""Fit the thresholds above which a label is shown."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pocketlens.prediction import Thresholds

__all__ = ["SHOWN_WRONG", "fit_thresholds"]

SHOWN_WRONG, EMPTY_SHOWN = 0.03, 0.08
"""Largest share of wrong labels among new labels (twice as many among labels that stay); and of
frames of `nothing` that get a label. Frames of the `camera` augmentation are harder than most
photos, which get fewer wrong labels; a third of those of `nothing` are signs made like writing."""

LEAST, MOST, MOST_PRESENT = 0.5, 0.95, 0.99
"""Bounds of the thresholds. Below 0.5, a label is more likely wrong than right; above 0.95, hardly
any label would be shown. `present` may be higher, because it is fitted on many more frames."""

STEP = 0.005
"""Distance between the thresholds that are tried."""


def fit_thresholds(
    probabilities: Tensor,
    labels: Tensor,
    *,
    nothing: int | None = None,
    empty: Tensor | None = None,
    wrong: float = SHOWN_WRONG,
) -> Thresholds:
    """The lowest thresholds that keep the share of wrong labels small.

    With `present`, at most 8 % of the frames of `nothing` get a label. With `show`, at most the
    share `wrong` of the labels that are shown are wrong; with `keep`, at most twice that, whether
    or not `present` is reached.

    Args:
        probabilities: `(N, K)`, of images that were not trained on.
        labels: `(N,)` int64.
        nothing: Index of the class `nothing`; None without it.
        empty: `(M, K)`, of frames of the class `nothing`; by default those in `probabilities`.
        wrong: Largest share of wrong labels among those shown, in [0, 1].
    """
    confidence, predicted = probabilities.max(1)
    labeled = torch.ones_like(labels, dtype=torch.bool)
    present = LEAST
    if nothing is not None:
        labeled = predicted != nothing
        present = _present(probabilities[labels == nothing] if empty is None else empty, nothing)
    mistaken = predicted != labels
    shown = labeled if nothing is None else labeled & (1 - probabilities[:, nothing] >= present)
    show = _lowest(MOST, lambda least: _share(mistaken, shown & (confidence >= least)) <= wrong)
    keep = _lowest(
        MOST, lambda least: _share(mistaken, labeled & (confidence >= least)) <= 2 * wrong
    )
    return Thresholds(show, min(keep, show), present)


def _present(empty: Tensor, nothing: int) -> float:
    labeled, something = empty.argmax(1) != nothing, 1 - empty[:, nothing]
    everything = torch.ones_like(labeled)
    return _lowest(
        MOST_PRESENT,
        lambda least: _share(labeled & (something >= least), everything) <= EMPTY_SHOWN,
    )


def _share(which: Tensor, of: Tensor) -> float:
    """The share of the images `of` that are also in `which`; 0 if `of` is empty."""
    return float((which & of).sum()) / max(int(of.sum()), 1)


def _lowest(most: float, enough: Callable[[float], bool]) -> float:
    """The lowest threshold from `LEAST` on for which `enough` is true; `most` if there is none."""
    for number in range(round(LEAST / STEP), round(most / STEP)):
        if enough(number * STEP):
            return round(number * STEP, 3)
    return most
