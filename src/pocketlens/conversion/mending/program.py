"""Change the input or the classes of an ML Program (`.mlpackage`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pocketlens.conversion.mending.affine import Affine
from pocketlens.coreml.file.functions import operations
from pocketlens.coreml.file.proto import generated
from pocketlens.errors import ConversionError

__all__ = ["add_classes", "change_pixels", "rename_classes"]

INT32, STRING, FLOAT16, FLOAT32, FLOAT64 = 23, 2, 10, 11, 12  # of the specification's DataType


def _function(spec: Any) -> tuple[Any, Any]:
    """The only function, and its block."""
    function = next(iter(spec.mlProgram.functions.values()))
    return function, function.block_specializations[function.opset]


def change_pixels(spec: Any, image: str, affine: Affine, *, swapped: bool) -> None:  # noqa: ARG001
    """Apply `affine` to the pixels, by a product and a sum before all other operations.

    Args:
        spec: The model, changed in place.
        image: The name of the image input.
        affine: What the pixels need.
        swapped: Not needed: operations count channels.
    """
    if affine.is_identity:
        return
    function, block = _function(spec)
    kind = next(each.type for each in function.inputs if each.name == image)
    scaled, moved = (_free(block, f"{image}_{verb}") for verb in ("scaled_first", "moved_first"))
    for binding in _bindings(block):
        if binding.name == image:
            binding.name = moved
    rest = list(block.operations)
    del block.operations[:]
    for op, given, made, numbers in (
        ("mul", image, scaled, affine.factor),
        ("add", scaled, moved, affine.term),
    ):
        array = np.array(numbers, np.float64).reshape(1, len(numbers), 1, 1)
        constant = _constant(block, f"{made}_y", _tensor(array, kind.tensorType))
        operation = _operation(block, op, made, [(made, kind)])
        operation.inputs["x"].arguments.add().name = given
        operation.inputs["y"].arguments.add().name = constant
    block.operations.extend(rest)


def rename_classes(spec: Any, labels: Sequence[str]) -> None:
    """Replace the class labels."""
    _, block = _function(spec)
    found = [op for op in operations(block) if op.type == "classify"]
    if len(found) != 1:
        raise ConversionError(
            f"the program has {len(found)} classify operations; expected one; convert the model "
            "again from its source"
        )
    classes = found[0].inputs["classes"]
    del classes.arguments[:]
    classes.arguments.add().value.CopyFrom(_strings(labels))
    for output in found[0].outputs:
        declared = output.type
        if declared.WhichOneof("type") == "dictionaryType":
            declared = declared.dictionaryType.keyType
        declared.tensorType.dataType = STRING


def add_classes(
    spec: Any,
    output: str,
    labels: Sequence[str],
    *,
    softmax_axis: int | None,
    names: tuple[str, str],
) -> None:
    """Turn the program into a classifier.

    Args:
        spec: The model, changed in place.
        output: The output with one score per class.
        labels: The class names.
        softmax_axis: The axis of its classes, if the scores are logits; None for probabilities.
        names: The names of the new outputs, label and probabilities.
    """
    _, block = _function(spec)
    taken = {name for op in operations(block) for name in (each.name for each in op.outputs)}
    if taken & set(names):
        raise ConversionError(
            f"the program uses the name {' or '.join(names)} already; convert the model again "
            "from its source"
        )
    probabilities = output
    if softmax_axis is not None:
        made = (each for op in block.operations for each in op.outputs if each.name == output)
        kind = next(made).type
        probabilities = _free(block, f"{output}_probabilities")
        axis = generated("MIL_pb2").Value()
        axis.type.tensorType.dataType = INT32
        axis.immediateValue.tensor.ints.values.append(softmax_axis)
        constant = _constant(block, _free(block, f"{probabilities}_axis"), axis)
        softmax = _operation(block, "softmax", probabilities, [(probabilities, kind)])
        softmax.inputs["x"].arguments.add().name = output
        softmax.inputs["axis"].arguments.add().name = constant
    label, dictionary = (generated("MIL_pb2").ValueType() for _ in range(2))
    label.tensorType.dataType = STRING
    dictionary.dictionaryType.keyType.tensorType.dataType = STRING
    dictionary.dictionaryType.valueType.tensorType.dataType = FLOAT64
    outputs = list(zip(names, (label, dictionary), strict=True))
    classify = _operation(block, "classify", _free(block, "classify"), outputs)
    classify.inputs["probabilities"].arguments.add().name = probabilities
    classify.inputs["classes"].arguments.add().value.CopyFrom(_strings(labels))
    kept = [name for name in block.outputs if name != output]
    block.outputs[:] = [*kept, *names]


def _constant(block: Any, name: str, value: Any) -> str:
    """Add a constant; returns its name."""
    operation = _operation(block, "const", name, [(name, value.type)])
    operation.attributes["val"].CopyFrom(value)
    return name


def _operation(block: Any, kind: str, name: str, outputs: Sequence[tuple[str, Any]]) -> Any:
    operation = block.operations.add(type=kind)
    operation.attributes["name"].CopyFrom(_string(name))
    for made, declared in outputs:
        operation.outputs.add(name=made).type.CopyFrom(declared)
    return operation


def _bindings(block: Any) -> Iterator[Any]:
    """Every place where an operation takes a tensor by its name."""
    for operation in operations(block):
        for argument in operation.inputs.values():
            yield from (each for each in argument.arguments if each.name)


def _free(block: Any, name: str) -> str:
    """The name, or a longer one if the program uses it."""
    taken = {each.name for operation in operations(block) for each in operation.outputs}
    while name in taken:
        name += "_"
    return name


def _tensor(array: np.ndarray[Any, Any], declared: Any) -> Any:
    """A constant of the element type of the tensor type `declared`."""
    value = generated("MIL_pb2").Value()
    made = value.type.tensorType
    made.dataType, made.rank = declared.dataType, array.ndim
    for size in array.shape:
        made.dimensions.add().constant.size = size
    tensor = value.immediateValue.tensor
    if declared.dataType == FLOAT16:
        tensor.bytes.values = array.astype(np.float16).tobytes()
    elif declared.dataType == FLOAT32:
        tensor.floats.values.extend(array.ravel().tolist())
    else:
        raise ConversionError(
            "the program takes its image neither as float32 nor as float16; convert the model "
            "again from its source"
        )
    return value


def _string(text: str) -> Any:
    value = generated("MIL_pb2").Value()
    value.type.tensorType.dataType = STRING
    value.immediateValue.tensor.strings.values.append(text)
    return value


def _strings(texts: Sequence[str]) -> Any:
    value = generated("MIL_pb2").Value()
    value.type.listType.type.tensorType.dataType = STRING
    value.type.listType.length.constant.size = len(texts)
    value.immediateValue.list.values.extend(_string(text) for text in texts)
    return value
