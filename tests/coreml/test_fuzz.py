"""Damaged files, a seed each: they run or are refused in our words."""

from __future__ import annotations

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
    """`structured.py`, in a process of its own: it forks, which tests with threads must not."""
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
    done = fuzz("--samples", folder, "--seeds", 0, 0)  # it stops at a sample that does not run
    assert done.returncode == 0, done.stderr
    return folder


def test_no_finding_in_a_sample_of_seeds(samples: Path) -> None:
    done = fuzz("--samples", samples, "--seeds", 1_000_000, 400)
    *findings, summary = map(json.loads, done.stdout.splitlines())
    assert findings == []
    assert done.returncode == 0
    assert summary["trials"] == 400
    # Damage that always goes unnoticed, or is always seen at once, would try nothing.
    assert summary["ran"] > 60
    assert summary["ModelFileError"] > 100


def test_a_seed_is_always_the_same_file(samples: Path, tmp_path: Path) -> None:
    files = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        done = fuzz("--samples", samples, "--repeat", 20, "--keep", folder)
        assert done.returncode == 0, done.stderr
        files.append({p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.ml*")
                      if p.is_file()})  # fmt: skip
    assert files[0] == files[1] != {}


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        ("raise KeyError('gone')", "! KeyError: 'gone'"),
        ("raise RecursionError", "! RecursionError"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "! killed by SIGSEGV"),
        ("time.sleep(60)", "! still at it after 2 s"),
        ("while True: pass", "! 1 s of CPU"),
        ("os._exit(3)", "! ended with status 3"),
        pytest.param(
            "bytearray(3 << 30)",
            "! MemoryError",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="memory is not limited here"),
        ),
        ("return 'ran'", "ran"),
    ],
)
def test_faults_are_found(fault: str, finding: str) -> None:
    """A reader that does what no reader may, in the place of ours."""
    script = "\n".join(
        [
            "import os, signal, sys, time",
            f"sys.path.insert(0, {str(FOLDER)!r})",
            "import structured",
            "from pathlib import Path",
            "def planted(path, chance):",
            f"    {fault}",
            "structured.trial = planted",
            f"structured.WALL_SECONDS = {2 if 'sleep' in fault else 60}",
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
    import mutator

    return mutator


def test_the_corpus_is_small() -> None:
    files = [path for path in (FOLDER / "corpus").rglob("*") if path.is_file()]
    assert 20 < len(files) < 60
    assert max(path.stat().st_size for path in files) <= 2048


@pytest.mark.parametrize(
    "path", sorted((FOLDER / "corpus" / "model").iterdir()), ids=lambda p: p.name
)
def test_damage_changes_a_message_and_keeps_it_one(path: Path, mutator: ModuleType) -> None:
    from pocketlens.coreml.file.proto import generated

    message = generated("Model_pb2").Model
    sound = message.FromString(path.read_bytes())
    changed = 0
    for seed in range(20):
        spec = message()
        spec.CopyFrom(sound)
        mutator.damage_spec(spec, random.Random(seed))
        try:
            again = message.FromString(spec.SerializeToString())
        except DecodeError:  # nested deeper than protobuf reads
            changed += 1
            continue
        assert again.ByteSize() == spec.ByteSize()
        changed += again.SerializeToString(deterministic=True) != sound.SerializeToString(
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
    ("spec", "words"),
    [
        (strings_for_sizes, "'shape' is .*; expected numbers"),
        (huge_padding, "a number is larger than any size can be .* export or download it again"),
        (huge_declared_size, r"the shape .* expected no size above 2147483648"),
        (many_dimensions, "data has 1001 dimensions; expected at most 32"),
        (strings_for_a_shape, "cannot be made int64"),
        (many_dimensions_of_an_input, "'x' has 1001 dimensions; expected at most 32"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_what_was_found(
    spec: Callable[[Any], Any], words: str, files: Any, save: Callable[..., Path]
) -> None:
    """Files that once brought about an error that is not ours."""
    with pytest.raises(ModelFileError, match=words):
        load(save(spec(files)))


def test_a_fault_in_a_run_is_one_line(files: Any, save: Callable[..., Path]) -> None:
    """What the file calls its parts comes cleaned into the errors of a run, too."""
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
    assert "la\N{REPLACEMENT CHARACTER}st" in str(caught.value)
