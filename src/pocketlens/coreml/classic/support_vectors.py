"""Support vector machines, with the sums, votes and probabilities of libsvm.

Sources: SVM.proto; Chang and Lin, "LIBSVM: a library for support vector machines" (2011), for the
decision functions and votes; Wu, Lin and Weng, "Probability estimates for multi-class
classification by pairwise coupling" (2004), second method, for the probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.classic.labels import Labels
from pocketlens.coreml.classic.links import logistic
from pocketlens.coreml.classic.reading import doubles, matrix
from pocketlens.coreml.classic.step import Features, Step, predicted_output
from pocketlens.coreml.classic.vector import Vector
from pocketlens.coreml.file.budget import charge
from pocketlens.coreml.file.features import Interface
from pocketlens.coreml.file.time_limit import check_time
from pocketlens.coreml.graph import Floats, Ints, Message
from pocketlens.coreml.ops.registry import classic
from pocketlens.errors import ModelFileError

Row = NDArray[np.float64]

LEAST = 1e-7  # libsvm keeps each pair's probability this far from 0 and 1
MAX_CLASSES = 1024
PAIR_BYTES = 200
"""About what a run takes for each pair of classes."""
NODE_BYTES = 400
"""About what reading one number of a sparse support vector takes."""
"""The most classes: pairwise coupling needs a number for every pair of them."""


@classic()
def supportVectorRegressor(
    model: Interface,
    *,
    kernel: Message,
    sparseSupportVectors: Message | None = None,
    denseSupportVectors: Message | None = None,
    coefficients: Message,
    rho: float = 0.0,
) -> Step:
    output = predicted_output(model, "double", "int64")
    kernels, count = _kernels(model, kernel, sparseSupportVectors, denseSupportVectors)
    alpha = np.array(coefficients.alpha, np.float64)
    if alpha.size != count:
        raise ModelFileError(f"it has {alpha.size} coefficients for {count} support vectors")
    return Step(lambda inputs: {output.name: alpha @ kernels(inputs) - rho}, (output.name,))


@classic()
def supportVectorClassifier(
    model: Interface,
    *,
    kernel: Message,
    numberOfSupportVectorsPerClass: Ints,
    sparseSupportVectors: Message | None = None,
    denseSupportVectors: Message | None = None,
    coefficients: tuple[Message, ...],
    rho: Floats,
    probA: Floats = (),
    probB: Floats = (),
    stringClassLabels: Message | None = None,
    int64ClassLabels: Message | None = None,
) -> Step:
    labels = Labels(model, stringClassLabels, int64ClassLabels)
    classes = len(labels.classes)
    if not 2 <= classes <= MAX_CLASSES:
        raise ModelFileError(f"it has {classes} classes; expected 2 to {MAX_CLASSES}")
    kernels, count = _kernels(model, kernel, sparseSupportVectors, denseSupportVectors)
    pairs = classes * (classes - 1) // 2
    charge(PAIR_BYTES * pairs, "a run with this many classes")
    sizes = numberOfSupportVectorsPerClass
    if len(sizes) != classes or min(sizes) < 0 or sum(sizes) != count:
        raise ModelFileError(
            f"its classes have {list(sizes)[:8]} support vectors; "
            f"expected {classes} numbers with the sum {count}"
        )
    alpha = [doubles(each.alpha, "its coefficients") for each in coefficients]
    if len(alpha) != classes - 1 or any(row.size != count for row in alpha):
        raise ModelFileError(
            f"it has {len(alpha)} rows of coefficients; "
            f"expected {classes - 1} of {count} support vectors each"
        )
    if len(rho) != pairs:
        raise ModelFileError(
            f"it has {len(rho)} values of rho; expected {pairs}, one for each pair"
        )
    if len(probA) != len(probB) or len(probA) not in (0, pairs):
        raise ModelFileError(
            f"it has {len(probA)} values of probA and {len(probB)} of probB; "
            f"expected {pairs} each, or none"
        )
    if model.probabilities and not probA:
        raise ModelFileError(
            f"the description declares the probabilities '{model.probabilities}'; "
            "the model has no probA and probB to compute them from"
        )
    ends = np.cumsum(sizes)
    spans = [slice(int(end - size), int(end)) for end, size in zip(ends, sizes, strict=True)]

    def decisions(inputs: Features) -> Row:
        """A number for each pair of classes (i, j), i < j: a vote for i if above 0, else for j."""
        k = kernels(inputs)
        sums: list[Row] = []
        for i in range(classes):
            check_time()
            sums += [
                alpha[j - 1][spans[i]] @ k[spans[i]] + alpha[i][spans[j]] @ k[spans[j]]
                for j in range(i + 1, classes)
            ]
        values: Row = np.array(sums) - np.array(rho)
        return values

    def vote(inputs: Features) -> dict[str, object]:
        winners = np.where(decisions(inputs) > 0, *np.triu_indices(classes, 1))
        return labels.to_outputs(None, best=int(np.argmax(np.bincount(winners, minlength=classes))))

    def estimate(inputs: Features) -> dict[str, object]:
        first = logistic(-(np.array(probA) * decisions(inputs) + np.array(probB)))
        # As in libsvm, a NaN decision (from infinite coefficients, say) counts as the lowest.
        return labels.to_outputs(coupled(np.minimum(np.fmax(first, LEAST), 1 - LEAST), classes))

    return Step(estimate if probA else vote, labels.outputs, labels.classes)


def coupled(pairwise: Row, classes: int) -> Row:
    """Compute class probabilities from the probabilities of each pair of classes.

    They minimize Σ_i Σ_j≠i (r_ji p_i - r_ij p_j)². The iteration is that of the paper, with
    libsvm's limits: at most max(100, K) rounds, until every derivative is within 0.005 / K.

    Args:
        pairwise: r_ij, the probability of class i against class j, for all i < j in order,
            [K (K - 1) / 2].
        classes: K.

    Returns:
        The probability of each class, [K].
    """
    if classes == 2:
        return np.array([pairwise[0], 1 - pairwise[0]])
    r = np.zeros((classes, classes))
    i, j = np.triu_indices(classes, 1)
    r[i, j], r[j, i] = pairwise, 1 - pairwise
    q = -r.T * r
    np.fill_diagonal(q, (r.T**2).sum(1))
    p = np.full(classes, 1 / classes)
    for _ in range(max(100, classes)):
        check_time()
        slope = q @ p
        total = p @ slope
        if np.abs(slope - total).max() < 0.005 / classes:
            break
        for t in range(classes):
            step = (total - slope[t]) / q[t, t]
            p[t] += step
            total = (total + step * (step * q[t, t] + 2 * slope[t])) / (1 + step) ** 2
            slope = (slope + step * q[:, t]) / (1 + step)
            p /= 1 + step
    return p


class _Vectors(Protocol):
    """The support vectors, for computations with an input x [width]."""

    def dot(self, x: Row) -> Row:
        """x · x' for each support vector x', [count]."""

    def distance(self, x: Row) -> Row:
        """|x - x'|² for each support vector x', [count]."""


class _Dense:
    def __init__(self, values: Row) -> None:
        self._values = values

    def dot(self, x: Row) -> Row:
        row: Row = self._values @ x
        return row

    def distance(self, x: Row) -> Row:
        differences = self._values - x
        row: Row = np.einsum("ij,ij->i", differences, differences)
        return row


class _Sparse:
    def __init__(
        self, count: int, rows: list[int], columns: list[int], values: list[float]
    ) -> None:
        self._count = count
        self._rows = np.array(rows, np.int64)
        self._columns = np.array(columns, np.int64)
        self._values = np.array(values, np.float64)

    def _sums(self, terms: Row) -> Row:
        row: Row = np.bincount(self._rows, terms, self._count).astype(np.float64)
        return row

    def dot(self, x: Row) -> Row:
        return self._sums(self._values * x[self._columns])

    def distance(self, x: Row) -> Row:
        # Where a support vector has no entry, it is 0, and the difference is x.
        near = x[self._columns]
        return np.maximum(x @ x + self._sums((near - self._values) ** 2 - near**2), 0.0)


def _kernels(
    model: Interface, kernel: Message, sparse: Message | None, dense: Message | None
) -> tuple[Callable[[Features], Row], int]:
    """A function that computes the kernel of the inputs and each support vector, [count]; and the
    number of support vectors."""
    vectors: _Vectors
    if dense is not None:
        count = len(dense.vectors)
        width = len(dense.vectors[0].values) if count else 0
        if not width or any(len(each.values) != width for each in dense.vectors):
            raise ModelFileError("its support vectors are empty or of different lengths")
        vectors = _Dense(matrix((each.values for each in dense.vectors), count, width))
        vector = Vector(model.inputs, width=width)
    elif sparse is not None:
        count = len(sparse.vectors)
        charge(NODE_BYTES * sum(len(each.nodes) for each in sparse.vectors), "its support vectors")
        nodes = [(row, node) for row, each in enumerate(sparse.vectors) for node in each.nodes]
        positions = [(row, node.index) for row, node in nodes]
        if min((index for _, index in positions), default=1) < 1:
            raise ModelFileError("a support vector has an index below 1; libsvm counts from 1")
        if len(set(positions)) != len(positions):
            raise ModelFileError("a support vector has two values at one index")
        vectors = _Sparse(
            count,
            [row for row, _ in positions],
            [index - 1 for _, index in positions],
            [node.value for _, node in nodes],
        )
        width = max((index for _, index in positions), default=0)
        vector = Vector(model.inputs, width=width, exact=False)
    else:
        raise ModelFileError("it has no support vectors, neither sparse nor dense ones")
    function = _kernel(kernel, vectors)
    return (lambda inputs: function(vector.row(inputs))), count


def _kernel(kernel: Message, vectors: _Vectors) -> Callable[[Row], Row]:
    kind = kernel.WhichOneof("kernel")
    if kind == "linearKernel":
        return vectors.dot
    if kind == "rbfKernel":
        gamma = _gamma(kernel.rbfKernel)
        return lambda x: np.exp(-gamma * vectors.distance(x))
    if kind == "polyKernel":
        gamma, c, degree = _gamma(kernel.polyKernel), kernel.polyKernel.c, kernel.polyKernel.degree
        if degree < 0:
            raise ModelFileError(f"its kernel has the degree {degree}; expected at least 0")
        return lambda x: (gamma * vectors.dot(x) + c) ** degree
    if kind == "sigmoidKernel":
        gamma, c = _gamma(kernel.sigmoidKernel), kernel.sigmoidKernel.c
        return lambda x: np.tanh(gamma * vectors.dot(x) + c)
    raise ModelFileError("it has no kernel; expected a linear, RBF, polynomial or sigmoid one")


def _gamma(kernel: Message) -> float:
    if not kernel.gamma >= 0:
        raise ModelFileError(f"its kernel has the gamma {kernel.gamma}; expected at least 0")
    return float(kernel.gamma)
