"""Classifiers without class names: the only output is an array with one score per class.

Such a file does not say which class a number stands for. It is used as an image classifier only
if a person names the classes (`CoreMLModel.with_input`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.graph import Graph, Node
from pocketlens.errors import ConversionError, FeatureError, OptionError
from pocketlens.heads import Ending, Head, Meaning, find_head, probabilities_of
from pocketlens.image import InputSpec

__all__ = ["Scores", "array_scores", "ending_of_graph"]

Run = Callable[[NDArray[np.uint8]], Mapping[str, Any]]
"""The outputs for one image `(H, W, C)`, by name."""

PROBES = 4

SAME_VALUES = {"Cast", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose",
               "Unsqueeze"}  # fmt: skip
"""Operators whose output has some or all values of their first input."""

WEIGHTED = {"BatchNormalization", "Conv", "ConvTranspose", "Einsum", "GRU", "Gemm",
            "InstanceNormalization", "LSTM", "LayerNormalization", "MatMul", "RNN"}  # fmt: skip
"""Operators with weights: their outputs may be any numbers, whatever their inputs are."""

UNLIMITED = {"Add", "AveragePool", "Concat", "Div", "GlobalAveragePool", "GlobalMaxPool", "MaxPool",
             "Max", "Mul", "Neg", "ReduceMax", "ReduceMean", "ReduceSum", "Sub"}  # fmt: skip
"""Operators after a layer with weights that do not turn its outputs into probabilities."""


@dataclass(frozen=True)
class Scores:
    """The output with one score per class, and what its numbers are.

    Args:
        name: The output.
        head: How they become probabilities.
    """

    name: str
    head: Head

    def probabilities(self, images: NDArray[np.uint8], run: Run) -> NDArray[np.float32]:
        """The probabilities `(N, K)` of images `(N, H, W, C)`.

        Raises:
            FeatureError: The numbers of the output are not finite.
        """
        rows = np.array([np.ravel(run(image)[self.name]) for image in images], np.float32)
        if not np.isfinite(rows).all():
            raise FeatureError(f"the output '{self.name}' has values that are not finite")
        return probabilities_of(rows, self.head)


def array_scores(
    what: str,
    run: Run,
    spec: InputSpec,
    labels: tuple[str, ...],
    ending: Callable[[str], Ending],
    said: Meaning | None,
) -> Scores:
    """The output that has one score for each of the labels; the model runs on a few images.

    Args:
        what: The model, for messages.
        run: Runs it.
        spec: Its images.
        labels: The class names.
        ending: How it computes an output.
        said: What a person says about the output.

    Raises:
        OptionError: There is no such output, or several; or it is not clear whether the numbers are
            logits or probabilities, and nobody says it.
    """
    if len(labels) < 2:
        raise OptionError(f"a classifier needs at least two classes; received: {labels!r}")
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (PROBES, *spec.shape), np.uint8)
    results = [run(image) for image in images]
    found: dict[str, NDArray[np.float32]] = {}
    for name, first in results[0].items():
        if isinstance(first, np.ndarray) and max(first.shape, default=1) == first.size:
            found[name] = np.array([np.ravel(each[name]) for each in results], np.float32)
    single = len(labels) == 2
    fits = {k: v for k, v in found.items() if v.shape[1] == len(labels)}
    fits = fits or {k: v for k, v in found.items() if single and v.shape[1] == 1}
    if len(fits) > 1:  # such as logits and probabilities
        fits = {k: v for k, v in fits.items() if ending(k) == "softmax"} or fits
    if len(fits) != 1:
        listed = ", ".join(f"{name} ({_size(value)})" for name, value in results[0].items())
        raise OptionError(
            f"{what} has no class names, and there are {len(labels)} labels; expected one output "
            f"with {len(labels)} numbers, one for each label; its outputs: {listed}"
        )
    ((name, outputs),) = fits.items()
    try:
        head = find_head(outputs, ending(name), labels, f"the output '{name}' of {what}", said)
    except ConversionError as error:
        raise OptionError(str(error)) from error
    return Scores(name, head)


def _size(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array {' × '.join(map(str, value.shape))}"
    return type(value).__name__


def ending_of_graph(graph: Graph, name: str) -> Ending:
    """How a graph computes its output `name`."""
    makers = {value.name: node for node in graph.nodes for value in node.outputs}
    node = makers.get(name)
    while node is not None and node.op in SAME_VALUES:
        node = _before(makers, node)
    if node is None:
        return "unknown"
    inner = _before(makers, node)
    if node.op == "LogSoftmax" or (node.op == "Log" and inner and inner.op == "Softmax"):
        return "log_softmax"
    if node.op == "Softmax":
        return "softmax"
    if node.op == "Sigmoid":
        return "sigmoid"
    reached = _reached(makers, node)
    if reached & {"Exp", "Sigmoid", "Softmax"}:
        return "normalized"
    known = reached <= SAME_VALUES | UNLIMITED | WEIGHTED
    return "linear" if known and reached & WEIGHTED else "unknown"


def _before(makers: Mapping[str, Node], node: Node) -> Node | None:
    """The node that computes the first input of a node."""
    value = node.inputs[0] if node.inputs else None
    return None if value is None else makers.get(value.name)


def _reached(makers: Mapping[str, Node], node: Node) -> set[str]:
    """The operators of this node and of those before it, up to those with weights."""
    names, waiting, seen = set[str](), [node], {id(node)}
    while waiting:
        each = waiting.pop()
        names.add(each.op)
        if each.op in WEIGHTED:
            continue
        for value in each.inputs:
            before = None if value is None else makers.get(value.name)
            if before is not None and id(before) not in seen:
                seen.add(id(before))
                waiting.append(before)
    return names
