"""XGBoost: JSON and UBJSON files, and models in memory."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from pocketlens.conversion.classic.answers import Answer, Answers
from pocketlens.conversion.classic.boosted import (
    Margins,
    add_boosted,
    answers_of,
    own_answer,
)
from pocketlens.conversion.classic.building import Built, columns_for, damaged, labels_for
from pocketlens.conversion.classic.chain import PREDICTION, Chain, Value
from pocketlens.conversion.classic.estimators import check_fitted, name_of
from pocketlens.conversion.classic.rows import Rows
from pocketlens.conversion.classic.sklearn_linear import add_binary, add_softmax
from pocketlens.conversion.classic.xgboost_models import (
    XGBoostModel,
    read_document,
    read_model,
)
from pocketlens.errors import ConversionError, DataError, OptionError

__all__ = ["add_xgboost", "build_xgboost", "build_xgboost_object"]

TOLERANCE = 1e-6
"""XGBoost adds float32 numbers: sums of many trees differ by more."""


def build_xgboost_object(
    model: Any, *, labels: Sequence[str] | None = None, inputs: Any = None
) -> Built:
    """Convert a Booster, or a model such as XGBClassifier.

    Args:
        model: The model.
        labels: Other names for its classes, in their order.
        inputs: `array` or `columns`, see `columns_for`.

    Raises:
        ConversionError: It is not fitted, or Core ML cannot express it.
        OptionError: The labels or inputs do not fit.
    """
    missing, booster = np.nan, model
    if name_of(model) != "Booster":
        check_fitted(model)
        booster = model.get_booster()
        if model.missing is not None:
            missing = float(model.missing)
    try:
        content = bytes(booster.save_raw("ubj"))
    except Exception as error:  # XGBoost's own, for a Booster without rounds and columns
        raise ConversionError(
            f"{name_of(model)} is not trained; train it before you convert it"
        ) from error
    return build_xgboost(
        content,
        name_of(model),
        labels=labels,
        inputs=inputs,
        missing=missing,
        rounds=_rounds(model),
        library=True,
    )


def _rounds(model: Any) -> int | None:
    """How many rounds the model itself uses: a Booster all, an XGBClassifier up to its best."""
    if name_of(model) == "Booster":
        return int(model.num_boosted_rounds()) or None
    try:
        return int(model.best_iteration) + 1
    except AttributeError:  # trained without early stopping
        return None


def build_xgboost(
    content: bytes,
    what: str,
    *,
    labels: Sequence[str] | None = None,
    inputs: Any = None,
    missing: float = np.nan,
    rounds: int | None = None,
    library: bool = False,
) -> Built:
    """Convert a file.

    Args:
        content: JSON or UBJSON.
        what: What messages call it.
        labels: Names for its classes, in their order; else they are 0, 1, 2 ...
        inputs: `array` or `columns`, see `columns_for`.
        missing: A number that stands for a missing one.
        rounds: How many rounds to use; None: as the file says.
        library: Whether XGBoost itself answers for the source. Not for a file: its reader is not
            made for untrusted content.

    Raises:
        ConversionError: It is damaged, or Core ML cannot express it.
        OptionError: The labels or inputs do not fit.
    """

    def build() -> Built:
        document = read_document(content, what)
        model = read_model(document, rounds)
        chain = Chain(columns_for(model.names, model.width, inputs), model.width)
        if model.classes:
            chain.labels = labels_for(range(model.classes), labels, what)
        elif labels is not None:
            raise OptionError(f"{what} is no classifier; leave out the labels")
        _add(chain, chain.rows, model, missing)
        task = model.margins.task
        count = len(model.margins.trees)
        return Built(
            chain.built(task),
            chain,
            task,
            _answer(content, model, missing, rounds) if library else _own(model),
            # The sum of n float32 numbers has an error that grows with n.
            tolerance=TOLERANCE * max(1.0, count / 100),
        )

    return damaged(build, what)


def add_xgboost(chain: Chain, value: Value, model: Any) -> None:
    """Add a fitted model such as XGBClassifier, the last step of a Pipeline.

    Raises:
        ConversionError: Core ML cannot express it.
    """
    content = bytes(model.get_booster().save_raw("ubj"))
    read = read_model(read_document(content, name_of(model)), _rounds(model))
    missing = np.nan if model.missing is None else float(model.missing)
    _add(chain, value, read, missing)


def _add(chain: Chain, value: Value, model: XGBoostModel, missing: float) -> None:
    if value.width != model.width or len(chain.labels) != model.classes:
        raise ConversionError(
            f"the XGBoost model takes {model.width} columns and has {model.classes} classes; it "
            f"gets {value.width} columns and {len(chain.labels)} labels"
        )
    if not np.isnan(missing):
        value = chain.replaced(value, missing, np.full(model.width, np.nan))
    if model.weights is None:
        add_boosted(chain, value, model.margins)
    else:
        _add_linear(chain, value, model)


def _add_linear(chain: Chain, value: Value, model: XGBoostModel) -> None:
    """The booster `gblinear`; missing numbers count as 0."""
    assert model.weights is not None
    value = chain.replaced(value, np.nan, np.zeros(model.width))
    factors, offset, link = model.weights.T, model.margins.base, model.margins.link
    if link in ("binary", "sign"):
        add_binary(chain, value, factors, offset, probabilities=link == "binary")
    elif link == "softmax":
        add_softmax(chain, value, factors, offset)
    elif link == "identity":
        chain.linear_number(value, factors[0], float(offset[0]), PREDICTION)
    elif link == "exp":
        name = chain.fresh()
        chain.linear_number(value, factors[0], float(offset[0]), name)
        chain.exponential(name, PREDICTION)
    else:
        raise ConversionError(
            "an XGBoost model with the booster gblinear and the objective reg:logistic cannot be "
            "converted; use binary:logistic or the booster gbtree"
        )


def _answer(content: bytes, model: XGBoostModel, missing: float, rounds: int | None) -> Answer:
    """What XGBoost answers."""
    xgboost = importlib.import_module("xgboost")
    booster = xgboost.Booster(model_file=bytearray(content))

    def answer(rows: Rows) -> Answers:
        table = np.stack(rows, axis=1)
        if not np.isnan(missing):
            table = np.where(table == missing, np.nan, table)
        try:
            data = xgboost.DMatrix(
                table,
                feature_names=booster.feature_names,
                feature_types=booster.feature_types,
                enable_categorical=True,
            )
        except xgboost.core.XGBoostError as error:
            raise DataError(
                f"XGBoost cannot process these rows: {error}; expected rows like those "
                "that it was trained on"
            ) from error
        used = _iterations(booster, rounds)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            raw = booster.predict(data, output_margin=True, iteration_range=used)
            out = booster.predict(data, iteration_range=used)
        margins = np.asarray(raw, np.float64).reshape(len(table), -1)
        return _outputs(model.margins, margins, np.asarray(out, np.float64))

    return answer


def _outputs(model: Margins, margins: Any, out: Any) -> Answers:
    """The answers by XGBoost's own link, where its output has it."""
    if model.link == "binary":
        return Answers((out > 0.5).astype(np.int64), np.stack([1 - out, out], axis=1))
    if model.task == "classifier":
        return answers_of(margins, model.link)
    return Answers(values=out)


def _iterations(booster: Any, rounds: int | None) -> tuple[int, int]:
    if rounds is not None:
        return (0, rounds)
    best = booster.attr("best_iteration")
    if best is not None and booster.attr("scikit_learn") is not None:
        return (0, int(best) + 1)
    return (0, 0)


def _own(model: XGBoostModel) -> Answer:
    if model.weights is None:
        return own_answer(model.margins)

    def answer(rows: Rows) -> Answers:
        assert model.weights is not None
        table = np.nan_to_num(np.stack(rows, axis=1), posinf=np.inf, neginf=-np.inf)
        return answers_of(table @ model.weights + model.margins.base, model.margins.link)

    return answer
