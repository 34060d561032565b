"""From which probabilities on a label is shown: chosen on images that were not trained on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pocketlens.prediction import Thresholds

__all__ = ["fit_thresholds"]

SHOWN_WRONG, KEPT_WRONG, EMPTY_SHOWN = 0.03, 0.06, 0.03
"""Share of shown labels that may be wrong, at first and later; and of frames of nothing that may be
given a label. Frames of the `camera` augmentation are harder than most photographs, where fewer
are."""

LEAST, MOST, SUREST = 0.5, 0.95, 0.99
"""Between these: one who is less sure than even says nothing, one who must be surer is silent. That
there is nothing is learned from many more frames, so of that one may be surer."""

STEP = 0.005


def fit_thresholds(
    probabilities: Tensor,
    labels: Tensor,
    *,
    nothing: int | None = None,
    empty: Tensor | None = None,
) -> Thresholds:
    """The lowest probabilities from which on a label can be relied upon.

    From `present` on, at most 3 % of the images of `nothing` are given a label. From `show` on, at
    most 3 % of the labels shown are wrong; from `keep` on, at most 6 %, whatever is present.

    Args:
        probabilities: `(N, K)` of images that were not trained on.
        labels: `(N,)` int64.
        nothing: The index of the class `nothing`, if there is one.
        empty: `(M, K)` of images of that class; by default, those of it among the others.
    """
    confidence, answers = probabilities.max(1)
    named = torch.ones_like(labels, dtype=torch.bool)
    present = LEAST
    if nothing is not None:
        named = answers != nothing
        present = _present(probabilities[labels == nothing] if empty is None else empty, nothing)
    wrong = answers != labels
    shown = named if nothing is None else named & (1 - probabilities[:, nothing] >= present)
    show = _lowest(MOST, lambda least: _share(wrong, shown & (confidence >= least)) <= SHOWN_WRONG)
    keep = _lowest(MOST, lambda least: _share(wrong, named & (confidence >= least)) <= KEPT_WRONG)
    return Thresholds(show, min(keep, show), present)


def _present(empty: Tensor, nothing: int) -> float:
    named, something = empty.argmax(1) != nothing, 1 - empty[:, nothing]
    every = torch.ones_like(named)
    return _lowest(SUREST, lambda least: _share(named & (something >= least), every) <= EMPTY_SHOWN)


def _share(which: Tensor, of: Tensor) -> float:
    """The share of the images `of` that are `which` also; 0 of none."""
    return float((which & of).sum()) / max(int(of.sum()), 1)


def _lowest(most: float, enough: Callable[[float], bool]) -> float:
    """The lowest threshold from `LEAST` on that is `enough`; `most` if none below it is."""
    for number in range(round(LEAST / STEP), round(most / STEP)):
        if enough(number * STEP):
            return round(number * STEP, 3)
    return most
