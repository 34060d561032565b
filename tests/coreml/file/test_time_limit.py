"""The time limit of one call: its default, nested calls, and every kind of model."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import CoreMLModel, load, predict
from pocketlens.coreml.file import time_limit
from pocketlens.coreml.file.time_limit import (
    check_time,
    seconds_left,
    time_limited,
)
from pocketlens.errors import FeatureError

A, B = Path("a.mlmodel"), Path("b.mlmodel")
NOTHING = 1e-9
"""A limit that is over before the first step."""


def test_no_limit() -> None:
    with time_limited(A, None):
        assert seconds_left() is None
        check_time()


def test_the_outermost_limit_counts() -> None:
    with time_limited(A, 50), time_limited(B, 1000):
        left = seconds_left()
        assert left is not None
        assert left <= 50
        check_time()
    assert seconds_left() is None
    with (
        pytest.raises(FeatureError, match=r"^a.mlmodel was stopped: a run took more than 1e-09 s"),
        time_limited(A, NOTHING),
        time_limited(B, 1000),
    ):
        check_time()
    assert seconds_left() is None


def slow_run(model: Any, inputs: Any, **_: Any) -> dict[str, Any]:
    """As a stage that takes 7 of the 10 seconds."""
    del model, inputs
    clock.now += 7
    check_time()
    return {"m": np.zeros(1)}


class clock:
    """Stands for the module `time`."""

    now = 0.0

    @staticmethod
    def monotonic() -> float:
        return clock.now


def test_stages_of_a_pipeline_share_the_limit(
    monkeypatch: pytest.MonkeyPatch, spec_of: Callable[..., Any], save: Callable[..., Path]
) -> None:
    """Three stages of 7 seconds: each alone would be within 10 seconds."""
    from pocketlens.coreml.classic.model import ClassicModel

    spec = spec_of("pipeline", {"m": (1,)}, {"m": (1,)})
    for _ in range(3):
        stage = spec_of("scaler", {"m": (1,)}, {"m": (1,)})
        stage.scaler.shiftValue.append(1)
        spec.pipeline.models.add().CopyFrom(stage)
    path = save(spec)
    model = load(path, time_limit=10)
    monkeypatch.setattr(time_limit, "time", clock)
    monkeypatch.setattr(ClassicModel, "_run_once", slow_run)
    clock.now = 0.0
    with pytest.raises(FeatureError) as caught:
        model.run({"m": [1]})
    assert clock.now == 14  # it ended in the second stage
    assert str(caught.value).startswith(f"{path} was stopped: a run took more than 10 seconds")
    assert time.monotonic() != clock.now


def trees(spec: Any) -> None:
    ensemble = spec.treeEnsembleRegressor.treeEnsemble
    ensemble.numPredictionDimensions = 1
    ensemble.basePredictionValue.append(0)
    ensemble.nodes.add(nodeId=0, trueChildNodeId=1, falseChildNodeId=2)
    for number in (1, 2):
        leaf = ensemble.nodes.add(nodeId=number, nodeBehavior=6)
        leaf.evaluationInfo.add(evaluationValue=number)


def vectors(spec: Any) -> None:
    model = spec.supportVectorClassifier
    model.kernel.linearKernel.SetInParent()
    for value in (1, 2, 3):
        model.denseSupportVectors.vectors.add().values.append(value)
    model.numberOfSupportVectorsPerClass.extend([1, 1, 1])
    for _ in range(2):
        model.coefficients.add().alpha.extend([1, 2, 3])
    model.rho.extend([0, 0, 0])
    model.stringClassLabels.vector.extend("abc")


def boxes(spec: Any) -> None:
    model = spec.nonMaximumSuppression
    model.confidenceInputFeatureName, model.coordinatesInputFeatureName = "x", "z"
    model.confidenceOutputFeatureName, model.coordinatesOutputFeatureName = "y", "p"
    model.pickTop.perClass = True


@pytest.mark.parametrize(
    ("kind", "inputs", "outputs", "fill"),
    [
        ("treeEnsembleRegressor", {"x": (1,)}, {"y": "double"}, trees),
        ("supportVectorClassifier", {"x": (1,)}, {"y": "string"}, vectors),
        ("nonMaximumSuppression", {"x": (2, 1), "z": (2, 4)}, {"y": (2, 1), "p": (2, 4)}, boxes),
    ],
    ids=["trees", "support vectors", "boxes"],
)
def test_classic_models(
    kind: str,
    inputs: dict[str, Any],
    outputs: dict[str, Any],
    fill: Callable[[Any], None],
    spec_of: Callable[..., Any],
    save: Callable[..., Path],
) -> None:
    spec = spec_of(kind, inputs, outputs, "y" if kind.endswith("Classifier") else "")
    fill(spec)
    path = save(spec)
    given = {name: np.ones(shape) for name, shape in inputs.items()}
    assert set(load(path).run(given)) == set(outputs)
    with pytest.raises(FeatureError, match="was stopped: a run took more than 1e-09 seconds"):
        load(path, time_limit=NOTHING).run(given)


def test_predict_uses_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")

    class Loaded(Exception):
        """What the stand-in for `load` raises."""

    def stand_in(path: object, **options: object) -> CoreMLModel:
        assert options == {"time_limit": 7.5}
        raise Loaded

    monkeypatch.setenv("POCKETLENS_TIME_LIMIT", "7.5")
    for module in ("coreml.loading", "conversion.checking"):
        monkeypatch.setattr(f"pocketlens.{module}.load", stand_in)
    with pytest.raises(Loaded):
        predict("m.mlmodel", np.zeros((1, 1), np.uint8))
    from pocketlens.conversion.checking import loaded

    with pytest.raises(Loaded):
        loaded(A)
