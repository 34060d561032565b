"""Tree ensembles of any library, as a Core ML tree ensemble."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.classic.chain import Chain, Columns, Floats, Value, Vector
from pocketlens.errors import ConversionError

__all__ = ["Comparison", "Piecewise", "Table", "Tree", "add_ensemble", "add_tables", "check_tree"]

Comparison: TypeAlias = Literal["BranchOnValueLessThanEqual", "BranchOnValueLessThan"]

LEAF, AT_MOST, LESS, AT_LEAST = 6, 0, 1, 2
"""Numbers of TreeNodeBehavior."""

INEXACT = 0.1
"""A threshold that is no float32 number."""

MAX_TABLE = 2**22
"""The most values in the table of one column."""


@dataclass(frozen=True)
class Piecewise:
    """A test of one column that is no comparison: which intervals of it go left.

    Attributes:
        breaks: Where intervals begin, rising, [m]; the first one begins at minus infinity.
        left: Whether each interval goes left, [m + 1].
        missing: Whether NaN goes left.
    """

    breaks: tuple[float, ...]
    left: tuple[bool, ...]
    missing: bool


@dataclass(frozen=True)
class Tree:
    """One tree.

    Attributes:
        feature: The column that each node tests, -1 for a leaf, [n].
        threshold: As doubles, [n].
        left, right: The children; the comparison is true to the left, [n].
        missing_left: Whether NaN goes left, [n].
        value: What leaves add, [n] or [n, dimensions].
        dimension: The dimension that a value [n] is added to.
        tests: Tests of nodes that are no comparisons.
    """

    feature: NDArray[np.int64]
    threshold: Floats
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    value: Floats
    dimension: int = 0
    tests: Mapping[int, Piecewise] = field(default_factory=dict)


def check_tree(tree: Tree, width: int, what: str) -> Tree:
    """The tree, whose nodes must have children behind them and test columns below `width`.

    Raises:
        ConversionError: It is damaged; the message calls it `what`.
    """
    count = len(tree.feature)
    inner = tree.feature >= 0
    children = np.concatenate([tree.left[inner], tree.right[inner]])
    own = np.tile(np.flatnonzero(inner), 2)
    if (
        not count
        or any(
            len(each) != count
            for each in (tree.threshold, tree.left, tree.right, tree.missing_left, tree.value)
        )
        or (children <= 0).any()
        or (children >= count).any()
        or (np.bincount(children, minlength=count)[1:] != 1).any()
        or _cyclic(children, own, count)
        or tree.feature.max(initial=-1) >= width
        or np.isnan(tree.threshold[inner]).any()
    ):
        raise ConversionError(f"{what} is damaged: its nodes are not a tree; save the model again")
    return tree


def _cyclic(children: NDArray[np.int64], parents: NDArray[np.int64], count: int) -> bool:
    """Whether some nodes are not below node 0; all others have one parent."""
    parent = np.zeros(count, np.int64)
    parent[children] = parents
    # Every round doubles how far up a node looks.
    for _ in range(count.bit_length()):
        parent = parent[parent]
    return bool(parent[children].any())


def add_ensemble(
    chain: Chain,
    value: Value,
    trees: Sequence[Tree],
    base: Sequence[float],
    *,
    comparison: Comparison = "BranchOnValueLessThanEqual",
    transform: str = "NoTransform",
    output: str | None = None,
    label: str | None = None,
) -> None:
    """Add the model: base + the sum of each tree's leaf.

    Args:
        chain: Where to add it.
        value: Its input.
        trees: The trees.
        base: The base prediction, [dimensions].
        comparison: What is true for numbers that go left.
        transform: The transform of the sum.
        output: The output of a regressor; None for a classifier.
        label: Another name for the label of a classifier.
    """
    for tree in trees:
        _mark(chain, value, tree)
    value, columns = _with_tests(chain, value, trees)
    several = len(base) > 1
    if output is None:
        message = chain.stage("treeEnsembleClassifier", value, {})
        chain.classifier(message, probabilities=True, **({} if label is None else {"label": label}))
    else:
        outputs = {output: len(base) if several else "double"}
        message = chain.stage("treeEnsembleRegressor", value, outputs)
        chain.last.predictedFeatureName = output
    message.postEvaluationTransform = (
        message.DESCRIPTOR.fields_by_name["postEvaluationTransform"]
        .enum_type.values_by_name[transform]
        .number
    )
    writer = Writer(message.treeEnsemble, base)
    for tree in trees:
        writer.tree(tree, AT_MOST if comparison.endswith("Equal") else LESS, columns)
    writer.done()


class Writer:
    """Writes trees to a message."""

    def __init__(self, message: Any, base: Sequence[float]) -> None:
        self._message = message
        message.numPredictionDimensions = len(base)
        message.basePredictionValue.extend(float(each) for each in base)
        self._trees = 0
        self._single = True

    def tree(self, tree: Tree, behavior: int, columns: Mapping[Any, int]) -> None:
        """Add a tree; `columns` has the column with the result of each test."""
        add, number = self._message.nodes.add, self._trees
        inner = tree.threshold[tree.feature >= 0]
        with np.errstate(over="ignore"):
            self._single &= bool(np.array_equal(inner, inner.astype(np.float32)))
        rows = zip(
            tree.feature.tolist(),
            tree.threshold.tolist(),
            tree.left.tolist(),
            tree.right.tolist(),
            tree.missing_left.tolist(),
            strict=True,
        )
        for position, (feature, threshold, left, right, missing) in enumerate(rows):
            if feature < 0:
                node = add(treeId=number, nodeId=position, nodeBehavior=LEAF)
                self._leaf(node, tree.value[position], tree.dimension)
            elif position in tree.tests:
                add(
                    treeId=number,
                    nodeId=position,
                    nodeBehavior=AT_LEAST,
                    branchFeatureIndex=columns[feature, tree.tests[position]],
                    branchFeatureValue=0.5,
                    trueChildNodeId=left,
                    falseChildNodeId=right,
                )
            else:
                add(
                    treeId=number,
                    nodeId=position,
                    nodeBehavior=behavior,
                    branchFeatureIndex=feature,
                    branchFeatureValue=threshold,
                    trueChildNodeId=left,
                    falseChildNodeId=right,
                    missingValueTracksTrueChild=missing,
                )
        self._trees += 1

    def _leaf(self, node: Any, value: Any, dimension: int) -> None:
        if np.ndim(value) == 0:
            node.evaluationInfo.add(evaluationIndex=dimension, evaluationValue=float(value))
            return
        chosen = np.flatnonzero(value)
        for index in chosen.tolist() if chosen.size else [0]:
            node.evaluationInfo.add(evaluationIndex=index, evaluationValue=float(value[index]))

    def table(self, table: Table) -> None:
        """Add a tree that searches an interval; its root separates NaN from numbers."""
        add, number = self._message.nodes.add, self._trees
        self._single &= bool(np.array_equal(table.breaks, np.array(table.breaks, np.float32)))
        nodes = 3

        def branch(node: int, behavior: int, threshold: float, children: tuple[int, int]) -> None:
            add(
                treeId=number,
                nodeId=node,
                nodeBehavior=behavior,
                branchFeatureIndex=table.feature,
                branchFeatureValue=threshold,
                trueChildNodeId=children[0],
                falseChildNodeId=children[1],
            )

        def leaf(node: int, values: Mapping[int, float]) -> None:
            made = add(treeId=number, nodeId=node, nodeBehavior=LEAF)
            for index, value in (values or {0: 0.0}).items():
                made.evaluationInfo.add(evaluationIndex=index, evaluationValue=value)

        branch(0, AT_MOST, np.inf, (1, 2))
        leaf(2, table.missing)
        waiting = [(1, 0, len(table.breaks))]
        while waiting:
            node, low, high = waiting.pop()
            if low == high:
                leaf(node, table.values[low])
                continue
            middle = (low + high) // 2
            branch(node, LESS, table.breaks[middle], (nodes, nodes + 1))
            waiting += [(nodes, low, middle), (nodes + 1, middle + 1, high)]
            nodes += 2
        self._trees += 1

    def done(self) -> None:
        """Finish; with a tree that adds 0, if all thresholds are float32 numbers.

        Otherwise numbers might be rounded to float32 before they are compared. See `thresholds`.
        """
        if not self._single:
            return
        add, number = self._message.nodes.add, self._trees
        add(
            treeId=number,
            nodeId=0,
            nodeBehavior=LESS,
            branchFeatureValue=INEXACT,
            trueChildNodeId=1,
            falseChildNodeId=2,
        )
        for position in (1, 2):
            leaf = add(treeId=number, nodeId=position, nodeBehavior=LEAF)
            leaf.evaluationInfo.add(evaluationIndex=0, evaluationValue=0.0)
        self._trees += 1


def _mark(chain: Chain, value: Value, tree: Tree) -> None:
    for feature in np.unique(tree.feature[tree.feature >= 0]).tolist():
        chosen = tree.feature == feature
        for position in tree.tests:
            chosen[position] = False
        chain.mark(value, feature, np.unique(tree.threshold[chosen]).tolist()[:1000])
    for position, test in tree.tests.items():
        chain.mark(value, int(tree.feature[position]), test.breaks[:1000])


def _with_tests(
    chain: Chain, value: Value, trees: Iterable[Tree]
) -> tuple[Value, dict[tuple[int, Piecewise], int]]:
    """The value with a number behind it for each test that is no comparison: 1 goes left."""
    tests: dict[int, dict[Piecewise, None]] = {}
    for tree in trees:
        for position, test in tree.tests.items():
            tests.setdefault(int(tree.feature[position]), {})[test] = None
    if not tests:
        return value, {}
    columns: dict[tuple[int, Piecewise], int] = {}
    tables = []
    for feature, own in sorted(tests.items()):
        breaks = np.unique(np.concatenate([each.breaks for each in own]))
        starts = np.concatenate([[-np.inf], breaks])
        leaves: list[dict[int, float]] = [{} for _ in starts]
        missing: dict[int, float] = {}
        for test in own:
            column = len(columns)
            columns[feature, test] = column + value.width
            left = np.array(test.left)[np.searchsorted(test.breaks, starts, side="right")]
            for interval in np.flatnonzero(left).tolist():
                leaves[interval][column] = 1.0
            if test.missing:
                missing[column] = 1.0
        tables.append(Table(feature, breaks.tolist(), leaves, missing))
    results = add_tables(chain, value, tables, len(columns))
    if isinstance(value, Columns):
        value = chain.vector(value)
    return chain.joined([value, results]), columns


@dataclass(frozen=True)
class Table:
    """What a column adds to the numbers of a row, by its value.

    Attributes:
        feature: The column.
        breaks: Where intervals begin, rising, [m]; the first one begins at minus infinity.
        values: What each interval adds, by position, [m + 1].
        missing: What NaN adds.
    """

    feature: int
    breaks: Sequence[float]
    values: Sequence[Mapping[int, float]]
    missing: Mapping[int, float]


def add_tables(
    chain: Chain,
    value: Value | list[tuple[str, Any]],
    tables: Sequence[Table],
    width: int,
) -> Value:
    """Add a model that computes `width` numbers by tables: a tree for each, a leaf for each row.

    Its input is a value, or the names and types of features.
    """
    name = chain.fresh()
    if sum(len(row) for table in tables for row in table.values) > MAX_TABLE:
        raise ConversionError(
            f"its tests of categories need tables of more than {MAX_TABLE} numbers; train the "
            "model with fewer categories or with one-hot columns"
        )
    # An array of one number is not a regressor's output, so there are at least two.
    dimensions = max(width, 2)
    message = chain.stage("treeEnsembleRegressor", value, {name: dimensions})
    chain.last.predictedFeatureName = name
    writer = Writer(message.treeEnsemble, [0.0] * dimensions)
    for table in tables:
        if not isinstance(value, list):
            chain.mark(value, table.feature, list(table.breaks)[:1000])
        writer.table(table)
    writer.done()
    return chain.select(Vector(name, dimensions, (-1,) * dimensions), range(width))
