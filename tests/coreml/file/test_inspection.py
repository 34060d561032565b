"""`inspect` describes all of a file: every function, weights of every type, what can be updated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.cli.description import WIDTH, description_lines
from pocketlens.coreml import inspect
from pocketlens.coreml.file.kinds import KINDS, PIPELINES, UNSUPPORTED
from pocketlens.coreml.file.proto import generated
from pocketlens.files import size_text

Save = Callable[..., Path]


def described(path: Path) -> tuple[dict[str, Any], list[str]]:
    """What `inspect` found, which is also JSON, and its lines."""
    found = inspect(path)
    assert json.loads(json.dumps(found)) == found
    lines = list(description_lines(found))
    assert max(map(len, lines)) <= WIDTH
    assert all(line.isprintable() for line in lines)
    return found, lines


def scalars(count: int) -> Any:
    """A linear model of `count` numbers, as converters of scikit-learn write it."""
    spec = generated("Model_pb2").Model(specificationVersion=1)
    for number in range(count):
        spec.description.input.add(name=f"pixel_{number}").type.doubleType.SetInParent()
    spec.description.output.add(name="y").type.doubleType.SetInParent()
    spec.description.predictedFeatureName = "y"
    spec.glmRegressor.weights.add(value=[1.0] * count)
    spec.glmRegressor.offset.append(0)
    return spec


@pytest.mark.parametrize("kind", [*KINDS, *UNSUPPORTED])
def test_every_kind_of_the_specification(kind: str, save: Save) -> None:
    """Also those that cannot run here, and those without features."""
    spec = generated("Model_pb2").Model(specificationVersion=4)
    getattr(spec, kind).SetInParent()
    if kind == "mlProgram":
        function = spec.mlProgram.functions["main"]
        function.opset = "CoreML5"
        function.block_specializations["CoreML5"].SetInParent()
    if kind in PIPELINES:
        message = spec.pipeline if kind == "pipeline" else getattr(spec, kind).pipeline
        stage = message.models.add(specificationVersion=1)
        stage.visionFeaturePrint.SetInParent()
        message.names.append("print")
    found, lines = described(save(spec))
    assert found["kind"] == KINDS.get(kind, UNSUPPORTED.get(kind))
    assert any("declares no " in problem for problem in found["problems"])
    assert any("cannot run here: it is a" in p for p in found["problems"]) is (kind in UNSUPPORTED)
    assert lines[2].startswith("runs here      no: ")
    if kind in PIPELINES:
        assert found["stages"] == [{"name": "print", "kind": UNSUPPORTED["visionFeaturePrint"]}]
        assert "  print  Vision feature print, which is part of Apple's systems" in lines


def test_many_numbers_are_one_line(save: Save) -> None:
    found, lines = described(save(scalars(784)))
    assert len(found["inputs"]) == 784
    assert "  pixel_0 … pixel_783  784 numbers: double" in lines
    assert "runs here      yes" in lines
    assert len(lines) < 25


def test_other_features_beside_many_numbers(save: Save) -> None:
    spec = scalars(3)
    spec.description.input.add(name="name", shortDescription="a b").type.stringType.SetInParent()
    for number in range(100):
        each = spec.description.input.add(name=f"d{number}").type
        each.dictionaryType.int64KeyType.SetInParent()
        each = spec.description.input.add(name=f"s{number}").type
        each.sequenceType.stringType.SetInParent()
    _, lines = described(save(spec))
    start = lines.index("inputs")
    assert [" ".join(line.split()) for line in lines[start + 1 : start + 7]] == [
        "pixel_0 double", "pixel_1 double", "pixel_2 double", "name string", "a b",
        "d0 dictionary with int64 keys",
    ]  # fmt: skip
    assert lines[start + 41] == "  … 165 more; all are in the output of --json"


def test_flexible_shapes(save: Save) -> None:
    spec = generated("Model_pb2").Model(specificationVersion=4)
    spec.neuralNetwork.SetInParent()
    picture = spec.description.input.add(name="picture").type.imageType
    picture.width, picture.height, picture.colorSpace = 64, 32, 20
    sizes = picture.imageSizeRange
    sizes.heightRange.lowerBound, sizes.heightRange.upperBound = 32, 512
    sizes.widthRange.lowerBound, sizes.widthRange.upperBound = 64, -1
    many = spec.description.input.add(name="many").type.multiArrayType
    many.dataType = 65568
    for size in range(224, 224 + 140):
        many.enumeratedShapes.shapes.add(shape=[1, 3, size, size])
    few = spec.description.input.add(name="few").type
    few.isOptional = True
    few.multiArrayType.shape.extend([2])
    few.multiArrayType.enumeratedShapes.shapes.add(shape=[4])
    few.multiArrayType.enumeratedShapes.shapes.add(shape=[2])
    few.multiArrayType.floatDefaultValue = 0.5
    output = spec.description.output.add(name="any").type.multiArrayType
    output.dataType = 131104
    found, lines = described(save(spec))
    assert len(found["inputs"][1]["shapes"]) == 140
    assert found["outputs"][0]["shape"] == []
    start = lines.index("inputs")
    least, most = "1 × 3 × 224 × 224", "1 × 3 × 363 × 363"
    assert lines[start + 1 : start + 5] == [
        "  picture  image 32 × 64, rgb, sizes 32–512 × 64–∞",
        f"  many     array {least}, float32, 140 sizes from {least} to {most}",
        "  few      array 2, sizes 2, 4, optional (default 0.5)",
        "outputs",
    ]
    assert lines[start + 5] == "  any  array of any shape, int32"


def test_every_function_of_a_program(files: Any, save: Save) -> None:
    x = np.zeros((1, 2), np.float32)
    spec = files.program_spec("relu", {"x": x}, {}, [("float32", (1, 2))], opset="CoreML8")
    other = files.program_spec("tanh", {"z": x}, {}, [("float32", (1, 2))], opset="CoreML8")
    spec.mlProgram.functions["second"].CopyFrom(other.mlProgram.functions["main"])
    spec.mlProgram.functions["second"].opset = "CoreML8"
    for name, source in (("main", spec), ("second", other)):
        function = spec.description.functions.add(name=name)
        function.input.extend(source.description.input)
        function.output.extend(source.description.output)
    del spec.description.input[:], spec.description.output[:]
    spec.description.defaultFunctionName = "main"
    found, lines = described(save(spec))
    assert found["functions"] == ["main", "second"]
    assert found["ops"] == {"relu": 1, "tanh": 1}
    assert {name: each["ops"] for name, each in found["per_function"].items()} == {
        "main": {"relu": 1},
        "second": {"tanh": 1},
    }
    assert [each["inputs"][0]["name"] for each in found["per_function"].values()] == ["x", "z"]
    for line in ("inputs of main", "inputs of second", "ops of second (CoreML8)", "  tanh  1"):
        assert line in lines


def test_an_opset_that_is_too_new_is_described(files: Any, save: Save) -> None:
    x = np.zeros((1, 2), np.float32)
    spec = files.program_spec("relu", {"x": x}, {}, [("float32", (1, 2))])
    function = spec.mlProgram.functions["main"]
    function.opset = "CoreML99"
    function.block_specializations["CoreML99"].CopyFrom(function.block_specializations["CoreML6"])
    found, _ = described(save(spec))
    assert found["opset"] == "CoreML99"
    assert found["ops"] == {"relu": 1}
    assert found["problems"] == [
        "the program uses the opset CoreML99; the newest supported opset is CoreML9"
    ]


@pytest.mark.parametrize("kind", ["int32", "int64", "bool", "uint16", "float32"])
def test_constants_outside_the_weights_file_are_counted(files: Any, save: Save, kind: str) -> None:
    """coremltools stores integers in the program itself, whatever their number."""
    x = np.zeros((1, 2), np.float32)
    table = np.ones(300, np.dtype(kind))
    small = np.ones(2, np.int32)
    fields = {"table": table, "strides": small, "scalar": np.float32(1)}
    spec = files.program_spec("relu", {"x": x}, fields, [("float32", (1, 2))])
    found, lines = described(save(spec))
    size = 300 * table.itemsize
    assert found["weights"] == {kind: 300}
    assert found["weight_bytes"] == {kind: size}
    assert found["parameters"] == 300
    assert lines[-1].split() == [kind, "300", "numbers,", *size_text(size).split()]


def test_shared_weights_are_counted_once(files: Any, tmp_path: Path) -> None:
    x = np.zeros((1, 2), np.float32)
    blob, (offset, narrow) = files.blob_file(
        ("float32", np.ones(12, np.float32)), ("uint4", np.ones(9, np.uint8))
    )
    spec = files.program_spec("relu", {"x": x}, {}, [("float32", (1, 2))])
    block = spec.mlProgram.functions["main"].block_specializations["CoreML6"]
    for kind, count, place in (("float32", 12, offset),) * 2 + (("uint4", 9, narrow),):
        constant = block.operations.add(type="const")
        value = constant.attributes["val"]
        value.type.CopyFrom(files.type_message(kind, (count,)))
        value.blobFileValue.fileName = "@model_path/weights/weight.bin"
        value.blobFileValue.offset = place
        constant.outputs.add(name=f"c{len(block.operations)}").type.CopyFrom(value.type)
    block.operations.add(type="constexpr_lut_to_dense").outputs.add(name="z")
    found, lines = described(files.write_package(tmp_path / "m.mlpackage", spec, blob))
    assert found["weights"] == {"float32": 12, "uint4": 9}
    assert found["weight_bytes"] == {"float32": 48, "uint4": 5}
    assert found["compressed"] == {"palettized": 1}
    assert lines[-3:] == [
        "  float32     12 numbers, 48 bytes",
        "  uint4       9 numbers, 5 bytes",
        "  palettized  1 tensor",
    ]


def test_what_can_be_updated(save: Save) -> None:
    spec = generated("Model_pb2").Model(specificationVersion=4)
    network = spec.neuralNetwork
    network.SetInParent()
    assert "updatable      no" in described(save(spec))[1]
    for name in ("first", "second", "third"):
        layer = network.layers.add(name=name, isUpdatable=name != "first")
        layer.innerProduct.weights.rawValue = b"1234"
        layer.innerProduct.weights.quantization.numberOfBits = 4
        layer.innerProduct.weights.quantization.lookupTableQuantization.SetInParent()
    spec.isUpdatable = True
    label = spec.description.trainingInput.add(name="true_label")
    label.type.int64Type.SetInParent()
    found, lines = described(save(spec))
    assert found["updatable"] is True
    assert found["updatable_layers"] == ["second", "third"]
    assert found["training_inputs"][0]["name"] == "true_label"
    assert "updatable      yes (2: second, third)" in lines
    assert "  true_label  int64" in lines
    assert found["weights"] == {"uint4": 24}
    assert found["weight_bytes"] == {"uint4": 12}
    assert found["compressed"] == {"palettized": 3}
    outer = generated("Model_pb2").Model(specificationVersion=4, isUpdatable=True)
    outer.pipeline.models.add().CopyFrom(spec)
    outer.pipeline.names.append("head")
    found, _ = described(save(outer))
    assert found["updatable_layers"] == ["head: second", "head: third"]
    assert found["weights"] == {"uint4": 24}


def test_an_input_spec_that_cannot_be_used_is_a_problem(save: Save) -> None:
    spec = scalars(1)
    del spec.description.input[:]
    picture = spec.description.input.add(name="image").type.imageType
    picture.width = picture.height = 8
    picture.colorSpace = 20
    found, lines = described(save(spec))
    assert found["input_spec"]["color"] == "rgb"
    assert "  scale   1.0, 1.0, 1.0 (assumed)" in lines or "  scale   1.0 (assumed)" in lines
    spec.description.metadata.userDefined["org.pocketlens.input"] = "{"
    found, _ = described(save(spec))
    assert found["input_spec"] is None
    assert "metadata org.pocketlens.input or its image input cannot be used" in found["problems"][0]
    picture.colorSpace = 0
    picture.width = 100_000
    found, lines = described(save(spec))
    assert "has color space number 0" in found["problems"][0]
    assert "  image  image 8 × 100000, of an unknown color space" in lines


def test_names_of_strangers_are_described(save: Save) -> None:
    spec = scalars(1)
    spec.description.input[0].name = "a\x1b[31m" + "b" * 500
    spec.description.metadata.license = "word " * 10_000 + "\x9b"
    spec.description.metadata.userDefined["k" * 1000] = "v" * 100_000
    found, lines = described(save(spec))
    assert found["inputs"][0]["name"].startswith("a\x1b[31m")
    assert "has control characters in its name" in found["problems"][0]
    assert len(lines) < 40
    assert found["metadata"]["user"] == {"k" * 1000: "v" * 100_000}


def test_classes_are_shortened(save: Save) -> None:
    spec = generated("Model_pb2").Model(specificationVersion=4)
    spec.neuralNetworkClassifier.stringClassLabels.vector.extend(f"class {n}" for n in range(1000))
    found, lines = described(save(spec))
    assert len(found["classes"]) == 1000
    (line,) = [line for line in lines if line.startswith("classes")]
    assert line.startswith("classes        1,000: class 0, class 1, ")
    assert line.endswith(", … class 999")
