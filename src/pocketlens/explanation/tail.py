"""The tail of a classifier: its last feature map, and how the scores follow from it.

A Core ML file runs here as an ONNX graph. The tail is found in this graph, whichever tool made the
file: the last map `(N, F, h, w)` that all paths from the image to the scores pass through, and the
operators after it. NumPy computes the gradient of a score from the file's own weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.graph.inference import OPSET
from pocketlens.coreml.graph.nodes import Node
from pocketlens.coreml.graph.pruning import inner_graphs
from pocketlens.explanation.gradients import (
    AFFINE,
    CONDITIONS,
    GRADIENTS,
    MOVES,
    NoGradientError,
    Step,
)

__all__ = ["Slope", "Tail", "find_tail"]

MAX_NODES = 64
"""A gradient through more operators says little about the map: these have learned more than it."""

PLAIN_WEIGHT = 1 << 22
"""Weights with more elements than this are used as float32, the others as float64."""

# Operators whose outputs are maps (N, F, h, w), and those that keep the layout of their input.
MAPS = frozenset(
    (
        *("AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "InstanceNormalization"),
        *("MaxPool", "Resize"),
    )
)
KEEP = frozenset(
    (
        *("Abs", "Add", "Cast", "Clip", "Div", "Elu", "Erf", "Exp", "HardSigmoid", "HardSwish"),
        *("Identity", "LeakyRelu", "Max", "Min", "Mul", "Neg", "PRelu", "Pad", "Pow", "Relu"),
        *("Sigmoid", "Softplus", "Softsign", "Sqrt", "Sub", "Tanh"),
    )
)
# From the probabilities back to the scores; each has as many elements, in the same order.
ENDINGS = frozenset(("Cast", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"))
LAST = frozenset(("Softmax", "Sigmoid"))


@dataclass(frozen=True, eq=False)
class Slope:
    """How a score follows from the map.

    Args:
        score: The score.
        gradient: Its gradient with respect to the map, of the map's shape.
        exact: Whether the score is affine in the map.
    """

    score: float
    gradient: NDArray[np.float64]
    exact: bool


class Tail:
    """The last feature map of a classifier, and the operators from there to its scores.

    Attributes:
        name: The map's name in the Core ML file.
        axes: The map's two axes in the image: down, and to the right.
    """

    def __init__(
        self, name: str, axes: tuple[int, int], start: Value, scores: Value, nodes: list[Node]
    ) -> None:
        self.name = name
        self.axes = axes
        self._start = start
        self._scores = scores
        self._nodes = nodes
        self._affine = set()
        varied = {start}
        for node in nodes:
            given = sum(value in varied for value in node.inputs)
            most = AFFINE.get(node.op, 0)
            divided = node.op == "Div" and node.inputs[0] not in varied
            if (most is None or given <= most) and not divided:
                self._affine.add(node)
            if given:
                varied.update(node.outputs)

    def slope(self, feature_map: NDArray[Any], index: int) -> Slope:
        """How one of the scores follows from the map.

        Args:
            feature_map: The map.
            index: Which score.

        Raises:
            NoGradientError: An operator has no gradient here.
        """
        arrays: dict[Value, NDArray[Any]] = {self._start: _plain(np.asarray(feature_map))}
        exact = True
        with np.errstate(all="ignore"):
            for node in self._nodes:
                arrays[node.outputs[0]] = _run(node, arrays)
            scores = arrays[self._scores]
            first = np.zeros(scores.shape)
            first.flat[index] = 1
            grads = {self._start: np.zeros(feature_map.shape), self._scores: first}
            for node in reversed(self._nodes):
                grad = grads.get(node.outputs[0])
                if grad is not None and grad.any():
                    exact &= node in self._affine
                    _add_gradients(node, arrays, grad, grads)
        if not np.isfinite(grads[self._start]).all():
            raise NoGradientError
        return Slope(float(scores.flat[index]), grads[self._start], exact)


def find_tail(graph: Graph, probabilities: Value, classes: int) -> Tail | None:
    """The tail of a classifier; None if it has no such map, or operators without a gradient.

    Args:
        graph: The model.
        probabilities: Its probabilities.
        classes: How many there are.
    """
    made = {value: (k, node) for k, node in enumerate(graph.nodes) for value in node.outputs}
    scores = _scores(probabilities, made)
    if _count(scores) != classes:
        return None
    names = {value: name for name, value in graph.tensors.items()}
    open_values: set[Value] = {scores}
    nodes: list[Node] = []
    while all(value in made for value in open_values) and len(nodes) <= MAX_NODES:
        if len(open_values) == 1 and nodes:
            (value,) = open_values
            axes = _axes(value, made)
            if value in names and axes is not None and _is_map(value, axes):
                return Tail(names[value], axes, value, scores, nodes[::-1])
        latest = max(open_values, key=lambda value: made[value][0])
        node = made[latest][1]
        if not _has_gradient(node):
            return None
        open_values -= {latest}
        open_values |= {value for value in node.inputs if value and value.const is None}
        nodes.append(node)
    return None


def _scores(value: Value, made: Mapping[Value, tuple[int, Node]]) -> Value:
    """The input of the final softmax or sigmoid; the probabilities themselves without one."""
    found = value
    while found in made and made[found][1].op in ENDINGS | LAST:
        node = made[found][1]
        (before, *_) = node.inputs
        if before is None or _count(before) != _count(value):
            break
        found = before
        if node.op in LAST:
            return found
    return value if found not in made else found


def _count(value: Value) -> int | None:
    if value.shape is None or None in value.shape:
        return None
    return int(np.prod(value.sizes))


def _has_gradient(node: Node) -> bool:
    kind = "b" if node.op in CONDITIONS else "f"
    known = node.op in GRADIENTS or node.op in MOVES
    plain = len(node.outputs) == 1 and not node.domain and not inner_graphs(node)
    return known and plain and node.outputs[0].dtype.kind == kind


def _is_map(value: Value, axes: tuple[int, int]) -> bool:
    """Whether the value has several places; their number may be known only at run time."""
    return value.shape is not None and any(value.shape[axis] != 1 for axis in axes)


def _axes(
    value: Value | None, made: Mapping[Value, tuple[int, Node]], depth: int = 16
) -> tuple[int, int] | None:
    """Which axes of a value are those of the image; None if that is not known."""
    if value is None or value not in made or value.shape is None or depth == 0:
        return None
    node = made[value][1]
    if node.op in MAPS:
        return _last_two(value.shape) if len(value.shape) == 4 else None
    if node.op == "Transpose":
        before = _axes(node.inputs[0], made, depth - 1)
        order = list(node.attributes["perm"])
        return before and (order.index(before[0]), order.index(before[1]))
    if node.op in ("Reshape", "Squeeze", "Unsqueeze"):
        before, first = _axes(node.inputs[0], made, depth - 1), node.inputs[0]
        if first is None or first.shape is None or first.shape[-2:] != value.shape[-2:]:
            return None
        return _last_two(value.shape) if before == _last_two(first.shape) else None
    if node.op == "Concat":
        found = _axes(node.inputs[0], made, depth - 1)
        axis = node.attributes["axis"] % len(value.shape)
        return None if found is None or axis in found else found
    if node.op in KEEP:
        same = [each for each in node.inputs if each is not None and each.shape == value.shape]
        layouts = (_axes(each, made, depth - 1) for each in same)
        return next((found for found in layouts if found is not None), None)
    return None


def _last_two(shape: tuple[int | None, ...]) -> tuple[int, int]:
    return len(shape) - 2, len(shape) - 1


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """Floats as float64, or as float32 if there are many; other types as they are."""
    if array.dtype.kind != "f":
        return array
    return array.astype(np.float64 if array.size <= PLAIN_WEIGHT else np.float32)


def _inputs(node: Node, arrays: Mapping[Value, NDArray[Any]]) -> list[NDArray[Any]]:
    """The inputs of a node, without those that are left out."""
    given = [value for value in node.inputs if value is not None]
    return [arrays[value] if value.const is None else _plain(value.const) for value in given]


def _run(node: Node, arrays: Mapping[Value, NDArray[Any]]) -> NDArray[Any]:
    """The output of a node, in the precision of its inputs."""
    from onnx.reference import ReferenceEvaluator

    inputs = _inputs(node, arrays)
    if node.op == "Cast":
        return inputs[0]
    given = [value.name for value in node.inputs if value is not None]
    feed = dict(zip(given, inputs, strict=True))
    (result,) = ReferenceEvaluator(node.proto(), opsets={"": OPSET}).run(None, feed)
    return np.asarray(result)


def _add_gradients(
    node: Node,
    arrays: Mapping[Value, NDArray[Any]],
    grad: NDArray[np.float64],
    grads: dict[Value, NDArray[np.float64]],
) -> None:
    """Add the gradients of the inputs of a node to `grads`, from that of its output."""
    inputs = _inputs(node, arrays)
    found: Sequence[NDArray[Any] | None]
    if node.op in MOVES:
        found = [_moved(node, inputs, grad)]
    else:
        step = Step(inputs, node.attributes, arrays[node.outputs[0]], grad)
        found = GRADIENTS[node.op](step)
    for value, each in zip(node.inputs, found, strict=False):
        if value is not None and value.const is None and each is not None:
            grads[value] = grads[value] + each if value in grads else each


def _moved(
    node: Node, inputs: list[NDArray[Any]], grad: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The gradient of an operator that copies elements, from where it puts their numbers."""
    first, *rest = node.inputs
    if first is None or any(value is not None and value.const is None for value in rest):
        raise NoGradientError
    numbers = np.arange(inputs[0].size).reshape(inputs[0].shape)
    places = _run(node, {first: numbers})
    found = np.bincount(places.ravel(), grad.ravel(), numbers.size)
    return found.astype(np.float64).reshape(numbers.shape)
