"""Tree ensembles, compared with walking through the trees one node at a time."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import CoreMLModel
from pocketlens.errors import FeatureError, ModelFileError, UnsupportedParameter

TESTS = {
    "BranchOnValueLessThanEqual": operator.le,
    "BranchOnValueLessThan": operator.lt,
    "BranchOnValueGreaterThanEqual": operator.ge,
    "BranchOnValueGreaterThan": operator.gt,
    "BranchOnValueEqual": operator.eq,
    "BranchOnValueNotEqual": operator.ne,
}
NAMES = list(TESTS)

# A branch is (feature, behavior, value, whether missing values go to the true child, true child,
# false child); a leaf is {dimension: value}.
Tree = Any


def walk(tree: Tree, x: np.ndarray) -> dict[int, float]:
    while not isinstance(tree, dict):
        feature, behavior, value, missing, true, false = tree
        goes = missing if math.isnan(x[feature]) else TESTS[behavior](x[feature], value)
        tree = true if goes else false
    return tree


def add(parameters: Any, tree: Tree, number: int) -> None:
    """Write a tree's nodes, children before their parents; there are gaps between the ids."""
    following = iter(range(7, 100_000, 3))

    def node(tree: Tree) -> int:
        children = [] if isinstance(tree, dict) else [node(tree[4]), node(tree[5])]
        made = parameters.nodes.add(treeId=number, nodeId=next(following))
        if isinstance(tree, dict):
            made.nodeBehavior = 6
            for dimension, value in tree.items():
                made.evaluationInfo.add(evaluationIndex=dimension, evaluationValue=value)
        else:
            made.nodeBehavior = NAMES.index(tree[1])
            made.branchFeatureIndex, made.branchFeatureValue = tree[0], tree[2]
            made.missingValueTracksTrueChild = tree[3]
            made.trueChildNodeId, made.falseChildNodeId = children
        identifier: int = made.nodeId
        return identifier

    node(tree)


def random_tree(random: np.random.Generator, depth: int, features: int, dimensions: int) -> Tree:
    if depth == 0 or random.random() < 0.15:
        several = random.choice(dimensions, random.integers(1, dimensions + 1), replace=False)
        return {int(d): float(random.normal()) for d in several}
    children = [random_tree(random, depth - 1, features, dimensions) for _ in range(2)]
    return (
        int(random.integers(features)),
        NAMES[random.integers(6)],
        float(random.integers(-2, 3)),
        bool(random.random() < 0.5),
        *children,
    )


Make = Callable[..., CoreMLModel]


@pytest.fixture
def regressor(spec_of: Callable[..., Any], open_spec: Callable[[Any], CoreMLModel]) -> Make:
    def make(
        trees: list[Tree], base: list[float], inputs: dict[str, Any], transform: int = 0
    ) -> CoreMLModel:
        output = "double" if len(base) == 1 else (len(base),)
        spec = spec_of("treeEnsembleRegressor", inputs, {"y": output}, "y")
        message = spec.treeEnsembleRegressor
        message.postEvaluationTransform = transform
        message.treeEnsemble.numPredictionDimensions = len(base)
        message.treeEnsemble.basePredictionValue.extend(base)
        for number, tree in enumerate(trees):
            add(message.treeEnsemble, tree, number)
        return open_spec(spec)

    return make


@pytest.mark.parametrize("behavior", NAMES)
@pytest.mark.parametrize("missing", [True, False])
def test_every_test_of_a_node(behavior: str, missing: bool, regressor: Make) -> None:
    tree = (0, behavior, 0.5, missing, {0: 1.0}, {0: -1.0})
    model = regressor([tree], [10.0], {"x": "double?"})
    for x in (-1.0, 0.5, 2.0):
        assert model.run({"x": x}) == {"y": 11.0 if TESTS[behavior](x, 0.5) else 9.0}
    for inputs in ({"x": math.nan}, {}):
        assert model.run(inputs) == {"y": 11.0 if missing else 9.0}


NEAR = [0.1, 0.3, 0.5 + 1e-12, 1e300, -1e300]
"""Doubles that float32 rounds up, down, to exactly a threshold, or to infinity."""


@pytest.mark.parametrize("behavior", NAMES)
@pytest.mark.parametrize("single", [True, False])
def test_inputs_are_rounded_if_all_thresholds_are_float32(
    behavior: str, single: bool, regressor: Make
) -> None:
    """XGBoost's thresholds are values of its data, which it stores as float32."""
    thresholds = [float(np.float32(x)) for x in (0.1, 0.3, 0.5)]
    trees = [(0, behavior, t, False, {0: 2.0**k}, {0: 0.0}) for k, t in enumerate(thresholds)]
    if not single:  # one double among the thresholds is enough
        trees.append((0, behavior, 0.1, False, {0: 0.0}, {0: 0.0}))
    model = regressor(trees, [0.0], {"x": "double"})
    for x in NEAR:
        with np.errstate(over="ignore"):
            compared = np.float32(x) if single else np.float64(x)
        expected = sum(2.0**k for k, t in enumerate(thresholds) if TESTS[behavior](compared, t))
        assert model.run({"x": x}) == {"y": expected}


@pytest.mark.parametrize("transform", [0, 1, 2])
def test_many_trees(transform: int, regressor: Make) -> None:
    """Features are numbered across all inputs; values are added in several dimensions."""
    random = np.random.default_rng(transform)
    trees = [random_tree(random, 6, 5, 3) for _ in range(25)]
    base = [0.5, -1.0, 2.0]
    model = regressor(trees, base, {"a": (3,), "b": "int64", "c": "double"}, transform)
    for _ in range(20):
        x = random.integers(-3, 4, 5).astype(float)
        x[random.integers(3)] = math.nan
        total = np.array(base)
        for tree in trees:
            for dimension, value in walk(tree, x).items():
                total[dimension] += value
        expected = {
            0: total,
            1: np.exp(total) / np.exp(total).sum(),
            2: 1 / (1 + np.exp(-total)),
        }[transform]
        answer = model.run({"a": x[:3], "b": int(x[3]), "c": x[4]})["y"]
        np.testing.assert_allclose(answer, expected, rtol=1e-12)
        assert answer.dtype == np.float64


def test_coremltools_example(open_spec: Callable[[Any], CoreMLModel]) -> None:
    """The model from coremltools' documentation: a[2] <= 3, then b == 0."""
    from coremltools.models import datatypes
    from coremltools.models.tree_ensemble import TreeEnsembleClassifier

    builder = TreeEnsembleClassifier(
        [("a", datatypes.Array(3)), ("b", datatypes.Double())], [0, 1], "label"
    )
    builder.add_branch_node(0, 0, 2, 3, "BranchOnValueLessThanEqual", 1, 2)
    builder.add_leaf_node(0, 1, -1)
    builder.add_branch_node(0, 2, 3, 0, "BranchOnValueEqual", 3, 4)
    builder.add_leaf_node(0, 3, 1)
    builder.add_leaf_node(0, 4, -1)
    builder.set_post_evaluation_transform("Classification_SoftMax")
    builder.set_default_prediction_value([0, 0])
    model = open_spec(builder.spec)
    probability = math.e / (math.e + 1)
    answer = model.run({"a": [0, 1, 4], "b": 0})
    assert answer["label"] == 0
    assert answer["classProbability"] == pytest.approx({0: probability, 1: 1 - probability})
    answer = model.run({"a": [0, 1, 4], "b": 3.0})
    assert answer["label"] == 1
    assert answer["classProbability"] == pytest.approx({0: 1 - probability, 1: probability})
    assert model.classes == ("0", "1")
    assert model.inspect()["classes"] == [0, 1]
    assert model.inspect()["ops"] == {"treeEnsembleClassifier": 1}


Classify = Callable[..., dict[str, Any]]


@pytest.fixture
def classify(spec_of: Callable[..., Any], open_spec: Callable[[Any], CoreMLModel]) -> Classify:
    """Run a classifier of one tree whose leaves both have the same values."""

    def run(
        values: dict[int, float], dimensions: int, classes: int, transform: int
    ) -> dict[str, Any]:
        outputs = {"label": "string", "scores": "dictionary string"}
        spec = spec_of("treeEnsembleClassifier", {"x": "double"}, outputs, "label", "scores")
        message = spec.treeEnsembleClassifier
        message.postEvaluationTransform = transform
        message.treeEnsemble.numPredictionDimensions = dimensions
        message.treeEnsemble.basePredictionValue.extend([0.0] * dimensions)
        message.stringClassLabels.vector.extend("abcd"[:classes])
        add(message.treeEnsemble, (0, NAMES[0], 0, True, values, values), 0)
        return open_spec(spec).run({"x": 0})

    return run


@pytest.mark.parametrize(
    ("values", "dimensions", "transform", "expected", "label"),
    [
        # A single score for two classes is that of the second class.
        ({0: 0.3}, 1, 0, [0.7, 0.3], "a"),
        ({0: 0.5}, 1, 0, [0.5, 0.5], "b"),
        ({0: math.log(3)}, 1, 2, [0.25, 0.75], "b"),
        ({0: 0.0}, 1, 2, [0.5, 0.5], "b"),
        # The class without a score has the score 0, so the ratio is e^0 : e^log 3 = 1 : 3.
        ({0: math.log(3)}, 1, 3, [0.25, 0.75], "b"),
        ({0: math.log(2), 1: math.log(5)}, 2, 3, [1 / 8, 2 / 8, 5 / 8], "c"),
        ({0: 0.2, 2: 0.7}, 3, 0, [0.2, 0.0, 0.7], "c"),
        ({0: math.log(2), 1: math.log(3)}, 3, 1, [2 / 6, 3 / 6, 1 / 6], "b"),
        # If scores are equal, the first class is the label.
        ({1: 1.0, 2: 1.0}, 3, 0, [0, 1, 1], "b"),
        ({0: 800.0, 1: 800.0}, 3, 1, [0.5, 0.5, 0.0], "a"),
    ],
)
def test_class_scores(
    values: dict[int, float],
    dimensions: int,
    transform: int,
    expected: list[float],
    label: str,
    classify: Classify,
) -> None:
    answer = classify(values, dimensions, len(expected), transform)
    assert answer["label"] == label
    assert list(answer["scores"]) == list("abcd"[: len(expected)])
    np.testing.assert_allclose(list(answer["scores"].values()), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("dimensions", "classes", "transform", "error"),
    [
        (1, 2, 1, "it has one score for two classes, which Classification_SoftMax cannot use"),
        (2, 3, 0, "2 prediction dimensions for 3 classes (NoTransform); expected 3"),
        (3, 3, 3, "3 prediction dimensions for 3 classes (Classification_SoftMaxWithZeroC"),
    ],
)
def test_wrong_number_of_scores(
    dimensions: int, classes: int, transform: int, error: str, classify: Classify
) -> None:
    with pytest.raises(ModelFileError) as caught:
        classify({0: 1.0}, dimensions, classes, transform)
    assert error in str(caught.value)


def apply_damage(message: Any, damage: str) -> None:
    nodes, root = message.nodes, message.nodes[-1]
    match damage:
        case "twice":
            nodes.add().CopyFrom(nodes[0])
        case "no child":
            root.trueChildNodeId = 999
        case "parents":
            root.falseChildNodeId = root.trueChildNodeId
        case "roots":
            nodes.add(treeId=0, nodeId=1, nodeBehavior=6).evaluationInfo.add()
        case "cycle":
            one = nodes.add(treeId=0, nodeId=1, nodeBehavior=0)
            one.trueChildNodeId, one.falseChildNodeId = 2, 3
            other = nodes.add(treeId=0, nodeId=2, nodeBehavior=0)
            other.trueChildNodeId, other.falseChildNodeId = 1, 4
            for number in (3, 4):
                nodes.add(treeId=0, nodeId=number, nodeBehavior=6).evaluationInfo.add()
        case "itself":
            root.trueChildNodeId = root.nodeId
        case "empty leaf":
            del nodes[0].evaluationInfo[:]
        case "dimension":
            nodes[0].evaluationInfo[0].evaluationIndex = 2**63
        case "dimension twice":
            nodes[0].evaluationInfo.add()
        case "base":
            message.basePredictionValue.append(1.0)
        case "dimensions":
            message.numPredictionDimensions = 2**62
        case "behavior":
            root.nodeBehavior = 7
        case "feature":
            root.branchFeatureIndex = 1
        case "huge feature":
            root.branchFeatureIndex = 2**63


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        ("twice", "two nodes of one tree have the same nodeId"),
        ("no child", "has the true child 999, which the tree does not have"),
        ("parents", "has several parents; expected one"),
        ("roots", "the tree 0 has several roots; expected one"),
        ("cycle", "a tree has a cycle"),
        ("itself", "a tree has a cycle"),
        ("empty leaf", "of tree 0 has values for the dimensions []; expected at least one"),
        ("dimension", "has values for the dimensions [9223372036854775808]; expected"),
        ("dimension twice", "has values for the dimensions [0, 0]; expected"),
        ("base", "it has 2 base prediction values; expected as many as its 1"),
        ("dimensions", "expected as many as its 4611686018427387904 prediction dimensions"),
        ("behavior", "a node has an unknown nodeBehavior"),
        ("feature", "its inputs have 1 numbers; the model needs at least 2"),
        ("huge feature", "a node tests the feature number 9223372036854775808; the inputs have f"),
    ],
)
def test_damaged_trees(
    damage: str,
    error: str,
    spec_of: Callable[..., Any],
    open_spec: Callable[[Any], CoreMLModel],
) -> None:
    spec = spec_of("treeEnsembleRegressor", {"x": "double"}, {"y": "double"}, "y")
    message = spec.treeEnsembleRegressor.treeEnsemble
    message.numPredictionDimensions = 1
    message.basePredictionValue.append(0.0)
    add(message, (0, NAMES[0], 0, True, {0: 1.0}, {0: 2.0}), 0)
    apply_damage(message, damage)
    with pytest.raises(ModelFileError) as caught:
        open_spec(spec)
    assert "the model (treeEnsembleRegressor): " in str(caught.value)
    assert error in str(caught.value)


def test_long_thin_tree(regressor: Make) -> None:
    """Depth is not limited by Python's stack."""
    spec_tree: Tree = {0: 1.0}
    for number in range(400):
        spec_tree = (0, NAMES[1], float(number), False, {0: -float(number)}, spec_tree)
    model = regressor([spec_tree], [0.0], {"x": "double"})
    assert model.run({"x": 1e9}) == {"y": 1.0}
    assert model.run({"x": 0.5}) == {"y": -399.0}


def test_too_deep_tree(
    spec_of: Callable[..., Any], open_spec: Callable[[Any], CoreMLModel]
) -> None:
    spec = spec_of("treeEnsembleRegressor", {"x": "double"}, {"y": "double"}, "y")
    message = spec.treeEnsembleRegressor.treeEnsemble
    message.numPredictionDimensions = 1
    message.basePredictionValue.append(0.0)
    for number in range(0, 2 * 16385, 2):
        message.nodes.add(nodeId=number, trueChildNodeId=number + 1, falseChildNodeId=number + 2)
        message.nodes.add(nodeId=number + 1, nodeBehavior=6).evaluationInfo.add()
    message.nodes.add(nodeId=2 * 16385, nodeBehavior=6).evaluationInfo.add()
    with pytest.raises(ModelFileError, match="a tree is more than 16384 branches deep"):
        open_spec(spec)


def test_invalid_regressors(
    regressor: Make, spec_of: Callable[..., Any], open_spec: Callable[[Any], CoreMLModel]
) -> None:
    tree = (0, NAMES[0], 0, True, {0: 1.0}, {0: 2.0})
    with pytest.raises(UnsupportedParameter, match="a regressor has no classes"):
        regressor([tree], [0.0], {"x": "double"}, 3)
    with pytest.raises(ModelFileError, match="its input 'x' is a string; expected a number"):
        regressor([tree], [0.0], {"x": "string"})
    with pytest.raises(FeatureError, match="needs the input 'x'"):
        regressor([tree], [0.0], {"x": "double"}).run({})
    spec = spec_of("treeEnsembleRegressor", {"x": "double"}, {"y": "double"}, "y")
    spec.treeEnsembleRegressor.treeEnsemble.numPredictionDimensions = 2
    spec.treeEnsembleRegressor.treeEnsemble.basePredictionValue.extend([1, 2])
    with pytest.raises(ModelFileError, match="it predicts 2 numbers.*declared as double"):
        open_spec(spec)
