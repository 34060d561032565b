"""scikit-learn's linear models."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketlens.conversion.classic.chain import LABEL, PREDICTION, Chain, Floats, Value
from pocketlens.conversion.classic.estimators import matrix, name_of, numbers
from pocketlens.errors import ConversionError

__all__ = ["LINEAR", "add_binary", "add_one_vs_rest", "add_softmax"]


def linear_regressor(chain: Chain, value: Value, model: Any) -> None:
    factors, offset = _single(model, value.width)
    chain.linear_number(value, factors, offset, PREDICTION)


def generalized_regressor(chain: Chain, value: Value, model: Any) -> None:
    """PoissonRegressor, GammaRegressor and TweedieRegressor: the identity or e^x of it."""
    link = type(model._base_loss.link).__name__
    if link == "IdentityLink":
        linear_regressor(chain, value, model)
        return
    if link != "LogLink":
        raise ConversionError(f"{name_of(model)} has the link {link}; use link='log' or 'identity'")
    factors, offset = _single(model, value.width)
    name = chain.fresh()
    chain.linear_number(value, factors, offset, name)
    chain.exponential(name, PREDICTION)


def logistic_regression(chain: Chain, value: Value, model: Any) -> None:
    factors, offset = _rows(model, value.width)
    mode = getattr(model, "multi_class", "deprecated")  # gone in scikit-learn 1.8
    if len(model.classes_) == 2:
        factor = 2.0 if mode == "multinomial" else 1.0
        add_binary(chain, value, factor * factors, factor * offset, probabilities=True)
    elif mode == "ovr" or model.solver == "liblinear":
        add_one_vs_rest(chain, value, factors, offset)
    else:
        add_softmax(chain, value, factors, offset)


def stochastic_classifier(chain: Chain, value: Value, model: Any) -> None:
    """SGDClassifier: with probabilities for the logistic loss."""
    factors, offset = _rows(model, value.width)
    if model.loss != "log_loss":
        _add_labels(chain, value, factors, offset)
    elif len(model.classes_) == 2:
        add_binary(chain, value, factors, offset, probabilities=True)
    else:
        add_one_vs_rest(chain, value, factors, offset)


def linear_classifier(chain: Chain, value: Value, model: Any) -> None:
    """A model without probabilities."""
    _add_labels(chain, value, *_rows(model, value.width))


def discriminant_analysis(chain: Chain, value: Value, model: Any) -> None:
    factors, offset = _rows(model, value.width)
    if len(model.classes_) == 2:
        add_binary(chain, value, factors, offset, probabilities=True)
    else:
        add_softmax(chain, value, factors, offset)


def one_vs_rest(chain: Chain, value: Value, model: Any) -> None:
    """OneVsRestClassifier of linear models."""
    kinds = {name_of(each) for each in model.estimators_}
    if model.multilabel_ or not kinds <= {"LogisticRegression", "LinearSVC"} or len(kinds) != 1:
        raise ConversionError(
            f"OneVsRestClassifier of {', '.join(sorted(kinds))}"
            f"{' with several labels a row' if model.multilabel_ else ''} cannot be expressed in "
            "Core ML; use LogisticRegression or LinearSVC with a single label a row"
        )
    rows = [_rows(each, value.width) for each in model.estimators_]
    factors = np.concatenate([each[0] for each in rows])
    offset = np.concatenate([each[1] for each in rows])
    if kinds == {"LinearSVC"}:
        _add_labels(chain, value, factors, offset)
    elif len(model.classes_) == 2:
        add_binary(chain, value, factors, offset, probabilities=True)
    else:
        add_one_vs_rest(chain, value, factors, offset)


def add_softmax(
    chain: Chain, value: Value, factors: Floats, offset: Floats, *, probabilities: bool = True
) -> None:
    """Add a classifier: the softmax of `factors` [K, width] · value + `offset` [K].

    The first class is Core ML's reference class, whose score is 0.
    """
    base, factors, offset = chain.absorbed(value, factors, offset)
    message = chain.stage("glmClassifier", base, {})
    message.classEncoding = 0  # ReferenceClass
    for row in factors[1:] - factors[0]:
        message.weights.add(value=row.tolist())
    message.offset.extend((offset[1:] - offset[0]).tolist())
    chain.classifier(message, probabilities=probabilities)


def add_one_vs_rest(chain: Chain, value: Value, factors: Floats, offset: Floats) -> None:
    """Add a classifier of at least three classes: the logistic of each score, divided by their sum.

    The label comes from a model of its own. Scores above 37 all have the probability 1 in doubles,
    but the highest of them is the label.
    """
    base, factors, offset = chain.absorbed(value, factors, offset)
    message = chain.stage("glmClassifier", base, {})
    message.classEncoding = 1  # OneVsRest
    for row in factors:
        message.weights.add(value=row.tolist())
    message.offset.extend(offset.tolist())
    chain.classifier(message, probabilities=True, label=f"{LABEL}OfProbability")
    add_softmax(chain, base, factors, offset, probabilities=False)


def _add_labels(chain: Chain, value: Value, factors: Floats, offset: Floats) -> None:
    if len(offset) == 1:
        add_binary(chain, value, factors, offset, probabilities=False)
    else:
        add_softmax(chain, value, factors, offset, probabilities=False)


def add_binary(
    chain: Chain, value: Value, factors: Floats, offset: Floats, *, probabilities: bool
) -> None:
    base, factors, offset = chain.absorbed(value, factors, offset)
    message = chain.stage("glmClassifier", base, {})
    message.weights.add(value=factors[0].tolist())
    message.offset.append(float(offset[0]))
    chain.classifier(message, probabilities=probabilities)


def _rows(model: Any, width: int) -> tuple[Floats, Floats]:
    """The weights [rows, width] and offsets [rows] of a classifier; one row for two classes."""
    classes = len(model.classes_)
    rows = 1 if classes == 2 else classes
    what = f"the weights of {name_of(model)}"
    return (
        numbers(model.coef_, (rows, width), what),
        numbers(model.intercept_, (rows,), what),
    )


def _single(model: Any, width: int) -> tuple[Floats, float]:
    factors = matrix(model.coef_, width, f"the weights of {name_of(model)}")
    if len(factors) != 1:
        raise ConversionError(
            f"{name_of(model)} predicts {len(factors)} outputs; a Core ML regressor has one; "
            "train a model for each"
        )
    return factors[0], float(numbers(model.intercept_, (1,), "the intercept")[0])


LINEAR = {
    **dict.fromkeys(
        (
            *("LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "ElasticNet"),
            *("ElasticNetCV", "LinearSVR", "SGDRegressor", "HuberRegressor", "BayesianRidge"),
            *("ARDRegression", "QuantileRegressor", "TheilSenRegressor", "Lars", "LassoLars"),
            *("LarsCV", "LassoLarsCV", "LassoLarsIC", "OrthogonalMatchingPursuit"),
            *("OrthogonalMatchingPursuitCV", "PassiveAggressiveRegressor"),
        ),
        linear_regressor,
    ),
    **dict.fromkeys(
        ("PoissonRegressor", "GammaRegressor", "TweedieRegressor"), generalized_regressor
    ),
    "LogisticRegression": logistic_regression,
    "LogisticRegressionCV": logistic_regression,
    "SGDClassifier": stochastic_classifier,
    **dict.fromkeys(
        (
            *("LinearSVC", "RidgeClassifier", "RidgeClassifierCV", "Perceptron"),
            "PassiveAggressiveClassifier",
        ),
        linear_classifier,
    ),
    "LinearDiscriminantAnalysis": discriminant_analysis,
    "OneVsRestClassifier": one_vs_rest,
}
"""The function that converts each class."""
