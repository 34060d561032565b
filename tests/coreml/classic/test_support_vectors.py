"""Support vector machines, compared with libsvm's published formulas."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import CoreMLModel
from pocketlens.coreml.classic.support_vectors import coupled
from pocketlens.errors import ModelFileError

Open = Callable[[Any], CoreMLModel]
GAMMA, C, DEGREE = 0.3, -0.5, 3

KERNELS: dict[str, Callable[[Any, Any], float]] = {
    "linear": lambda a, b: float(a @ b),
    "rbf": lambda a, b: float(np.exp(-GAMMA * np.sum((a - b) ** 2))),
    "poly": lambda a, b: float((GAMMA * (a @ b) + C) ** DEGREE),
    "sigmoid": lambda a, b: float(np.tanh(GAMMA * (a @ b) + C)),
}


def set_kernel(message: Any, name: str) -> None:
    kernel = getattr(message.kernel, f"{name}Kernel")
    kernel.SetInParent()
    if name != "linear":
        kernel.gamma = GAMMA
    if name in ("poly", "sigmoid"):
        kernel.c = C
    if name == "poly":
        kernel.degree = DEGREE


def set_vectors(message: Any, vectors: np.ndarray, sparse: bool) -> None:
    for vector in vectors:
        if sparse:
            nodes = message.sparseSupportVectors.vectors.add().nodes
            for index in np.flatnonzero(vector):
                nodes.add(index=int(index) + 1, value=vector[index])
        else:
            message.denseSupportVectors.vectors.add().values.extend(vector)


def random_data(seed: int, count: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Random support vectors [count, width], some elements 0, and 20 random inputs."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, width)) * (random.random((count, width)) < 0.6)
    vectors[0] = 0
    return vectors, random.normal(size=(20, width)) * 2


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sparse", [True, False])
def test_regressor(kernel: str, sparse: bool, spec_of: Callable[..., Any], open_spec: Open) -> None:
    vectors, inputs = random_data(1, 7, 4)
    alpha = np.linspace(-2, 2, 7)
    spec = spec_of("supportVectorRegressor", {"a": "double", "b": (3,)}, {"y": "double"}, "y")
    message = spec.supportVectorRegressor
    set_kernel(message, kernel)
    set_vectors(message, vectors, sparse)
    message.coefficients.alpha.extend(alpha)
    message.rho = 0.75
    model = open_spec(spec)
    for x in inputs:
        expected = sum(a * KERNELS[kernel](v, x) for a, v in zip(alpha, vectors, strict=True))
        answer = model.run({"a": x[0], "b": x[1:]})["y"]
        assert answer == pytest.approx(expected - 0.75, rel=1e-10, abs=1e-10)


class Machine:
    """A classifier with random coefficients, and libsvm's decision values in plain loops."""

    def __init__(
        self, classes: int, kernel: str, sparse: bool, spec_of: Callable[..., Any]
    ) -> None:
        self.sizes = [2, 3, 1, 4, 2][:classes]
        self.kernel = KERNELS[kernel]
        self.vectors, self.inputs = random_data(classes, sum(self.sizes), 3)
        random = np.random.default_rng(classes)
        self.alpha = random.normal(size=(classes - 1, sum(self.sizes)))
        self.pairs = list(combinations(range(classes), 2))
        self.rho = random.normal(size=len(self.pairs)) * 0.1
        self.a = random.normal(size=len(self.pairs)) - 1
        self.b = random.normal(size=len(self.pairs)) * 0.1
        self.labels = [f"class {n}" for n in range(classes)]
        self.spec = spec_of("supportVectorClassifier", {"x": (3,)}, {"c": "string"}, "c")
        message = self.spec.supportVectorClassifier
        set_kernel(message, kernel)
        set_vectors(message, self.vectors, sparse)
        message.numberOfSupportVectorsPerClass.extend(self.sizes)
        for row in self.alpha:
            message.coefficients.add().alpha.extend(row)
        message.rho.extend(self.rho)
        message.stringClassLabels.vector.extend(self.labels)

    def with_probabilities(self) -> Any:
        table = self.spec.description.output.add(name="p").type.dictionaryType
        table.stringKeyType.SetInParent()
        self.spec.description.predictedProbabilitiesName = "p"
        self.spec.supportVectorClassifier.probA.extend(self.a)
        self.spec.supportVectorClassifier.probB.extend(self.b)
        return self.spec

    def decisions(self, x: np.ndarray) -> list[float]:
        owner = np.repeat(np.arange(len(self.sizes)), self.sizes)
        values = []
        for number, (i, j) in enumerate(self.pairs):
            total = -self.rho[number]
            for n, vector in enumerate(self.vectors):
                if owner[n] == i:
                    total += self.alpha[j - 1][n] * self.kernel(vector, x)
                if owner[n] == j:
                    total += self.alpha[i][n] * self.kernel(vector, x)
            values.append(total)
        return values


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize(("kernel", "sparse"), [("rbf", True), ("linear", False)])
def test_votes(
    classes: int, kernel: str, sparse: bool, spec_of: Callable[..., Any], open_spec: Open
) -> None:
    machine = Machine(classes, kernel, sparse, spec_of)
    model = open_spec(machine.spec)
    labels = set()
    for x in machine.inputs:
        votes = [0] * classes
        for (i, j), value in zip(machine.pairs, machine.decisions(x), strict=True):
            votes[i if value > 0 else j] += 1
        expected = machine.labels[votes.index(max(votes))]
        assert model.run({"x": x}) == {"c": expected}
        labels.add(expected)
    assert len(labels) > 1


def test_two_probabilities(spec_of: Callable[..., Any], open_spec: Open) -> None:
    """The first of two classes has 1 / (1 + e^(A f + B)), at least 1e-7 away from 0 and 1."""
    machine = Machine(2, "poly", False, spec_of)
    model = open_spec(machine.with_probabilities())
    for x in [*machine.inputs, np.full(3, 1e3)]:
        exponent = machine.a[0] * machine.decisions(x)[0] + machine.b[0]
        first = 1 / (1 + np.exp(np.clip(exponent, -700, 700)))
        first = min(max(first, 1e-7), 1 - 1e-7)
        answer = model.run({"x": x})
        assert list(answer["p"].values()) == pytest.approx([first, 1 - first], rel=1e-9)
        assert answer["c"] == machine.labels[0 if first >= 0.5 else 1]


def test_nan_decision(spec_of: Callable[..., Any], open_spec: Open) -> None:
    """libsvm 3.23 returns these numbers for infinite coefficients, which it can train itself."""
    spec = Machine(2, "linear", False, spec_of).with_probabilities()
    spec.supportVectorClassifier.rho[0] = np.nan
    answer = open_spec(spec).run({"x": np.ones(3)})
    assert list(answer["p"].values()) == [1e-7, 0.9999999]
    assert answer["c"] == list(answer["p"])[1]


@pytest.mark.parametrize("classes", [3, 5])
def test_coupled_probabilities(classes: int, spec_of: Callable[..., Any], open_spec: Open) -> None:
    """The minimum of Σ_i Σ_j≠i (r_ji p_i - r_ij p_j)² with Σ p = 1, as a linear system."""
    machine = Machine(classes, "rbf", True, spec_of)
    model = open_spec(machine.with_probabilities())
    for x in machine.inputs:
        r = np.zeros((classes, classes))
        values = zip(machine.pairs, machine.decisions(x), machine.a, machine.b, strict=True)
        for (i, j), value, a, b in values:
            r[i, j] = 1 / (1 + np.exp(a * value + b))
            r[j, i] = 1 - r[i, j]
        answer = model.run({"x": x})
        p = np.array(list(answer["p"].values()))
        np.testing.assert_allclose(p, minimum(r), atol=0.01)
        assert p.sum() == pytest.approx(1, abs=1e-12)
        assert answer["c"] == machine.labels[int(np.argmax(p))]


def minimum(r: np.ndarray) -> np.ndarray:
    """The exact solution: all derivatives are equal and the sum is 1."""
    classes = len(r)
    system = np.ones((classes + 1, classes + 1))
    system[-1, -1] = 0
    for i in range(classes):
        for j in range(classes):
            system[i, j] = (
                -r[j, i] * r[i, j] if i != j else sum(r[k, i] ** 2 for k in range(classes))
            )
    return np.linalg.solve(system, [*[0.0] * classes, 1.0])[:classes]


def test_coupling_of_consistent_pairs() -> None:
    """If r_ij = p_i / (p_i + p_j) for some probabilities p, the result is p."""
    p = np.array([0.5, 0.2, 0.25, 0.05])
    pairs = np.array([p[i] / (p[i] + p[j]) for i, j in combinations(range(4), 2)])
    np.testing.assert_allclose(coupled(pairs, 4), p, atol=0.005)


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        ("sizes", "have [2, 3, 9] support vectors; expected 3 numbers with the sum 6"),
        ("negative", "its classes have [2, -3, 7] support vectors"),
        ("rho", "it has 2 values of rho; expected 3, one for each pair"),
        ("alpha", "it has 2 rows of coefficients; expected 2 of 6 support vectors each"),
        ("probA", "it has 1 values of probA and 0 of probB; expected 3 each, or none"),
        ("probabilities", "the model has no probA and probB to compute them from"),
        ("index", "a support vector has an index below 1; libsvm counts from 1"),
        ("double", "a support vector has two values at one index"),
        ("width", "its inputs have 3 numbers; the model needs at least 4"),
        ("gamma", "its kernel has the gamma -1.0; expected at least 0"),
        ("kernel", "it has no kernel; expected a linear, RBF, polynomial or sigmoid one"),
        ("vectors", "it has no support vectors, neither sparse nor dense ones"),
        ("classes", "it has 1 classes; expected 2 to 1024"),
    ],
)
def test_invalid_files(
    damage: str, error: str, spec_of: Callable[..., Any], open_spec: Open
) -> None:
    spec = Machine(3, "rbf", True, spec_of).spec
    message = spec.supportVectorClassifier
    nodes = message.sparseSupportVectors.vectors[0].nodes
    match damage:
        case "sizes":
            message.numberOfSupportVectorsPerClass[2] = 9
        case "negative":
            message.numberOfSupportVectorsPerClass[1:] = [-3, 7]
        case "rho":
            del message.rho[2]
        case "alpha":
            message.coefficients[1].alpha.append(1)
        case "probA":
            message.probA.append(1.0)
        case "probabilities":
            table = spec.description.output.add(name="p").type.dictionaryType
            table.stringKeyType.SetInParent()
            spec.description.predictedProbabilitiesName = "p"
        case "index":
            nodes.add(index=0, value=1.0)
        case "double":
            nodes.add(index=1, value=1.0)
            nodes.add(index=1, value=1.0)
        case "width":
            nodes.add(index=4, value=1.0)
        case "gamma":
            message.kernel.rbfKernel.gamma = -1
        case "kernel":
            message.kernel.Clear()
        case "vectors":
            message.ClearField("sparseSupportVectors")
        case "classes":
            del message.stringClassLabels.vector[1:]
    with pytest.raises(ModelFileError) as caught:
        open_spec(spec)
    assert error in str(caught.value)


def test_dense_vectors_of_different_lengths(spec_of: Callable[..., Any], open_spec: Open) -> None:
    spec = Machine(2, "linear", False, spec_of).spec
    spec.supportVectorClassifier.denseSupportVectors.vectors[1].values.append(1.0)
    with pytest.raises(ModelFileError, match="empty or of different lengths"):
        open_spec(spec)
