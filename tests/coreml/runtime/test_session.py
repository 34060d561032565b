"""`Session`: passes of ONNX Runtime that break graphs, and runs that do not end."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from pocketlens.coreml import load
from pocketlens.coreml.file.time_limit import TimeLimitError
from pocketlens.coreml.graph import Graph
from pocketlens.coreml.graph.export import onnx_model
from pocketlens.coreml.runtime import session as session_module
from pocketlens.coreml.runtime.interrupts import interruptible
from pocketlens.coreml.runtime.session import DISABLED, PASSES, Session
from pocketlens.errors import FeatureError, ModelFileError, OptionError

from .random_graphs import PATTERNS, random_graph

FILE: Any = SimpleNamespace(path="m.mlmodel", time_limit=None)
SEEDS = 40


def unoptimized(graph: Graph, feed: dict[str, np.ndarray]) -> np.ndarray:
    """The output of the graph as it is written."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    model = onnx_model(graph).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (result,) = session.run(["y"], feed)
    return np.asarray(result)


def check(pattern: str, seed: int) -> Session:
    """Compare the optimized graph of a seed with the graph as it is written."""
    graph, feed = random_graph(pattern, seed)
    made = Session(FILE, graph, threads=1)
    (given,) = made.run(["y"], feed)
    expected = unoptimized(graph, feed)
    half = any(value.dtype == np.float16 for node in graph.nodes for value in node.outputs)
    finite = expected[np.isfinite(expected)].astype(np.float64)
    largest = 1 + float(abs(finite).max(initial=0))
    # In float16 and in 8 bits, a difference in the last bit of float32 may change the rounding.
    tolerance = (4e-3 if half else 2e-5) * largest
    close = np.isclose(given.astype(np.float64), expected, 0, tolerance, equal_nan=True)
    enough = 0.9 if pattern == "quantized" else 1
    assert given.shape == expected.shape
    assert close.mean() >= enough, f"{pattern} {seed}: {given[~close]} is not {expected[~close]}"
    return made


@pytest.mark.parametrize("pattern", PATTERNS)
def test_optimized_graphs_compute_the_same(pattern: str) -> None:
    for seed in range(SEEDS):
        check(pattern, seed)


# With ONNX Runtime 1.31, MatMulScaleFusion breaks the first four graphs, and Pad_Fusion the last
# two: MaxPool would ignore padded zeros.
@pytest.mark.parametrize(
    ("pattern", "seed"),
    [("matmul_scale", seed) for seed in (199, 251, 358, 847)] + [("pooling", s) for s in (17, 435)],
)
def test_graphs_that_a_pass_breaks(pattern: str, seed: int) -> None:
    made = check(pattern, seed)
    assert made.optimized
    assert set(made.disabled) <= {"MatMulScaleFusion", "Pad_Fusion"}


def test_attention_on_a_scaled_input(files: Any, save: Callable[..., Path]) -> None:
    """The published case: (a c) x a with a = x k, as coremltools writes it for iOS 15 to 17."""
    x = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    spec = files.program_spec("mul", {"x": x}, {}, [("float32", (3, 3))])
    block = spec.mlProgram.functions["main"].block_specializations["CoreML6"]
    del block.operations[:]

    def add(kind: str, name: str, **inputs: Any) -> None:
        made = block.operations.add(type=kind)
        made.outputs.add(name=name).type.CopyFrom(files.type_message("float32", (3, 3)))
        for key, value in inputs.items():
            binding = made.inputs[key].arguments.add()
            if isinstance(value, str):
                binding.name = value
            else:
                binding.value.CopyFrom(files.value_message(value))

    add("mul", "a", x="x", y=2.0)
    add("mul", "q", x="a", y=0.5)
    add("matmul", "s", x="q", y="x")
    add("matmul", "y0", x="s", y="a")
    answer = load(save(spec)).run({"x": x})["y0"]
    np.testing.assert_allclose(answer, x @ x @ (2 * x), rtol=1e-5, atol=1e-5)


@pytest.fixture
def matmul() -> tuple[Graph, dict[str, np.ndarray]]:
    graph = Graph()
    x = graph.input("x", np.float32, (2, 2))
    graph.output("y", graph.MatMul(x, x))
    return graph, {"x": np.eye(2, dtype=np.float32)}


class Broken:
    """Stands for an ONNX Runtime whose passes `faulty` break every graph when all of them run."""

    def __init__(self, *faulty: str, during: str = "load") -> None:
        self.faulty = set(faulty)
        self.during = during
        self.loads = 0
        self.real = onnxruntime.InferenceSession

    def __call__(self, model: bytes, options: Any, **rest: Any) -> Any:
        self.loads += 1
        level = options.graph_optimization_level
        off = level == onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        breaks = not off and not self.faulty & set(rest["disabled_optimizers"])
        if breaks and self.during == "load":
            raise RuntimeError("a pass\nbroke the graph")
        made = self.real(model, options, **rest)
        if breaks:
            return SimpleNamespace(run=self.fail)
        return made

    def fail(self, *_: Any) -> Any:
        raise RuntimeError("a pass broke the run")


@pytest.mark.parametrize("during", ["load", "run"])
@pytest.mark.parametrize("guilty", ["MatMulScaleFusion", "ConstantFolding", PASSES[-1]])
def test_the_pass_that_breaks_a_graph_is_found(
    during: str, guilty: str, matmul: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Broken(guilty, during=during)
    monkeypatch.setattr(onnxruntime, "InferenceSession", broken)
    graph, feed = matmul
    made = Session(FILE, graph)
    np.testing.assert_array_equal(made.run(["y"], feed)[0], np.eye(2))
    assert made.optimized
    assert made.disabled == (guilty,)
    assert broken.loads <= 24
    loads = broken.loads
    made.run(["y"], feed)
    assert broken.loads == loads


def test_no_known_pass_is_guilty(matmul: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", Broken("a new pass"))
    graph, feed = matmul
    made = Session(FILE, graph)
    np.testing.assert_array_equal(made.run(["y"], feed)[0], np.eye(2))
    assert not made.optimized


def test_the_file_is_to_blame(matmul: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no kernel\nfor this type")

    monkeypatch.setattr(onnxruntime, "InferenceSession", fail)
    with pytest.raises(ModelFileError, match=r"m\.mlmodel cannot be run: no kernel for this type"):
        Session(FILE, matmul[0])


def test_inputs_are_to_blame(matmul: Any) -> None:
    graph, _ = matmul
    made = Session(FILE, graph)
    with pytest.raises(FeatureError, match=r"m\.mlmodel fails on these inputs: .*Expected: 2"):
        made.run(["y"], {"x": np.ones((3, 2), np.float32)})
    assert made.optimized
    assert made.disabled == ()


@pytest.mark.parametrize("needed", [*itertools.combinations(range(9), 2)])
def test_smallest_set_of_passes(needed: tuple[int, int]) -> None:
    found = session_module._smallest(
        tuple(map(str, range(9))), lambda some: set(map(str, needed)) <= set(some)
    )
    assert sorted(map(int, found)) == sorted(needed)


def test_disabled_passes_have_reasons() -> None:
    assert all(reason for reason in DISABLED.values())
    assert len(set(PASSES)) == len(PASSES)


def test_dead_nodes_are_not_written() -> None:
    graph = Graph()
    x = graph.input("x", np.float32, (2,))
    for _ in range(5):
        graph.Relu(x)
    graph.output("y", graph.Exp(x))
    assert [node.op_type for node in onnx_model(graph).graph.node] == ["Exp"]


# Runs that do not end.


def endless(files: Any) -> Any:
    """while true: a loop of few steps, each of which takes long."""
    x = np.ones((400, 400), np.float32)
    spec = files.program_spec("while_loop", {"x": x}, {}, [("float32", x.shape)])
    block = spec.mlProgram.functions["main"].block_specializations["CoreML6"]
    loop = block.operations[-1]
    del loop.inputs["x"]
    del loop.attributes["name"]
    loop.inputs["loop_vars"].arguments.add().name = "x"
    condition, body = loop.blocks.add(), loop.blocks.add()
    for inner, name in ((condition, "c"), (body, "b")):
        inner.inputs.add(name=name).type.CopyFrom(files.type_message("float32", x.shape))
    asked = condition.operations.add(type="const")
    asked.outputs.add(name="go").type.CopyFrom(files.type_message("bool", ()))
    asked.attributes["val"].CopyFrom(files.value_message(np.bool_(True)))
    condition.outputs.append("go")
    product = body.operations.add(type="matmul")
    product.outputs.add(name="p").type.CopyFrom(files.type_message("float32", x.shape))
    for key in ("x", "y"):
        product.inputs[key].arguments.add().name = "b"
    body.outputs.append("p")
    return spec


def test_time_limit(files: Any, save: Callable[..., Path]) -> None:
    path = save(endless(files))
    model = load(path, time_limit=0.5)
    x = np.ones((400, 400), np.float32)
    with pytest.raises(FeatureError, match=r"took more than 0\.5 seconds.*time_limit=1\).*LIMIT=1"):
        model.run({"x": x})


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_invalid_time_limit(seconds: float, files: Any, save: Callable[..., Path]) -> None:
    with pytest.raises(OptionError, match="expected a positive number of seconds"):
        load(save(endless(files)), time_limit=seconds)


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to one process on Windows")
def test_ctrl_c_ends_a_run(files: Any, save: Callable[..., Path]) -> None:
    script = """
        import sys, numpy as np
        from pocketlens.coreml import load
        model = load(sys.argv[1])
        print("running", flush=True)
        try:
            model.run({"x": np.ones((400, 400), np.float32)})
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(save(endless(files)))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "running\n"
            threading.Event().wait(0.3)  # until the run has begun; earlier works, too
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert output == "interrupted\n"
    assert process.returncode == 0


def test_results_and_errors_of_interruptible_work() -> None:
    assert interruptible(lambda: 3, lambda: None, None) == 3
    with pytest.raises(ZeroDivisionError):
        interruptible(lambda: 1 // 0, lambda: None, 5)


def test_work_is_canceled() -> None:
    canceled = threading.Event()
    with pytest.raises(TimeLimitError):
        interruptible(lambda: canceled.wait(60), canceled.set, 0.01)
    assert canceled.is_set()
