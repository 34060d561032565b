"""Small fitted models of scikit-learn, XGBoost and LightGBM: one row for each kind."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Step: TypeAlias = "tuple[str, dict[str, Any]]"

__all__ = ["KINDS", "Case", "data"]


@dataclass(frozen=True)
class Case:
    """A kind of model.

    Attributes:
        library: `scikit-learn`, `XGBoost` or `LightGBM`.
        name: The kind.
        fitted: Makes and fits a model.
        missing: Whether it takes missing values.
        unknown: Whether it takes unknown categories.
    """

    library: str
    name: str
    fitted: Callable[[], Any]
    missing: bool = False
    unknown: bool = False


class Data(NamedTuple):
    """Rows [N, 4]; the last two columns have steps of 0.1, and whole numbers from 0 to 5."""

    rows: Any
    gaps: Any  # the same with missing values
    binary: Any
    texts: Any  # labels of three classes
    numbers: Any
    positive: Any


def data(count: int = 300) -> Data:
    """The rows on which all models are trained."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(count, 4))
    rows[:, 2] = np.round(rows[:, 2], 1)
    rows[:, 3] = random.integers(0, 6, count)
    gaps = np.where(random.random(rows.shape) < 0.1, np.nan, rows)
    score = rows[:, 0] + 0.5 * rows[:, 1] + 0.3 * (rows[:, 3] % 3)
    texts = np.array(["low", "middle", "high"])[np.digitize(score, [-0.3, 0.6])]
    numbers = score + rows[:, 2] ** 2
    return Data(rows, gaps, (score > 0.2).astype(int), texts, numbers, np.exp(numbers / 3))


def table() -> Any:
    """The rows as a DataFrame with texts in its last two columns, some missing."""
    pandas = importlib.import_module("pandas")
    rows = data().rows
    frame = pandas.DataFrame(rows[:, :2], columns=["age", "fare"])
    frame["deck"] = np.array(list("ABCDEF"), object)[rows[:, 3].astype(int)]
    frame["sex"] = np.where(rows[:, 2] > 0, "male", "female")
    frame.loc[::9, "deck"] = None
    frame.loc[::7, "age"] = np.nan
    return frame


def _sklearn(path: str, target: str = "texts", rows: str = "rows", **options: Any) -> Any:
    return lambda: _class(f"sklearn.{path}")(**options).fit(
        getattr(data(), rows), getattr(data(), target)
    )


def _class(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _piped(*steps: Step, target: str = "texts", rows: str = "rows") -> Any:
    def fitted() -> Any:
        made = [_class(f"sklearn.{path}")(**options) for path, options in steps]
        pipeline = importlib.import_module("sklearn.pipeline").make_pipeline(*made)
        return pipeline.fit(getattr(data(), rows), getattr(data(), target))

    return fitted


def _with(path: str, **options: Any) -> Any:
    """A model of another library behind a scaler."""

    def fitted() -> Any:
        pipeline = importlib.import_module("sklearn.pipeline").make_pipeline
        scaler = _class("sklearn.preprocessing.StandardScaler")()
        model = _class(path)(n_estimators=6, n_jobs=1, **options)
        return pipeline(scaler, model).fit(data().gaps, data().binary)

    return fitted


def _columns() -> Any:
    compose = importlib.import_module("sklearn.compose")
    pipeline = importlib.import_module("sklearn.pipeline").make_pipeline
    impute = _class("sklearn.impute.SimpleImputer")
    numbers = pipeline(impute(), _class("sklearn.preprocessing.StandardScaler")())
    encoder = _class("sklearn.preprocessing.OneHotEncoder")(handle_unknown="ignore")
    texts = pipeline(impute(strategy="most_frequent"), encoder)
    columns = compose.make_column_transformer((numbers, ["age", "fare"]), (texts, ["deck", "sex"]))
    model = pipeline(columns, _class("sklearn.linear_model.LogisticRegression")())
    return model.fit(table(), data().texts)


def _dictionaries() -> Any:
    pipeline = importlib.import_module("sklearn.pipeline").make_pipeline
    vectorizer = _class("sklearn.feature_extraction.DictVectorizer")()
    rows = [{"x": float(row[0]), "deck": "ABCDEF"[int(row[3])]} for row in data().rows]
    forest = _class("sklearn.ensemble.ExtraTreesClassifier")(4, random_state=0)
    return pipeline(vectorizer, forest).fit(rows, data().texts)


def _xgboost(
    kind: str,
    target: str = "binary",
    rows: str = "rows",
    *,
    categories: bool = False,
    **options: Any,
) -> Any:
    def fitted() -> Any:
        xgboost = importlib.import_module("xgboost")
        labels = getattr(data(), target)
        if target == "texts":
            labels = np.unique(labels, return_inverse=True)[1]
        given = getattr(data(), rows)
        if categories:
            given = importlib.import_module("pandas").DataFrame(given, columns=list("abcd"))
            given["d"] = given["d"].astype(int).astype("category")
            options["enable_categorical"] = True
        model = getattr(xgboost, kind)(n_estimators=6, max_depth=4, n_jobs=1, **options)
        return model.fit(given, labels)

    return fitted


def _lightgbm(kind: str, target: str = "binary", rows: str = "rows", **options: Any) -> Any:
    def fitted() -> Any:
        lightgbm = importlib.import_module("lightgbm")
        categories = options.get("max_cat_to_onehot")
        model = getattr(lightgbm, kind)(
            n_estimators=6, min_child_samples=5, n_jobs=1, verbose=-1, **options
        )
        given = {"categorical_feature": [3]} if categories else {}
        return model.fit(getattr(data(), rows), getattr(data(), target), **given)

    return fitted


def _all() -> Iterator[Case]:
    sk = "scikit-learn"
    small: dict[str, Any] = {"random_state": 0}
    trees: dict[str, Any] = {"n_estimators": 7, **small}
    for name in ("DecisionTreeClassifier", "ExtraTreeClassifier"):
        yield Case(sk, name, _sklearn(f"tree.{name}", **small))
    yield Case(sk, "DecisionTreeRegressor", _sklearn("tree.DecisionTreeRegressor", "numbers"))
    for name in ("RandomForestClassifier", "ExtraTreesClassifier"):
        yield Case(sk, name, _sklearn(f"ensemble.{name}", rows="gaps", **trees), missing=True)
    for name in ("RandomForestRegressor", "ExtraTreesRegressor", "GradientBoostingRegressor"):
        yield Case(sk, name, _sklearn(f"ensemble.{name}", "numbers", **trees))
    for target in ("binary", "texts"):
        boosted = _sklearn("ensemble.GradientBoostingClassifier", target, **trees)
        yield Case(sk, f"GradientBoostingClassifier, {target}", boosted)
        binned: dict[str, Any] = {"max_iter": 6, "categorical_features": [3], **small}
        made = _sklearn("ensemble.HistGradientBoostingClassifier", target, "gaps", **binned)
        yield Case(sk, f"HistGradientBoostingClassifier, {target}", made, True, True)
    for loss in ("squared_error", "poisson", "gamma"):
        made = _sklearn("ensemble.HistGradientBoostingRegressor", "positive", loss=loss, max_iter=6)
        yield Case(sk, f"HistGradientBoostingRegressor, {loss}", made, missing=True)
    for name in ("LinearRegression", "Ridge", "Lasso", "ElasticNet", "PoissonRegressor"):
        yield Case(sk, name, _sklearn(f"linear_model.{name}", "positive"))
    for target in ("binary", "texts"):
        made = _sklearn("linear_model.LogisticRegression", target)
        yield Case(sk, f"LogisticRegression, {target}", made)
    made = _sklearn("linear_model.SGDClassifier", loss="log_loss", **small)
    yield Case(sk, "SGDClassifier, one-vs-rest", made)
    for name in ("RidgeClassifier", "Perceptron"):
        yield Case(sk, name, _sklearn(f"linear_model.{name}"))
    for name in ("SVC", "NuSVC", "LinearSVC"):
        yield Case(sk, name, _sklearn(f"svm.{name}"))
    for name in ("SVR", "NuSVR", "LinearSVR"):
        yield Case(sk, name, _sklearn(f"svm.{name}", "numbers"))
    for kernel in ("linear", "poly", "sigmoid"):
        yield Case(sk, f"SVC, {kernel}", _sklearn("svm.SVC", kernel=kernel))
    yield Case(sk, "KNeighborsClassifier", _sklearn("neighbors.KNeighborsClassifier"))
    yield Case(sk, "GaussianNB", _sklearn("naive_bayes.GaussianNB"))
    yield Case(sk, "BernoulliNB", _sklearn("naive_bayes.BernoulliNB", binarize=0.1))
    scaled: Step = ("preprocessing.MinMaxScaler", {})
    yield Case(sk, "MinMaxScaler, MultinomialNB", _piped(scaled, ("naive_bayes.MultinomialNB", {})))
    discriminant = "discriminant_analysis.LinearDiscriminantAnalysis"
    yield Case(sk, "LinearDiscriminantAnalysis", _sklearn(discriminant))
    steps: list[Step] = [("impute.SimpleImputer", {}), ("preprocessing.RobustScaler", {})]
    tail: list[Step] = [("decomposition.PCA", {"n_components": 3}), ("svm.SVC", {})]
    yield Case(
        sk, "SimpleImputer, RobustScaler, PCA, SVC", _piped(*steps, *tail, rows="gaps"), True
    )
    steps = [("feature_selection.SelectKBest", {"k": 3}), ("preprocessing.Normalizer", {})]
    forest = ("ensemble.RandomForestClassifier", {"n_estimators": 4, **small})
    yield Case(sk, "SelectKBest, Normalizer, forest", _piped(*steps, forest))
    standard: Step = ("preprocessing.StandardScaler", {})
    linear: Step = ("linear_model.LogisticRegression", {})
    constant: Step = ("impute.SimpleImputer", {"strategy": "constant", "fill_value": -1})
    yield Case(sk, "SimpleImputer, constant", _piped(constant, forest, rows="gaps"), missing=True)
    yield Case(sk, "StandardScaler, forest", _piped(standard, forest))
    powers = ("preprocessing.PolynomialFeatures", {"degree": 2})
    yield Case(sk, "PolynomialFeatures, linear", _piped(powers, linear))
    ordinal = {"handle_unknown": "use_encoded_value", "unknown_value": -1}
    encoder = ("preprocessing.OrdinalEncoder", ordinal)
    yield Case(sk, "OrdinalEncoder, tree", _piped(encoder, forest), unknown=True)
    yield Case(sk, "ColumnTransformer with texts", _columns, unknown=True)
    yield Case(sk, "DictVectorizer, forest", _dictionaries)
    yield from _boosted()


def _boosted() -> Iterator[Case]:
    xgb, classifier, regressor = "XGBoost", "XGBClassifier", "XGBRegressor"
    for target in ("binary", "texts"):
        yield Case(xgb, f"gbtree, {target}", _xgboost(classifier, target, "gaps"), missing=True)
        linear = _xgboost(classifier, target, booster="gblinear")
        yield Case(xgb, f"gblinear, {target}", linear, missing=True)
    yield Case(xgb, "dart", _xgboost(classifier, booster="dart", rate_drop=0.5), missing=True)
    for limit in (1, 100):
        made = _xgboost(classifier, "texts", categories=True, max_cat_to_onehot=limit)
        kind = "sets" if limit == 1 else "one-hot"
        yield Case(xgb, f"categories, {kind}", made, missing=True, unknown=True)
    for name in ("reg:squarederror", "count:poisson", "reg:gamma", "reg:tweedie"):
        made = _xgboost(regressor, "positive", objective=name)
        yield Case(xgb, name, made, missing=True)
    scaled = _with("xgboost.XGBClassifier")
    yield Case(xgb, "in a Pipeline", scaled, missing=True)
    yield Case(xgb, "random forest", _xgboost("XGBRFClassifier", "texts"), missing=True)
    yield Case(xgb, "base_score", _xgboost(classifier, base_score=0.3), missing=True)
    light, classifier, regressor = "LightGBM", "LGBMClassifier", "LGBMRegressor"
    for target in ("binary", "texts"):
        yield Case(light, f"gbdt, {target}", _lightgbm(classifier, target, "gaps"), missing=True)
    variants: dict[str, dict[str, Any]] = {
        "zero as missing": {"zero_as_missing": True},
        "without missing values": {"use_missing": False},
        "dart": {"boosting_type": "dart"},
        "random forest": {"boosting_type": "rf", "bagging_fraction": 0.6, "bagging_freq": 1},
        "sigmoid": {"objective": "binary", "sigmoid": 0.5},
    }
    for name, options in variants.items():
        yield Case(light, name, _lightgbm(classifier, rows="gaps", **options), missing=True)
    scaled = _with("lightgbm.LGBMClassifier", verbose=-1)
    yield Case(light, "in a Pipeline", scaled, missing=True)
    one_vs_all = _lightgbm(classifier, "texts", objective="multiclassova")
    yield Case(light, "multiclassova", one_vs_all, missing=True)
    sets = {"max_cat_to_onehot": 1, "min_data_per_group": 5, "cat_smooth": 1}
    yield Case(light, "categories", _lightgbm(classifier, "texts", "gaps", **sets), True, True)
    for name in ("regression", "poisson", "gamma", "tweedie", "mae"):
        yield Case(light, name, _lightgbm(regressor, "positive", objective=name), missing=True)


KINDS: tuple[Case, ...] = tuple(_all())
"""Every kind."""
