"""The memory that one model file may need: known before it is taken, and measured."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import load
from pocketlens.coreml.file import messages
from pocketlens.coreml.file.budget import MAX_MEMORY, VARIABLE, Budget, charge
from pocketlens.coreml.file.messages import messages_in
from pocketlens.coreml.file.proto import generated
from pocketlens.coreml.graph import Graph
from pocketlens.coreml.graph.memory import run_bytes
from pocketlens.errors import ModelFileError, OptionError

MB = 1_000_000


def test_charges_add_up() -> None:
    budget = Budget(100 * MB)
    budget.charge(60 * MB, "one")
    with pytest.raises(ModelFileError) as raised:
        budget.charge(50 * MB, "the weight 'w'")
    assert str(raised.value) == (
        "the weight 'w' would bring the model to 0.1 GB of memory; the limit is 0.1 GB; if you "
        "trust the file, raise it: load(path, max_memory=220000000), or set "
        "POCKETLENS_MAX_MEMORY=220000000"
    )
    budget.charge(40 * MB, "exactly the limit")


def test_only_the_active_budget_is_charged() -> None:
    budget = Budget(10)
    charge(1000, "nobody's")
    with budget.active():
        charge(7, "a weight")
    assert budget.used == 7
    with pytest.raises(ModelFileError), budget.active():
        charge(3, "a weight")
        charge(1, "one more")
    assert budget.used == 7  # what failed is freed


def test_limit_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert Budget().limit == MAX_MEMORY
    monkeypatch.setenv(VARIABLE, "12345")
    assert Budget().limit == 12345
    assert Budget(99).limit == 99
    monkeypatch.setenv(VARIABLE, "lots")
    with pytest.raises(OptionError, match="POCKETLENS_MAX_MEMORY is 'lots'; expected a positive"):
        Budget()


@pytest.mark.parametrize("limit", [0, -5, 1.5, "4G"])
def test_invalid_limit(limit: Any) -> None:
    with pytest.raises(OptionError, match="max_memory is .*; expected a positive number of bytes"):
        Budget(limit)


# Messages.


def many_layers(count: int) -> bytes:
    spec = generated("Model_pb2").Model()
    for _ in range(count):
        spec.neuralNetwork.layers.add()
    return bytes(spec.SerializeToString())


@pytest.mark.parametrize("count", [200, 3000])
def test_messages_are_counted(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "FREE", 0)
    assert messages_in(many_layers(count), 10**6) == count + 1


def test_small_messages_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 layers with 50 empty messages each: 51,001 messages, found without reading all."""
    monkeypatch.setattr(messages, "FREE", 0)
    spec = generated("Model_pb2").Model()
    for _ in range(1000):
        layer = spec.neuralNetwork.layers.add()
        for _ in range(50):
            layer.inputTensor.add()
    found = messages_in(spec.SerializeToString(), 10**9)
    assert 15_000 < found < 150_000


def test_counting_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "FREE", 0)
    assert messages_in(many_layers(3000), 100) <= 102


@pytest.mark.parametrize("damage", [b"\xff" * 12, b"\x0a\xff\xff\xff\xff\x0f", b"\x0b\x0c\x07"])
def test_damaged_files_are_counted_without_an_error(
    damage: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "FREE", 0)
    monkeypatch.setattr(messages, "SAMPLE", 1)  # small messages are all looked into
    assert messages_in(damage, 10**6) <= 1
    assert messages_in(many_layers(5) + damage, 10**6) <= 7


def test_empty_layers(tmp_path: Path) -> None:
    path = tmp_path / "m.mlmodel"
    path.write_bytes(many_layers(2_200_000))
    with pytest.raises(ModelFileError, match=r"its specification of \d+ bytes would bring"):
        load(path, max_memory=800 * MB)


# The tensors of a run.


def test_tensors_of_a_run() -> None:
    graph = Graph()
    x = graph.input("x", np.float32, (1000,))
    y = x
    for _ in range(5):
        y = graph.Sin(y)
    graph.output("y", graph.Add(y, x))
    most, largest = run_bytes(graph, graph.outputs)
    assert most == 3 * 4000  # x, and the operand and the result of one operator
    assert largest is not None
    assert largest.shape == (1000,)


def test_tensors_from_constants_stay() -> None:
    graph = Graph()
    x = graph.input("x", np.float32, (1,))
    for number in range(3):
        filled = graph.Expand(graph.constant(float(number), np.float32), np.array([1000]))
        x = graph.Add(x, graph.ReduceMax(filled, keepdims=0))
    graph.output("y", x)
    assert 12_000 <= run_bytes(graph, graph.outputs)[0] < 13_000


def test_tensors_of_a_loop_count_once_with_the_outside() -> None:
    graph = Graph()
    x = graph.input("x", np.float32, (1000,))
    inner = graph.inner()
    inner.outputs = [inner.Exp(inner.Sin(x))]
    other = graph.inner()
    other.outputs = [other.Cos(x)]
    condition = graph.constant(True)
    graphs = {"then_branch": inner, "else_branch": other}
    (y,) = graph.nested("If", [condition], graphs, [(np.dtype(np.float32), (1000,))])
    graph.output("y", y)
    most, _ = run_bytes(graph, graph.outputs)
    assert 4 * 4000 <= most <= 5 * 4000


# Whole files, in a process of their own that may take 1.5 GB more than it has.


@pytest.fixture
def measured() -> Callable[..., tuple[str, int]]:
    """Load a file in a limited process: the error message or `loaded`, and the megabytes taken."""
    script = """
        import resource, sys
        import numpy, onnx.reference, onnxruntime
        from pocketlens.coreml import load
        from pocketlens.errors import PocketlensError
        pages = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        limit = pages + 3 * 2**29
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            load(sys.argv[1], max_memory=int(sys.argv[2]))
            print("loaded")
        except PocketlensError as error:
            print(error)
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1000)
    """
    if not Path("/proc/self/statm").exists():
        pytest.skip("memory is limited only on Linux")

    def run(path: Path, limit: int) -> tuple[str, int]:
        found = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), str(path), str(limit)],
            capture_output=True, text=True, check=False, timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert found.returncode == 0, found.stderr
        message, megabytes = found.stdout.splitlines()
        return message, int(megabytes)

    return run


def compressed(files: Any, folder: Path, weights: int, elements: int) -> Path:
    """`weights` palettes of one bit, all of them the same bytes of the weights file."""
    spec = files.program_spec("relu", {"x": np.zeros(1, "f4")}, {}, [("float32", (1,))])
    block = spec.mlProgram.functions["main"].block_specializations["CoreML6"]
    content = files.blob_file(("uint8", np.zeros(elements // 8, np.uint8)))[0]
    for number in range(weights):
        made = block.operations.add(type="constexpr_lut_to_dense")
        output = made.outputs.add(name=f"w{number}")
        output.type.CopyFrom(files.type_message("float32", (elements,)))
        indices = made.attributes["indices"]
        indices.type.CopyFrom(files.type_message("uint8", (elements // 8,)))
        indices.blobFileValue.fileName = "@model_path/weights/weight.bin"
        indices.blobFileValue.offset = 64
        lut = np.array([number, 2], np.float32)
        made.attributes["lut"].CopyFrom(files.value_message(lut))
        shape = np.array([elements], np.uint32)
        made.attributes["shape"].CopyFrom(files.value_message(shape))
    path: Path = files.write_package(folder / "m.mlpackage", spec, content)
    return path


def test_palettes_are_refused_before_the_first(
    files: Any, tmp_path: Path, measured: Callable[..., tuple[str, int]]
) -> None:
    """Three palettes of 4 MB, 128 MB decompressed; the limit is 300 MB."""
    path = compressed(files, tmp_path, 3, 2**25)
    message, megabytes = measured(path, 300 * MB)
    assert "the program: decompressing its 3 compressed weights would bring the model to" in message
    assert "max_memory=" in message
    assert megabytes < 60


def test_palettes_take_what_they_are_charged(
    files: Any, tmp_path: Path, measured: Callable[..., tuple[str, int]]
) -> None:
    message, megabytes = measured(compressed(files, tmp_path, 3, 2**25), 600 * MB)
    assert message == "loaded"
    assert megabytes < 600


def test_sparse_weights_file(
    files: Any, tmp_path: Path, measured: Callable[..., tuple[str, int]]
) -> None:
    """A file of 1 GB that takes no disk: 0.5 GB float16 become 1 GB float32."""
    w = np.zeros((1024, 256 * 1024), np.float16)
    spec = files.program_spec(
        "matmul", {"x": np.zeros((1, 1024), "f2")}, {}, [("float16", (1, w.shape[1]))]
    )
    block = spec.mlProgram.functions["main"].block_specializations["CoreML6"]
    matmul = block.operations[0]
    value = matmul.inputs["y"].arguments.add().value
    value.type.CopyFrom(files.type_message("float16", w.shape))
    value.blobFileValue.fileName = "@model_path/weights/weight.bin"
    value.blobFileValue.offset = 64
    path = files.write_package(
        tmp_path / "m.mlpackage", spec, files.blob_file(("float16", w[:0]))[0]
    )
    weights = path / "Data/com.apple.CoreML/weights/weight.bin"
    header = bytearray(weights.read_bytes()[:128])
    header[72:80] = w.nbytes.to_bytes(8, "little")
    with weights.open("wb") as stream:
        stream.write(header)
        stream.truncate(128 + w.nbytes)
    message, megabytes = measured(path, 1200 * MB)
    assert "its weights: " in message
    assert "as float32 would bring the model to 1.6 GB of memory" in message
    assert megabytes < 60


def test_tensors_of_a_run_are_refused(
    files: Any, save: Callable[..., Path], measured: Callable[..., tuple[str, int]]
) -> None:
    x, column = np.zeros(9000, "f4"), np.ones((9000, 1), "f4")
    spec = files.program_spec("add", {"x": x}, {"y": column}, [("float32", (9000, 9000))])
    message, megabytes = measured(save(spec), 300 * MB)
    assert "a run, whose largest tensor is y0: float32[9000, 9000], would bring" in message
    assert megabytes < 60
