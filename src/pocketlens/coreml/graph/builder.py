"""The small ONNX graph builder that lowering functions call.

    y = g.Conv(x, weight, bias, strides=[2, 2], pads=[1, 1, 1, 1])

Every ONNX operator is a method with the operator's name. A `Value` knows its element type and
shape, because ONNX's own type inference runs on every node as it is added; a constant also knows
its content.
"""

from __future__ import annotations

import itertools
import math
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from onnx import helper

from pocketlens.coreml.graph.folding import fold
from pocketlens.coreml.graph.inference import OPSET, check_size, infer_types
from pocketlens.coreml.graph.kernels import without_kernel
from pocketlens.coreml.graph.names import Names
from pocketlens.coreml.graph.nodes import (
    STRING,
    Node,
    Operand,
    Shape,
    Value,
)
from pocketlens.errors import ModelFileError

__all__ = [
    "MAX_NESTING",
    "MAX_NODES",
    "MAX_OPERATIONS",
    "Graph",
]

MAX_NODES = 50_000
"""How many nodes all graphs of a model may have: ONNX Runtime plans 50,000 in about a minute."""

MAX_OPERATIONS = 200_000
"""How many operations or layers a Core ML model may have, constants included."""

MAX_NESTING = 30
"""How many graphs may be inside each other; ONNX Runtime's parser stops at 33."""

REPEATS, FREE_REPEATS = 32, 2000
"""How often the operations of a model may be translated on average, and how many are free.

A loop's condition is translated twice, its body again when a size turns out to vary. Loops in
loops multiply this.
"""


class Graph:
    """An ONNX graph under construction.

    `export.onnx_model` turns a finished graph into an ONNX model.

    An `inner` graph is a branch or the body of a loop (`ops.common.control` makes them). It sees
    the tensors of the graphs around it; names bound in it are not visible outside.

    Attributes:
        inputs, outputs: The inputs and outputs of the finished model.
        extra: Further outputs of the model, such as new states.
        tensors: The Value for each tensor name of the Core ML model.
        nodes: The nodes so far, in the order in which they run.
        steps: How many steps loops may still take, once there is a loop; see `ops.common.control`.
        run_errors: The messages of errors that can happen during a run, inner graphs included.
        stops: The name of each node that fails to stop a run -> the message for it.
        place: The operation of the Core ML model that new tensors are named after.
        what: The same operation in words, for messages.
        kinds: The name of each operation -> its kind, such as `conv`.
    """

    def __init__(
        self, names: Iterable[str] = (), *, operations: int = 0, outer: Graph | None = None
    ) -> None:
        """Start an empty graph.

        Args:
            names: Every tensor name of the Core ML model. Only `input`, `bind` and `output` use
                them; the builder names its own tensors differently.
            operations: How many operations the Core ML model has, inner blocks included.
            outer: The graph around this one, for an inner graph.

        Raises:
            ModelFileError: `outer` is nested as deep as `MAX_NESTING` allows.
        """
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        self.extra: list[Value] = []
        self.tensors: MutableMapping[str, Value] = {}
        self.nodes: list[Node] = []
        self.steps: Value | None = None
        self.run_errors: list[str] = []
        self.stops: dict[str, str] = {}
        self._constants: dict[tuple[Any, ...], Value] = {}
        self._names = Names(names)
        self._unnamed: set[str] = set()
        self._input_names: set[str] = set()
        self._output_names: set[str] = set()
        self._named: dict[str, Value] = {}
        self.place = ""
        self.what = "the model"
        self.kinds: dict[str, str] = {}
        self._depth = 0
        self._numbers = itertools.count()
        self._scopes = itertools.count()
        self._most_scopes = FREE_REPEATS + REPEATS * operations
        if outer is not None:
            self._depth = outer._depth + 1
            if self._depth > MAX_NESTING:
                raise ModelFileError(
                    f"branches and loops are nested more than {MAX_NESTING} deep; "
                    "simplify the model and convert it again"
                )
            self.tensors = ChainMap({}, outer.tensors)
            self.steps = outer.steps
            self.run_errors = outer.run_errors
            self.stops = outer.stops
            self._constants = outer._constants
            self._names = outer._names
            self._unnamed = outer._unnamed
            self.place = outer.place
            self.what = outer.what
            self._numbers = outer._numbers
            self._scopes = outer._scopes
            self._most_scopes = outer._most_scopes

    def __getattr__(self, op: str) -> Callable[..., Value]:
        if not op[0].isupper():
            raise AttributeError(op)
        return lambda *inputs, **attributes: self.op(op, *inputs, **attributes)[0]

    def op(
        self, op: str, *inputs: Operand, outputs: int = 1, domain: str = "", **attributes: Any
    ) -> list[Value]:
        """Add one node and return its outputs; a result that is already known becomes a constant.

        Args:
            op: An ONNX operator's name, such as `Conv`.
            inputs: Values; arrays, which become constants; None for an omitted input.
            outputs: How many of the operator's outputs are used.
            domain: The operator's domain, empty for ONNX's own.
            attributes: The operator's attributes; those that are None are omitted.

        Raises:
            ModelFileError: The operator does not accept these inputs, or an output would be larger
                than `MAX_TENSOR_BYTES`.
        """
        values = [self.constant(v) if isinstance(v, np.ndarray) else v for v in inputs]
        while values and values[-1] is None:
            values.pop()  # with trailing empty inputs, ONNX Runtime uses a slower convolution
        attributes = {key: value for key, value in attributes.items() if value is not None}
        data = None if domain else without_kernel(op, OPSET, values)
        if data is not None:  # compute in a wider type
            for i, value in data.inputs.items():
                values[i] = self.cast(value, data.wide)
            results = self.op(op, *values, outputs=outputs, domain=domain, **attributes)
            return [
                self.cast(value, data.dtype) if i in data.outputs else value
                for i, value in enumerate(results)
            ]
        node = self._node(op, domain, values, outputs, attributes)
        infer_types(node)
        known = fold(node, OPSET)
        if known is not None:
            return [self.constant(known)]
        self.nodes.append(node)
        return node.outputs

    def nested(
        self,
        op: str,
        inputs: Sequence[Value | None],
        graphs: Mapping[str, Graph],
        types: Sequence[tuple[np.dtype[Any], Shape]],
    ) -> list[Value]:
        """Add a node that runs inner graphs: ONNX's `If` or `Loop`.

        Args:
            op: The operator's name.
            inputs: The operator's inputs.
            graphs: Its attributes: finished inner graphs of this one.
            types: The element type and shape of each of its outputs.
        """
        for graph in graphs.values():
            # ONNX requires that outputs of an inner graph are computed in it, and each only once.
            graph.outputs = [graph.Identity(value) for value in graph.outputs]
        node = self._node(op, "", list(inputs), len(types), dict(graphs))
        for value, (dtype, shape) in zip(node.outputs, types, strict=True):
            value.dtype, value.shape = dtype, shape
        self.nodes.append(node)
        return list(node.outputs)

    def inner(self) -> Graph:
        """A new inner graph, for a branch or the body of a loop."""
        return Graph(outer=self)

    @contextmanager
    def local(self) -> Iterator[None]:
        """Forget the names that are bound inside the `with` block when it ends."""
        tensors, place, what = self.tensors, self.place, self.what
        self.tensors = ChainMap({}, tensors)
        try:
            yield
        finally:
            self.tensors, self.place, self.what = tensors, place, what

    def _node(
        self,
        op: str,
        domain: str,
        inputs: list[Value | None],
        outputs: int,
        attributes: dict[str, Any],
    ) -> Node:
        if next(self._numbers) >= MAX_NODES:
            raise ModelFileError(f"the model has more than {MAX_NODES} operations")
        name = self._names.unique(f"{self.place}/{op}" if self.place else op)
        names = [name if i == 0 else self._names.unique(f"{name}.{i}") for i in range(outputs)]
        self._unnamed.update(names)
        results = [Value(each, STRING, None) for each in names]
        return Node(op, domain, name, inputs, results, attributes, self.place)

    def input(self, name: str, dtype: Any, shape: Shape) -> Value:
        """Declare an input of the model.

        Raises:
            ModelFileError: Another tensor has this name, or the input would be too large.
        """
        self._check_free(name)
        value = self.unnamed_input(name, dtype, shape)
        value.name = name
        self._input_names.add(name)
        self.tensors[name] = value
        return value

    def unnamed_input(self, hint: str, dtype: Any, shape: Shape) -> Value:
        """Declare an input of the graph; if the name `hint` is taken, a number is added to it."""
        value = Value(self._names.unique(hint), np.dtype(dtype), shape)
        if shape is not None:
            check_size(hint, value.dtype, shape)
        self.inputs.append(value)
        return value

    def constant(self, array: Any, dtype: Any = None) -> Value:
        """A constant of the graph; small constants that are equal are stored once."""
        array = np.asarray(array, dtype)
        if array.dtype.kind == "U":
            array = array.astype(object)
        key: tuple[Any, ...]
        if array.size <= 1024 and array.dtype != object:
            key = (array.dtype.str, array.shape, array.tobytes())
        else:
            key = (id(array),)
        if key not in self._constants:
            value = Value(self._names.unique("constant"), array.dtype, array.shape, array)
            self._constants[key] = value
            self._unnamed.add(value.name)
        return self._constants[key]

    def like(self, number: float, value: Value) -> Value:
        """A scalar constant with the element type of `value`."""
        return self.constant(number, value.dtype)

    def cast(self, value: Value, dtype: Any) -> Value:
        """`value` converted to another element type; the same Value if it has this type already.

        Raises:
            ModelFileError: A conversion from or to strings.
        """
        dtype = np.dtype(dtype)
        if value.dtype == dtype:
            return value
        if STRING in (value.dtype, dtype):
            raise ModelFileError(f"{value!r} cannot be converted to {dtype}")
        if value.const is not None:
            with np.errstate(invalid="ignore", over="ignore"):  # ONNX Runtime does not warn either
                return self.constant(value.const.astype(dtype))
        return self.Cast(value, to=helper.np_dtype_to_tensor_dtype(dtype))

    def in_float32(self, function: Callable[..., Value], value: Value, *rest: Any) -> Value:
        """Compute `function(value, *rest)` in float32 and convert the result to `value`'s type.

        Core ML rounds once per op, even if the op takes several ONNX nodes here.
        """
        wide = np.dtype(np.float32) if value.dtype == np.float16 else value.dtype
        others = [self.cast(each, wide) if isinstance(each, Value) else each for each in rest]
        return self.cast(function(self.cast(value, wide), *others), value.dtype)

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        """`value` with another shape; at most one size may be -1, it follows from the others.

        Raises:
            ModelFileError: The number of elements does not match.
        """
        if value.shape == tuple(shape):
            return value
        if value.shape is not None and None not in value.shape:
            given, wanted = math.prod(value.sizes), math.prod(size for size in shape if size != -1)
            if given % wanted if -1 in shape and wanted else given != wanted:
                raise ModelFileError(f"{value!r} cannot have the shape {list(shape)}")
        return self.Reshape(value, np.array(shape, np.int64), allowzero=1 if 0 in shape else None)

    def transpose(self, value: Value, perm: Sequence[int]) -> Value:
        """`value` with its axes in the order `perm`; the same Value if that changes nothing."""
        if tuple(perm) == tuple(range(len(perm))):
            return value
        return self.Transpose(value, perm=list(perm))

    def scope(self, name: str, what: str, kind: str = "") -> None:
        """Name the tensors that are added from now on after the operation `name`.

        Args:
            name: Its name.
            what: The operation in words, such as `the op fill 'y'`.
            kind: Its kind, such as `fill`; empty for what is no operation of the model.

        Raises:
            ModelFileError: Nested loops have translated operations too often.
        """
        if next(self._scopes) >= self._most_scopes:
            raise ModelFileError(
                f"its loops are nested so that more than {self._most_scopes} operations would be "
                "translated; expected fewer loops inside of loops"
            )
        self.place, self.what = name, what
        if kind:
            self.kinds[name] = kind

    def bind(self, name: str, value: Value) -> None:
        """Register `value` under the name that it has in the Core ML model.

        Raises:
            ModelFileError: Another tensor has this name.
        """
        self._check_free(name)
        # Not in an inner graph: the other branch may use the same name, and ONNX names are unique.
        if value.name in self._unnamed and isinstance(self.tensors, dict):
            self._rename(value, name)
        self.tensors[name] = value

    def assign(self, name: str, value: Value) -> None:
        """Register `value` under `name`; it may replace another tensor."""
        self.tensors[name] = value

    def _check_free(self, name: str) -> None:
        if name in self.tensors:
            raise ModelFileError(f"two tensors of the model have the name {name!r}")

    def _rename(self, value: Value, name: str) -> None:
        self._unnamed.discard(value.name)
        self._named[name] = value
        value.name = name

    def output(self, name: str, value: Value) -> None:
        """Declare `value` as an output called `name`.

        Raises:
            ModelFileError: Another output has this name.
        """
        if name in self._output_names:
            raise ModelFileError(f"two tensors of the model have the name {name!r}")
        self._output_names.add(name)
        if name in self._input_names:
            self.outputs.append(self.Identity(value))  # in ONNX the name belongs to the input
            return
        if value.const is not None or not (value.name == name or value.name in self._unnamed):
            value = self.Identity(value)
        taken = self._named.get(name)
        if taken is not None and taken is not value:
            # The output gets the name, the inner tensor a new one.
            taken.name = self._names.unique(name)
        self._rename(value, name)
        self.outputs.append(value)

    def extra_output(self, name: str, value: Value) -> Value:
        """Declare a further output; if `name` is taken, a number is added to it."""
        copy = self.Identity(value)
        self._rename(copy, self._names.unique(name))
        self.extra.append(copy)
        return copy

    def elements(self) -> int:
        """How many elements all computed tensors have together; an unknown size counts as 1."""
        own: int = sum(
            math.prod(size or 1 for size in value.shape or ())
            for node in self.nodes
            for value in node.outputs
        )
        attributes = (each for node in self.nodes for each in node.attributes.values())
        return own + sum(each.elements() for each in attributes if isinstance(each, Graph))
