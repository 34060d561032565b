"""scikit-learn's naive Bayes classifiers."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketlens.conversion.classic.chain import Chain, Floats, Value
from pocketlens.conversion.classic.estimators import name_of, numbers
from pocketlens.conversion.classic.sklearn_linear import add_softmax
from pocketlens.conversion.classic.tree_ensembles import Table, add_tables

__all__ = ["BAYES", "binarized"]


def multinomial(chain: Chain, value: Value, model: Any) -> None:
    """MultinomialNB and ComplementNB: linear."""
    factors = _log_probabilities(model, value.width)
    prior = np.zeros(len(factors))
    if name_of(model) == "MultinomialNB":
        prior = numbers(model.class_log_prior_, prior.shape, "the prior of the model")
    add_softmax(chain, value, factors, prior)


def bernoulli(chain: Chain, value: Value, model: Any) -> None:
    """BernoulliNB: linear in numbers that are 0 or 1."""
    factors = _log_probabilities(model, value.width)
    others = numbers(
        np.log(1 - np.exp(factors)), factors.shape, "the log-probabilities of BernoulliNB"
    )
    prior = numbers(model.class_log_prior_, (len(factors),), "the prior of the model")
    if model.binarize is not None:
        value = binarized(chain, value, float(model.binarize))
    add_softmax(chain, value, factors - others, prior + others.sum(1))


def binarized(chain: Chain, value: Value, threshold: float) -> Value:
    """1 where a number is above the threshold, else 0."""
    above = float(np.nextafter(threshold, np.inf))
    tables = [Table(index, [above], [{}, {index: 1.0}], {}) for index in range(value.width)]
    return add_tables(chain, value, tables, value.width)


def gaussian(chain: Chain, value: Value, model: Any) -> None:
    """GaussianNB: quadratic, by support vector machines with the kernel (x · x' + 1)².

    The scores of a class and of the first class differ by Σ a_j x_j² + b_j x_j + c. The vectors
    e_j and -e_j give (x_j + 1)² and (x_j - 1)², whose sum has x_j² and whose difference has x_j.
    """
    shape = (len(model.classes_), value.width)
    mean = numbers(model.theta_, shape, "the means of GaussianNB")
    precision = numbers(1 / np.asarray(model.var_, np.float64), shape, "1 / variance of GaussianNB")
    prior = numbers(model.class_prior_, shape[:1], "the prior of GaussianNB")
    for index in range(value.width):
        chain.mark(value, index, mean[:, index])
    # Numbers around 0, whose squares do not cancel each other.
    center = mean.mean(0)
    value = chain.scaled(value, np.ones(value.width), -center)
    mean = mean - center
    squared = -precision / 2
    linear = mean * precision
    constant = np.log(prior) + (np.log(precision) - mean**2 * precision).sum(1) / 2
    scores = []
    for other in range(1, shape[0]):
        scores.append(chain.fresh())
        _add_quadratic(
            chain,
            value,
            squared[other] - squared[0],
            linear[other] - linear[0],
            float(constant[other] - constant[0]),
            scores[-1],
        )
    joined = chain.numbers(scores)
    add_softmax(chain, joined, np.eye(shape[0], shape[0] - 1, k=-1), np.zeros(shape[0]))


def _add_quadratic(
    chain: Chain, value: Value, squared: Floats, linear: Floats, constant: float, output: str
) -> None:
    message = chain.stage("supportVectorRegressor", value, {output: "double"})
    chain.last.predictedFeatureName = output
    kernel = message.kernel.polyKernel
    kernel.degree, kernel.c, kernel.gamma = 2, 1.0, 1.0
    vectors = message.sparseSupportVectors.vectors
    for index, (a, b) in enumerate(zip(squared.tolist(), linear.tolist(), strict=True)):
        for sign in (1.0, -1.0):
            vectors.add().nodes.add(index=index + 1, value=sign)
            message.coefficients.alpha.append(a / 2 + sign * b / 4)
    message.rho = float(squared.sum()) - constant


def _log_probabilities(model: Any, width: int) -> Floats:
    return numbers(
        model.feature_log_prob_,
        (len(model.classes_), width),
        f"the log-probabilities of {name_of(model)}",
    )


BAYES = {
    "MultinomialNB": multinomial,
    "ComplementNB": multinomial,
    "BernoulliNB": bernoulli,
    "GaussianNB": gaussian,
}
"""The function that converts each class."""
