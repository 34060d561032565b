"""The fuzzer: damaged files run or raise one of our errors, and every bad outcome is detected."""

from __future__ import annotations

import importlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError

from pocketlens.coreml import load
from pocketlens.errors import FeatureError, ModelFileError

FOLDER = Path(__file__).parents[2] / "fuzz"
MODELS = sorted((FOLDER / "corpus" / "model").iterdir())

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the fuzzer forks")


def fuzz(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `structured.py` in its own process: it forks, which is unsafe in tests with threads."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", str(FOLDER / "structured.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The undamaged files, written by the fuzzer's first run."""
    folder = tmp_path_factory.mktemp("samples")
    done = fuzz("--samples", folder, "--seeds", 0, 0)  # exits with an error if one does not run
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow  # `make fuzz` does more
def test_90_seeds_have_no_findings(samples: Path) -> None:
    done = fuzz("--samples", samples, "--seeds", 1_000_000, 90)
    *findings, summary = map(json.loads, done.stdout.splitlines())
    assert findings == []
    assert done.returncode == 0
    assert summary["trials"] == 90
    # If the damage never matters, or if every file is rejected, the fuzzer tests nothing.
    assert summary["ran"] > 20
    assert summary["ModelFileError"] > 30


@pytest.mark.slow
def test_seed_always_makes_the_same_file(samples: Path, tmp_path: Path) -> None:
    files = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        done = fuzz("--samples", samples, "--repeat", 20, "--keep", folder)
        assert done.returncode == 0, done.stderr
        files.append({p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.ml*")
                      if p.is_file()})  # fmt: skip
    assert files[0] == files[1] != {}


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("raise KeyError('gone')", "! KeyError: 'gone'"),
        ("raise RecursionError", "! RecursionError"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "! killed by SIGSEGV"),
        ("time.sleep(60)", "! still running after 2 s"),
        ("while True: pass", "! more than 1 s of CPU time"),
        ("os._exit(3)", "! exit status 3 without a result"),
        pytest.param(
            "bytearray(3 << 30)",
            "! MemoryError",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="memory limit needs Linux"),
        ),
        ("return 'ran'", "ran"),
    ],
)
def test_bad_outcomes_are_detected(statement: str, finding: str) -> None:
    """Run the fuzzer with a reader that does `statement` instead of reading the file."""
    script = "\n".join(
        [
            "import os, signal, sys, time",
            f"sys.path.insert(0, {str(FOLDER)!r})",
            "import structured",
            "from pathlib import Path",
            "def bad_trial(path, rng):",
            f"    {statement}",
            "structured.trial = bad_trial",
            f"structured.WALL_SECONDS = {2 if 'sleep' in statement else 60}",
            "structured.CPU_SECONDS = 1",
            "print(structured.attempt(Path('x'), 0))",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.startswith(finding)


@pytest.fixture
def mutator(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("mutator")


def test_the_corpus_is_small() -> None:
    files = [path for path in (FOLDER / "corpus").rglob("*") if path.is_file()]
    assert 20 < len(files) < 60
    assert max(path.stat().st_size for path in files) <= 2048


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.name)
def test_damaged_messages_differ_and_can_be_parsed(path: Path, mutator: ModuleType) -> None:
    from pocketlens.coreml.file.proto import generated

    message = generated("Model_pb2").Model
    intact = message.FromString(path.read_bytes())
    changed = 0
    for seed in range(20):
        spec = message()
        spec.CopyFrom(intact)
        mutator.damage_spec(spec, random.Random(seed))
        try:
            again = message.FromString(spec.SerializeToString())
        except DecodeError:  # nested deeper than protobuf's limit
            changed += 1
            continue
        assert again.ByteSize() == spec.ByteSize()
        changed += again.SerializeToString(deterministic=True) != intact.SerializeToString(
            deterministic=True
        )
    assert changed >= 10


X = np.ones((1, 1, 4, 4), np.float32)


def strings_for_sizes(files: Any) -> Any:
    fields = {
        "indices": np.zeros(1, np.uint8),
        "lut": np.zeros(2, np.float32),
        "shape": np.array(["two", "three"], object).astype(str),
    }
    return files.program_spec("constexpr_lut_to_dense", {}, fields, [("float32", (2, 3))])


def huge_padding(files: Any) -> Any:
    edges = {"startEdgeSize": 2**63, "endEdgeSize": 0}
    fields = {
        "kernelSize": [2, 2],
        "stride": [1, 1],
        "valid": {"paddingAmounts": {"borderAmounts": [edges, edges]}},
    }
    return files.network_spec("pooling", [X], fields, [(1, 1, 3, 3)])


def huge_declared_size(files: Any) -> Any:
    spec = files.program_spec("relu", {"x": X}, {}, [("float32", X.shape)])
    function = spec.mlProgram.functions["main"]
    (operation,) = function.block_specializations["CoreML6"].operations
    operation.outputs[0].type.tensorType.dimensions[2].constant.size = 2**64 - 1
    return spec


def many_dimensions(files: Any) -> Any:
    return files.network_spec(
        "loadConstantND", [], {"shape": [1] * 1001, "data": np.ones(1)}, [(1,)]
    )


def strings_for_a_shape(files: Any) -> Any:
    fields = {"shape": np.array(["two", "three"], object).astype(str)}
    return files.program_spec("reshape", {"x": np.ones(6, np.float32)}, fields, [("float32", (6,))])


def many_dimensions_of_an_input(files: Any) -> Any:
    spec = files.program_spec("relu", {"x": X}, {}, [("float32", X.shape)])
    spec.description.input[0].type.multiArrayType.shape.extend([1] * 997)
    return spec


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (strings_for_sizes, "'shape' is .*; expected numbers"),
        (huge_padding, "a size is too large .* export or download it again"),
        (huge_declared_size, r"the shape .* expected no size above 2147483648"),
        (many_dimensions, "data has 1001 dimensions; expected at most 32"),
        (strings_for_a_shape, "cannot be converted to int64"),
        (many_dimensions_of_an_input, "'x' has 1001 dimensions; expected at most 32"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_earlier_findings(
    spec: Callable[[Any], Any], message: str, files: Any, save: Callable[..., Path]
) -> None:
    """Files that once raised an exception that is not one of our errors."""
    with pytest.raises(ModelFileError, match=message):
        load(save(spec(files)))


def test_error_during_a_run_is_one_line(files: Any, save: Callable[..., Path]) -> None:
    """Control characters in names of the file are replaced in the errors of a run, too."""
    spec = files.network_spec("branch", [np.ones(1, np.float32)], {"ifBranch": {}}, [(1,)])
    network = spec.neuralNetwork
    inside = network.layers[0].branch.ifBranch.layers.add(name="la\x0fst")
    inside.input.append("x0")
    inside.output.append("inside")
    inside.loop.SetInParent()
    del network.layers[0].output[:]
    last = network.layers.add(name="last", input=["x0"], output=["y0"])
    last.copy.SetInParent()
    model = load(save(spec))
    with pytest.raises(FeatureError, match="this branch cannot run") as caught:
        model.run({"x0": np.ones(1, np.float32)})
    assert str(caught.value).isprintable()
    assert r"la\x0fst" in str(caught.value)
