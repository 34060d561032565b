"""Writes Core ML files field by field, so that a test shows exactly what is in its file."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import CoreMLModel, load
from pocketlens.coreml.file.proto import generated

MIL_TYPES = {
    "bool": 1, "str": 2, "float16": 10, "float32": 11, "int8": 21, "int16": 22, "int32": 23,
    "int64": 24, "uint8": 31, "uint16": 32, "uint32": 33, "uint4": 35, "uint2": 36, "uint1": 37,
    "int4": 25, "uint6": 38, "uint3": 39,
}  # fmt: skip
ARRAY_TYPES = {"float16": 65552, "float32": 65568, "float64": 65600, "int32": 131104}
BLOB_TYPES = {
    "float16": 1, "float32": 2, "uint8": 3, "int8": 4, "int16": 6, "int4": 8, "uint1": 9,
    "uint2": 10, "uint4": 11, "int32": 14,
}  # fmt: skip
SPECIFICATION = {"CoreML5": 6, "CoreML6": 7, "CoreML7": 8, "CoreML8": 9}


class Typed:
    """An array with an element type that NumPy does not have, such as `uint4`."""

    def __init__(self, array: Any, kind: str) -> None:
        self.array = np.asarray(array)
        self.kind = kind


def type_message(kind: str, shape: Sequence[int | None]) -> Any:
    message = generated("MIL_pb2").ValueType()
    message.tensorType.dataType = MIL_TYPES[kind]
    message.tensorType.rank = len(shape)
    for size in shape:
        dimension = message.tensorType.dimensions.add()
        if size is None:
            dimension.unknown.variadic = False
        else:
            dimension.constant.size = size
    return message


def value_message(value: Any) -> Any:
    """A MIL Value from a scalar, a string, an array, or a list of strings."""
    message = generated("MIL_pb2").Value()
    if isinstance(value, list) and value and isinstance(value[0], str):
        message.type.listType.type.CopyFrom(type_message("str", ()))
        message.type.listType.length.constant.size = len(value)
        for item in value:
            message.immediateValue.list.values.append(value_message(item))
        return message
    if isinstance(value, Typed):
        kind, array = value.kind, value.array
    else:
        array = np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        if array.dtype == np.int64 and not isinstance(value, np.ndarray):
            array = array.astype(np.int32)
        kind = "str" if array.dtype.kind == "U" else array.dtype.name
    message.type.CopyFrom(type_message(kind, array.shape))
    tensor = message.immediateValue.tensor
    flat = array.reshape(-1)
    if kind == "str":
        tensor.strings.values.extend(map(str, flat))
    elif kind == "bool":
        tensor.bools.values.extend(map(bool, flat))
    elif kind == "float32":
        tensor.floats.values.extend(map(float, flat))
    elif kind == "int32":
        tensor.ints.values.extend(map(int, flat))
    elif kind == "int64":
        tensor.longInts.values.extend(map(int, flat))
    else:
        bits = int(kind.strip("uintfloa"))
        tensor.bytes.values = pack_bits(flat, bits) if bits < 8 else flat.tobytes()
    return message


def set_array_feature(feature: Any, name: str, kind: str, shape: Sequence[int]) -> None:
    feature.name = name
    feature.type.multiArrayType.dataType = ARRAY_TYPES.get(kind, ARRAY_TYPES["float32"])
    feature.type.multiArrayType.shape.extend(shape)


def program_spec(
    op: str,
    inputs: Mapping[str, Any],
    fields: Mapping[str, Any],
    outputs: Sequence[tuple[str, tuple[int, ...]]],
    opset: str = "CoreML6",
    attributes: Mapping[str, Any] | None = None,
) -> Any:
    """An ML Program of one op: `inputs` are the model's inputs, `fields` constants in the file."""
    spec = generated("Model_pb2").Model()
    spec.specificationVersion = SPECIFICATION[opset]
    function = spec.mlProgram.functions["main"]
    spec.mlProgram.version = 1
    function.opset = opset
    block = function.block_specializations[opset]
    operation = generated("MIL_pb2").Operation(type=op)

    def declare(name: str, array: np.ndarray) -> None:
        declared = function.inputs.add(name=name)
        declared.type.CopyFrom(type_message(array.dtype.name, array.shape))
        set_array_feature(spec.description.input.add(), name, array.dtype.name, array.shape)

    if not inputs:  # a model needs an input, even if its only op has none
        declare("unused", np.zeros(1, np.float32))
    for name, value in inputs.items():
        several = value if isinstance(value, list) else [value]
        for number, array in enumerate(several):
            each = f"{name}{number}" if isinstance(value, list) else name
            declare(each, array)
            operation.inputs[name].arguments.add().name = each
    for name, value in fields.items():
        for number, each in enumerate(value if isinstance(value, tuple) else [value]):
            constant = block.operations.add(type="const")
            message = value_message(each)
            constant.outputs.add(name=f"{name}_value{number}").type.CopyFrom(message.type)
            constant.attributes["val"].CopyFrom(message)
            operation.inputs[name].arguments.add().name = f"{name}_value{number}"
    for name, value in (attributes or {}).items():
        operation.attributes[name].CopyFrom(value_message(value))
    operation.attributes["name"].CopyFrom(value_message("the_op"))
    for number, (kind, shape) in enumerate(outputs):
        name = f"y{number}"
        operation.outputs.add(name=name).type.CopyFrom(type_message(kind, shape))
        set_array_feature(spec.description.output.add(), name, kind, shape)
        block.outputs.append(name)
    block.operations.append(operation)
    return spec


def weights(message: Any, array: np.ndarray) -> None:
    message.floatValue.extend(np.asarray(array, np.float32).reshape(-1).tolist())


def fill(message: Any, fields: Mapping[str, Any]) -> None:
    """Set a message's fields; arrays become WeightParams, dictionaries inner messages."""
    for name, value in fields.items():
        if isinstance(value, np.ndarray):
            weights(getattr(message, name), value)
        elif isinstance(value, Mapping):
            getattr(message, name).SetInParent()
            fill(getattr(message, name), value)
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], Mapping):
            for each in value:
                fill(getattr(message, name).add(), each)
        elif isinstance(value, (list, tuple)):
            getattr(message, name).extend(value)
        elif isinstance(value, str) and message.DESCRIPTOR.fields_by_name[name].enum_type:
            values = message.DESCRIPTOR.fields_by_name[name].enum_type.values_by_name
            setattr(message, name, values[value].number)
        else:
            setattr(message, name, value)


def network_spec(
    kind: str,
    inputs: Sequence[np.ndarray],
    fields: Mapping[str, Any],
    outputs: Sequence[tuple[int, ...]],
) -> Any:
    """A neural network of one layer, with the newer (exact) mapping of array shapes."""
    spec = generated("Model_pb2").Model()
    spec.specificationVersion = 5
    network = spec.neuralNetwork
    network.arrayInputShapeMapping = 1
    network.imageInputShapeMapping = 1
    layer = network.layers.add(name="the_layer")
    for number, array in enumerate(inputs):
        set_array_feature(spec.description.input.add(), f"x{number}", "float32", array.shape)
        layer.input.append(f"x{number}")
    if not inputs:  # a model needs an input, even if its only layer has none
        set_array_feature(spec.description.input.add(), "unused", "float32", (1,))
    for number, shape in enumerate(outputs):
        set_array_feature(spec.description.output.add(), f"y{number}", "float32", shape)
        layer.output.append(f"y{number}")
    getattr(layer, kind).SetInParent()
    fill(getattr(layer, kind), fields)
    return spec


def write_package(folder: Path, spec: Any, weights_file: bytes | None = None) -> Path:
    """Write a `.mlpackage` with the folder structure that Xcode uses."""
    inner = folder / "Data" / "com.apple.CoreML"
    inner.mkdir(parents=True)
    (inner / "model.mlmodel").write_bytes(spec.SerializeToString())
    items = {
        "M": {"author": "com.apple.CoreML", "name": "m", "path": "com.apple.CoreML/model.mlmodel"}
    }
    if weights_file is not None:
        (inner / "weights").mkdir()
        (inner / "weights" / "weight.bin").write_bytes(weights_file)
        items["W"] = {"name": "weights", "path": "com.apple.CoreML/weights"}
    manifest = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": items,
        "rootModelIdentifier": "M",
    }
    (folder / "Manifest.json").write_text(json.dumps(manifest))
    return folder


def pack_bits(array: np.ndarray, bits: int) -> bytes:
    """Pack elements of `bits` bits, starting with the lowest bit of the first byte."""
    flat = array.reshape(-1).astype(np.int64) & ((1 << bits) - 1)
    stream = (flat[:, None] >> np.arange(bits)) & 1
    return np.packbits(stream.reshape(-1).astype(np.uint8), bitorder="little").tobytes()


def blob_file(*blobs: tuple[str, np.ndarray]) -> tuple[bytes, list[int]]:
    """A weights file (MILBlob storage, version 2) and where each blob's header starts."""
    out = bytearray(struct.pack("<II56x", len(blobs), 2))
    offsets = []
    for kind, array in blobs:
        offsets.append(len(out))
        digits = kind.strip("uintfloa")
        bits = int(digits)
        data = pack_bits(array, bits) if bits < 8 else array.tobytes()
        padding = len(data) * 8 - array.size * bits if bits < 8 else 0
        start = len(out) + 64
        out += struct.pack("<IIQQQ32x", 0xDEADBEEF, BLOB_TYPES[kind], len(data), start, padding)
        out += data + bytes(-len(data) % 64)
    return bytes(out), offsets


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Write a specification to a file in the test's temporary folder."""

    def write(spec: Any, name: str = "m.mlmodel") -> Path:
        path = tmp_path / name
        path.write_bytes(spec.SerializeToString())
        return path

    return write


def declare(feature: Any, name: str, kind: Any) -> None:
    """Set a feature's name and type.

    `kind` is `double`, `int64`, `string`, `dictionary string`, `sequence int64`, ..., the shape of
    an array of doubles, or `(element type, *shape)`. A `?` at the end of the (element) type makes
    the feature optional.
    """
    feature.name = name
    if not isinstance(kind, str):
        sizes = list(kind)
        element = sizes.pop(0) if isinstance(sizes[0], str) else "float64"
        feature.type.multiArrayType.dataType = ARRAY_TYPES[element.rstrip("?")]
        feature.type.multiArrayType.shape.extend(sizes)
        feature.type.isOptional = element.endswith("?")
        return
    feature.type.isOptional = kind.endswith("?")
    match kind.rstrip("?").split():
        case ["dictionary", key]:
            getattr(feature.type.dictionaryType, f"{key}KeyType").SetInParent()
        case ["sequence", key]:
            getattr(feature.type.sequenceType, f"{key}Type").SetInParent()
            feature.type.sequenceType.sizeRange.upperBound = -1
        case [plain]:
            getattr(feature.type, f"{plain}Type").SetInParent()


def classic_spec(
    kind: str,
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
    label: str = "",
    probabilities: str = "",
) -> Any:
    """A model of `kind` with declared features and an empty message."""
    spec = generated("Model_pb2").Model()
    spec.specificationVersion = 4
    for name, each in inputs.items():
        declare(spec.description.input.add(), name, each)
    for name, each in outputs.items():
        declare(spec.description.output.add(), name, each)
    spec.description.predictedFeatureName = label
    spec.description.predictedProbabilitiesName = probabilities
    getattr(spec, kind).SetInParent()
    return spec


@pytest.fixture(scope="session")
def spec_of() -> Callable[..., Any]:
    return classic_spec


@pytest.fixture
def open_spec(save: Callable[..., Path]) -> Callable[[Any], CoreMLModel]:
    """Write a specification to a file and load it."""
    return lambda spec: load(save(spec))


@pytest.fixture
def run_op(save: Callable[..., Path]) -> Callable[..., list[np.ndarray]]:
    """Run one ML Program op and return its outputs."""

    def run(
        op: str,
        inputs: Mapping[str, Any],
        fields: Mapping[str, Any],
        outputs: Sequence[tuple[str, tuple[int, ...]]],
        opset: str = "CoreML6",
        attributes: Mapping[str, Any] | None = None,
    ) -> list[np.ndarray]:
        spec = program_spec(op, inputs, fields, outputs, opset, attributes)
        feed = {}
        for name, value in inputs.items():
            several = value if isinstance(value, list) else [value]
            for number, array in enumerate(several):
                feed[f"{name}{number}" if isinstance(value, list) else name] = array
        answers = load(save(spec)).run(feed or {"unused": np.zeros(1, np.float32)})
        return [answers[f"y{number}"] for number in range(len(outputs))]

    return run


@pytest.fixture
def run_layer(save: Callable[..., Path]) -> Callable[..., list[np.ndarray]]:
    """Run one neural network layer and return its outputs."""

    def run(
        kind: str,
        inputs: Sequence[np.ndarray],
        fields: Mapping[str, Any],
        outputs: Sequence[tuple[int, ...]],
    ) -> list[np.ndarray]:
        spec = network_spec(kind, inputs, fields, outputs)
        feed = {f"x{number}": array for number, array in enumerate(inputs)}
        answers = load(save(spec)).run(feed or {"unused": np.zeros(1, np.float32)})
        return [answers[f"y{number}"] for number in range(len(outputs))]

    return run


class Files:
    """The functions above, for tests that build or damage a file themselves."""

    Typed = Typed
    program_spec = staticmethod(program_spec)
    network_spec = staticmethod(network_spec)
    value_message = staticmethod(value_message)
    type_message = staticmethod(type_message)
    write_package = staticmethod(write_package)
    blob_file = staticmethod(blob_file)
    fill = staticmethod(fill)
    set_array_feature = staticmethod(set_array_feature)


@pytest.fixture(scope="session")
def files() -> type[Files]:
    return Files
