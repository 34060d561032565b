"""From which confidence on a label is shown: chosen on images that were not trained on."""

from __future__ import annotations

import torch
from torch import Tensor

from pocketlens.prediction import Thresholds

__all__ = ["fit_thresholds"]

SHOWN_WRONG, KEPT_WRONG = 0.03, 0.06
"""Share of shown labels that may be wrong, and of frames of nothing that may be given one. Frames
of the `camera` augmentation are harder than most photographs, where fewer are."""

LEAST, MOST = 0.5, 0.95
"""Between these: one who is less sure than even says nothing, one who must be surer is silent."""


def fit_thresholds(probabilities: Tensor, labels: Tensor, nothing: int | None) -> Thresholds:
    """The lowest confidences from which on a label can be relied upon.

    At `show`, at most 3 % of the labels shown are wrong, and at most 3 % of the images of
    `nothing` are given a label; at `keep`, at most 6 %. Both lie in [0.5, 0.95].

    Args:
        probabilities: `(N, K)` of images that were not trained on.
        labels: `(N,)` int64.
        nothing: The index of the class `nothing`, if there is one.
    """
    confidence, answers = probabilities.max(1)
    named = answers != nothing if nothing is not None else torch.ones_like(labels, dtype=torch.bool)
    wrong = named & (answers != labels)
    empty = labels == nothing if nothing is not None else torch.zeros_like(named)

    def lowest(share: float) -> float:
        for percent in range(round(100 * LEAST), round(100 * MOST)):
            shown = named & (confidence >= percent / 100)
            mistaken = int((wrong & shown).sum()) <= share * int(shown.sum())
            if mistaken and int((empty & shown).sum()) <= share * int(empty.sum()):
                return percent / 100
        return MOST

    return Thresholds(lowest(SHOWN_WRONG), lowest(KEPT_WRONG))
