"""The two functions of `networks.backbone.Rejection`, and their limits.

Both are linear functions of the signs, fitted to held-out images: one tells pictures of something
else altogether, the other one other pictures of the same kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import torch
from torch import Tensor

from pocketlens.training.logistic import Problem, class_weights

__all__ = ["CONCEPT_SIGN", "LOGIT_SIGNS", "for_far", "for_near"]

LOGIT_SIGNS, CONCEPT_SIGN = (1, 2), 4
"""The signs made of logits, and the similarity of concepts."""

FAR_SIGNS = (0, 3, CONCEPT_SIGN)
"""The signs that tell pictures of something else altogether: the distances. The logits say little
about such pictures, and the generated scenes are not like what a camera will see."""


KEPT, KEPT_FROM_FAR = 0.97, 0.985
"""Share of the known images, held out, that both functions together, and the one for far images,
take for known."""

FEW = 100
"""With fewer known images, their quantiles say little about further ones."""

FAR_STRENGTH, NEAR_STRENGTH = 1e-3, 2e-2
"""Strengths of the penalty. Scenes are easy to tell; what tells classes that were left out depends
much on the images, if there are few."""

SLACK, LEAST_FAR = 0.3, 0.05
"""Where known and unknown images are far apart, the limit is this share of the gap away from the
known ones: they vary more than a few images show, and not every unknown one is that far. The gap
ends where this share of the unknown images begins."""


def for_far(inside: Tensor, scenes: Tensor) -> tuple[Tensor, Tensor]:
    """One function of the signs, above 0 for pictures of something else altogether.

    Hardly any known image need be lost. The bound for few images may be so high that it lies among
    the scenes; then the limit is half-way from the known images to them.

    Args:
        inside: `(N, S)`, of known images.
        scenes: `(M, S)`, of generated scenes; together, both kinds weigh the same.

    Returns:
        Coefficients `(S,)`, and the bias.
    """
    signs = [sign for sign in FAR_SIGNS if sign < inside.shape[1]]
    weights = _coefficients(inside, scenes, signs, FAR_STRENGTH)
    known, other = inside @ weights, torch.quantile(scenes @ weights, LEAST_FAR)
    bound = _upper_bound(known, KEPT_FROM_FAR, len(signs))
    most = known.max() if len(known) < FEW else torch.quantile(known, KEPT_FROM_FAR)
    if most < other:
        bound = torch.minimum(bound, (most + other) / 2)
    return weights, -(bound + SLACK * (other - bound).clamp(min=0))


def for_near(
    inside: Tensor, unknown: Tensor, signs: Sequence[int], far: Tensor
) -> tuple[Tensor, Tensor]:
    """One function of the signs, above 0 for other pictures of the same kind.

    Together with the function for far images, it keeps the share `KEPT` of the known ones.

    Args:
        inside: `(N, S)`, of known images.
        unknown: `(M, S)`, of classes that were left out; together, both kinds weigh the same.
        signs: Those to use.
        far: The other function of the known images, `(N,)`.

    Returns:
        Coefficients `(S,)`, and the bias.
    """
    weights = _coefficients(inside, unknown, signs, NEAR_STRENGTH)
    known = inside @ weights
    rest, n = known[far <= 0], len(inside)
    if len(rest) < 2:
        rest = known
    # Of n values in order, the k-th one is above the share k / (n + 1) of further values.
    place = (min(1, KEPT * n / len(rest)) * (len(rest) + 1) - 1) / (len(rest) - 1)
    bound = torch.quantile(rest, min(1, place))
    if n < FEW:
        bound = torch.maximum(bound, _upper_bound(known, KEPT, len(signs)))
    gap = torch.quantile(unknown @ weights, LEAST_FAR) - bound
    return weights, -(bound + SLACK * gap.clamp(min=0))


def _upper_bound(values: Tensor, share: float, fitted: int) -> Tensor:
    """A bound that a share of further values stays below, from values `(N,)`.

    The quantile, but at least the prediction bound of a normal distribution: the largest of few
    values is too low a bound for those to come, above all if the function was fitted to them.

    Args:
        values: Of known images.
        share: The share of further values.
        fitted: How many coefficients were fitted on these images.
    """
    n = len(values)
    z = NormalDist().inv_cdf(share)
    freedom = max(n - 1 - fitted, 1)
    spread = z * (1 + (z * z + 1) / (4 * freedom)) * (1 + (1 + fitted) / n) ** 0.5
    return torch.maximum(torch.quantile(values, share), values.mean() + spread * values.std())


def _coefficients(inside: Tensor, unknown: Tensor, signs: Sequence[int], strength: float) -> Tensor:
    """Coefficients `(S,)` of the signs, none above 0: a sign may only speak for a known image.

    A sign that would speak the other way, by chance, is left out.
    """
    rows = torch.cat([inside, unknown])
    labels = torch.cat([torch.full((len(part),), at) for at, part in enumerate((inside, unknown))])
    weights = class_weights(labels, 2, balanced=True)
    mean, deviation = rows.mean(0), rows.std(0).clamp(min=1e-6)
    used = [*signs]
    coefficients = torch.zeros(rows.shape[1])
    while used:
        x = ((rows - mean) / deviation)[:, used]
        linear = Problem(x, labels, 2, weights).solve(strength)
        found = (linear.weight[1] - linear.weight[0]) / deviation[used]
        if bool((found <= 0).all()):
            coefficients[used] = found
            return coefficients
        used.remove(used[int((found * deviation[used]).argmax())])
    coefficients[0] = -1.0  # nothing tells them apart: the similarity is the safest sign
    return coefficients
