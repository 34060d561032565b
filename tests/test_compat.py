"""Private parts of other packages: each works with the installed version."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import pocketlens
from pocketlens import compat
from pocketlens.conversion import convert
from pocketlens.conversion.quiet import import_coremltools
from pocketlens.errors import ConversionError
from pocketlens.image import InputSpec

SOURCE = Path(pocketlens.__file__).parent

# It stands in for coremltools' own private module.
PLUGIN = SOURCE / "coreml" / "coremltools_plugin.py"


def private_uses(path: Path) -> list[str]:
    """Imports and attributes that start with `_`, of packages that are not ours."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    foreign: set[str] = set()
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            foreign |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("pocketlens"):
            foreign |= {alias.asname or alias.name for alias in node.names}
            found += [f"from {node.module} import {a.name}" for a in node.names if a.name[0] == "_"]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr[0] == "_" and node.attr[:2] != "__":
            text = ast.unparse(node)
            if text != "os._exit" and text.split(".")[0] in foreign - {"pocketlens"}:
                found.append(text)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr"):
            name = node.args[1]
            if isinstance(name, ast.Constant) and str(name.value)[:1] == "_" != str(name.value)[1]:
                found.append(ast.unparse(node))
    return found


def test_private_parts_are_used_in_compat_only() -> None:
    ours = [p for p in SOURCE.rglob("*.py") if "templates" not in p.parts]
    uses = {str(p.relative_to(SOURCE)): private_uses(p) for p in ours if p != PLUGIN}
    assert {path for path, found in uses.items() if found} == {"compat.py"}
    assert len(uses["compat.py"]) == 7


def test_every_use_is_tested_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    named = [name for name in compat.__all__ if name.islower() and name != "coremltools_proto"]
    assert [name for name in named if f"compat.{name}" not in text] == []


def test_messages_load_without_coremltools() -> None:
    code = (
        "import sys; from pocketlens.compat import coremltools_proto;"
        "model = coremltools_proto('Model_pb2').Model(specificationVersion=4);"
        "assert 'coremltools' not in sys.modules;"
        "import coremltools;"
        "assert type(coremltools.proto.Model_pb2.Model()) is type(model)"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True)


def test_coremltools_knows_its_ops() -> None:
    import_coremltools()
    assert compat.coremltools_converts("aten::conv2d")
    assert compat.coremltools_converts("aten::linear")
    assert not compat.coremltools_converts("aten::no_such_op")


def test_coremltools_draws_its_progress_bars_with_tqdm() -> None:
    import_coremltools()

    names = {module.__name__ for module, _, _ in compat.coremltools_progress_bars()}
    assert "coremltools.converters.mil.mil.passes.pass_pipeline" in names


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has Apple's runtime")
def test_coremltools_logs_the_expected_records() -> None:
    code = "import coremltools"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if "Failed to load" in line]
    assert lines
    for line in lines:
        assert compat.COREMLTOOLS_EXPECTED_RECORDS.match(line), line


class Odd(nn.Module):
    """A network with an op that Core ML does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(16, 2)
        nn.init.uniform_(self.head.weight, 10, 20)  # logits, clearly not probabilities

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(torch.special.bessel_j0(x).flatten(1))
        return logits


def test_coremltools_names_the_op_that_it_cannot_convert(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="cannot convert the network at op 'special_bes"):
        convert(Odd(), tmp_path / "odd", labels=("a", "b"), input_spec=InputSpec(4, 4))


def test_coremltools_writes_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert compat.coremltools_writes_programs() or sys.platform == "win32"
    monkeypatch.setattr(
        "pocketlens.conversion.from_torch.coremltools_writes_programs", lambda: False
    )
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    spec = InputSpec(4, 4)
    with pytest.raises(ConversionError, match="cannot write ML Programs.*or use --format mlmodel"):
        convert(network, tmp_path / "m.mlpackage", labels=("a", "b"), input_spec=spec)
    made = convert(network, tmp_path / "m.mlmodel", labels=("a", "b"), input_spec=spec)
    assert pocketlens.load(made).classes == ("a", "b")


def test_coremltools_writes_a_program_for_a_newer_system(tmp_path: Path) -> None:
    network, spec = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), InputSpec(4, 4)
    made = convert(network, tmp_path / "m.mlpackage", labels=("a", "b"), input_spec=spec)
    model = import_coremltools().models.MLModel(str(made), skip_model_load=True)
    newer = compat.coremltools_at_version(model, 9).get_spec()
    assert newer.specificationVersion == 9
    assert newer.mlProgram.functions["main"].opset == "CoreML8"


def test_keras_tells_which_layer_computes_a_tensor() -> None:
    keras: Any = pytest.importorskip("keras")
    layer = keras.layers.Dense(2, activation="softmax")
    inputs = keras.Input((3,))
    assert compat.keras_operation_of(layer(inputs)) is layer
    assert compat.keras_operation_of(np.zeros(3)) is None


def test_keras_tells_the_constants_of_an_operation() -> None:
    keras: Any = pytest.importorskip("keras")
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs / 255.0 - 1.0))
    found = {each.name: compat.keras_constants_of(each) for each in model.operations}
    constants = [float(value) for values in found.values() for value in values]
    assert constants == [255.0, 1.0]


def test_keras_tells_all_layers_inside_a_model() -> None:
    """Also those inside a model that is a layer, and inside a wrapper."""
    keras: Any = pytest.importorskip("keras")
    inner = keras.Sequential([keras.Input((4, 3)), keras.layers.ReLU(name="inside")])
    wrapped = keras.layers.TimeDistributed(keras.layers.Dense(2, name="wrapped"))
    model = keras.Sequential([keras.Input((4, 3)), inner, wrapped])
    names = {layer.name for layer in compat.keras_layers_of(model)}
    assert {"inside", "wrapped", inner.name, wrapped.name} <= names
    assert model.name not in names


def test_pytorch_tells_whether_the_cpu_multiplies_bfloat16() -> None:
    cpus = Path("/proc/cpuinfo")
    if not cpus.exists():
        pytest.skip("only Linux lists the flags of the CPU")
    flags = cpus.read_text()
    assert compat.multiplies_bfloat16() == ("amx_tile" in flags or "avx512_bf16" in flags)


def test_scikit_learn_tells_which_categories_are_infrequent() -> None:
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    rows = [["a"], ["a"], ["a"], ["b"], ["c"], ["c"], ["c"]]
    encoder = preprocessing.OneHotEncoder(min_frequency=2).fit(rows)
    mappings = compat.sklearn_infrequent(encoder)
    assert mappings is not None
    assert list(mappings[0]) == [0, 2, 1]
    assert compat.sklearn_infrequent(preprocessing.OneHotEncoder().fit(rows)) is None


def test_pytorch_tells_decompositions() -> None:
    found = compat.pytorch_decompositions()
    assert torch.ops.aten.var.correction in found
    assert set(found) - set(torch.export.default_decompositions())


def test_core_ai_tells_the_ops_that_it_knows() -> None:
    pytest.importorskip("coreai_torch")
    assert "relu.default" in compat.core_ai_ops()
    given = torch.zeros(2, 2)

    class Inverse(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = torch.linalg.inv(x)
            return found

    def exported(network: nn.Module) -> Any:
        return torch.export.export(network, (given,)).run_decompositions({})

    assert compat.core_ai_refusal(exported(nn.ReLU())) is None
    assert "linalg_inv" in str(compat.core_ai_refusal(exported(Inverse())))
