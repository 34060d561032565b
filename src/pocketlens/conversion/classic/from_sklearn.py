"""scikit-learn: estimators in memory, and skops files."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from pocketlens.conversion.classic.answers import sklearn_answer
from pocketlens.conversion.classic.building import Built, Task, columns_for, damaged, labels_for
from pocketlens.conversion.classic.chain import PROBABILITIES, Chain
from pocketlens.conversion.classic.estimators import name_of, vectorizer_of
from pocketlens.conversion.classic.sklearn_models import (
    add_estimator,
    add_transformed,
    task_of,
)
from pocketlens.errors import ConversionError

__all__ = ["build_estimator", "check_fitted"]


def build_estimator(
    model: Any, *, labels: Sequence[str] | None = None, inputs: Any = None
) -> Built:
    """Convert a fitted estimator.

    Args:
        model: The estimator, such as a Pipeline.
        labels: Other names for its classes, in their order.
        inputs: `array` or `columns`, see `columns_for`.

    Raises:
        ConversionError: It is not fitted, damaged, or Core ML cannot express it.
        OptionError: The labels or inputs do not fit.
    """
    task = task_of(model)
    check_fitted(model)
    return damaged(lambda: _build(model, task, labels, inputs), name_of(model))


def _build(model: Any, task: Task, labels: Sequence[str] | None, inputs: Any) -> Built:
    if (vectorizer := vectorizer_of(model)) is not None:
        names = vectorizer.feature_names_
        width = len(names)
    else:
        first = _first(model)
        width = int(first.n_features_in_)
        names = getattr(first, "feature_names_in_", None)
    chain = Chain(columns_for(names, width, inputs), width)
    if task == "classifier":
        classes = model.classes_
        if isinstance(classes, list) or np.ndim(classes) != 1:
            classes = range(2)  # several outputs, which the estimator's converter refuses
        chain.labels = labels_for(classes, labels, name_of(model))
    elif labels is not None:
        raise ConversionError(f"{name_of(model)} is no classifier; leave out the labels")
    value = add_estimator(chain, chain.rows, model)
    if task == "transformer":
        assert value is not None
        add_transformed(chain, value)
    spec = chain.built(task)
    outputs = [each.name for each in spec.description.output]
    answer = sklearn_answer(model, task, probabilities=PROBABILITIES in outputs)
    return Built(spec, chain, task, answer, _tolerance(model, len(chain.labels)))


def _first(model: Any) -> Any:
    """The step that gets the input: it knows how many columns there are.

    Raises:
        ConversionError: No step knows it.
    """
    steps = [each for _, each in model.steps] if name_of(model) == "Pipeline" else [model]
    found = next((each for each in steps if hasattr(each, "n_features_in_")), None)
    if found is None:
        raise ConversionError(
            f"{name_of(model)} does not know how many columns it takes, as it is not fitted, or "
            "its kernel is a function; call its fit(X, y), with one of the kernels linear, rbf, "
            "poly and sigmoid"
        )
    return found if name_of(found) != "Pipeline" else _first(found)


def _tolerance(model: Any, classes: int) -> float:
    """How far a probability may differ."""
    last = model.steps[-1][1] if name_of(model) == "Pipeline" else model
    if name_of(last) in ("SVC", "NuSVC") and classes == 2:
        # scikit-learn's libsvm approaches the probabilities of two classes in steps, which stop at
        # a slope of 0.0025; Core ML computes them.
        return 0.01
    # XGBoost adds float32 numbers.
    return 1e-5 if type(last).__module__.startswith("xgboost") else 1e-6


def check_fitted(model: Any) -> None:
    """Check that an estimator has been fitted.

    Raises:
        ConversionError: It has not.
    """
    not_fitted = importlib.import_module("sklearn.exceptions").NotFittedError
    check_is_fitted = importlib.import_module("sklearn.utils.validation").check_is_fitted
    steps = [each for _, each in model.steps] if name_of(model) == "Pipeline" else [model]
    for step in steps:
        if not hasattr(step, "fit"):
            continue  # "passthrough"
        try:
            check_is_fitted(step)
        except not_fitted as error:
            raise ConversionError(
                f"{name_of(step)} is not fitted; call its fit(X, y) before you convert or save it"
            ) from error
