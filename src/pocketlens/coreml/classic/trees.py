"""Tree ensembles: every tree adds the values of one of its leaves to a base prediction.

The tests of nodes, the branch for missing values, and the transforms are those of
TreeEnsemble.proto. In three cases the specification does not say what to do; there the code does
what coremltools' converters expect:

- If two classes have a single score, it is the probability of the second class.
- A probability of exactly 0.5 predicts the second class.
- If all thresholds are float32 numbers, inputs are rounded to float32 before they are compared.
  XGBoost's thresholds are often values of its (float32) data: as a double, 0.1 would be below the
  threshold 0.1, which is float32's 0.1 = 0.100000001...
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, repeat
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.classic.labels import Labels
from pocketlens.coreml.classic.links import logistic, softmax
from pocketlens.coreml.classic.step import Features, Step, predicted_output
from pocketlens.coreml.classic.vector import Vector
from pocketlens.coreml.file.features import Interface
from pocketlens.coreml.file.time_limit import check_time
from pocketlens.coreml.graph import Message
from pocketlens.coreml.ops.registry import classic
from pocketlens.errors import ModelFileError, UnsupportedParameter

Row = NDArray[np.float64]

LEAF = 6
FIELDS = (
    "treeId",
    "nodeId",
    "nodeBehavior",
    "branchFeatureIndex",
    "branchFeatureValue",
    "trueChildNodeId",
    "falseChildNodeId",
    "missingValueTracksTrueChild",
)
MAX_FEATURES = 2**31
MAX_DEPTH = 2**14
"""The most branches from a root to a leaf: every prediction takes one step for each."""

TRANSFORMS: dict[str, Callable[[Row], Row]] = {
    "NoTransform": lambda x: x,
    "Classification_SoftMax": softmax,
    "Regression_Logistic": logistic,
    # The first class has the score 0, which is not among the predictions.
    "Classification_SoftMaxWithZeroClassReference": lambda x: softmax(np.concatenate([[0.0], x])),
}
ZERO_CLASS = "Classification_SoftMaxWithZeroClassReference"


@classic()
def treeEnsembleClassifier(
    model: Interface,
    *,
    treeEnsemble: Message,
    postEvaluationTransform: str = "NoTransform",
    stringClassLabels: Message | None = None,
    int64ClassLabels: Message | None = None,
) -> Step:
    labels = Labels(model, stringClassLabels, int64ClassLabels)
    forest = _Forest(model, treeEnsemble)
    transform = TRANSFORMS[postEvaluationTransform]
    classes = len(labels.classes)
    single = forest.dimensions == 1 and classes == 2 and postEvaluationTransform != ZERO_CLASS
    if single and postEvaluationTransform == "Classification_SoftMax":
        raise ModelFileError(
            "it has one score for two classes, which Classification_SoftMax cannot use; "
            "expected two scores, or Regression_Logistic"
        )
    expected = classes - 1 if postEvaluationTransform == ZERO_CLASS else classes
    if not single and forest.dimensions != expected:
        raise ModelFileError(
            f"it has {forest.dimensions} prediction dimensions for {classes} classes "
            f"({postEvaluationTransform}); expected {expected}"
        )

    def run(inputs: Features) -> dict[str, object]:
        values = transform(forest.predict(inputs))
        if not single:
            return labels.to_outputs(values)
        second = float(values[0])
        return labels.to_outputs(np.array([1 - second, second]), best=int(second >= 0.5))

    return Step(run, labels.outputs, labels.classes)


@classic()
def treeEnsembleRegressor(
    model: Interface, *, treeEnsemble: Message, postEvaluationTransform: str = "NoTransform"
) -> Step:
    if postEvaluationTransform == ZERO_CLASS:
        raise UnsupportedParameter(
            f"it sets postEvaluationTransform to {ZERO_CLASS}; a regressor has no classes"
        )
    output = predicted_output(model, "double", "array", "int64")
    forest = _Forest(model, treeEnsemble)
    if forest.dimensions > 1 and output.kind != "array":
        raise ModelFileError(
            f"it predicts {forest.dimensions} numbers; "
            f"its output '{output.name}' is declared as {output.kind}; expected an array"
        )
    transform = TRANSFORMS[postEvaluationTransform]
    return Step(lambda inputs: {output.name: transform(forest.predict(inputs))}, (output.name,))


class _Forest:
    """The nodes of all trees in common arrays, so that one step goes down a level in every tree."""

    def __init__(self, model: Interface, parameters: Message) -> None:
        nodes = parameters.nodes
        self.dimensions = int(parameters.numPredictionDimensions)
        self._base = np.array(parameters.basePredictionValue, np.float64)
        if self.dimensions < 1 or self._base.size != self.dimensions:
            raise ModelFileError(
                f"it has {self._base.size} base prediction values; "
                f"expected as many as its {self.dimensions} prediction dimensions, at least 1"
            )
        columns = _columns(nodes)
        self._behavior = np.array(columns["nodeBehavior"], np.int64)
        if not np.all((self._behavior >= 0) & (self._behavior <= LEAF)):
            raise ModelFileError("a node has an unknown nodeBehavior")
        leaf = self._behavior == LEAF
        features = columns["branchFeatureIndex"]
        if max(features, default=0) >= MAX_FEATURES:
            raise ModelFileError(
                f"a node tests the feature number {max(features)}; the inputs have fewer features"
            )
        self._feature = np.where(leaf, 0, np.array(features, np.int64))
        self._threshold = np.array(columns["branchFeatureValue"], np.float64)
        branching = self._threshold[~leaf]
        with np.errstate(over="ignore"):
            self._single = np.array_equal(branching, branching.astype(np.float32))
        self._missing = np.array(columns["missingValueTracksTrueChild"], bool)
        self._true, self._false = _children(columns, leaf)
        self._roots = _roots(nodes, leaf, self._true, self._false)
        self._depth = _depth(self._roots, leaf, self._true, self._false)
        self._starts, self._index, self._value = _leaves(nodes, leaf, self.dimensions)
        self._vector = Vector(
            model.inputs,
            width=int(self._feature.max(initial=-1)) + 1 if not leaf.all() else 0,
            exact=False,
            missing=True,
        )

    def predict(self, inputs: Features) -> Row:
        """The sum of the base prediction and the values of each tree's leaf, [dimensions]."""
        x = self._vector.row(inputs)
        if self._single:
            x = x.astype(np.float32).astype(np.float64)
        at = self._roots
        for _ in range(self._depth):
            check_time()
            branch = at[self._behavior[at] != LEAF]
            v, t = x[self._feature[branch]], self._threshold[branch]
            outcomes = np.stack([v <= t, v < t, v >= t, v > t, v == t, v != t])
            true = outcomes[self._behavior[branch], np.arange(branch.size)]
            true = np.where(np.isnan(v), self._missing[branch], true)
            at = at.copy()
            at[self._behavior[at] != LEAF] = np.where(true, self._true[branch], self._false[branch])
        counts = self._starts[at + 1] - self._starts[at]
        before = np.cumsum(counts) - counts
        chosen = np.arange(counts.sum()) + np.repeat(self._starts[at] - before, counts)
        result = self._base.copy()
        np.add.at(result, self._index[chosen], self._value[chosen])
        return result


def _columns(nodes: Message) -> dict[str, tuple[Any, ...]]:
    """Each field of all nodes. One pass with `attrgetter`, because reading fields is slow."""
    read = attrgetter(*FIELDS)
    rows = [read(node) for node in nodes]
    return dict(zip(FIELDS, zip(*rows, strict=True) if rows else repeat(()), strict=False))


def _children(
    columns: dict[str, tuple[Any, ...]], leaf: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The positions of each node's true and false child; -1 for a leaf."""
    trees, ids = columns["treeId"], columns["nodeId"]
    positions = {key: position for position, key in enumerate(zip(trees, ids, strict=True))}
    if len(positions) != len(ids):
        raise ModelFileError("two nodes of one tree have the same nodeId")
    found = []
    for branch in ("true", "false"):
        wanted = columns[f"{branch}ChildNodeId"]
        child = np.array(
            [positions.get(key, -1) for key in zip(trees, wanted, strict=True)], np.int64
        )
        lost = np.flatnonzero((child < 0) & ~leaf)
        if lost.size:
            position = int(lost[0])
            raise ModelFileError(
                f"the node {ids[position]} of tree {trees[position]} has the {branch} child "
                f"{wanted[position]}, which the tree does not have"
            )
        found.append(np.where(leaf, -1, child))
    return found[0], found[1]


def _roots(
    nodes: Message, leaf: NDArray[np.bool_], true: NDArray[np.int64], false: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The position of each tree's root: its only node without a parent."""
    parents = np.bincount(true[~leaf], minlength=leaf.size)
    parents += np.bincount(false[~leaf], minlength=leaf.size)
    if (parents > 1).any():
        node = nodes[int(np.argmax(parents > 1))]
        raise ModelFileError(
            f"the node {node.nodeId} of tree {node.treeId} has several parents; expected one"
        )
    roots = np.flatnonzero(parents == 0)
    trees = sorted(nodes[int(position)].treeId for position in roots)
    twice = [one for one, other in pairwise(trees) if one == other]
    if twice:
        raise ModelFileError(f"the tree {twice[0]} has several roots; expected one")
    return roots


def _depth(
    roots: NDArray[np.int64],
    leaf: NDArray[np.bool_],
    true: NDArray[np.int64],
    false: NDArray[np.int64],
) -> int:
    """The most branches from a root to a leaf.

    Raises:
        ModelFileError: A tree is deeper than `MAX_DEPTH`; or no root leads to some nodes. As no
            node has two parents, those nodes are in a cycle.
    """
    level, depth, reached = roots, 0, roots.size
    while True:
        branches = level[~leaf[level]]
        if not branches.size:
            break
        if depth == MAX_DEPTH:
            raise ModelFileError(f"a tree is more than {MAX_DEPTH} branches deep")
        level = np.concatenate([true[branches], false[branches]])
        depth, reached = depth + 1, reached + level.size
    if reached != leaf.size:
        raise ModelFileError("a tree has a cycle: no root leads to some of its nodes")
    return depth


def _leaves(
    nodes: Message, leaf: NDArray[np.bool_], dimensions: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], Row]:
    """The values of all leaves: where each node's values start, their dimensions, the numbers."""
    counts = np.zeros(leaf.size, np.int64)
    index, value = [], []
    for position in np.flatnonzero(leaf).tolist():
        infos = nodes[position].evaluationInfo
        own = [info.evaluationIndex for info in infos]
        if not own or len(set(own)) != len(own) or max(own) >= dimensions:
            raise ModelFileError(
                f"the leaf {nodes[position].nodeId} of tree {nodes[position].treeId} has values "
                f"for the dimensions {own[:8]}; expected at least one, each once and below "
                f"{dimensions}"
            )
        counts[position] = len(own)
        index += own
        value += [info.evaluationValue for info in infos]
    starts = np.concatenate([[0], np.cumsum(counts)])
    return starts, np.array(index, np.int64), np.array(value, np.float64)
