"""Conversion of an ML Program to an equivalent ONNX graph.

The reader binds the arguments of each op to the parameters of the op's lowering and compares the
result with the type that the file declares. The lowerings are in `mil/`, one file per family.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.errors import located_errors
from pocketlens.coreml.file.features import Feature, Interface
from pocketlens.coreml.file.functions import active_block, operations
from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.file.values import TensorType, constant_of, held_type, tensor_type
from pocketlens.coreml.graph import MAX_OPERATIONS, Graph, Value
from pocketlens.coreml.ops.common.control import Block
from pocketlens.coreml.ops.lowered import Lowered, finish, unsupported_ops
from pocketlens.coreml.ops.registry import SCALARS, TUPLES, Lowering, Parameter, lookup
from pocketlens.errors import (
    ModelFileError,
    UnsupportedModelError,
    UnsupportedOp,
    UnsupportedParameter,
)

__all__ = ["lower_program"]

# Converters write these for their own use; they do not change what an op computes.
IGNORED_ATTRIBUTES = ("name",)

# The ops that write a state -> the parameter with the name of the state.
WRITERS = {"write_state": "input", "coreml_update_state": "state"}


def lower_program(file: ModelFile, interface: Interface) -> Lowered:
    """Convert one function of an ML Program to a graph.

    Raises:
        ModelFileError: The program contradicts itself or its description.
        UnsupportedOp: Some ops have no lowering; the message lists all of them.
        UnsupportedParameter: An op sets a field that its lowering does not take.
    """
    function, block, opset = active_block(file, interface.function)
    count = _check_operations(file, block, opset)
    names = [each.name for op in block.operations for each in op.outputs]
    names += [each.name for each in function.inputs]
    states = tuple(feature.name for feature in interface.states)
    reader = _Reader(file, Graph(names, operations=count), opset, states)
    reader.inputs(function.inputs, interface)
    for operation in block.operations:
        reader.operation(operation)
    return reader.finish(block.outputs, interface)


def _check_operations(file: ModelFile, block: Any, opset: int) -> int:
    """How many ops there are. Every op needs a lowering; one error reports all that have none."""
    with located_errors(file, "the program"):
        every = list(islice(operations(block), MAX_OPERATIONS + 1))
    if len(every) > MAX_OPERATIONS:
        raise ModelFileError(f"{file.path}: more than {MAX_OPERATIONS} operations")
    _check_weights(file, every)
    missing: dict[str, str] = {}
    for operation in every:
        if operation.type == "const" or operation.type in missing:
            continue
        try:
            lookup("mil", operation.type, opset)
        except UnsupportedOp as error:
            missing[operation.type] = f"{error}, first used in '{_title(operation)}'"
    if missing:
        raise unsupported_ops(file, f"CoreML{opset}", "op", missing)
    return len(every)


def _check_weights(file: ModelFile, every: Iterable[Any]) -> None:
    """Check the memory for all compressed weights together, before any is decompressed."""
    with located_errors(file, "the program"):
        types = [
            tensor_type(output.type)
            for operation in every
            if operation.type.startswith("constexpr_")
            for output in operation.outputs
        ]
        size = sum(math.prod(each.fixed) * each.dtype.itemsize for each in types if each)
        file.budget.check(size, f"decompressing its {len(types)} compressed weights")


class _Reader:
    """Reads the operations of one block into one graph."""

    def __init__(self, file: ModelFile, graph: Graph, opset: int, states: tuple[str, ...]) -> None:
        self.file = file
        self.graph = graph
        self.opset = opset
        self.states = states
        self.classes: tuple[str | int, ...] = ()
        self.probabilities: Value | None = None

    def inputs(self, declared: Iterable[Any], interface: Interface) -> None:
        features = {feature.name: feature for feature in (*interface.inputs, *interface.states)}
        listed = {each.name: each for each in declared}
        if set(listed) != set(features):
            raise ModelFileError(
                f"{self.file.path}: the program takes {', '.join(sorted(listed)) or 'nothing'}; "
                f"the description says {', '.join(sorted(features)) or 'nothing'}"
            )
        for name, feature in features.items():
            with located_errors(self.file, f"the input '{name}'"):
                message = listed[name].type
                if (feature.kind == "state") != (message.WhichOneof("type") == "stateType"):
                    raise ModelFileError(
                        "only one of the description and the program declares it as a state"
                    )
                state = feature.kind == "state"
                declared_type = held_type(message) if state else tensor_type(message)
                if declared_type is None:
                    raise UnsupportedModelError("it is not a tensor; only tensors are supported")
                if state and (declared_type.shape, declared_type.name) != (
                    feature.shape,
                    feature.dtype,
                ):
                    raise ModelFileError(
                        f"the description says {feature.dtype}{list(feature.shape)}; the program "
                        f"declares {declared_type.name}{list(declared_type.shape or ())}"
                    )
                if feature.kind == "image":
                    fits = (1, feature.channels, *feature.shape)
                    if (
                        declared_type.shape is None
                        or len(declared_type.shape) != 4
                        or any(
                            size not in (None, given)
                            for size, given in zip(declared_type.shape, fits, strict=True)
                        )
                    ):
                        raise ModelFileError(
                            f"the image has the shape {fits}; "
                            f"the program expects {declared_type.shape}"
                        )
                self.graph.input(name, declared_type.dtype, _sizes(declared_type, feature))

    def operation(self, operation: Any) -> None:
        what = f"the op {operation.type} '{_title(operation)}'"
        with located_errors(self.file, what):
            self.graph.scope(_title(operation), what, operation.type)
            names = [each.name for each in operation.outputs]
            if operation.type == "const":
                if len(names) != 1:
                    raise ModelFileError(f"it has {len(names)} outputs; expected 1")
                self.graph.bind(names[0], self.graph.constant(self._const(operation)))
                return
            lowering = lookup("mil", operation.type, self.opset)
            arguments = self._arguments(operation, lowering)
            results = lowering.function(self.graph, **arguments)
            values = [results] if isinstance(results, Value) else list(results)
            if len(values) != len(names):
                raise ModelFileError(f"it has {len(names)} outputs; expected {len(values)}")
            if operation.type == "classify":
                self.classes = tuple(arguments["classes"].tolist())
                self.probabilities = values[1]
            for output, value in zip(operation.outputs, values, strict=True):
                self._bind(output, value)

    def _bind(self, declared: Any, value: Value) -> None:
        _check_type(declared, value)
        self.graph.bind(declared.name, value)

    def _block(self, block: Any) -> Block:
        """A nested block of an operation."""

        def lower(g: Graph, *values: Value) -> list[Value]:
            reader = _Reader(self.file, g, self.opset, self.states)
            if len(values) != len(block.inputs):
                raise ModelFileError(
                    f"a nested block has {len(block.inputs)} inputs; expected {len(values)}"
                )
            for declared, value in zip(block.inputs, values, strict=True):
                reader._bind(declared, value)
            for operation in block.operations:
                reader.operation(operation)
            return [reader._named(name) for name in block.outputs]

        written = frozenset(
            binding.name
            for operation in operations(block)
            if operation.type in WRITERS
            for binding in operation.inputs[WRITERS[operation.type]].arguments
        )
        return Block(lower, written.intersection(self.states))

    def _const(self, operation: Any) -> NDArray[Any]:
        if "val" in operation.attributes:
            return constant_of(self.file, operation.attributes["val"])
        if "val" in operation.inputs and len(operation.inputs["val"].arguments) == 1:
            return constant_of(self.file, operation.inputs["val"].arguments[0].value)
        raise ModelFileError("it has no value")

    def _arguments(self, operation: Any, lowering: Lowering) -> dict[str, Any]:
        given: dict[str, list[Value]] = {
            name: [self._value(binding) for binding in argument.arguments]
            for name, argument in operation.inputs.items()
        }
        for name, value in operation.attributes.items():
            if name in IGNORED_ATTRIBUTES and name not in lowering.parameters:
                continue
            if name in given:
                raise ModelFileError(f"it sets {name!r} twice")
            given[name] = [self.graph.constant(constant_of(self.file, value))]
        for name, values in given.items():
            if name not in lowering.parameters:
                raise UnsupportedParameter(
                    f"it sets {name!r} to {_shown(values)}, which is not supported here; "
                    f"known: {', '.join(lowering.parameters)}"
                )
        blocks = [name for name, each in lowering.parameters.items() if each.annotation == "Block"]
        if len(blocks) != len(operation.blocks):
            raise ModelFileError(
                f"it has {len(operation.blocks)} nested blocks; expected {len(blocks)}"
            )
        inner = dict(zip(blocks, map(self._block, operation.blocks), strict=True))
        states = {
            name: self._state(name, operation.inputs[name])
            for name, each in lowering.parameters.items()
            if each.annotation == "State" and name in operation.inputs
        }
        return inner | {
            name: states[name] if name in states else _convert(parameter, given[name])
            for name, parameter in lowering.parameters.items()
            if name not in inner and (name in given or _required(parameter))
        }

    def _state(self, name: str, argument: Any) -> str:
        """The name of the state that the argument refers to."""
        names = [binding.name for binding in argument.arguments]
        if len(names) != 1 or names[0] not in self.states:
            raise ModelFileError(
                f"{name!r} is {', '.join(map(repr, names)) or 'empty'}; expected one of the "
                f"model's states: {', '.join(self.states) or 'there are none'}"
            )
        return str(names[0])

    def _value(self, binding: Any) -> Value:
        kind = binding.WhichOneof("binding")
        if kind == "value":
            return self.graph.constant(constant_of(self.file, binding.value))
        if kind == "name":
            return self._named(binding.name)
        raise ModelFileError("one of its arguments is empty")

    def _named(self, name: str) -> Value:
        if name not in self.graph.tensors:
            raise ModelFileError(f"it takes {name!r}, which no earlier op produces")
        return self.graph.tensors[name]

    def finish(self, outputs: Iterable[str], interface: Interface) -> Lowered:
        given = dict.fromkeys(outputs)
        for feature in interface.outputs:
            if feature.name not in given or feature.name not in self.graph.tensors:
                raise ModelFileError(
                    f"{self.file.path}: the description declares the output '{feature.name}'; "
                    f"the program has the outputs {', '.join(given) or 'none'}"
                )
            with located_errors(self.file, f"the output '{feature.name}'"):
                self.graph.output(feature.name, self.graph.tensors[feature.name])
        states = finish(self.graph, self.states)
        return Lowered(self.graph, self.classes, self.probabilities, states)


def _sizes(declared: TensorType, feature: Feature) -> tuple[int | None, ...] | None:
    """The program's shape, with unknown sizes taken from the description where it fixes them."""
    shape = declared.shape
    if shape is None or None not in shape or feature.shapes or feature.ranges:
        return shape
    fixed = (1, feature.channels, *feature.shape) if feature.kind == "image" else feature.shape
    if len(fixed) != len(shape):
        return shape
    return tuple(one if one is not None else other for one, other in zip(shape, fixed, strict=True))


def _required(parameter: Parameter) -> bool:
    if not parameter.optional:
        raise ModelFileError(f"it has no {parameter.name!r}, which this op needs")
    return False


def _convert(parameter: Parameter, values: list[Value]) -> Any:
    """The argument as the Python value that the parameter's annotation asks for.

    Args:
        parameter: Its annotation is one of `registry.INPUT_ANNOTATIONS["mil"]`, except `Block` and
            `State`, which the caller handles.
        values: The tensors or constants of the argument.
    """
    name, kind = parameter.name, parameter.annotation
    if kind == "Values":
        return tuple(values)
    if len(values) != 1:
        raise ModelFileError(f"{name!r} has {len(values)} values; expected one")
    value = values[0]
    if kind == "Value":
        return value
    if value.const is None:
        raise UnsupportedParameter(
            f"{name!r} is computed while the model runs ({value.name!r}); expected a constant"
        )
    array = value.const
    if kind == "Array":
        if array.dtype == object and name != "classes":  # labels are the only strings in an array
            raise ModelFileError(f"{name!r} is {_shown(values)}; expected numbers")
        return array
    single = kind in SCALARS
    element = SCALARS[kind] if single else TUPLES[kind]
    fits = {int: "iu", float: "fiu", bool: "b", str: "O"}[element]
    if array.dtype.kind not in fits or (single and array.size != 1):
        raise ModelFileError(f"{name!r} is {_shown(values)}; expected {kind.lower()}")
    items = tuple(element(item) for item in array.reshape(-1).tolist())
    return items[0] if single else items


def _shown(values: list[Value]) -> str:
    shown = [
        repr(value) if value.const is None or value.const.size > 16 else str(value.const.tolist())
        for value in values[:4]
    ]
    return ", ".join(shown)


def _title(operation: Any) -> str:
    return str(operation.outputs[0].name if operation.outputs else operation.type)


def _check_type(output: Any, value: Value) -> None:
    """Compare the result with the declared type; take unknown sizes from the declaration."""
    declared = held_type(output.type)
    if declared is None or value.dtype == np.dtype(object):
        return
    fits = declared.dtype == value.dtype
    if declared.shape is not None and value.shape is not None:
        fits = fits and len(declared.shape) == len(value.shape)
        fits = fits and all(
            None in (one, other) or one == other
            for one, other in zip(declared.shape, value.shape, strict=False)
        )
    if not fits:
        raise ModelFileError(
            f"the file declares '{output.name}' as {declared.name}{list(declared.shape or ())}; "
            f"its inputs result in {value.dtype}{list(value.shape or ())}"
        )
    if value.shape is None:
        value.shape = declared.shape
    elif declared.shape is not None:
        value.shape = tuple(
            one if other is None else other
            for one, other in zip(declared.shape, value.shape, strict=True)
        )
