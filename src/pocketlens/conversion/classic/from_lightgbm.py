"""LightGBM: text models, and models in memory."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from pocketlens.conversion.classic.answers import Answer, Answers
from pocketlens.conversion.classic.boosted import add_boosted, answers_of, own_answer
from pocketlens.conversion.classic.building import Built, columns_for, damaged, labels_for
from pocketlens.conversion.classic.chain import Chain, Value
from pocketlens.conversion.classic.estimators import check_fitted, name_of
from pocketlens.conversion.classic.lightgbm_models import LightGBMModel, read_text
from pocketlens.conversion.classic.rows import Rows
from pocketlens.errors import ConversionError, OptionError

__all__ = ["add_lightgbm", "build_lightgbm", "build_lightgbm_object"]


def build_lightgbm_object(
    model: Any, *, labels: Sequence[str] | None = None, inputs: Any = None
) -> Built:
    """Convert a Booster, or a model such as LGBMClassifier.

    Args:
        model: The model.
        labels: Other names for its classes, in their order.
        inputs: `array` or `columns`, see `columns_for`.

    Raises:
        ConversionError: It is not fitted, or Core ML cannot express it.
        OptionError: The labels or inputs do not fit.
    """
    classes, booster = None, model
    if name_of(model) != "Booster":
        check_fitted(model)
        booster = model.booster_
        classes = getattr(model, "classes_", None)
    content = booster.model_to_string().encode()
    return build_lightgbm(
        content, name_of(model), labels=labels, inputs=inputs, classes=classes, library=True
    )


def build_lightgbm(
    content: bytes,
    what: str,
    *,
    labels: Sequence[str] | None = None,
    inputs: Any = None,
    classes: Any = None,
    library: bool = False,
) -> Built:
    """Convert a text.

    Args:
        content: The text.
        what: What messages call it.
        labels: Names for its classes, in their order; else they are `classes`, or 0, 1, 2 ...
        inputs: `array` or `columns`, see `columns_for`.
        classes: The classes that the labels were in training.
        library: Whether LightGBM itself answers for the source. Not for a file: its reader ends the
            process for damaged texts.

    Raises:
        ConversionError: It is damaged, or Core ML cannot express it.
        OptionError: The labels or inputs do not fit.
    """

    def build() -> Built:
        model = read_text(content, what)
        chain = Chain(columns_for(model.names, model.width, inputs), model.width)
        if model.classes:
            known = classes if classes is not None else range(model.classes)
            chain.labels = labels_for(known, labels, what)
            if len(chain.labels) != model.classes:
                raise ConversionError(f"{what} has {model.classes} classes; its object has others")
        elif labels is not None:
            raise OptionError(f"{what} is no classifier; leave out the labels")
        for column, numbers in model.ranges.items():
            if column < model.width:
                chain.interesting[column] = [np.asarray(numbers, np.float64)]
        add_boosted(chain, chain.rows, model.margins)
        task = model.margins.task
        answer = _answer(content, model) if library else own_answer(model.margins)
        return Built(chain.built(task), chain, task, answer)

    return damaged(build, what)


def add_lightgbm(chain: Chain, value: Value, model: Any) -> None:
    """Add a fitted model such as LGBMClassifier, the last step of a Pipeline.

    Raises:
        ConversionError: Core ML cannot express it.
    """
    read = read_text(model.booster_.model_to_string().encode(), name_of(model))
    if value.width != read.width or len(chain.labels) != read.classes:
        raise ConversionError(
            f"the LightGBM model takes {read.width} columns and has {read.classes} classes; it "
            f"gets {value.width} columns and {len(chain.labels)} labels"
        )
    add_boosted(chain, value, read.margins)


def _answer(content: bytes, model: LightGBMModel) -> Answer:
    """What LightGBM answers."""
    lightgbm = importlib.import_module("lightgbm")
    booster = lightgbm.Booster(model_str=content.decode())

    def answer(rows: Rows) -> Answers:
        table = np.stack(rows, axis=1)
        raw = booster.predict(table, raw_score=True).reshape(len(table), -1)
        out = np.asarray(booster.predict(table), np.float64)
        if model.margins.link == "binary":
            shares = np.stack([1 - out, out], axis=1)
            return Answers(shares.argmax(1), shares)
        if model.margins.task == "classifier":
            return Answers(answers_of(raw, model.margins.link).classes, out)
        return Answers(values=out)

    return answer
