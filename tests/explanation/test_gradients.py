"""Gradients of the tails of classifiers: exact where affine, else as finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.graph.export import onnx_model
from pocketlens.explanation.gradients import AFFINE, CONDITIONS, GRADIENTS, MOVES
from pocketlens.explanation.tail import MAX_NODES, Tail, find_tail

FEATURES, HEIGHT, WIDTH, CLASSES = 6, 4, 5, 3
Head = Callable[[Graph, Value], Value]


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def number(value: float) -> np.ndarray:
    return np.array(value, np.float32)


def pooled(g: Graph, x: Value) -> Value:
    return g.ReduceMean(x, np.array([2, 3]), keepdims=0)


def linear(g: Graph, x: Value, inputs: int = FEATURES, seed: int = 0) -> Value:
    return g.Gemm(x, weights(CLASSES, inputs, seed=seed), weights(CLASSES, seed=1), transB=1)


def flat(g: Graph, x: Value, to: int = FEATURES) -> Value:
    return g.Reshape(x, np.array([1, to]))


def full_kernel(g: Graph, x: Value) -> Value:
    return flat(g, g.Conv(x, weights(CLASSES, FEATURES, HEIGHT, WIDTH), weights(CLASSES)), CLASSES)


def by_classes(g: Graph, x: Value) -> Value:
    """As in SqueezeNet and MobileNet: a 1 × 1 convolution before, or after, the pooling."""
    mean = g.GlobalAveragePool(x)
    return flat(g, g.Conv(mean, weights(CLASSES, FEATURES, 1, 1), weights(CLASSES)), CLASSES)


def channels_last(g: Graph, x: Value) -> Value:
    last = g.Transpose(x, perm=[0, 2, 3, 1])
    return g.Add(
        g.MatMul(g.ReduceMean(last, np.array([1, 2]), keepdims=0), weights(FEATURES, CLASSES)),
        weights(CLASSES),
    )


def flattened(g: Graph, x: Value) -> Value:
    count = FEATURES * HEIGHT * WIDTH
    return linear(g, g.Mul(flat(g, x, count), number(0.5)), count)


def normed(g: Graph, x: Value) -> Value:
    """Batch norm after the pooling, and a temperature."""
    values = [weights(FEATURES, seed=k) for k in range(3)]
    mean = g.BatchNormalization(pooled(g, x), *values, np.abs(weights(FEATURES)) + 1)
    return g.Div(linear(g, mean), number(1.5))


EXACT = {
    head.__name__: head for head in (by_classes, channels_last, flattened, full_kernel, normed)
}


def concepts(g: Graph, x: Value) -> Value:
    """The features and the square roots of a softmax, as in `networks.backbone`."""
    mean = pooled(g, x)
    known = g.Softmax(g.Gemm(mean, weights(9, FEATURES), weights(9), transB=1), axis=1)
    both = g.Concat(mean, g.Sqrt(g.Add(known, number(1e-7))), axis=1)
    return linear(g, both, FEATURES + 9)


def rejection(g: Graph, x: Value) -> Value:
    """One of the scores comes from the similarity to stored features."""
    mean, axis = pooled(g, x), np.array([1])
    two = g.Gemm(mean, weights(2, FEATURES), weights(2), transB=1)
    size = g.ReduceLogSumExp(two, axis)
    centered = g.Sub(mean, weights(FEATURES, seed=5))
    norm = g.Tile(g.Max(g.ReduceL2(centered, axis), number(1e-6)), np.array([1, FEATURES]))
    alike = g.ReduceMax(g.MatMul(g.Div(centered, norm), weights(FEATURES, 7)), axis)
    lead = g.Sub(g.ReduceMax(two, axis), size)
    nothing = g.MatMul(g.Concat(alike, size, lead, axis=1), weights(3, 1))
    return g.Concat(two, g.Add(nothing, size), axis=1)


def dense(g: Graph, x: Value) -> Value:
    hidden = g.Relu(g.Gemm(pooled(g, x), weights(8, FEATURES), weights(8), transB=1))
    return linear(g, g.Tanh(hidden), 8)


def largest(g: Graph, x: Value) -> Value:
    return linear(g, flat(g, g.GlobalMaxPool(x)))


def layer_norm(g: Graph, x: Value) -> Value:
    mean = pooled(g, x)
    centered = g.Sub(mean, g.ReduceMean(mean, np.array([1])))
    variance = g.ReduceMean(g.Mul(centered, centered), np.array([1]))
    return linear(g, g.Div(centered, g.Sqrt(g.Add(variance, number(1e-5)))))


def gates(g: Graph, x: Value) -> Value:
    """What mobile networks use in place of a ReLU."""
    y = pooled(g, x)
    for op in ("HardSwish", "LeakyRelu", "Elu", "Softplus", "Erf", "HardSigmoid", "Sigmoid"):
        y = g.Add(y, getattr(g, op)(y))
    chosen = g.Where(g.Greater(y, number(2)), g.Exp(g.Neg(y)), g.Log(g.Add(g.Abs(y), y)))
    clipped = g.Clip(g.Reciprocal(g.Add(y, number(9))), number(0.01), number(0.2))
    return linear(g, g.Min(g.Mul(chosen, clipped), g.Slice(y, *map(np.array, ([0], [6], [1])))))


def sums(g: Graph, x: Value) -> Value:
    squares = g.ReduceSumSquare(x, np.array([2, 3]), keepdims=0)
    least = g.ReduceMin(x, np.array([2, 3]), keepdims=0)
    total = g.LogSoftmax(g.ReduceSum(x, np.array([2, 3]), keepdims=0), axis=1)
    return linear(g, g.Sub(g.Add(squares, least), total))


def two_answers(g: Graph, x: Value) -> Value:
    """A sigmoid, and 1 minus it."""
    yes = g.Sigmoid(g.Gemm(pooled(g, x), weights(1, FEATURES), weights(1), transB=1))
    return g.Concat(yes, g.Sub(number(1), yes), g.Mul(yes, yes), axis=1)


SMOOTH = {
    head.__name__: head
    for head in (*(concepts, rejection, dense, largest, layer_norm, gates, sums, two_answers),)
}


def classifier(head: Head, *, softmax: bool = True) -> tuple[Graph, Value]:
    g = Graph(["image", "features", "result"])
    x = g.input("image", np.float32, (1, 3, HEIGHT, WIDTH))
    features = g.Relu(g.Conv(x, weights(FEATURES, 3, 1, 1), weights(FEATURES)))
    g.bind("features", features)
    scores = head(g, features)
    found = g.Reshape(g.Softmax(scores, axis=1) if softmax else scores, np.array([CLASSES]))
    g.output("scores", g.Identity(scores))
    g.output("result", found)
    return g, found


def tail_of(head: Head) -> tuple[Tail, np.ndarray, np.ndarray]:
    """The tail, a feature map, and the scores that ONNX Runtime computes from the same image."""
    g, found = classifier(head)
    tail = find_tail(g, found, CLASSES)
    assert tail is not None
    options = onnxruntime.SessionOptions()
    features = g.tensors["features"]
    model = onnx_model(g, [features, g.outputs[0]]).SerializeToString()
    session: Any = onnxruntime.InferenceSession(model, options)
    x = weights(1, 3, HEIGHT, WIDTH, seed=4)
    feature_map, scores = session.run(None, {"image": x})
    return tail, feature_map.astype(np.float64), scores[0]


@pytest.mark.parametrize("head", EXACT.values(), ids=EXACT)
def test_an_affine_head_is_exact(head: Head) -> None:
    """The mean of the map plus a constant is the score, whatever the features are."""
    tail, features, scores = tail_of(head)
    assert (tail.name, tail.axes) == ("features", (2, 3))
    for index in range(CLASSES):
        found, zero = (tail.slope(values, index) for values in (features, 0 * features))
        assert found.exact
        assert found.score == pytest.approx(scores[index], rel=1e-4, abs=1e-4)
        np.testing.assert_allclose(found.gradient, zero.gradient, atol=1e-12)
        whole = (features * found.gradient).sum() + zero.score
        assert whole == pytest.approx(found.score, abs=1e-9)


@pytest.mark.parametrize("head", [*EXACT.values(), *SMOOTH.values()], ids=[*EXACT, *SMOOTH])
def test_gradients_agree_with_finite_differences(head: Head) -> None:
    tail, features, scores = tail_of(head)
    all_scores = [tail.slope(features, index).score for index in range(CLASSES)]
    np.testing.assert_allclose(all_scores, scores, rtol=1e-4, atol=1e-4)
    random = np.random.default_rng(3)
    features = features + 0.1 * random.random(features.shape)  # no two values are the same
    for index in range(CLASSES):
        found = tail.slope(features, index)
        affine = head in EXACT.values() or (head is rejection and index < 2)
        assert found.exact == affine
        for _ in range(3):
            way = 1e-4 * random.normal(size=features.shape)
            above, below = (tail.slope(features + s * way, index).score for s in (1, -1))
            assert (above - below) / 2 == pytest.approx(
                (found.gradient * way).sum(), rel=1e-3, abs=1e-9
            )


def test_every_gradient_is_tested() -> None:
    used = {
        node.op
        for head in (*EXACT.values(), *SMOOTH.values())
        for node in classifier(head)[0].nodes
    }
    rare = {*CONDITIONS, *MOVES, "AveragePool", "Cast", "MaxPool"}
    assert set(GRADIENTS) - rare <= used
    assert set(AFFINE) <= set(GRADIENTS) | MOVES


def deep(g: Graph, x: Value) -> Value:
    y = pooled(g, x)
    for _ in range(MAX_NODES):
        y = g.Tanh(y)
    return linear(g, y)


def attention(g: Graph, x: Value) -> Value:
    """Tokens that look at each other: what one place has is soon everywhere."""
    tokens = g.Transpose(g.Reshape(x, np.array([1, FEATURES, -1])), perm=[0, 2, 1])
    scores = g.MatMul(tokens, g.Transpose(tokens, perm=[0, 2, 1]))
    mixed = g.MatMul(g.Softmax(scores, axis=2), tokens)
    return linear(g, g.ReduceMean(mixed, np.array([1]), keepdims=0))


def unknown_operator(g: Graph, x: Value) -> Value:
    return linear(g, g.Sin(pooled(g, x)))


def test_without_a_gradient_there_is_no_map() -> None:
    for head in (deep, unknown_operator):
        g, found = classifier(head)
        assert find_tail(g, found, CLASSES) is None, head.__name__
    g, found = classifier(flattened)
    assert find_tail(g, found, CLASSES + 1) is None
