"""How much memory the tensors of a run take, found before the run."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pocketlens.coreml.graph.builder import Graph
from pocketlens.coreml.graph.nodes import STRING, Value
from pocketlens.coreml.graph.pruning import inner_graphs, live_nodes

__all__ = ["run_bytes"]

HALF_BYTES = 4  # a float16 tensor is computed in float32
STRING_BYTES = 64


def run_bytes(graph: Graph, outputs: Iterable[Value]) -> tuple[int, Value | None]:
    """The most bytes that tensors take at one time in a run, and the largest tensor.

    A tensor is freed after its last use. What follows from constants alone is computed when the
    model is loaded, and kept. A size that is known only in the run counts as 1.
    """
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
        now = most = sum(map(_bytes, inner.inputs))
        for number, node in enumerate(nodes):
            inside = [peak(each, each.outputs) for each in inner_graphs(node)]
            given = [value for value in node.inputs if value is not None]
            constant = not inside and bool(given)
            constant = constant and all(v.const is not None or v in fixed for v in given)
            for value in node.outputs:
                now += _bytes(value)
                largest[:] = [max([*largest, value], key=_bytes)]
                if constant:
                    fixed.add(value)
                else:
                    ends.setdefault(last.get(value, number), []).append(value)
            most = max(most, now + max(inside, default=0))
            now -= sum(map(_bytes, ends.pop(number, ())))
        return most

    most = peak(graph, results)
    return most, largest[0] if largest else None


def _bytes(value: Value) -> int:
    size = STRING_BYTES if value.dtype == STRING else max(value.dtype.itemsize, HALF_BYTES)
    return size * math.prod(1 if each is None else each for each in value.shape or ())
