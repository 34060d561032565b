"""Logistic regression against scikit-learn's, and folds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pocketlens.training import logistic
from pocketlens.training.logistic import (
    Blocks,
    Linear,
    Problem,
    class_weights,
    folds,
    held_out_logits,
)


def rows(count: int, width: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % classes
    centers = torch.randn(classes, width, generator=generator)
    x = centers[labels] + 2 * torch.randn(count, width, generator=generator)
    return Blocks.fit(x, [width])(x), labels


@pytest.mark.parametrize("strength", [0.1, 0.003])
@pytest.mark.parametrize(("count", "width", "classes"), [(60, 7, 3), (24, 90, 4), (40, 5, 2)])
def test_the_minimum_is_that_of_scikit_learn(
    count: int, width: int, classes: int, strength: float
) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, labels = rows(count, width, classes)
    weights = class_weights(labels[: count // 2 * 2], classes, balanced=True)
    weights = weights * torch.linspace(0.5, 1.5, count)
    weights = weights / weights.mean()
    found = Problem(x, labels, classes, weights).solve(strength)
    model = linear_model.LogisticRegression(C=1 / (strength * count), tol=1e-8, max_iter=10_000)
    model.fit(x.double().numpy(), labels.numpy(), sample_weight=weights.double().numpy())
    if (
        classes == 2
    ):  # scikit-learn has one row of weights; its penalty is that of two opposite ones
        model = linear_model.LogisticRegression(
            C=2 / (strength * count), tol=1e-8, max_iter=10_000
        ).fit(x.double().numpy(), labels.numpy(), sample_weight=weights.double().numpy())
    expected = torch.from_numpy(model.predict_proba(x.double().numpy())).float()
    assert torch.allclose(found(x).softmax(1), expected, atol=2e-3)
    assert torch.equal(found(x).argmax(1), expected.argmax(1))


def test_several_problems_at_once_are_as_one_by_one() -> None:
    x, labels = rows(30, 50, 3)
    weights = torch.rand(2, 30, generator=torch.Generator().manual_seed(1)) + 0.5
    weights = weights / weights.mean(1, keepdim=True)
    both = Problem(x, labels, 3, weights)
    both.minimize(0.01)
    for own, together in zip(weights, [both.logits(k) for k in range(len(weights))], strict=True):
        alone = Problem(x, labels, 3, own).solve(0.01)
        assert torch.allclose(together.softmax(1), alone(x).softmax(1), atol=2e-3)


def test_rows_that_are_all_the_same() -> None:
    labels = torch.tensor([0, 0, 0, 1])
    x = torch.zeros(4, 6)
    found = Problem(Blocks.fit(x, [6])(x), labels, 2, torch.ones(4)).solve(0.01)
    assert torch.allclose(found(x).softmax(1), torch.tensor([[0.75, 0.25]]).expand(4, 2), atol=1e-3)


def test_blocks_have_one_scale_and_merge_into_the_linear_layer() -> None:
    x = torch.randn(50, 5, generator=torch.Generator().manual_seed(2))
    x = x * torch.tensor([1, 1, 100, 100, 100]) + 7
    blocks = Blocks.fit(x, [2, 3])
    scaled = blocks(x)
    assert torch.allclose(scaled.mean(0), torch.zeros(5), atol=1e-5)
    for block in torch.split(scaled, [2, 3], dim=1):
        assert block.square().sum(1).mean() == pytest.approx(1, abs=1e-4)
    linear = Linear(torch.randn(4, 5), torch.randn(4))
    assert torch.allclose(blocks.merged(linear)(x), linear(scaled), atol=1e-4)


def test_many_rows_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that is computed on the way is as large as the rows, and the head is the same."""
    generator = torch.Generator().manual_seed(4)
    labels = torch.arange(3000) % 3
    x = torch.randn(3000, 40, generator=generator) + labels[:, None] / 4 + 5
    options = {"sizes": [30, 10], "balanced": True}
    expected = logistic.fit_head(x, labels, 3, 0.01, **options)  # type: ignore[arg-type]
    monkeypatch.setattr(logistic, "BLOCK", 4000)
    with torch.profiler.profile(profile_memory=True) as profile:
        found = logistic.fit_head(x, labels, 3, 0.01, **options)  # type: ignore[arg-type]
    assert torch.allclose(found(x).softmax(1), expected(x).softmax(1), atol=1e-3)
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert 0 < largest < x.nbytes / 8


def test_weights_of_classes() -> None:
    labels = torch.tensor([0] * 8 + [1] * 2)
    balanced = class_weights(labels, 3, balanced=True)
    assert balanced[:8].sum() == pytest.approx(float(balanced[8:].sum()))
    assert balanced.mean() == pytest.approx(1)
    assert class_weights(labels, 3, balanced=False).tolist() == [1] * 10


@pytest.mark.parametrize("seed", range(3))
def test_folds_spread_each_class(seed: int) -> None:
    labels = torch.tensor([0] * 10 + [1] * 3 + [2])
    held = []
    for train, test in folds(labels, np.arange(14), 5, seed=seed):
        assert not set(train.tolist()) & set(test.tolist())
        assert 13 in train  # the only image of its class
        assert (labels[test] == 0).sum() == 2
        held += test.tolist()
    assert sorted(held) == list(range(13))


def test_held_out_logits_do_not_know_the_image() -> None:
    """The labels are random, so that only a head that has seen an image can be right."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(60, 1, 200, generator=generator)
    labels = torch.randint(0, 2, (60,), generator=generator)
    splits = list(folds(labels, np.arange(60), 5, seed=0))
    found = held_out_logits(
        x, labels, 2, [0.001], [splits, splits[:2]], sizes=[200], balanced=False
    )
    assert found.shape == (1, 2, 60, 2)
    held = found.isfinite().all(3)[0]  # (repetitions, N)
    assert held[0].all()
    assert set(held[1].nonzero()[:, 0].tolist()) == {*splits[0][1].tolist(), *splits[1][1].tolist()}
    assert torch.equal(found[0, 0, held[1]], found[0, 1, held[1]])
    assert 0.3 < (found[0, 0].argmax(1) == labels).float().mean() < 0.7
