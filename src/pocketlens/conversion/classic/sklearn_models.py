"""A fitted scikit-learn estimator, or a pipeline of several, as a Core ML model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from pocketlens.conversion.classic.chain import TRANSFORMED, Chain, Value
from pocketlens.conversion.classic.estimators import name_of
from pocketlens.conversion.classic.from_lightgbm import add_lightgbm
from pocketlens.conversion.classic.from_xgboost import add_xgboost
from pocketlens.conversion.classic.sklearn_bayes import BAYES
from pocketlens.conversion.classic.sklearn_encoding import ENCODING
from pocketlens.conversion.classic.sklearn_linear import LINEAR
from pocketlens.conversion.classic.sklearn_preprocessing import PREPROCESSING
from pocketlens.conversion.classic.sklearn_trees import TREES
from pocketlens.conversion.classic.sklearn_vectors import VECTORS
from pocketlens.errors import ConversionError, did_you_mean

__all__ = [
    "SUPPORTED",
    "add_estimator",
    "add_transformed",
    "columns_of",
    "task_of",
]

PREDICTORS: dict[str, Callable[[Chain, Value, Any], None]] = {
    **TREES,
    **LINEAR,
    **VECTORS,
    **BAYES,
}
TRANSFORMERS: dict[str, Callable[[Chain, Value, Any], Value]] = {**PREPROCESSING, **ENCODING}

LIBRARIES: dict[str, Callable[[Chain, Value, Any], None]] = {
    "xgboost": add_xgboost,
    "lightgbm": add_lightgbm,
}
"""Packages whose models may be the last step of a Pipeline."""

INSTEAD = {
    "CalibratedClassifierCV": "convert the classifier inside it, or use LogisticRegression",
    "VotingClassifier": "convert each of its models, and vote in your app",
    "VotingRegressor": "convert each of its models, and take the mean in your app",
    "StackingClassifier": "convert each of its models",
    "StackingRegressor": "convert each of its models",
    "KNeighborsRegressor": "Core ML has no regressor of this kind; use RandomForestRegressor",
    "RadiusNeighborsClassifier": "use KNeighborsClassifier",
    "MLPClassifier": "train it in Keras or PyTorch and convert that",
    "MLPRegressor": "train it in Keras or PyTorch and convert that",
    "KNNImputer": "use SimpleImputer",
    "IterativeImputer": "use SimpleImputer",
    "LabelEncoder": "pass class names to the classifier; Core ML returns them as its label",
    "CategoricalNB": "use OneHotEncoder and BernoulliNB",
    "OneClassSVM": "use a classifier with two classes",
    "GaussianProcessClassifier": "use SVC",
    "GaussianProcessRegressor": "use SVR",
    "PowerTransformer": "use StandardScaler",
    "QuantileTransformer": "use StandardScaler",
    "KBinsDiscretizer": "use a tree, which finds its own bins",
    "TransformedTargetRegressor": "convert its regressor, and invert the target in your app",
    "GridSearchCV": "pass its best_estimator_",
    "RandomizedSearchCV": "pass its best_estimator_",
    "MultiOutputClassifier": "train and convert a model for each output",
    "MultiOutputRegressor": "train and convert a model for each output",
}
"""What to do about classes that are not converted."""

COMPOSED = ("ColumnTransformer", "DictVectorizer", "FeatureUnion", "Pipeline")
SUPPORTED: tuple[str, ...] = tuple(sorted((*PREDICTORS, *TRANSFORMERS, *COMPOSED)))
"""The classes that are converted."""


def _package(model: Any) -> str:
    return type(model).__module__.partition(".")[0]


def task_of(model: Any) -> Literal["classifier", "regressor", "transformer"]:
    """What the model does, by its last step.

    Raises:
        ConversionError: It is none of these, such as a clusterer.
    """
    if name_of(model) == "Pipeline":
        steps = [each for _, each in model.steps if each not in (None, "passthrough")]
        return task_of(steps[-1]) if steps else "transformer"
    if name_of(model) in PREDICTORS or _package(model) in LIBRARIES:
        return "classifier" if hasattr(model, "classes_") else "regressor"
    if name_of(model) in TRANSFORMERS or name_of(model) in COMPOSED:
        return "transformer"
    raise _unknown(model)


def add_estimator(chain: Chain, value: Value, model: Any) -> Value | None:
    """Add the stages of an estimator.

    Returns:
        What a transformer computes; None for a classifier or regressor.

    Raises:
        ConversionError: Core ML cannot express it; the message says what to do.
        ConversionError: The model is damaged.
    """
    kind = name_of(model)
    if _package(model) in LIBRARIES:
        LIBRARIES[_package(model)](chain, value, model)
        return None
    if kind == "Pipeline":
        return _pipeline(chain, value, model)
    if kind == "ColumnTransformer":
        return _columns(chain, value, model)
    if kind == "FeatureUnion":
        return _union(chain, value, model)
    if kind == "DictVectorizer":
        return value  # each of its keys is a column
    if kind in PREDICTORS:
        _check_outputs(model)
        PREDICTORS[kind](chain, value, model)
        return None
    if kind in TRANSFORMERS:
        return TRANSFORMERS[kind](chain, value, model)
    raise _unknown(model)


def add_transformed(chain: Chain, value: Value) -> None:
    """Name the result of a transformer, a model of its own."""
    vector = chain.vector(value)
    message = chain.stage("scaler", vector, {TRANSFORMED: vector.width})
    message.scaleValue.append(1.0)


def _pipeline(chain: Chain, value: Value, model: Any) -> Value | None:
    result: Value | None = value
    for name, step in model.steps:
        if step is None or isinstance(step, str):  # "passthrough"
            continue
        if result is None:
            raise ConversionError(
                f"the pipeline has the step {name!r} behind its predictor; put the predictor last"
            )
        result = add_estimator(chain, result, step)
    return result


def _columns(chain: Chain, value: Value, model: Any) -> Value:
    parts = []
    names = list(getattr(model, "feature_names_in_", ()))
    for name, transformer, columns in model.transformers_:
        indices = columns_of(columns, names, value.width)
        if not indices or (isinstance(transformer, str) and transformer == "drop"):
            continue
        chosen = chain.select(value, indices)
        if isinstance(transformer, str) or _is_passthrough(transformer):
            parts.append(chosen)
            continue
        made = add_estimator(chain, chosen, transformer)
        if made is None:
            raise ConversionError(
                f"the ColumnTransformer has a predictor, {name!r}; put it behind it, in a Pipeline"
            )
        parts.append(made)
    if not parts:
        raise ConversionError("the ColumnTransformer drops all columns; a model needs at least one")
    if model.transformer_weights:
        raise ConversionError(
            "ColumnTransformer with transformer_weights is not supported; use a StandardScaler"
        )
    return chain.joined(parts)


def _is_passthrough(transformer: Any) -> bool:
    """scikit-learn stores "passthrough" as a FunctionTransformer without a function."""
    return name_of(transformer) == "FunctionTransformer" and transformer.func is None


def _union(chain: Chain, value: Value, model: Any) -> Value:
    if model.transformer_weights:
        raise ConversionError(
            "FeatureUnion with transformer_weights is not supported; use a StandardScaler"
        )
    parts = []
    for name, each in model.transformer_list:
        if each == "drop":
            continue
        made = value if each == "passthrough" else add_estimator(chain, value, each)
        if made is None:
            raise ConversionError(
                f"the FeatureUnion has a predictor, {name!r}; put it behind it, in a Pipeline"
            )
        parts.append(made)
    return chain.joined(parts)


def columns_of(columns: Any, names: Sequence[str], width: int) -> list[int]:
    """The positions of columns that are given as in ColumnTransformer.

    Raises:
        ConversionError: A column that does not exist.
    """
    if callable(columns):
        raise ConversionError(
            "the ColumnTransformer chooses columns by a function; list them instead"
        )
    if isinstance(columns, slice):
        everything = list(range(width))
        if isinstance(columns.start, str) or isinstance(columns.stop, str):
            start = 0 if columns.start is None else list(names).index(columns.start)
            stop = width if columns.stop is None else list(names).index(columns.stop) + 1
            return everything[start : stop : columns.step]
        return everything[columns]
    listed = np.atleast_1d(np.asarray(columns))
    if listed.dtype == bool:
        return [int(each) for each in np.flatnonzero(listed)]
    found = [
        list(names).index(each) if isinstance(each, str) else int(each) for each in listed.tolist()
    ]
    if any(not -width <= each < width for each in found):
        raise ConversionError(f"the ColumnTransformer has the columns {found}; there are {width}")
    return [each % width for each in found]


def _check_outputs(model: Any) -> None:
    outputs = getattr(model, "n_outputs_", 1)
    classes = getattr(model, "classes_", None)
    if isinstance(classes, list) or (isinstance(outputs, int) and outputs > 1):
        raise ConversionError(
            f"{name_of(model)} predicts several outputs; a Core ML classifier or regressor has "
            "one; train and convert a model for each output"
        )


def _unknown(model: Any) -> ConversionError:
    kind = name_of(model)
    instead = INSTEAD.get(kind)
    if instead is None:
        instead = did_you_mean(kind, SUPPORTED)
    return ConversionError(f"{kind} ({_package(model)}) cannot be converted to Core ML; {instead}")
