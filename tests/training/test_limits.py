"""The limits of `nothing`: how many known images they keep, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pocketlens.training.limits import for_far, for_near

SIGNS = [0, 1, 2, 3]


def signs(count: int, mean: float, *, seed: int, width: float = 1.0) -> Tensor:
    """Signs `(count, 5)` that have something in common, as those of real images."""
    random = torch.Generator().manual_seed(seed)
    common = torch.randn(count, 1, generator=random)
    own = torch.randn(count, 5, generator=random)
    return mean + width * (0.8 * common + 0.6 * own)


@pytest.mark.parametrize("count", [12, 40, 90, 400])
def test_both_functions_together_keep_97_percent_of_further_images(count: int) -> None:
    kept, refused = [], []
    for seed in range(20):
        inside = signs(count, 0, seed=seed)
        weights, bias = for_far(inside, signs(60, -6, seed=seed + 100, width=0.3))
        far = inside @ weights + bias
        near = for_near(inside, signs(count, -2, seed=seed + 200), SIGNS, far)
        both = torch.stack([weights, near[0]]), torch.stack([bias, near[1]])

        def unknown(rows: Tensor, both: tuple[Tensor, Tensor] = both) -> Tensor:
            return (rows @ both[0].T + both[1]).amax(1) >= 0

        kept.append(1 - unknown(signs(1000, 0, seed=seed + 300)).float().mean())
        refused.append(unknown(signs(1000, -6, seed=seed + 400, width=0.5)).float().mean())
    assert 0.95 < torch.stack(kept).mean() < (0.98 if count >= 100 else 0.995)
    assert torch.stack(refused).mean() > 0.99


def test_few_images_that_vary_much_do_not_let_scenes_pass() -> None:
    """A bound for further images lies among the scenes here, so the limit is half-way to them."""
    inside = signs(8, 0, seed=3)
    scenes = signs(60, -3.5, seed=4, width=0.1)
    weights, bias = for_far(inside, scenes)
    assert bool((inside @ weights + bias < 0).all())
    assert ((scenes @ weights + bias) > 0).float().mean() >= 0.95


def test_images_that_the_other_function_refuses_count_as_lost() -> None:
    inside, unknown = signs(400, 0, seed=5), signs(400, -2, seed=6)
    none = torch.full((400,), -1.0)
    lost = none.clone()
    lost[(inside @ torch.ones(5)).topk(8).indices] = 1.0  # the most typical ones
    shares = []
    for far in (none, lost):
        weights, bias = for_near(inside, unknown, SIGNS, far)
        near = inside @ weights + bias > 0
        shares.append(float((near | (far > 0)).float().mean()))
    assert shares == pytest.approx([0.03, 0.03], abs=0.004)


def test_a_sign_that_is_not_asked_for_has_no_weight() -> None:
    inside, unknown = signs(50, 0, seed=7), signs(50, -2, seed=8)
    weights, _ = for_near(inside, unknown, [0, 3], torch.full((50,), -1.0))
    assert weights[[1, 2, 4]].tolist() == [0, 0, 0]
    assert bool((weights[[0, 3]] < 0).all())
