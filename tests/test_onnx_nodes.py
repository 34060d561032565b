"""ONNX's own node tests: the table of the last complete run, and a sample that runs here."""

from __future__ import annotations

import json
import random
from collections import Counter
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "conformance"
TABLE: dict[str, Any] = json.loads((FOLDER / "onnx_nodes.json").read_text(encoding="utf-8"))

CLASSIFIER = (
    *("Add", "AveragePool", "BatchNormalization", "Clip", "Concat", "Conv", "Dropout", "Div"),
    *("Elu", "Flatten", "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid"),
    *("HardSwish", "LRN", "LayerNormalization", "LeakyRelu", "LogSoftmax", "MatMul", "MaxPool"),
    *("Mul", "PRelu", "Pad", "Pow", "ReduceMean", "Relu", "Reshape", "Resize", "Sigmoid"),
    *("Slice", "Softmax", "Split", "Sqrt", "Squeeze", "Sub", "Tanh", "Transpose", "Unsqueeze"),
)
"""The ops of image classifiers."""


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return import_module("onnx_nodes")


def test_most_node_tests_pass() -> None:
    counts = sum((Counter(each) for each in TABLE["ops"].values()), Counter[str]())
    assert sum(counts.values()) == TABLE["numeric"]
    assert counts["passed"] + counts["constants"] >= 0.6 * TABLE["numeric"]
    assert counts["failed"] == len(TABLE["failed"])
    assert counts["unsupported"] == len(TABLE["unsupported"])


@pytest.mark.parametrize("op", CLASSIFIER)
def test_every_op_of_an_image_classifier_passes(op: str) -> None:
    counts = TABLE["ops"][op]
    assert counts.get("failed", 0) == 0
    done = counts.get("passed", 0) + counts.get("constants", 0)
    training = sum(op.lower()[:9] in each and "train" in each for each in TABLE["unsupported"])
    assert done > counts.get("unsupported", 0) - training


def test_the_table_for_readers_says_the_same(nodes: Any) -> None:
    assert (FOLDER / "ONNX_NODES.md").read_text(encoding="utf-8") == nodes.markdown(TABLE)


def test_every_failure_has_a_cause(nodes: Any) -> None:
    for name, why in TABLE["failed"].items():
        assert nodes.cause_of(name) == why


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")  # the tests' own numbers
def test_a_sample_of_the_node_tests(nodes: Any) -> None:
    """Those that pass still pass."""
    every = {case.name: case for case in nodes.cases()}
    passing = sorted(every.keys() - TABLE["failed"].keys() - TABLE["unsupported"].keys())
    chosen = random.Random(0).sample(passing, 4)
    results = {name: nodes.run_case(every[name]) for name in chosen}
    assert nodes.unexpected(results, TABLE) == []


def test_differences_from_the_table_are_reported(nodes: Any) -> None:
    table = {"unsupported": {"a": "x"}}
    results = {
        "a": nodes.Result("passed"),
        "b": nodes.Result("unsupported", "no op"),
        "c": nodes.Result("failed", "wrong"),
        "d": nodes.Result("passed"),
    }
    assert nodes.unexpected(results, table) == [
        "passed, but listed: a",
        "no longer converted: b: no op",
        "failed: c: wrong",
    ]


def test_a_wrong_number_fails(nodes: Any) -> None:
    ones = np.ones(3, np.float32)
    assert nodes._difference([ones], [ones], 1e-3, 1e-7) == ""
    assert "0.1" in nodes._difference([ones + 0.1], [ones], 1e-3, 1e-7)
    assert "shape" in nodes._difference([ones[:2]], [ones], 1e-3, 1e-7)
    assert nodes._difference([np.arange(3)], [np.arange(3) + 1], 1e-3, 1e-7) == "other integers"
