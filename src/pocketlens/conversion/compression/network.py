"""Replace the weights of a neural network (`.mlmodel`) by compressed ones."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.compression.encodings import Encoding, Linear, Palette
from pocketlens.conversion.compression.fitting import Fitted
from pocketlens.conversion.compression.weight_files import pack
from pocketlens.conversion.compression.weights import Weight
from pocketlens.coreml.file.network_content import every_layer, network_of
from pocketlens.coreml.file.package import ModelFile
from pocketlens.errors import ConversionError

__all__ = ["is_compressed", "weights_of", "with_encodings"]

IOS12 = 3
"""The first specification version that has palettes and scales."""


def is_compressed(file: ModelFile) -> bool:
    """Whether it has a compressed weight already."""
    return any(
        each.DESCRIPTOR.name == "WeightParams" and each.HasField("quantization")
        for each in _messages(network_of(file))
    )


def weights_of(file: ModelFile) -> list[Weight]:
    """The weights of its convolutions, inner products and embeddings."""
    found = []
    network = network_of(file)
    names = Counter(each.name for each in every_layer(network.layers))
    for key, layer, weights, shape in _layers(network):
        array = _array(weights)
        if array.size and array.size == math.prod(shape):
            multiplies = layer.WhichOneof("layer") != "embedding" and names[layer.name] == 1
            places = (layer.name,) if multiplies else ()
            bias = _bias(layer) if multiplies else None
            found.append(Weight(key, layer.name, array.reshape(shape), 0, places, bias))
    return found


def with_encodings(file: ModelFile, fitted: Fitted) -> tuple[Any, None]:
    """The specification with these weights compressed; the file does not change.

    Raises:
        ConversionError: A neural network has no such form.
    """
    spec = type(file.spec)()
    spec.CopyFrom(file.spec)
    for key, layer, weights, _ in _layers(getattr(spec, spec.WhichOneof("Type"))):
        if key not in fitted.encodings:
            continue
        weights.Clear()
        _encode(weights, fitted.encodings[key])
        if layer.name in fitted.biases:
            _set_bias(layer, fitted.biases[layer.name])
    spec.specificationVersion = max(spec.specificationVersion, IOS12)
    return spec, None


def _array(weights: Any) -> NDArray[np.float32]:
    if len(weights.float16Value):
        return np.frombuffer(weights.float16Value, "<f2").astype(np.float32)
    return np.array(weights.floatValue, np.float32)


def _bias(layer: Any) -> NDArray[np.float32] | None:
    """What a layer adds to each channel; None if its bias is damaged."""
    each = getattr(layer, layer.WhichOneof("layer"))
    count = each.outputChannels
    found = _array(each.bias) if each.hasBias else np.zeros(count, np.float32)
    return found if len(found) == count else None


def _set_bias(layer: Any, bias: NDArray[Any]) -> None:
    each = getattr(layer, layer.WhichOneof("layer"))
    half = each.hasBias and len(each.bias.float16Value)
    each.hasBias = True
    each.bias.Clear()
    if half:
        each.bias.float16Value = bias.astype("<f2").tobytes()
    else:
        each.bias.floatValue.extend(bias.tolist())


def _encode(weights: Any, encoding: Encoding) -> None:
    quantization = weights.quantization
    if isinstance(encoding, Linear):
        # Codes are unsigned here; the bias moves them back.
        codes = (encoding.codes.astype(np.int16) + 127).astype(np.uint8)
        scale = encoding.scale.astype(np.float32)
        quantization.numberOfBits = 8
        quantization.linearQuantization.scale.extend(scale.tolist())
        quantization.linearQuantization.bias.extend((-127 * scale).tolist())
        weights.rawValue = codes.tobytes()
    elif isinstance(encoding, Palette) and len(encoding.table) == 1:
        quantization.numberOfBits = encoding.width
        table = encoding.table[0].astype(np.float32)
        quantization.lookupTableQuantization.floatValue.extend(table.tolist())
        weights.rawValue = pack(encoding.indices, encoding.width, highest_first=True)
    else:
        raise ConversionError(
            "a neural network (.mlmodel) has neither sparse weights nor palettes by groups"
        )


def _layers(network: Any) -> Iterator[tuple[str, Any, Any, tuple[int, ...]]]:
    """Layers with weights: a key, the layer, its `WeightParams` and the shape of the weight."""
    for number, layer in enumerate(every_layer(network.layers)):
        kind = layer.WhichOneof("layer")
        if kind not in ("convolution", "innerProduct", "embedding"):
            continue
        each = getattr(layer, kind)
        if kind == "convolution":
            if each.isDeconvolution:
                continue
            kernel = tuple(each.kernelSize) or (3, 3)
            shape = (each.outputChannels, each.kernelChannels, *kernel)
        elif kind == "innerProduct":
            if each.int8DynamicQuantize:
                continue
            shape = (each.outputChannels, each.inputChannels)
        else:
            shape = (each.outputChannels, each.inputDim)
        yield str(number), layer, each.weights, tuple(map(int, shape))


def _messages(message: Any) -> Iterator[Any]:
    """The message and every message in it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        is_one = hasattr(value, "DESCRIPTOR")
        for inner in [value] if is_one else value:
            yield from _messages(inner)
