"""Invalid and unsupported files are rejected: unknown ops and fields, wrong types, huge tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import inspect, load
from pocketlens.coreml.file.proto import generated
from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.registry import Lowering
from pocketlens.errors import (
    FeatureError,
    ModelFileError,
    UnsupportedModelError,
    UnsupportedOp,
    UnsupportedParameter,
)


def test_missing_ops_are_reported_together(files: Any, save: Callable[..., Path]) -> None:
    x = np.zeros((1, 3), np.float32)
    spec = files.program_spec("absurd", {"shape": x}, {}, [("float32", (1, 3))])
    block = spec.mlProgram.functions["main"].block_specializations["CoreML6"]
    block.operations.add(type="nonsense").outputs.add(name="z")
    block.operations.add(type="relu").outputs.add(name="w")
    path = save(spec)
    with pytest.raises(UnsupportedOp) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path} (CoreML6) needs 2 ops that cannot run here: absurd (")
    assert "first used in 'y0'; nonsense (unknown op), first used in 'z'" in message
    assert inspect(path)["ops"] == {"absurd": 1, "nonsense": 1, "relu": 1}


def test_unknown_field_is_an_error(files: Any, save: Callable[..., Path]) -> None:
    x = np.zeros((1, 3), np.float32)
    spec = files.program_spec("softmax", {"x": x}, {"temperature": 0.5}, [("float32", (1, 3))])
    path = save(spec)
    with pytest.raises(UnsupportedParameter) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path}: the op softmax 'y0': it sets 'temperature' to 0.5, "
        "which is not supported here; known: x, axis"
    )


def test_unknown_layer_field_is_an_error(
    files: Any, save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def softmax_without_axis(g: Graph, x: Value) -> Value:
        return g.Softmax(x)

    # Every registered layer takes every field of the specification, so this needs another one.
    older = Lowering("neural_network", "softmaxND", 0, softmax_without_axis)
    monkeypatch.setattr("pocketlens.coreml.ops.network.lookup", lambda *_: older)
    x = np.zeros((1, 2), np.float32)
    path = save(files.network_spec("softmaxND", [x], {"axis": 1}, [(1, 2)]))
    with pytest.raises(UnsupportedParameter) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path}: the layer 'the_layer' (softmaxND): it sets axis to 1, which is not supported here"
    )


@pytest.mark.parametrize(
    ("op", "fields", "outputs", "words"),
    [
        ("leaky_relu", {}, (1, 3), "it has no 'alpha', which this op needs"),
        ("leaky_relu", {"alpha": "x"}, (1, 3), "'alpha' is x; expected float"),
        ("relu", {}, (1, 4), "the file declares 'y0' as float32[1, 4]; its inputs result in"),
        ("softmax", {"axis": 9}, (1, 3), "Softmax cannot take x: float32[1, 3]"),
        ("transpose", {"perm": [0, 0]}, (1, 3), "'perm' is [0, 0]; x has 2 dimensions"),
        ("reshape", {"shape": [7, 7]}, (7, 7), "x: float32[1, 3] cannot have the shape [7, 7]"),
    ],
)
def test_invalid_op(
    op: str,
    fields: dict[str, Any],
    outputs: tuple[int, ...],
    words: str,
    files: Any,
    save: Callable[..., Path],
) -> None:
    x = np.zeros((1, 3), np.float32)
    path = save(files.program_spec(op, {"x": x}, fields, [("float32", outputs)]))
    with pytest.raises(ModelFileError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: the op {op} 'y0': ")
    assert words in str(caught.value)


def test_tensor_larger_than_memory(files: Any, save: Callable[..., Path]) -> None:
    """A small file that needs a terabyte is rejected before any tensor is created."""
    x = np.zeros((1, 1, 1000, 1000), np.float32)
    fields = {"scale_factor_height": 1000.0, "scale_factor_width": 1000.0}
    shape = (1, 1, 10**6, 10**6)
    spec = files.program_spec("upsample_nearest_neighbor", {"x": x}, fields, [("float32", shape)])
    spec.description.output[0].type.multiArrayType.shape[:] = []
    with pytest.raises(ModelFileError, match="expected at most 2147483648 bytes"):
        load(save(spec))


def test_model_types_without_a_lowering(save: Callable[..., Path]) -> None:
    spec = generated("Model_pb2").Model()
    spec.specificationVersion = 1
    spec.description.input.add(name="x").type.doubleType.SetInParent()
    spec.description.output.add(name="y").type.doubleType.SetInParent()
    spec.treeEnsembleRegressor.SetInParent()
    assert inspect(save(spec))["kind"] == "tree ensemble (regressor)"
    spec.visionFeaturePrint.SetInParent()
    path = save(spec)
    with pytest.raises(
        UnsupportedModelError, match="cannot run here: it is a Vision feature print"
    ):
        load(path)
    assert inspect(path)["ops"] == {"visionFeaturePrint": 1}


def test_weights_that_do_not_fit(files: Any, save: Callable[..., Path]) -> None:
    x = np.zeros((1, 4, 6, 6), np.float32)
    fields = {"weight": np.zeros((3, 3, 2, 2), np.float32)}
    path = save(files.program_spec("conv", {"x": x}, fields, [("float32", (1, 3, 5, 5))]))
    with pytest.raises(ModelFileError, match="in 1 groups do not fit.*expected 3 input channels"):
        load(path)


def test_names_of_a_damaged_file_stay_on_one_line(files: Any, save: Callable[..., Path]) -> None:
    x = np.zeros((1, 3), np.float32)
    spec = files.program_spec("re\nlu\x1b[31m" + "u" * 9000, {"x": x}, {}, [("float32", (1, 3))])
    with pytest.raises(UnsupportedOp) as caught:
        load(save(spec))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 2100
    spec = files.program_spec("relu", {"x": x}, {}, [("float32", (1, 3))])
    spec.description.input[0].name = "x\n"
    with pytest.raises(ModelFileError, match="has control characters in its name"):
        load(save(spec))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("stringType", "the output 'y0' is declared as string; the model computes float32[1, 3]"),
        ("doubleType", "the output 'y0' is declared as double; the model computes float32[1, 3]"),
        ("int64Type", "the output 'y0' is declared as int64; the model computes float32[1, 3]"),
        ("dictionaryType", "the output 'y0' is declared as dictionary; the model computes float32"),
        (
            "sequenceType",
            "the output 'y0' is declared as sequence; the model computes float32[1, 3]",
        ),
    ],
)
def test_output_of_another_type(
    kind: str, words: str, files: Any, save: Callable[..., Path]
) -> None:
    x = np.zeros((1, 3), np.float32)
    spec = files.program_spec("relu", {"x": x}, {}, [("float32", (1, 3))])
    getattr(spec.description.output[0].type, kind).SetInParent()
    with pytest.raises(ModelFileError) as caught:
        load(save(spec))
    assert words in str(caught.value)


def test_input_of_another_type_or_size(files: Any, save: Callable[..., Path]) -> None:
    x = np.zeros((1, 3), np.float32)
    spec = files.program_spec("relu", {"x": x}, {}, [("float32", (1, 3))])
    spec.description.input[0].type.multiArrayType.shape[:] = [4]
    with pytest.raises(FeatureError, match="declared as 4; the model inside needs 1 × 3; the file"):
        load(save(spec)).run({"x": np.zeros(4)})
    spec.description.input[0].type.sequenceType.stringType.SetInParent()
    with pytest.raises(ModelFileError, match="'x' is a sequence; expected an image or an array"):
        load(save(spec))
