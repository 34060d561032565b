"""What a source answers for rows of a table: the oracle of its conversion."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.classic.estimators import vectorizer_of
from pocketlens.conversion.classic.rows import Rows
from pocketlens.errors import DataError

__all__ = ["Answer", "Answers", "as_table", "sklearn_answer"]


class Answers(NamedTuple):
    """The answers for N rows.

    Attributes:
        classes: A classifier's classes by number, [N]; else None.
        probabilities: [N, K], or None.
        values: What a regressor predicts [N], or a transformer computes [N, width]; or None.
    """

    classes: NDArray[np.int64] | None = None
    probabilities: NDArray[np.float64] | None = None
    values: NDArray[np.float64] | None = None


Answer: TypeAlias = Callable[[Rows], Answers]


def sklearn_answer(model: Any, task: str, *, probabilities: bool) -> Answer:
    """The predictions of a scikit-learn estimator, or of one with its methods.

    Args:
        model: The estimator.
        task: `classifier`, `regressor` or `transformer`.
        probabilities: Whether a classifier has probabilities.
    """

    def answer(rows: Rows) -> Answers:
        taken = as_table(model, rows)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about names of columns, and unknown categories
            try:
                if task == "classifier":
                    classes = model.predict(taken)
                    shares = model.predict_proba(taken) if probabilities else None
                    return Answers(_numbers(model.classes_, classes), shares)
                made = model.predict(taken) if task == "regressor" else model.transform(taken)
            except ValueError as error:  # a NaN or an infinity, or an unknown category
                raise DataError(
                    f"the model cannot process these rows: {error}; expected rows "
                    "like those that it was trained on"
                ) from error
        values = np.asarray(made.toarray() if hasattr(made, "toarray") else made, np.float64)
        table = values.reshape(len(values), -1)
        return Answers(values=table if task == "transformer" else table[:, 0])

    return answer


def _numbers(classes: Any, predicted: Any) -> NDArray[np.int64]:
    """The position of each predicted label among the classes."""
    positions = {label: number for number, label in enumerate(np.asarray(classes).tolist())}
    return np.array([positions[each] for each in np.asarray(predicted).tolist()], np.int64)


def as_table(model: Any, rows: Rows) -> Any:
    """The rows as the model takes them: a DataFrame if it knows names of columns."""
    if (vectorizer := vectorizer_of(model)) is not None:
        names = vectorizer.feature_names_
        return [dict(zip(names, row, strict=True)) for row in zip(*rows, strict=True)]
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        try:
            pandas = importlib.import_module("pandas")
        except ModuleNotFoundError:
            pass  # numbers alone need no names
        else:
            return pandas.DataFrame(dict(zip(names, rows, strict=True)))
    if all(each.dtype.kind == "f" for each in rows):
        return np.stack(rows, axis=1)
    return np.stack([each.astype(object) for each in rows], axis=1)
