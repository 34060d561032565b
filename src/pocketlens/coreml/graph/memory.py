"""How much memory the tensors of a run take, found before the run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from onnx import shape_inference

from pocketlens.coreml.graph.builder import Graph
from pocketlens.coreml.graph.export import onnx_model
from pocketlens.coreml.graph.nodes import STRING, Value
from pocketlens.coreml.graph.pruning import inner_graphs, live_nodes

__all__ = ["run_bytes", "shapes_of_run"]

HALF_BYTES = 4  # a float16 tensor is computed in float32
STRING_BYTES = 64


def shapes_of_run(graph: Graph, inputs: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """The shapes of tensors, by name, that follow from the shapes of the inputs of one run."""
    model = onnx_model(graph, apart={})
    for info in model.graph.input:
        info.type.tensor_type.ClearField("shape")
        info.type.tensor_type.shape.SetInParent()
        for size in inputs[info.name]:
            info.type.tensor_type.shape.dim.add(dim_value=size)
    for info in model.graph.output:
        info.type.tensor_type.ClearField("shape")
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    found = {}
    for info in (*inferred.input, *inferred.value_info, *inferred.output):
        if info.type.tensor_type.HasField("shape"):
            sizes = tuple(dim.dim_value or 1 for dim in info.type.tensor_type.shape.dim)
            found[info.name.removesuffix("/wide")] = sizes
    return found


def run_bytes(
    graph: Graph, outputs: Iterable[Value], shapes: Mapping[str, tuple[int, ...]] | None = None
) -> tuple[int, Value | None]:
    """The most bytes that tensors take at one time in a run, and the largest tensor.

    A tensor is freed after its last use. What follows from constants alone is computed when the
    model is loaded, and kept. A size that is known only in the run counts as 1.

    Args:
        graph: The finished graph.
        outputs: Its outputs.
        shapes: The shapes of this run, by name, from `shapes_of_run`.
    """

    def size_of(value: Value) -> int:
        shape = (shapes or {}).get(value.name, value.shape) or ()
        itemsize = STRING_BYTES if value.dtype == STRING else max(value.dtype.itemsize, HALF_BYTES)
        return itemsize * math.prod(1 if each is None else each for each in shape)

    results = list(outputs)
    live = live_nodes(graph, results)
    largest: list[Value] = []

    def peak(inner: Graph, kept: Iterable[Value]) -> int:
        nodes = live[inner]
        last: dict[Value, int] = {}
        for number, node in enumerate(nodes):
            for value in node.inputs:
                if value is not None:
                    last[value] = number
        last.update((value, len(nodes)) for value in kept)
        ends: dict[int, list[Value]] = {}
        fixed: set[Value] = set()  # computed from constants
        now = most = sum(map(size_of, inner.inputs))
        for number, node in enumerate(nodes):
            inside = [peak(each, each.outputs) for each in inner_graphs(node)]
            given = [value for value in node.inputs if value is not None]
            constant = not inside and bool(given)
            constant = constant and all(v.const is not None or v in fixed for v in given)
            for value in node.outputs:
                now += size_of(value)
                largest[:] = [max([*largest, value], key=size_of)]
                if constant:
                    fixed.add(value)
                else:
                    ends.setdefault(last.get(value, number), []).append(value)
            most = max(most, now + max(inside, default=0))
            now -= sum(map(size_of, ends.pop(number, ())))
        return most

    most = peak(graph, results)
    return most, largest[0] if largest else None
