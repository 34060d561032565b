"""scikit-learn's transformers of numbers."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from pocketlens.conversion.classic.chain import Affine, Chain, Columns, Value, Vector
from pocketlens.conversion.classic.estimators import matrix, name_of, numbers
from pocketlens.conversion.classic.sklearn_bayes import binarized
from pocketlens.errors import ConversionError

__all__ = ["PREPROCESSING"]

MAX_PRODUCTS = 10_000
"""The most columns that PolynomialFeatures may make here: each is a model of its own."""


def standard_scaler(chain: Chain, value: Value, model: Any) -> Value:
    width = value.width
    mean = numbers(model.mean_, (width,), "the means") if model.with_mean else np.zeros(width)
    scale = numbers(model.scale_, (width,), "the scales") if model.with_std else np.ones(width)
    for index in range(width):
        chain.mark(value, index, mean[index] + scale[index] * np.array([-2.0, -1, 0, 1, 2]))
    return chain.scaled(value, 1 / scale, -mean)


def robust_scaler(chain: Chain, value: Value, model: Any) -> Value:
    width = value.width
    center, scale = np.zeros(width), np.ones(width)
    if model.with_centering:
        center = numbers(model.center_, (width,), "the centers")
    if model.with_scaling:
        scale = numbers(model.scale_, (width,), "the scales")
    for index in range(width):
        chain.mark(value, index, center[index] + scale[index] * np.array([-2.0, -1, 0, 1, 2]))
    return chain.scaled(value, 1 / scale, -center)


def min_max_scaler(chain: Chain, value: Value, model: Any) -> Value:
    width = value.width
    scale = numbers(model.scale_, (width,), "the scales")
    least = numbers(model.min_, (width,), "the minima")
    if model.clip:
        raise ConversionError(
            "MinMaxScaler with clip=True cannot be expressed in Core ML; use clip=False"
        )
    for index in range(width):
        chain.mark(value, index, (np.array([-0.5, 0, 0.5, 1, 1.5]) - least[index]) / scale[index])
    return chain.scaled(value, scale, least / scale)


def max_abs_scaler(chain: Chain, value: Value, model: Any) -> Value:
    if getattr(model, "clip", False):
        raise ConversionError(
            "MaxAbsScaler with clip=True cannot be expressed in Core ML; use clip=False"
        )
    scale = numbers(model.scale_, (value.width,), "the scales")
    for index in range(value.width):
        chain.mark(value, index, scale[index] * np.array([-1.0, 0, 0.5, 1]))
    return chain.scaled(value, 1 / scale, np.zeros(value.width))


def normalizer(chain: Chain, value: Value, model: Any) -> Value:
    if model.norm == "max":
        raise ConversionError(
            "Normalizer with norm='max' divides by the largest absolute value, Core ML by the "
            "largest value; use norm='l1' or 'l2'"
        )
    vector = chain.vector(value)
    name = chain.fresh()
    message = chain.stage("normalizer", vector, {name: vector.width})
    message.normType = {"l1": 1, "l2": 2}[model.norm]
    return Vector(name, vector.width, (-1,) * vector.width)


def binarizer(chain: Chain, value: Value, model: Any) -> Value:
    return binarized(chain, value, float(model.threshold))


def simple_imputer(chain: Chain, value: Value, model: Any) -> Value:
    if model.add_indicator:
        raise ConversionError(
            "SimpleImputer with add_indicator=True is not supported; use add_indicator=False"
        )
    replaced = model.missing_values
    filled = np.asarray(model.statistics_)
    if filled.dtype == object and all(isinstance(each, (int, float)) for each in filled):
        filled = filled.astype(np.float64)  # those of strategy="constant"
    gone = replaced is None or replaced != replaced
    if gone and isinstance(value, Columns) and all(isinstance(each, str) for each in filled):
        return value  # texts, of which none is missing in Core ML
    if not isinstance(replaced, (int, float)) or filled.dtype.kind not in "iufb":
        raise ConversionError(
            f"SimpleImputer replaces {replaced!r} in columns that are not all numbers; impute "
            "columns of numbers and of texts with an imputer each (ColumnTransformer)"
        )
    filled = filled.astype(np.float64)
    if filled.shape != (value.width,):
        raise ConversionError(f"SimpleImputer fills {filled.size} columns; it gets {value.width}")
    # Columns without a single value in training are left out, if keep_empty_features is not set.
    kept = np.flatnonzero(~np.isnan(filled))
    value = chain.select(value, kept.tolist())
    return chain.replaced(value, float(replaced), filled[kept])


def selection(chain: Chain, value: Value, model: Any) -> Value:
    return chain.select(value, np.flatnonzero(model.get_support()).tolist())


def principal_components(chain: Chain, value: Value, model: Any) -> Affine:
    factors = matrix(model.components_, value.width, "the components")
    mean = numbers(model.mean_, (value.width,), "the means")
    if model.whiten:
        variance = numbers(model.explained_variance_, (len(factors),), "the variances")
        least = np.finfo(np.float64).eps
        factors = factors / np.maximum(np.sqrt(variance), least)[:, None]
    for index in range(value.width):
        chain.mark(value, index, mean[index] + np.array([-1.0, 0, 1]))
    return chain.affine(value, factors, -factors @ mean)


def singular_values(chain: Chain, value: Value, model: Any) -> Affine:
    factors = matrix(model.components_, value.width, "the components")
    return chain.affine(value, factors, np.zeros(len(factors)))


def polynomial_features(chain: Chain, value: Value, model: Any) -> Value:
    """Powers and products of at most two columns, by the kernel (x · x' + 0)²."""
    powers = np.asarray(model.powers_, np.int64)
    if powers.shape[1] != value.width or len(powers) > MAX_PRODUCTS or powers.sum(1).max() > 2:
        raise ConversionError(
            f"PolynomialFeatures makes {len(powers)} columns of degree {powers.sum(1).max()}; "
            f"Core ML can express degree 2, and at most {MAX_PRODUCTS} columns are converted; use "
            "degree=2, or compute the columns in your app"
        )
    vector = chain.vector(value)
    names = []
    for row in powers:
        names.append(chain.fresh())
        indices = list(itertools.chain(*([i] * n for i, n in enumerate(row.tolist()))))
        if len(indices) < 2:
            factors = np.zeros(vector.width)
            factors[indices] = 1.0
            chain.linear_number(vector, factors, float(not indices), names[-1])
        else:
            _product(chain, vector, indices[0], indices[1], names[-1])
    return chain.numbers(names)


def _product(chain: Chain, vector: Vector, first: int, second: int, output: str) -> None:
    message = chain.stage("supportVectorRegressor", vector, {output: "double"})
    chain.last.predictedFeatureName = output
    kernel = message.kernel.polyKernel
    kernel.degree, kernel.gamma = 2, 1.0
    # a · b = ((a + b)² - (a - b)²) / 4, and a² is itself.
    signs = ((1.0, 0.25), (-1.0, -0.25)) if first != second else ((0.0, 1.0),)
    for sign, coefficient in signs:
        values = np.zeros(vector.width)
        values[second] = sign
        values[first] = 1.0
        message.denseSupportVectors.vectors.add(values=values.tolist())
        message.coefficients.alpha.append(coefficient)


def passed(chain: Chain, value: Value, model: Any) -> Value:  # noqa: ARG001
    if getattr(model, "func", None) is not None:
        raise ConversionError(
            f"{name_of(model)} calls a Python function, which Core ML cannot; do its work before "
            "the model, or use transformers such as StandardScaler"
        )
    return value


PREPROCESSING = {
    "StandardScaler": standard_scaler,
    "RobustScaler": robust_scaler,
    "MinMaxScaler": min_max_scaler,
    "MaxAbsScaler": max_abs_scaler,
    "Normalizer": normalizer,
    "Binarizer": binarizer,
    "SimpleImputer": simple_imputer,
    **dict.fromkeys(
        (
            *("SelectKBest", "SelectPercentile", "SelectFpr", "SelectFdr", "SelectFwe"),
            *("GenericUnivariateSelect", "VarianceThreshold", "SelectFromModel", "RFE", "RFECV"),
            "SequentialFeatureSelector",
        ),
        selection,
    ),
    "PCA": principal_components,
    "IncrementalPCA": principal_components,
    "TruncatedSVD": singular_values,
    "PolynomialFeatures": polynomial_features,
    "FunctionTransformer": passed,
}
"""The function that converts each class."""
