"""The parts of a NeuralNetwork: its layers, classes and weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.file.proto import repeated
from pocketlens.coreml.file.weights import Weights
from pocketlens.errors import ModelFileError

__all__ = ["every_layer", "inner_networks", "network_classes", "network_content", "network_of"]

MAX_DEPTH = 16

NETWORKS_INSIDE = {
    "branch": ("ifBranch", "elseBranch"),
    "loop": ("conditionNetwork", "bodyNetwork"),
}


def network_content(file: ModelFile) -> dict[str, Any]:
    """The part of `inspect` for a neural network: classes, layers, numbers per precision."""
    network = network_of(file)
    layers = Counter(each.WhichOneof("layer") or "none" for each in every_layer(network.layers))
    weights = Weights()
    for each in network.layers:
        _count(each, weights)
    return {
        "opset": None,
        "classes": list(network_classes(network)),
        "ops": dict(layers.most_common()),
        "updatable_layers": [each.name for each in every_layer(network.layers) if each.isUpdatable],
        **weights.content(),
    }


def network_of(file: ModelFile) -> Any:
    return getattr(file.spec, file.spec.WhichOneof("Type"))


def network_classes(network: Any) -> tuple[str | int, ...]:
    if not hasattr(network, "WhichOneof") or "stringClassLabels" not in {
        field.name for field in network.DESCRIPTOR.fields
    }:
        return ()
    kind = network.WhichOneof("ClassLabels")
    return tuple(getattr(network, kind).vector) if kind else ()


def every_layer(layers: Iterable[Any], depth: int = 0) -> Iterator[Any]:
    """Every layer of a network and of its inner networks."""
    if depth > MAX_DEPTH:
        raise ModelFileError(f"networks are nested more than {MAX_DEPTH} deep")
    for each in layers:
        yield each
        for inner in inner_networks(each):
            yield from every_layer(inner.layers, depth + 1)


def inner_networks(each: Any) -> list[Any]:
    """The networks inside a layer: the branches of a branch, the parts of a loop."""
    kind = each.WhichOneof("layer")
    return [getattr(getattr(each, kind), name) for name in NETWORKS_INSIDE.get(kind, ())]


def _count(message: Any, weights: Weights) -> None:
    """Add the weights of a message and of its inner messages."""
    if message.DESCRIPTOR.name == "WeightParams":
        size = len(message.rawValue) + len(message.int8RawValue)
        count = len(message.floatValue) + len(message.float16Value) // 2
        count = count or 8 * size // max(message.quantization.numberOfBits or 8, 1)
        size += 4 * len(message.floatValue) + len(message.float16Value)
        weights.add(precision(message), count, size)
        if message.HasField("quantization"):
            palette = message.quantization.HasField("lookupTableQuantization")
            weights.compressed["palettized" if palette else "quantized"] += 1
        return
    for field, value in message.ListFields():
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for inner in value if repeated(field) else [value]:
                _count(inner, weights)


def precision(weights: Any) -> str:
    """The precision in which the file stores the weights, such as `float16` or `uint8`."""
    if weights.floatValue:
        return "float32"
    if weights.float16Value:
        return "float16"
    return f"uint{weights.quantization.numberOfBits}" if weights.rawValue else "int8"
