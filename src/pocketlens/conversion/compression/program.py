"""Replace the weights of an ML Program by compressed ones.

Everything else in the file stays as it is. Up to iOS 17 the parts of a compressed weight are
attributes of its operation and packed bytes; from iOS 18 they are inputs with types of their own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.compression.constants import Constants, every_operation, key_of
from pocketlens.conversion.compression.encodings import Encoding, Linear, Palette, Pruned
from pocketlens.conversion.compression.fitting import Fitted
from pocketlens.conversion.compression.weight_files import CODES, WeightFile, pack
from pocketlens.conversion.compression.weights import Weight
from pocketlens.coreml.file.functions import COMPRESSION, active_block
from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.file.proto import generated
from pocketlens.coreml.file.values import DATA_TYPES, constant_of, tensor_type
from pocketlens.errors import ConversionError

__all__ = ["is_compressed", "opset_of", "weights_of", "with_encodings"]

TYPES = {name: number for number, (name, _) in DATA_TYPES.items()}
FILE = "@model_path/weights/weight.bin"
IOS18 = 8
"""The opset of iOS 18, CoreML8."""

LEAST_IN_FILE = 10
"""From how many elements on coremltools stores an array in the weights file."""


def opset_of(file: ModelFile) -> int:
    """The lowest opset of its functions, such as 6 for CoreML6."""
    return min(active_block(file, name)[2] for name in file.spec.mlProgram.functions)


def is_compressed(file: ModelFile) -> bool:
    """Whether it has a compressed weight already."""
    return any(each.type in COMPRESSION for each in every_operation(file.spec))


def weights_of(file: ModelFile) -> list[Weight]:
    """The constants that may be compressed: floating-point, of two dimensions or more.

    Core ML has problems with compressed constants of one dimension, says coremltools. Weights that
    an operation has in itself become constants of their own in `file.spec`.
    """
    for function in file.spec.mlProgram.functions.values():
        for block in function.block_specializations.values():
            _name_inline_weights(block, _names(file.spec))
    constants = Constants(file)
    found: dict[str, Weight] = {}
    for operation in every_operation(file.spec):
        key = key_of(operation)
        if key is None or key in found:
            continue
        declared = tensor_type(operation.attributes["val"].type)
        if declared is None or declared.name not in ("float16", "float32"):
            continue
        if len(declared.shape or ()) < 2 or math.prod(declared.fixed) < LEAST_IN_FILE:
            continue
        array = constant_of(file, operation.attributes["val"])
        name = operation.outputs[0].name
        found[key] = Weight(key, name, array, *constants.uses(key, array))
    return list(found.values())


def with_encodings(file: ModelFile, fitted: Fitted) -> tuple[Any, bytes]:
    """The specification and the weights file with these weights compressed.

    Args:
        file: The file; it does not change.
        fitted: The new weights and biases. Everything else stays as it is.
    """
    spec = type(file.spec)()
    spec.CopyFrom(file.spec)
    stored = WeightFile()
    names = _names(spec)
    for name, function in spec.mlProgram.functions.items():
        modern = active_block(file, name)[2] >= IOS18
        for block in function.block_specializations.values():
            _rewrite(block, fitted, stored, names, modern=modern)
    for value in _values(spec):
        if value.WhichOneof("value") == "blobFileValue" and value.blobFileValue.fileName != _NEW:
            _keep(file, value, stored)
    for value in _values(spec):
        if value.WhichOneof("value") == "blobFileValue":
            value.blobFileValue.fileName = FILE
    return spec, stored.content()


_NEW = "new"
"""Marks the values whose bytes are in the new weights file already."""


def _names(spec: Any) -> set[str]:
    return {each.name for operation in every_operation(spec) for each in operation.outputs}


def _unused(name: str, names: set[str]) -> str:
    """A name like this one that is not in `names`, to which it is added."""
    found = next(
        each for n in itertools.count() if (each := f"{name}_{n}" if n else name) not in names
    )
    names.add(found)
    return found


def _constant(name: str, value: Any) -> Any:
    made = generated("MIL_pb2").Operation(type="const")
    made.attributes["val"].CopyFrom(value)
    _name(made, name)
    made.outputs.add(name=name).type.CopyFrom(value.type)
    return made


def _replace(block: Any, operations: Sequence[Any]) -> None:
    copies = [type(each).FromString(each.SerializeToString()) for each in operations]
    del block.operations[:]
    block.operations.extend(copies)


def _name_inline_weights(block: Any, names: set[str]) -> None:
    """Make constants of the weights that operations have in themselves."""
    rewritten = []
    for operation in block.operations:
        for inner in operation.blocks:
            _name_inline_weights(inner, names)
        for parameter, argument in operation.inputs.items():
            for binding in argument.arguments:
                if binding.WhichOneof("binding") != "value":
                    continue
                declared = tensor_type(binding.value.type)
                if declared is None or len(declared.shape or ()) < 2:
                    continue
                name = _unused(f"{operation.outputs[0].name}_{parameter}", names)
                rewritten.append(_constant(name, binding.value))
                binding.name = name
        rewritten.append(operation)
    if len(rewritten) > len(block.operations):
        _replace(block, rewritten)


def _rewrite(
    block: Any, fitted: Fitted, stored: WeightFile, names: set[str], *, modern: bool
) -> None:
    rewritten = []
    for operation in block.operations:
        for inner in operation.blocks:
            _rewrite(inner, fitted, stored, names, modern=modern)
        encoding = fitted.encodings.get(key_of(operation) or "")
        if encoding is not None:
            rewritten += _compressed(operation, encoding, stored, modern=modern)
            continue
        bias = fitted.biases.get(operation.outputs[0].name) if operation.outputs else None
        if bias is not None:
            name = _unused(f"{operation.outputs[0].name}_bias", names)
            kind = str(bias.dtype)
            rewritten.append(_constant(name, _value(kind, bias, stored)))
            del operation.inputs["bias"].arguments[:]
            operation.inputs["bias"].arguments.add().name = name
        rewritten.append(operation)
    _replace(block, rewritten)


def _compressed(
    operation: Any, encoding: Encoding, stored: WeightFile, *, modern: bool
) -> list[Any]:
    """The operations that make the weight from its smaller form."""
    made = _Maker(operation, stored, modern=modern)
    if isinstance(encoding, Linear):
        return [made.linear(encoding)]
    if isinstance(encoding, Palette):
        return [made.palette(encoding)]
    return made.pruned(encoding)


class _Maker:
    """Makes operations in place of a constant."""

    def __init__(self, constant: Any, stored: WeightFile, *, modern: bool) -> None:
        self.name = constant.outputs[0].name
        self.type = constant.outputs[0].type
        self.kind = tensor_type(self.type).name  # type: ignore[union-attr]  # a constant is a tensor
        self.shape = np.array([each.constant.size for each in self.type.tensorType.dimensions])
        self.stored = stored
        self.modern = modern

    def linear(self, encoding: Linear) -> Any:
        if not self.modern:
            zero = np.zeros(len(encoding.scale), np.int8)
            parts = {
                "quantized_data": self.value("int8", encoding.codes),
                "zero_point": self.value("int8", zero),
                "scale": self.value(self.kind, encoding.scale),
                "axis": _scalar(encoding.axis),
            }
            return self.operation("constexpr_affine_dequantize", parts)
        shape = [1] * encoding.codes.ndim
        shape[encoding.axis] = -1
        parts = {
            "data": self.value("int8", encoding.codes),
            "scale": self.value(self.kind, encoding.scale.reshape(shape)),
        }
        return self.operation("constexpr_blockwise_shift_scale", parts)

    def palette(self, encoding: Palette) -> Any:
        if not self.modern:
            if len(encoding.table) > 1:
                raise ConversionError("palettes by groups of channels need a file for iOS 18")
            packed = np.frombuffer(pack(encoding.indices, encoding.width), np.uint8)
            parts = {
                "indices": self.value("uint8", packed),
                "lut": self.value(self.kind, encoding.table[0]),
                "shape": self.value("uint32", self.shape.astype("<u4")),
            }
            return self.operation("constexpr_lut_to_dense", parts)
        parts = {
            "indices": self.value(f"uint{encoding.width}", encoding.indices),
            "lut": self.value(self.kind, _spread(encoding, encoding.indices.ndim)),
        }
        return self.operation("constexpr_lut_to_dense", parts)

    def pruned(self, encoding: Pruned) -> list[Any]:
        if encoding.palette is None:
            values = self.value(self.kind, encoding.values)
            if self.modern:
                mask = self.value("uint1", encoding.mask)
                parts = {"nonzero_data": values, "mask": mask}
            else:
                packed = np.frombuffer(pack(encoding.mask, 1), np.uint8)
                parts = {
                    "nonzero_data": values,
                    "mask": self.value("uint8", packed),
                    "shape": self.value("uint32", self.shape.astype("<u4")),
                }
            return [self.operation("constexpr_sparse_to_dense", parts)]
        if not self.modern:
            raise ConversionError("pruned palettes need a file for iOS 18")
        palette = encoding.palette
        # Here the table has the rank of the weight, and the indices are one row.
        sparse = self.operation(
            "constexpr_lut_to_sparse",
            {
                "indices_mask": self.value("uint1", encoding.mask),
                "indices_nonzero_data": self.value(f"uint{palette.width}", palette.indices),
                "lut": self.value(self.kind, _spread(palette, encoding.mask.ndim)),
            },
        )
        del sparse.outputs[:]
        mask, values = f"{self.name}_mask", f"{self.name}_values"
        sparse.outputs.add(name=mask).type.CopyFrom(_type("uint1", encoding.mask.shape))
        sparse.outputs.add(name=values).type.CopyFrom(_type(self.kind, palette.indices.shape))
        _name(sparse, f"{self.name}_sparse")
        dense = self.operation("constexpr_sparse_to_dense", {})
        dense.inputs["nonzero_data"].arguments.add().name = values
        dense.inputs["mask"].arguments.add().name = mask
        return [sparse, dense]

    def operation(self, kind: str, parts: Mapping[str, Any]) -> Any:
        made = generated("MIL_pb2").Operation(type=kind)
        for key, value in parts.items():
            if self.modern:
                made.inputs[key].arguments.add().value.CopyFrom(value)
            else:
                made.attributes[key].CopyFrom(value)
        _name(made, self.name)
        made.outputs.add(name=self.name).type.CopyFrom(self.type)
        return made

    def value(self, kind: str, array: NDArray[Any]) -> Any:
        return _value(kind, array, self.stored)


def _value(kind: str, array: NDArray[Any], stored: WeightFile) -> Any:
    """An array as a value: in the weights file, or in place if it is small."""
    value = generated("MIL_pb2").Value()
    value.type.CopyFrom(_type(kind, array.shape))
    if array.size >= LEAST_IN_FILE and kind in CODES:
        value.blobFileValue.fileName = _NEW
        value.blobFileValue.offset = stored.add(kind, array)
        return value
    bits = CODES[kind][1]
    data = pack(array, bits) if bits < 8 else np.ascontiguousarray(array).tobytes()
    if kind == "float32":
        value.immediateValue.tensor.floats.values.extend(array.reshape(-1).tolist())
    else:
        value.immediateValue.tensor.bytes.values = data
    return value


def _spread(palette: Palette, rank: int) -> NDArray[Any]:
    """The tables in the shape that iOS 18 wants: blocks by dimension, entries, 1."""
    shape = [1] * rank
    shape[palette.axis] = len(palette.table)
    return palette.table.reshape(*shape, -1, 1)


def _type(kind: str, shape: tuple[int, ...]) -> Any:
    declared = generated("MIL_pb2").ValueType()
    declared.tensorType.dataType, declared.tensorType.rank = TYPES[kind], len(shape)
    for size in shape:
        declared.tensorType.dimensions.add().constant.size = size
    return declared


def _scalar(number: int) -> Any:
    value = generated("MIL_pb2").Value()
    value.type.CopyFrom(_type("int32", ()))
    value.immediateValue.tensor.ints.values.append(number)
    return value


def _name(operation: Any, name: str) -> None:
    value = generated("MIL_pb2").Value()
    value.type.CopyFrom(_type("string", ()))
    value.immediateValue.tensor.strings.values.append(name)
    operation.attributes["name"].CopyFrom(value)


def _values(spec: Any) -> Iterator[Any]:
    """Every value of the program, those inside lists and dictionaries left out."""
    for operation in every_operation(spec):
        yield from operation.attributes.values()
        for argument in operation.inputs.values():
            yield from (each.value for each in argument.arguments if each.HasField("value"))


def _keep(file: ModelFile, value: Any, stored: WeightFile) -> None:
    """Copy a constant into the new weights file."""
    declared = tensor_type(value.type)
    if declared is None:
        raise ConversionError(f"{file.path}: a list is in the weights file; expected a tensor")
    array = constant_of(file, value)
    narrow = declared.name == "int4"
    data = array.view(np.uint8) & 15 if narrow else array
    value.blobFileValue.offset = stored.add(declared.name, data)
    value.blobFileValue.fileName = _NEW
