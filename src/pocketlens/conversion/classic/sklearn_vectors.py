"""scikit-learn's support vector machines with kernels, and nearest neighbors."""

from __future__ import annotations

from typing import Any

import numpy as np

from pocketlens.conversion.classic.chain import LABEL, PREDICTION, Chain, Value
from pocketlens.conversion.classic.estimators import matrix, name_of, numbers
from pocketlens.errors import ConversionError

__all__ = ["VECTORS"]


def support_vector_classifier(chain: Chain, value: Value, model: Any) -> None:
    """SVC and NuSVC.

    The label is a vote of the pairs of classes, which may differ from the most probable class, so
    the probabilities come from a model of their own.
    """
    classes = len(model.classes_)
    if model.break_ties and classes > 2:
        raise ConversionError(
            f"{name_of(model)} with break_ties=True cannot be expressed in Core ML, which lets "
            "pairs of classes vote; train it with break_ties=False"
        )
    if np.size(model._probA):
        message = _classifier(chain, value, model)
        pairs = (classes * (classes - 1) // 2,)
        message.probA.extend(numbers(model._probA, pairs, "the probA of the model").tolist())
        message.probB.extend(numbers(model._probB, pairs, "the probB of the model").tolist())
        chain.classifier(message, probabilities=True, label=f"{LABEL}OfProbability")
    chain.classifier(_classifier(chain, value, model), probabilities=False)


def _classifier(chain: Chain, value: Value, model: Any) -> Any:
    classes = len(model.classes_)
    vectors = matrix(model.support_vectors_, value.width, "the support vectors")
    sizes = [int(each) for each in model._n_support]
    if (
        len(sizes) != classes
        or min(sizes) < 0
        or not sum(sizes) == len(vectors) == len(model.support_)
    ):
        raise ConversionError(
            f"the classes of the model have {sizes[:8]} support vectors; expected {classes} "
            f"numbers with the sum {len(vectors)}; the model is damaged, train it again"
        )
    alpha = numbers(model._dual_coef_, (classes - 1, len(vectors)), "the coefficients")
    message = chain.stage("supportVectorClassifier", value, {})
    message.numberOfSupportVectorsPerClass.extend(sizes)
    for row in vectors:
        message.denseSupportVectors.vectors.add(values=row.tolist())
    for row in alpha:
        message.coefficients.add(alpha=row.tolist())
    pairs = (classes * (classes - 1) // 2,)
    message.rho.extend((-numbers(model._intercept_, pairs, "the intercepts")).tolist())
    _kernel(message.kernel, model)
    _mark(chain, value, vectors)
    return message


def support_vector_regressor(chain: Chain, value: Value, model: Any) -> None:
    vectors = matrix(model.support_vectors_, value.width, "the support vectors")
    message = chain.stage("supportVectorRegressor", value, {PREDICTION: "double"})
    chain.last.predictedFeatureName = PREDICTION
    for row in vectors:
        message.denseSupportVectors.vectors.add(values=row.tolist())
    alpha = numbers(model._dual_coef_, (len(vectors),), "the coefficients")
    if len(model.support_) != len(vectors):
        raise ConversionError("the support vectors of the model are damaged; train it again")
    message.coefficients.alpha.extend(alpha.tolist())
    message.rho = -float(numbers(model._intercept_, (1,), "the intercept")[0])
    _kernel(message.kernel, model)
    _mark(chain, value, vectors)


def _mark(chain: Chain, value: Value, vectors: Any) -> None:
    for index in range(value.width):
        chain.mark(value, index, vectors[:100, index])


def _kernel(kernel: Any, model: Any) -> None:
    gamma = float(model._gamma)
    if model.kernel == "linear":
        kernel.linearKernel.SetInParent()
    elif model.kernel == "rbf":
        kernel.rbfKernel.gamma = gamma
    elif model.kernel == "poly":
        kernel.polyKernel.degree = int(model.degree)
        kernel.polyKernel.c = float(model.coef0)
        kernel.polyKernel.gamma = gamma
    elif model.kernel == "sigmoid":
        kernel.sigmoidKernel.c = float(model.coef0)
        kernel.sigmoidKernel.gamma = gamma
    else:
        name = model.kernel if isinstance(model.kernel, str) else "a function"
        raise ConversionError(
            f"{name_of(model)} has the kernel {name}; Core ML has linear, rbf, poly and sigmoid"
        )


def nearest_neighbors(chain: Chain, value: Value, model: Any) -> None:
    """KNeighborsClassifier: a vote of the nearest samples by Euclidean distance."""
    metric = model.effective_metric_
    power = (model.effective_metric_params_ or {}).get("p", 2)
    if metric not in ("euclidean", "sqeuclidean") and not (metric == "minkowski" and power == 2):
        raise ConversionError(
            f"KNeighborsClassifier has the metric {metric!r}; Core ML has the Euclidean distance "
            "only; train it with metric='euclidean'"
        )
    if model.weights not in ("uniform", None):
        raise ConversionError(
            "KNeighborsClassifier weights its neighbors by distance; Core ML weights them by "
            "squared distance; train it with weights='uniform'"
        )
    if getattr(model, "outputs_2d_", False):
        raise ConversionError(
            "KNeighborsClassifier predicts several outputs; a Core ML classifier has one label; "
            "train a model for each"
        )
    samples = matrix(model._fit_X, value.width, "the samples of the model")
    known = np.asarray(model._y, np.int64).reshape(-1)
    if len(known) != len(samples) or not 0 <= known.min() <= known.max() < len(chain.labels):
        raise ConversionError("the labels of the model's samples are damaged; train it again")
    if not 1 <= model.n_neighbors <= len(samples):
        raise ConversionError(
            f"the model votes with {model.n_neighbors} neighbors of {len(samples)} samples; "
            "train it with fewer"
        )
    vector = chain.vector(value)
    message = chain.stage("kNearestNeighborsClassifier", vector, {})
    index = message.nearestNeighborsIndex
    index.numberOfDimensions = vector.width
    index.linearIndex.SetInParent()
    index.squaredEuclideanDistance.SetInParent()
    message.uniformWeighting.SetInParent()
    count = message.numberOfNeighbors
    count.defaultValue = int(model.n_neighbors)
    count.range.minValue, count.range.maxValue = 1, len(samples)
    # Core ML orders the classes by their first sample, and scikit-learn breaks a tie of votes in
    # favor of the lowest class.
    order = np.argsort(known, kind="stable")
    for row in samples[order]:
        index.floatSamples.add(vector=row.tolist())
    labels = chain.labels
    chain.labels = tuple(labels[each] for each in known[order].tolist())
    chain.classifier(message, probabilities=True)
    chain.labels = labels
    if isinstance(labels[0], str):
        message.defaultStringLabel = labels[0]
    else:
        message.defaultInt64Label = labels[0]
    _mark(chain, value, samples)


VECTORS = {
    "SVC": support_vector_classifier,
    "NuSVC": support_vector_classifier,
    "SVR": support_vector_regressor,
    "NuSVR": support_vector_regressor,
    "KNeighborsClassifier": nearest_neighbors,
}
"""The function that converts each class."""
