"""`LayerInputs`: samples of what the convolutions and matrix products of a model receive."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.graph import Value
from pocketlens.coreml.graph.memory import run_bytes
from pocketlens.coreml.graph.nodes import Node
from pocketlens.coreml.runtime.graph_model import GraphModel
from pocketlens.coreml.runtime.session import Session

__all__ = ["LayerInputs"]


class LayerInputs:
    """Samples of the numbers that are multiplied with constant weights.

    Args:
        model: From `emulation.graph_model`.
        places: Operations: of an ML Program, by their first output; of a neural network, by the
            name of the layer. Those that are neither a convolution nor a product with a constant
            matrix are left out, and so are all if their inputs do not fit into memory together.

    Attributes:
        groups: By operation, the number of channel groups; 1 for a matrix.
    """

    def __init__(self, model: GraphModel, places: Collection[str]) -> None:
        self._model = model
        graph = model._lowered.graph
        wanted = set(places)
        self._nodes = {
            node.place: node for node in graph.nodes if node.place in wanted and _multiplies(node)
        }
        values = dict.fromkeys(_taken(node) for node in self._nodes.values())
        self._values = [value for value in values if value not in set(graph.inputs)]
        needed, _ = run_bytes(graph, [*graph.outputs, *graph.extra, *self._values])
        if needed > model._file.budget.limit:
            self._nodes, self._values = {}, []
        self.groups = {
            place: node.attributes["group"] if node.op == "Conv" else 1
            for place, node in self._nodes.items()
        }
        self._session = Session(model._file, graph, self._values) if self._values else None

    def samples(
        self, features: Mapping[str, Any], count: int, random: np.random.Generator
    ) -> dict[str, NDArray[np.float32]]:
        """What each operation multiplies with its weights, in one run.

        Args:
            features: The model's inputs, as `CoreMLModel.run` takes them.
            count: The most samples of an operation: positions of a convolution, rows of a matrix.
            random: Chooses them.

        Returns:
            By operation, `(groups, samples, inputs)`: in the order of a weight
            `(channels, inputs per group, *kernel)` without its first dimension.
        """
        feed = self._model._feed(features)
        found = dict(feed)
        if self._session is not None:
            names = [value.name for value in self._values]
            found |= dict(zip(names, self._model._run(self._session, names, feed), strict=True))
        return {
            place: _samples(node, found[_taken(node).name].astype(np.float32), count, random)
            for place, node in self._nodes.items()
        }


def _multiplies(node: Node) -> bool:
    if node.op not in ("Conv", "Gemm", "MatMul"):
        return False
    x, weight = node.inputs[:2]
    if x is None or weight is None or x.const is not None or weight.const is None:
        return False
    return x.dtype.kind == "f" and (node.op != "MatMul" or weight.rank == 2)


def _taken(node: Node) -> Value:
    value = node.inputs[0]
    assert value is not None
    return value


def _samples(
    node: Node, x: NDArray[np.float32], count: int, random: np.random.Generator
) -> NDArray[np.float32]:
    if node.op != "Conv":
        rows = x.reshape(-1, x.shape[-1])
        return rows[random.permutation(len(rows))[:count]][None]
    weight = node.inputs[1]
    assert weight is not None
    group, kernel = node.attributes["group"], weight.sizes[2:]
    strides, dilations = node.attributes["strides"], node.attributes["dilations"]
    before, after = np.split(np.array(node.attributes["pads"], np.int64), 2)
    sizes = np.array(x.shape[2:])
    reach = (np.array(kernel) - 1) * dilations + 1
    output = (sizes + before + after - reach) // strides + 1
    starts = random.permutation(int(output.prod()))[:count]
    corners = np.stack(np.unravel_index(starts, tuple(output)), 1) * strides - before  # (P, D)
    inner = np.stack(np.unravel_index(np.arange(int(np.prod(kernel))), kernel), 1) * dilations
    at = corners[:, None] + inner  # (P, K, D)
    outside = ((at < 0) | (at >= sizes)).any(2)  # where the padding is
    flat = np.ravel_multi_index(tuple(np.moveaxis(at, 2, 0)), tuple(sizes), mode="clip")
    found = x.reshape(*x.shape[:2], -1)[:, :, flat]  # (N, C, P, K)
    found[:, :, outside] = 0
    batch, channels = x.shape[:2]
    split = found.reshape(batch, group, channels // group, len(starts), -1)
    return split.transpose(1, 0, 3, 2, 4).reshape(group, batch * len(starts), -1)
