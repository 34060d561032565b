"""Random ops and layers: shape, type, range, statistics, and reproducibility by seed.

Statistics may differ from the expected value by five standard errors. With fixed seeds, the result
is the same each time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from arrays import Run, f32, i32
from pocketlens.coreml import load
from pocketlens.errors import FeatureError, ModelFileError, UnsupportedParameter

Save: TypeAlias = Callable[..., Path]

COUNT = 40_000
SHAPE = (4, 100, 100)
SIGMAS = 5


def has_moments(draws: np.ndarray, mean: float, variance: float, fourth: float) -> None:
    """`fourth`, the fourth central moment, determines the standard error of the variance."""
    wide = draws.astype(np.float64).reshape(-1)
    assert abs(wide.mean() - mean) < SIGMAS * math.sqrt(variance / wide.size)
    assert abs(wide.var() - variance) < SIGMAS * math.sqrt((fourth - variance**2) / wide.size)


def is_normal(draws: np.ndarray, mean: float, deviation: float) -> None:
    has_moments(draws, mean, deviation**2, 3 * deviation**4)
    share = (abs(draws - mean) < deviation).mean()  # 68.27 % of a normal distribution
    assert abs(share - 0.6827) < SIGMAS * math.sqrt(0.6827 * 0.3173 / draws.size)


def is_uniform(draws: np.ndarray, low: float, high: float) -> None:
    span = high - low
    has_moments(draws, (low + high) / 2, span**2 / 12, span**4 / 80)
    assert draws.min() >= low
    assert draws.max() < high
    quarters = np.histogram(draws.astype(np.float64), 4, (low, high))[0] / draws.size
    assert abs(quarters - 0.25).max() < SIGMAS * math.sqrt(0.1875 / draws.size)


def is_bernoulli(draws: np.ndarray, p: float) -> None:
    assert set(np.unique(draws).tolist()) <= {0.0, 1.0}
    assert abs(draws.mean() - p) <= SIGMAS * math.sqrt(p * (1 - p) / draws.size)


def has_frequencies(draws: np.ndarray, p: np.ndarray) -> None:
    assert np.array_equal(draws, np.floor(draws))
    found = np.bincount(draws.astype(int).reshape(-1), minlength=len(p)) / draws.size
    assert len(found) == len(p)
    assert (abs(found - p) <= SIGMAS * np.sqrt(p * (1 - p) / draws.size)).all()
    # The draws are independent, not sorted.
    assert abs(np.mean(draws.reshape(-1)[:-1] == draws.reshape(-1)[1:]) - (p**2).sum()) < 0.03


def is_all(draws: np.ndarray, number: float) -> None:
    assert (draws == number).all()


shape = np.array(SHAPE, np.int32)

OPS: list[tuple[str, dict[str, Any], Callable[[np.ndarray], None]]] = [
    ("random_normal", {"seed": 3}, lambda y: is_normal(y, 0, 1)),
    ("random_normal", {"seed": 0, "mean": -2.0, "stddev": 0.5}, lambda y: is_normal(y, -2, 0.5)),
    ("random_normal", {"seed": 1, "mean": 4.0, "stddev": 0.0}, lambda y: is_all(y, 4)),
    ("random_uniform", {"seed": 3}, lambda y: is_uniform(y, 0, 1)),
    ("random_uniform", {"seed": 2**31 - 1, "low": -3.0}, lambda y: is_uniform(y, -3, 1)),
    ("random_uniform", {"seed": 1, "low": 2.0, "high": 2.0}, lambda y: is_all(y, 2)),
    ("random_bernoulli", {"seed": 3}, lambda y: is_bernoulli(y, 0.5)),
    ("random_bernoulli", {"seed": 3, "prob": 0.1}, lambda y: is_bernoulli(y, 0.1)),
    ("random_bernoulli", {"prob": 1.0}, lambda y: is_all(y, 1)),
    ("random_bernoulli", {"prob": 0.0}, lambda y: is_all(y, 0)),
]


@pytest.mark.parametrize(("op", "fields", "check"), OPS)
@pytest.mark.parametrize("given", [False, True])
def test_op(
    run_op: Run, op: str, fields: dict[str, Any], check: Callable[[np.ndarray], None], given: bool
) -> None:
    """With the shape in the file, and as an input."""
    inputs = {"shape": shape} if given else {}
    constants = fields if given else {"shape": shape} | fields
    (y,) = run_op(op, inputs, constants, [("float32", SHAPE)])
    assert y.dtype == np.float32 and y.shape == SHAPE
    check(y)


HALF = np.float16
HALVES: list[tuple[str, dict[str, Any], Callable[[np.ndarray], None]]] = [
    ("random_normal", {"mean": HALF(1), "stddev": HALF(2)}, lambda y: is_normal(y, 1, 2)),
    ("random_uniform", {"low": HALF(-1), "high": HALF(1)}, lambda y: is_uniform(y, -1, 1)),
    ("random_uniform", {"high": HALF(3)}, lambda y: is_uniform(y, 0, 3)),
    ("random_bernoulli", {"prob": HALF(0.25)}, lambda y: is_bernoulli(y, 0.25)),
]


@pytest.mark.parametrize(("op", "fields", "check"), HALVES)
def test_op_in_float16(
    run_op: Run, op: str, fields: dict[str, Any], check: Callable[[np.ndarray], None]
) -> None:
    """The result has the type of the parameters and stays below `high` when rounded."""
    (y,) = run_op(op, {}, {"shape": shape, "seed": 5} | fields, [("float16", SHAPE)])
    assert y.dtype == np.float16
    check(y.astype(np.float32))


P = f32([0.1, 0.0, 0.6, 0.3])


@pytest.mark.parametrize("mode", ["probs", "logits"])
def test_categorical(run_op: Run, mode: str) -> None:
    rows = np.stack([P, P[::-1]])[:, None]  # [2, 1, 4]
    with np.errstate(divide="ignore"):
        x = rows if mode == "probs" else np.maximum(np.log(rows), -1e4) + 7
    fields = {"mode": mode, "size": COUNT, "seed": 3}
    (y,) = run_op("random_categorical", {"x": x}, fields, [("float32", (2, 1, COUNT))])
    has_frequencies(y[0], P)
    has_frequencies(y[1], P[::-1])


def test_categorical_defaults(run_op: Run) -> None:
    """One sample, from logits; the result has the type of x."""
    x = np.array([-90, 9, -90], np.float16)
    (y,) = run_op("random_categorical", {"x": x}, {}, [("float16", (1,))])
    assert y.dtype == np.float16
    assert y.tolist() == [1]


LAYERS: list[tuple[str, dict[str, Any], Callable[[np.ndarray], None]]] = [
    ("randomNormal", {"mean": 2.0, "stdDev": 3.0}, lambda y: is_normal(y, 2, 3)),
    ("randomNormal", {"mean": 2.0}, lambda y: is_all(y, 2)),
    ("randomUniform", {"minVal": -2.0, "maxVal": 3.0}, lambda y: is_uniform(y, -2, 3)),
    ("randomBernoulli", {"prob": 0.7}, lambda y: is_bernoulli(y, 0.7)),
]


@pytest.mark.parametrize("form", ["Like", "Static", "Dynamic"])
@pytest.mark.parametrize(("kind", "fields", "check"), LAYERS)
def test_layer(
    run_layer: Run,
    kind: str,
    fields: dict[str, Any],
    check: Callable[[np.ndarray], None],
    form: str,
) -> None:
    inputs = {
        "Like": [np.full(SHAPE, np.nan, np.float32)],  # only its shape matters
        "Static": [],
        "Dynamic": [np.array(SHAPE, np.float32)],
    }[form]
    more = {"outputShape": list(SHAPE)} if form == "Static" else {}
    (y,) = run_layer(f"{kind}{form}", inputs, {"seed": 11} | fields | more, [SHAPE])
    assert y.dtype == np.float32 and y.shape == SHAPE
    check(y)


@pytest.mark.parametrize("temperature", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("logits", [False, True])
def test_categorical_layer(run_layer: Run, logits: bool, temperature: float) -> None:
    with np.errstate(divide="ignore"):
        x = np.maximum(np.log(P), -1e4) if logits else P
    fields = {"seed": 3, "numSamples": COUNT, "isLogits": logits, "eps": 1e-10}
    fields |= {"temperature": temperature}
    (y,) = run_layer("categoricalDistribution", [x[None]], fields, [(1, COUNT)])
    cooled = P ** (1 / (temperature or 1))
    has_frequencies(y, cooled / cooled.sum())


def drawn(path: Path, runs: int = 1) -> list[np.ndarray]:
    model = load(path)
    return [model.run({"unused": np.zeros(1, np.float32)})["y0"] for _ in range(runs)]


def seeded(files: Any, save: Save, seed: int | None, op: str = "random_normal") -> Path:
    fields = {"shape": i32([3, 4])} | ({} if seed is None else {"seed": seed})
    path: Path = save(files.program_spec(op, {}, fields, [("float32", (3, 4))]), f"{seed}.mlmodel")
    return path


@pytest.mark.parametrize("op", ["random_normal", "random_uniform"])
def test_a_seed_repeats_the_sequence_on_each_load(files: Any, save: Save, op: str) -> None:
    path = seeded(files, save, 42, op)
    first, second = drawn(path, 2), drawn(path, 2)
    np.testing.assert_array_equal(first, second)
    assert (first[0] != first[1]).all()  # the second run continues the sequence


def test_each_seed_has_its_own_sequence(files: Any, save: Save) -> None:
    streams = [drawn(seeded(files, save, seed))[0] for seed in (0, 1, 2, 3, 1000)]
    firsts = {stream.reshape(-1)[0] for stream in streams}
    assert len(firsts) == 5


@pytest.mark.parametrize("seed", [None, -1])
def test_the_sequence_continues_without_a_seed_too(
    files: Any, save: Save, seed: int | None
) -> None:
    first, second = drawn(seeded(files, save, seed), 2)
    assert (first != second).all()


INVALID: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("random_normal", {"stddev": -1.0}, ModelFileError, "deviation is -1; expected 0 or more"),
    ("random_uniform", {"low": 2.0}, ModelFileError, "the range is 2 to 1; expected low <= high"),
    ("random_bernoulli", {"prob": 1.5}, ModelFileError, "probability is 1.5; expected 0 to 1"),
    ("random_normal", {"mean": np.int32(1)}, ModelFileError, "expected a floating-point number"),
    (
        "random_normal",
        {"mean": np.float16(1), "stddev": np.float32(1)},
        ModelFileError,
        "its parameters are float16 and float32; expected the same type",
    ),
]


@pytest.mark.parametrize(("op", "fields", "error", "text"), INVALID)
def test_invalid_parameters(
    run_op: Run, op: str, fields: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        run_op(op, {}, {"shape": shape} | fields, [("float32", SHAPE)])


def test_shape_is_limited(run_layer: Run) -> None:
    fields = {"outputShape": [2**63], "maxVal": 1.0}
    with pytest.raises(ModelFileError, match="outputShape is .9223372036854775808.; expected at"):
        run_layer("randomUniformStatic", [], fields, [(1,)])
    with pytest.raises(ModelFileError, match="expected at most 2147483648 bytes"):
        run_layer("randomUniformStatic", [], {"outputShape": [2**30, 2**30]}, [(1,)])
    with pytest.raises(FeatureError, match="would make a tensor with a negative size"):
        run_layer("randomUniformDynamic", [f32([2**20, 2**20])], {}, [(1, 1)])


def test_invalid_categorical(run_op: Run, run_layer: Run) -> None:
    x, outputs = P[None], [("float32", (1, 1))]
    with pytest.raises(UnsupportedParameter, match="'mode' is 'odds'; expected logits or probs"):
        run_op("random_categorical", {"x": x}, {"mode": "odds"}, outputs)
    with pytest.raises(ModelFileError, match="the number of samples is 0; expected 1 or more"):
        run_op("random_categorical", {"x": x}, {"size": 0}, outputs)
    fields = {"numSamples": 1, "temperature": -1.0}
    with pytest.raises(ModelFileError, match="temperature is -1; expected more than 0"):
        run_layer("categoricalDistribution", [x], fields, [(1, 1)])
    fields = {"numSamples": 1, "eps": 0.1}
    with pytest.raises(UnsupportedParameter, match="eps is 0.1, .* expected 1e-10"):
        run_layer("categoricalDistribution", [x], fields, [(1, 1)])
