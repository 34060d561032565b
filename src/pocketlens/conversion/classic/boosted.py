"""Boosted trees of XGBoost and LightGBM: margins, links and outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from pocketlens.conversion.classic.answers import Answers
from pocketlens.conversion.classic.building import Task
from pocketlens.conversion.classic.chain import LABEL, PREDICTION, Chain, Floats, Value
from pocketlens.conversion.classic.evaluating import evaluate, logistic, softmax
from pocketlens.conversion.classic.rows import Rows
from pocketlens.conversion.classic.tree_ensembles import Comparison, Tree, add_ensemble

__all__ = ["Link", "Margins", "add_boosted", "answers_of", "own_answer"]

Link: TypeAlias = Literal["identity", "logistic", "exp", "binary", "softmax", "one-vs-all", "sign"]
"""From margins to outputs: the first three of regressors, the others of classifiers.

`binary`: one margin, the logit of the second class. `sign`: one margin, whose sign is the class.
`one-vs-all`: the logistic of each margin, not divided by their sum.
"""

CLASSIFIERS = ("binary", "softmax", "one-vs-all", "sign")


@dataclass(frozen=True)
class Margins:
    """base + the sum of each tree's leaf, of each dimension.

    Attributes:
        trees: The trees.
        base: [dimensions].
        comparison: What is true for numbers that go left.
        link: What the outputs are.
        factor: Multiplies margins in front of a logistic function.
    """

    trees: Sequence[Tree]
    base: Floats
    comparison: Comparison
    link: Link
    factor: float = 1.0

    @property
    def task(self) -> Task:
        """What the model does."""
        return "classifier" if self.link in CLASSIFIERS else "regressor"

    def scaled(self) -> Margins:
        """The same with the factor multiplied into leaves and base."""
        if self.factor == 1:
            return self
        trees = [replace(tree, value=tree.value * self.factor) for tree in self.trees]
        return replace(self, trees=trees, base=self.base * self.factor, factor=1.0)


def add_boosted(chain: Chain, value: Value, margins: Margins) -> None:
    """Add the model."""
    margins = margins.scaled()

    def add(
        trees: Sequence[Tree], base: Sequence[float], transform: str, output: str | None
    ) -> None:
        add_ensemble(
            chain,
            value,
            trees,
            base,
            comparison=margins.comparison,
            transform=transform,
            output=output,
        )

    trees, base = margins.trees, margins.base.tolist()
    if margins.link in ("binary", "sign"):
        # Two scores, of which the first is 0: a margin of 0 is the first class, as in the sources.
        second = [replace(tree, dimension=1) for tree in trees]
        add(second, [0.0, *base], "Classification_SoftMax", None)
        if margins.link == "sign":
            _without_probabilities(chain)
    elif margins.link == "softmax":
        add(trees, base, "Classification_SoftMax", None)
    elif margins.link == "one-vs-all":
        add(trees, base, "Regression_Logistic", None)
    elif margins.link == "exp":
        name = chain.fresh()
        add(trees, base, "NoTransform", name)
        chain.exponential(name, PREDICTION)
    else:
        transform = "Regression_Logistic" if margins.link == "logistic" else "NoTransform"
        add(trees, base, transform, PREDICTION)


def _without_probabilities(chain: Chain) -> None:
    """Remove the probabilities of the last stage, a classifier."""
    description = chain.last
    del description.output[[each.name for each in description.output].index(LABEL) + 1 :]
    description.predictedProbabilitiesName = ""


def own_answer(margins: Margins) -> Callable[[Rows], Answers]:
    """What the model answers, computed here from the file."""
    scaled = margins.scaled()

    def answer(rows: Rows) -> Answers:
        table = np.stack(rows, axis=1)
        return answers_of(
            evaluate(scaled.trees, table, scaled.base.tolist(), scaled.comparison), margins.link
        )

    return answer


def answers_of(raw: Floats, link: Link) -> Answers:
    """Outputs from margins [N, dimensions]."""
    first = raw[:, 0]
    if link == "binary":
        second = logistic(first)
        return Answers((first > 0).astype(np.int64), np.stack([1 - second, second], axis=1))
    if link == "sign":
        return Answers((first > 0).astype(np.int64))
    if link in ("softmax", "one-vs-all"):
        shares = softmax(raw) if link == "softmax" else logistic(raw)
        return Answers(raw.argmax(1), shares)
    functions: dict[str, Callable[[Floats], Floats]] = {"logistic": logistic, "exp": np.exp}
    return Answers(values=functions[link](first) if link in functions else first)
