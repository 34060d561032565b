"""What the converters of scikit-learn's estimators share."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketlens.conversion.classic.chain import Floats
from pocketlens.errors import ConversionError

__all__ = ["check_fitted", "matrix", "name_of", "numbers", "vectorizer_of"]


def name_of(model: Any) -> str:
    """The class of an estimator, as its users know it."""
    return type(model).__name__


def check_fitted(model: Any) -> None:
    """Check a model with the methods of scikit-learn, such as XGBClassifier.

    Raises:
        ConversionError: It is not fitted.
    """
    if not model.__sklearn_is_fitted__():
        raise ConversionError(
            f"{name_of(model)} is not fitted; call its fit(X, y) before you convert it"
        )


def vectorizer_of(model: Any) -> Any:
    """The DictVectorizer that a model begins with, or None."""
    first = model.steps[0][1] if name_of(model) == "Pipeline" else model
    return first if name_of(first) == "DictVectorizer" else None


def numbers(values: Any, shape: tuple[int, ...], what: str) -> Floats:
    """Parameters as finite doubles of a known shape; one number may stand for all of them.

    Raises:
        ConversionError: They are not.
    """
    array = np.asarray(_dense(values), np.float64)
    if array.size == 1 and array.shape != shape:
        array = np.full(shape, array.item())
    if array.size != int(np.prod(shape)) or not np.isfinite(array).all():
        raise ConversionError(
            f"{what} are {' × '.join(map(str, array.shape))} numbers; expected "
            f"{' × '.join(map(str, shape))}, all of them finite; train the model again"
        )
    return array.reshape(shape)


def matrix(values: Any, width: int, what: str) -> Floats:
    """Finite doubles, [any, width]."""
    array = np.atleast_2d(np.asarray(_dense(values), np.float64))
    return numbers(array, (len(array), width), what)


def _dense(values: Any) -> Any:
    """A sparse matrix as an array, after a check of its indices."""
    if not hasattr(values, "toarray"):
        return values
    values.check_format(full_check=True)
    return values.toarray()
