"""scikit-learn's trees, forests and boosted trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pocketlens.conversion.classic.chain import PREDICTION, Chain, Columns, Floats, Value
from pocketlens.conversion.classic.estimators import name_of
from pocketlens.conversion.classic.thresholds import at_most
from pocketlens.conversion.classic.tree_ensembles import (
    Piecewise,
    Tree,
    add_ensemble,
    check_tree,
)
from pocketlens.errors import ConversionError

__all__ = ["TREES"]


def decision_tree_classifier(chain: Chain, value: Value, model: Any) -> None:
    _forest(chain, value, [model], model)


def forest_classifier(chain: Chain, value: Value, model: Any) -> None:
    _forest(chain, value, model.estimators_, model)


def _forest(chain: Chain, value: Value, estimators: Sequence[Any], model: Any) -> None:
    """The mean of the probabilities of each tree; ties go to the first class, as in NumPy."""
    classes = len(model.classes_)
    trees = []
    for each in estimators:
        shares = _values(each, classes) / len(estimators)
        trees.append(_tree(each, value.width, shares))
    add_ensemble(chain, value, trees, [0.0] * classes)


def decision_tree_regressor(chain: Chain, value: Value, model: Any) -> None:
    add_ensemble(
        chain, value, [_tree(model, value.width, _single(model))], [0.0], output=PREDICTION
    )


def forest_regressor(chain: Chain, value: Value, model: Any) -> None:
    count = len(model.estimators_)
    trees = [_tree(each, value.width, _single(each) / count) for each in model.estimators_]
    add_ensemble(chain, value, trees, [0.0], output=PREDICTION)


def gradient_boosting_classifier(chain: Chain, value: Value, model: Any) -> None:
    classes = len(model.classes_)
    # Half of the margin is the exponential loss's logit.
    factor = 2.0 if model.loss == "exponential" else 1.0
    base = _initial(model, 1 if classes == 2 else classes) * factor
    trees = _stages(model, value.width, factor)
    if classes == 2:
        # A margin of 0 is the second class, as with Core ML's single logistic score.
        add_ensemble(chain, value, trees, base.tolist(), transform="Regression_Logistic")
    else:
        add_ensemble(chain, value, trees, base.tolist(), transform="Classification_SoftMax")


def gradient_boosting_regressor(chain: Chain, value: Value, model: Any) -> None:
    add_ensemble(
        chain,
        value,
        _stages(model, value.width, 1.0),
        _initial(model, 1).tolist(),
        output=PREDICTION,
    )


def _stages(model: Any, width: int, factor: float) -> list[Tree]:
    trees = []
    for stage in model.estimators_:
        for dimension, each in enumerate(stage):
            scaled = _single(each) * model.learning_rate * factor
            trees.append(_tree(each, width, scaled, dimension))
    return trees


def _initial(model: Any, dimensions: int) -> Floats:
    """The raw prediction of the initial estimator, which must be a constant, [dimensions]."""
    kind = type(model.init_).__name__
    if isinstance(model.init_, str) and model.init_ == "zero":
        return np.zeros(dimensions)
    if kind not in ("DummyClassifier", "DummyRegressor"):
        raise ConversionError(
            f"{name_of(model)} starts from another model (init={kind}), which Core ML cannot add "
            "to trees; train it with init=None or init='zero'"
        )
    raw = model._raw_predict_init(np.zeros((1, model.n_features_in_), np.float32))
    return np.asarray(raw, np.float64).reshape(dimensions)


def histogram_boosting_classifier(chain: Chain, value: Value, model: Any) -> None:
    value, trees, base = _histogram(chain, value, model)
    if len(model.classes_) == 2:
        # A margin of 0 is the first class, as with two scores of which the first is 0.
        trees = [replace(tree, dimension=1) for tree in trees]
        base = np.array([0.0, base[0]])
    add_ensemble(chain, value, trees, base.tolist(), transform="Classification_SoftMax")


def histogram_boosting_regressor(chain: Chain, value: Value, model: Any) -> None:
    value, trees, base = _histogram(chain, value, model)
    link = type(model._loss.link).__name__
    if link == "IdentityLink":
        add_ensemble(chain, value, trees, base.tolist(), output=PREDICTION)
        return
    if link != "LogLink":
        raise ConversionError(
            f"{name_of(model)} with loss={model.loss!r} has the link {link}; expected the "
            "identity or the logarithm; train it with another loss"
        )
    name = chain.fresh()
    add_ensemble(chain, value, trees, base.tolist(), output=name)
    chain.exponential(name, PREDICTION)


def _histogram(chain: Chain, value: Value, model: Any) -> tuple[Value, list[Tree], Floats]:
    """The input, with numbers for texts; the trees; and what they are added to, [dimensions]."""
    if len(model._bin_mapper.is_categorical_) != value.width:
        raise ConversionError(f"{name_of(model)} has other columns than its trees; train it again")
    value, categories, order = _categories(chain, value, model)
    trees = []
    for iteration in model._predictors:
        for dimension, predictor in enumerate(iteration):
            trees.append(_predictor(predictor, dimension, categories, order, value.width))
    return value, trees, np.asarray(model._baseline_prediction, np.float64).reshape(-1)


def _categories(
    chain: Chain, value: Value, model: Any
) -> tuple[Value, dict[int, Floats], list[int]]:
    """The input; the categories of columns, as the model numbers them; each feature's column."""
    categorical = model.is_categorical_
    if categorical is None or not any(categorical):
        return value, {}, list(range(value.width))
    columns = np.flatnonzero(categorical).tolist()
    encoder = model._preprocessor.named_transformers_["encoder"]
    found, texts = {}, {}
    for column, known in zip(columns, encoder.categories_, strict=True):
        if not any(isinstance(each, str) for each in known):
            found[column] = np.asarray(known, np.float64)
            if value.origin[column] >= 0:
                chain.categories.setdefault(value.origin[column], []).extend(found[column].tolist())
            continue
        if not isinstance(value, Columns):
            raise ConversionError(
                f"{name_of(model)} has categories that are texts, which must come directly from a "
                "column of its own: train the model on a DataFrame with column names, and leave "
                "out inputs='array'"
            )
        names = [each for each in known if isinstance(each, str)]
        # A missing text, which Core ML does not have, is the last category.
        texts[column] = chain.numbered(value.indices[column], names, strict=False)
        found[column] = np.arange(len(names), dtype=np.float64)
    if texts and isinstance(value, Columns):
        value = chain.with_numbers(value, texts)
    return value, found, columns + np.flatnonzero(~np.asarray(categorical)).tolist()


def _predictor(
    predictor: Any, dimension: int, categories: dict[int, Floats], order: list[int], width: int
) -> Tree:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    column = np.array(order, np.int64)[np.where(leaf, 0, nodes["feature_idx"].astype(np.int64))]
    missing = nodes["missing_go_to_left"].astype(bool)
    tests = {}
    for position in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf).tolist():
        node = nodes[position]
        bits = predictor.raw_left_cat_bitsets[int(node["bitset_idx"])]
        tests[position] = _membership(
            categories[int(column[position])], bits, bool(missing[position])
        )
    return check_tree(
        Tree(
            np.where(leaf, -1, column),
            nodes["num_threshold"].astype(np.float64),
            nodes["left"].astype(np.int64),
            nodes["right"].astype(np.int64),
            missing,
            nodes["value"].astype(np.float64),
            dimension,
            tests,
        ),
        width,
        "a tree of the model",
    )


def _membership(known: Floats, bits: Any, missing: bool) -> Piecewise:
    """The test of a category, which is a number that equals one of `known`; others are missing.

    A NaN among the known categories is the missing value itself.
    """
    breaks: list[float] = []
    left = [missing]
    for number, category in enumerate(known.tolist()):
        if np.isnan(category):
            continue
        goes = bool((int(bits[number // 32]) >> (number % 32)) & 1)
        if breaks and breaks[-1] == category:
            left[-1] = goes
        else:
            breaks.append(category)
            left.append(goes)
        breaks.append(float(np.nextafter(category, np.inf)))
        left.append(missing)
    return Piecewise(tuple(breaks), tuple(left), missing)


def _tree(model: Any, width: int, value: Floats, dimension: int = 0) -> Tree:
    tree = model.tree_
    left = np.asarray(tree.children_left, np.int64)
    leaf = left < 0
    # Without missing values in training, scikit-learn takes none in prediction.
    missing = np.asarray(getattr(tree, "missing_go_to_left", np.zeros(leaf.shape)), bool)
    return check_tree(
        Tree(
            np.where(leaf, -1, np.asarray(tree.feature, np.int64)),
            at_most(np.where(leaf, 0.0, tree.threshold)),
            left,
            np.asarray(tree.children_right, np.int64),
            missing,
            value,
            dimension,
        ),
        width,
        f"a tree of {name_of(model)}",
    )


def _values(model: Any, classes: int) -> Floats:
    """The shares of the classes in each node, [n, classes]."""
    values = np.asarray(model.tree_.value, np.float64)
    if values.ndim != 3 or values.shape[1] != 1 or values.shape[2] != classes:
        raise ConversionError(
            f"{name_of(model)} predicts {values.shape[1] if values.ndim == 3 else 0} outputs; a "
            "Core ML tree ensemble has one; train a model for each"
        )
    return values[:, 0, :]


def _single(model: Any) -> Floats:
    """The value of each node, [n]."""
    return _values(model, 1)[:, 0]


TREES = {
    "DecisionTreeClassifier": decision_tree_classifier,
    "ExtraTreeClassifier": decision_tree_classifier,
    "RandomForestClassifier": forest_classifier,
    "ExtraTreesClassifier": forest_classifier,
    "DecisionTreeRegressor": decision_tree_regressor,
    "ExtraTreeRegressor": decision_tree_regressor,
    "RandomForestRegressor": forest_regressor,
    "ExtraTreesRegressor": forest_regressor,
    "GradientBoostingClassifier": gradient_boosting_classifier,
    "GradientBoostingRegressor": gradient_boosting_regressor,
    "HistGradientBoostingClassifier": histogram_boosting_classifier,
    "HistGradientBoostingRegressor": histogram_boosting_regressor,
}
"""The function that converts each class."""
