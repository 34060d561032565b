"""Make an ONNX network what Core ML can express: fixed sizes, 32-bit types, names, no leftovers.

Each node is looked at once, in the order in which they run: the sizes of its outputs follow from
ONNX's own inference, are charged to the budget, and what only depends on constants is computed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.from_onnx.control_flow import Values, parts_of
from pocketlens.conversion.from_onnx.coverage import check_coverage
from pocketlens.conversion.from_onnx.expanding import expanded, upgraded, version_of
from pocketlens.conversion.from_onnx.folding import FOLDED, fold
from pocketlens.conversion.from_onnx.reading import MAX_NODES, ONNX_DOMAINS, charge, node_text
from pocketlens.conversion.from_onnx.tensor_types import check_size, fixed_shape, known_type
from pocketlens.coreml.file.budget import Budget
from pocketlens.errors import ConversionError, printable

__all__ = ["Prepared", "identifier", "prepare"]

MAX_RANK = 5
"""Of an input or output of a Core ML model."""

UNFOLDED = frozenset(("If", "Loop", "Scan"))
"""Nodes with graphs inside, which become plain nodes."""

FLOATS = {"float32", "float64"}
INTEGERS = {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"}


@dataclass
class Prepared:
    """A network that is ready to become a Core ML program.

    Attributes:
        model: The `ModelProto`; each name in it is an identifier.
        inputs: The name of each input in the ONNX file -> that in the Core ML model.
        outputs: The same for outputs.
        tensors: The same for all tensors.
        types: The name of each tensor in `model` -> the type that it has in the ONNX file.
        nodes: The name of each tensor in `model` -> the node that makes it, in words.
    """

    model: Any
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    tensors: dict[str, str] = field(default_factory=dict)
    types: dict[str, np.dtype[Any]] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)


def prepare(
    model: Any, budget: Budget, *, keep: frozenset[str], names: Mapping[str, str] | None = None
) -> Prepared:
    """Prepare a network whose inputs have fixed shapes.

    Args:
        model: The `ModelProto`; it is not changed.
        budget: How much memory the model may need.
        keep: The ops that have a lowering; others are expanded where ONNX defines them by others.
        names: The names in the Core ML model of some inputs and outputs.

    Raises:
        ConversionError: The network has something that Core ML cannot express.
    """
    model = expanded(upgraded(model), keep)
    check_coverage(model.graph.node, keep | FOLDED | UNFOLDED | {"Dropout"})
    prepared = _Preparation(model, budget, names or {}).run()
    check_coverage(prepared.model.graph.node, keep)
    return prepared


def identifier(name: str) -> str:
    """A name with other characters than letters, digits and `_` replaced, as Core ML wants it."""
    base = re.sub(r"\W", "_", name, flags=re.ASCII) or "tensor"
    return f"_{base}" if base[0].isdigit() else base


class _Preparation:
    """One walk over the nodes of a network."""

    def __init__(self, model: Any, budget: Budget, names: Mapping[str, str]) -> None:
        import onnx.shape_inference

        self.onnx = onnx
        self.source = model
        self.budget = budget
        self.version = version_of(model)
        self.imports = [onnx.helper.make_operatorsetid("", self.version)]
        self.ir_version = max(model.ir_version, 8)
        self.types: dict[str, Any] = {}  # by the name in the file: TypeProto
        self.constants: dict[str, NDArray[Any]] = {}
        self.taken = set(names.values())
        self.aliases: dict[str, str] = {}
        self.nodes: list[Any] = []
        self.unfolded = self.inner_nodes = 0
        self.result = Prepared(onnx.ModelProto(), tensors=dict(names))

    def run(self) -> Prepared:
        helper, graph = self.onnx.helper, self.source.graph
        weights = {each.name for each in graph.initializer}
        for tensor in graph.initializer:
            self._weight(tensor.name, tensor)
        # Inputs and outputs first: they keep their names, others give way.
        inputs = [each for each in graph.input if each.name not in weights]
        for each in inputs:
            self.result.inputs[each.name] = self._named(each.name)
        for each in graph.output:
            self.result.outputs[each.name] = self._named(each.name)
        declared = [self._input(each) for each in inputs]
        for node in graph.node:
            self._node(node)
        outputs = [self._output(each.name) for each in graph.output]
        self._drop_unused({each.name for each in outputs})
        used = {name for node in self.nodes for name in node.input}
        initializers = []
        for name, value in self.constants.items():
            there = self.result.tensors.get(name, "")
            if there in used:
                self.result.types[there] = value.dtype
                narrow = self._narrow(name, value)
                initializers.append(self.onnx.numpy_helper.from_array(narrow, there))
        made_graph = helper.make_graph(
            self.nodes, "network", declared, outputs, initializer=initializers
        )
        self.result.model = helper.make_model(
            made_graph, opset_imports=self.imports, ir_version=self.ir_version
        )
        return self.result

    def _named(self, name: str) -> str:
        """The name of a tensor in the Core ML model."""
        if name not in self.result.tensors:
            base = identifier(name)
            unique, number = base, 0
            while unique in self.taken:
                number += 1
                unique = f"{base}_{number}"
            self.taken.add(unique)
            self.result.tensors[name] = unique
        return self.result.tensors[name]

    def _fresh(self, base: str) -> str:
        return self._named(f"{base} {len(self.result.tensors)}")

    def _add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(self.onnx.helper.make_node(op, inputs, [output], **attributes))

    def _zeros(self, count: int) -> str:
        """The name of a constant for the axis 0."""
        if "axis 0" not in self.constants:
            self.constants["axis 0"] = np.zeros(count, np.int64)
        return self._named("axis 0")

    def _rename(self, old: str, new: str) -> None:
        """Give a tensor of the nodes so far another name."""
        for node in self.nodes:
            for names in (node.input, node.output):
                for at, name in enumerate(names):
                    if name == old:
                        names[at] = new
        self.result.nodes[new] = self.result.nodes.get(old, "")

    def _input(self, each: Any) -> Any:
        """Declare an input in a type that Core ML has, and convert it to its own type."""
        onnx = self.onnx
        dtype, shape = known_type(each.name, each.type)
        if dtype.name not in FLOATS | INTEGERS | {"float16"}:
            raise ConversionError(
                f"the input '{printable(each.name)}' is of the type "
                f"{'string' if dtype.kind == 'O' else dtype.name}; Core ML computes with numbers "
                "only; export the network without it"
            )
        if len(shape) > MAX_RANK:
            raise ConversionError(
                f"the input '{printable(each.name)}' has {len(shape)} dimensions; Core ML allows "
                f"at most {MAX_RANK}"
            )
        self.types[each.name] = each.type
        self._charge(f"the input '{printable(each.name)}'", dtype, shape)
        name = self.result.inputs[each.name]
        kind = (
            "float32"
            if dtype.name in FLOATS
            else dtype.name
            if dtype.name == "float16"
            else ("int32")
        )
        code = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        inner = name
        if dtype.kind == "b":
            inner = self._fresh(f"{name}_as_bool")
            self._add("Cast", [name], inner, to=onnx.TensorProto.BOOL)
        if not shape:  # Core ML has no inputs without dimensions
            scalar = self._fresh(f"{name}_as_scalar")
            self._add("Squeeze", [inner, self._zeros(1)], scalar)
            inner = scalar
        self.aliases[each.name] = inner
        self.result.types[inner] = dtype
        return onnx.helper.make_tensor_value_info(name, code, shape or (1,))

    def _output(self, name: str) -> Any:
        """Declare an output in a type that Core ML has."""
        onnx, helper = self.onnx, self.onnx.helper
        inner = self._operand(name)
        outer = self.result.outputs.get(name) or inner
        if name in self.result.inputs:
            outer = self._fresh(f"{name}_output")
        elif name in self.constants:
            inner = self.result.tensors[name] = self._fresh(f"{name}_constant")
        if outer != inner:  # an input, a constant or a tensor that has another name already
            self._add("Identity", [inner], outer)
        self.result.outputs[name] = outer
        dtype, shape = known_type(name, self.types.get(name))
        if len(shape) > MAX_RANK:
            raise ConversionError(
                f"the output '{printable(name)}' has {len(shape)} dimensions; Core ML allows at "
                f"most {MAX_RANK}"
            )
        kind = dtype.name
        if dtype.kind == "b" or not shape:
            own = self._fresh(f"{name}_computed")
            self._rename(outer, own)
            if dtype.kind == "b":
                number = self._fresh(f"{name}_number") if not shape else outer
                self._add("Cast", [own], number, to=onnx.TensorProto.INT32)
                own, kind = number, "int32"
            if not shape:
                self._add("Unsqueeze", [own, self._zeros(1)], outer)
        code = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        return helper.make_tensor_value_info(outer, code, shape or (1,))

    def _operand(self, name: str) -> str:
        return self.aliases.get(name) or self._named(name)

    def _node(self, node: Any) -> None:
        """Add a node, or compute what it makes."""
        onnx = self.onnx
        plain = node.domain in ONNX_DOMAINS
        if plain and node.op_type in UNFOLDED:
            self._unfold(node)
            return
        known = self._infer(node)
        if plain and node.op_type in ("Identity", "Dropout") and self._passes(node):
            self.types[node.output[0]] = known.get(node.output[0], self.types.get(node.input[0]))
            if node.input[0] in self.constants:
                self.constants[node.output[0]] = self.constants[node.input[0]]
            else:
                self.aliases[node.output[0]] = self._operand(node.input[0])
            return
        self.types.update(known)
        made = fold(node, self.types, self.constants, self.version, self.budget) if plain else None
        if made is not None:
            for name, value in made.items():
                self._constant(name, value)
            return
        for name in filter(None, node.output):
            if name in known:
                dtype, shape = known_type(name, known[name], unknown=True)
                self._charge(node_text(node), dtype, shape)
                self.result.types[self._named(name)] = dtype
            self.result.nodes[self._named(name)] = node_text(node)
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.domain = "" if plain else node.domain
        for at, name in enumerate(node.input):
            copy.input[at] = self._operand(name) if name else ""
        for at, name in enumerate(node.output):
            copy.output[at] = self._named(name) if name else ""
        self.nodes.append(copy)

    def _unfold(self, node: Any) -> None:
        """Add the nodes inside of an If, Loop or Scan."""
        self.unfolded += 1
        mark = f"in {node.op_type} {self.unfolded}"
        for part in parts_of(node, mark, Values(self.constants, self._fixed)):
            self.inner_nodes += len(part.nodes) + 1
            if self.inner_nodes > MAX_NODES:
                raise ConversionError(
                    f"{node_text(node)} makes more than {MAX_NODES} nodes when its steps are "
                    "written one after another; export the network again with a shorter loop"
                )
            for name, tensor in part.weights.items():
                self._weight(name, tensor)
            for each in part.nodes:
                self._node(each)

    def _fixed(self, name: str) -> tuple[np.dtype[Any], tuple[int, ...]] | None:
        """The type and the shape of a tensor so far; None if they are not fixed."""
        shape = fixed_shape(self.types.get(name))
        return None if shape is None else (known_type(name, self.types[name])[0], shape)

    def _passes(self, node: Any) -> bool:
        """Whether a node passes its first input on."""
        if node.op_type == "Identity":
            return True
        training = self.constants.get(node.input[2]) if len(node.input) > 2 else None
        trains = len(node.input) > 2 and node.input[2] and (training is None or training.any())
        return not trains and not any(list(node.output)[1:])

    def _infer(self, node: Any) -> dict[str, Any]:
        """The types of a node's outputs, by their names in the file."""
        onnx = self.onnx
        if node.domain not in ONNX_DOMAINS or any(
            name and name not in self.types for name in node.input
        ):
            return {}
        try:
            schema = onnx.defs.get_schema(node.op_type, self.version)
            inferred: dict[str, Any] = onnx.shape_inference.infer_node_outputs(
                schema,
                node,
                {name: self.types[name] for name in node.input if name},
                {
                    name: onnx.numpy_helper.from_array(self.constants[name])
                    for name in node.input
                    if name in self.constants and self.constants[name].size <= 64
                },
                opset_imports=self.imports,
                ir_version=self.ir_version,
            )
        except (
            onnx.shape_inference.InferenceError,
            onnx.checker.ValidationError,
            RuntimeError,
        ) as error:
            raise ConversionError(
                f"{node_text(node)} cannot take its inputs: "
                f"{printable(' '.join(str(error).split()))[:200]}; the network is not valid"
            ) from error
        return inferred

    def _weight(self, name: str, tensor: Any) -> None:
        try:
            value = self.onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ConversionError(
                f"the weight '{printable(name)}' is damaged; export or copy the network again"
            ) from error
        charge(self.budget, value.nbytes, f"the weight '{printable(name)}'")
        self._constant(name, value)

    def _constant(self, name: str, value: NDArray[Any]) -> None:
        code = self.onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
        self.constants[name] = value
        self.types[name] = self.onnx.helper.make_tensor_type_proto(code, value.shape)

    def _narrow(self, name: str, value: NDArray[Any]) -> NDArray[Any]:
        """A constant in a type that Core ML computes with."""
        kind = value.dtype.name
        if kind in ("float64", "bfloat16"):
            return value.astype(np.float32)
        if kind in ("int4", "uint4", "int2", "uint2"):
            return value.astype(np.int32)
        if kind not in FLOATS | INTEGERS | {"float16"}:
            raise ConversionError(
                f"the constant '{printable(name)}' is of the type "
                f"{'string' if value.dtype.kind == 'O' else kind}, which Core ML does not compute "
                "with; export the network with float32 or float16"
            )
        if value.dtype.kind in "iu" and value.dtype != np.int32:
            own, wide = np.iinfo(value.dtype), np.iinfo(np.int32)
            limits = max(own.min, wide.min), min(own.max, wide.max)
            return value.clip(*limits).astype(np.int32)
        return value

    def _charge(self, what: str, dtype: np.dtype[Any], shape: Sequence[int | None]) -> None:
        charge(self.budget, check_size(what, dtype, shape), what)

    def _drop_unused(self, needed: set[str]) -> None:
        """Remove the nodes whose results nobody uses."""
        kept = []
        for node in reversed(self.nodes):
            if any(name in needed for name in node.output):
                kept.append(node)
                needed.update(node.input)
        self.nodes = kept[::-1]
