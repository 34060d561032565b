"""A Core ML file -> the file that the page's own engine runs.

The ONNX graph by which the model runs here becomes a few kinds of steps (`lowerings`), with fixed
shapes; whatever is constant is computed now. Values are rounded to float16 where the Core ML file
says float16, so the page gives the same answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from pocketlens.errors import UnsupportedModelError, UnsupportedOp
from pocketlens.files import size_text
from pocketlens.web.lowerings import LOWERINGS
from pocketlens.web.program import Program, Ref, without_step
from pocketlens.web.step import Step

__all__ = ["network_file"]


def network_file(model: onnx.ModelProto, what: str) -> bytes:
    """Write a network for the page's engine.

    Args:
        model: The ONNX model, with one input and one output.
        what: How errors call it.

    Raises:
        UnsupportedOp: It has operators that the engine lacks; the error names all of them.
        UnsupportedModelError: A size is known only at run time, or an operator is used in a way
            that the engine lacks.
    """
    if missing := sorted({node.op_type for node in _computed_nodes(model)} - LOWERINGS.keys()):
        raise UnsupportedOp(
            f"{what} cannot run in the browser: the page's engine has no "
            f"{', '.join(missing)}; it has {', '.join(sorted(LOWERINGS))}"
        )
    return _Writer(model, what).to_bytes()


MAX_MEMORY = 2**31 - 2**20
"""What `engine/network.js` allocates at most, in bytes."""


def _computed_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """The nodes whose results depend on the network's input."""
    constants = {"", *(each.name for each in model.graph.initializer)}
    for node in model.graph.node:
        if constants.issuperset(node.input) and not _has_graph(node):
            constants.update(node.output)
        else:
            yield node


def _has_graph(node: onnx.NodeProto) -> bool:
    """Whether it has a branch or a loop's step, which uses values that are not its inputs."""
    return any(each.HasField("g") for each in node.attribute)


class _Writer:
    def __init__(self, model: onnx.ModelProto, what: str) -> None:
        try:
            inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        except shape_inference.InferenceError as error:
            reason = " ".join(str(error).split())
            raise UnsupportedModelError(f"{what} cannot run in the browser: {reason}") from error
        self.graph = inferred.graph
        self.opsets = model.opset_import
        self.what = what
        self.shapes = {
            info.name: tuple(dim.dim_value or None for dim in info.type.tensor_type.shape.dim)
            for info in [*self.graph.value_info, *self.graph.output, *self.graph.input]
        }
        self.uses = Counter(name for node in self.graph.node for name in node.input)
        self.uses.update(info.name for info in self.graph.output)
        self.program = Program()
        self.values: dict[str, Ref] = {}
        for constant in self.graph.initializer:
            array = numpy_helper.to_array(constant)
            self.values[constant.name] = Ref(array.shape, const=array)

    def to_bytes(self) -> bytes:
        (given,), (result,) = self.graph.input, self.graph.output
        start = self.program.given(self._shape(given.name))
        self.values[given.name] = start
        for node in self.graph.node:
            self._node(node)
        memory = self.program.memory(start, self.values[result.name])
        if memory > MAX_MEMORY:
            raise UnsupportedModelError(
                f"{self.what} cannot run in the browser: it needs {size_text(memory)} of memory; "
                f"expected at most {size_text(MAX_MEMORY)}"
            )
        return self.program.to_bytes(start, self.values[result.name])

    def _node(self, node: onnx.NodeProto) -> None:
        given = [self.values[name] if name else None for name in node.input]
        if all(ref is None or ref.const is not None for ref in given):
            results = self._computed(node)
        else:
            attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
            names = [name for name in node.output if name]
            step = Step(
                f"{self.what}: {node.op_type} {node.name!r}",
                tuple(given),
                attributes,
                [self._shape(name) for name in names],
                self.program,
            )
            results = dict(zip(names, LOWERINGS[node.op_type](step), strict=True))
        for name, ref in results.items():
            self.values[name] = ref if self.uses[name] == 1 else without_step(ref)

    def _computed(self, node: onnx.NodeProto) -> dict[str, Ref]:
        arrays: Mapping[str, NDArray[Any]] = {
            name: np.asarray(self.values[name].const) for name in node.input if name
        }
        inputs = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for name, a in arrays.items()
        ]
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
        graph = helper.make_graph([node], "constant", inputs, outputs)
        model = helper.make_model(graph, opset_imports=self.opsets)
        try:
            found = ReferenceEvaluator(model).run(None, dict(arrays))
        except Exception as error:  # each operator has its own
            raise UnsupportedModelError(
                f"{self.what} cannot run in the browser: the constant {node.output[0]!r} cannot be "
                f"computed by {node.op_type}: {error}"
            ) from error
        return {
            name: Ref(np.shape(array), const=np.asarray(array))
            for name, array in zip(node.output, found, strict=True)
        }

    def _shape(self, name: str) -> tuple[int, ...]:
        shape = self.shapes.get(name)
        if shape is None or None in shape:
            raise UnsupportedModelError(
                f"{self.what} cannot run in the browser: the size of {name!r} is known only at "
                "run time; expected fixed sizes"
            )
        return tuple(size for size in shape if size is not None)
