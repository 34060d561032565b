"""Change the input or the classes of a neural network (`.mlmodel`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pocketlens.conversion.mending.affine import Affine
from pocketlens.coreml.file.network_content import every_layer
from pocketlens.errors import ConversionError

__all__ = ["add_classes", "change_pixels", "rename_classes"]


def _network(spec: Any) -> Any:
    return getattr(spec, spec.WhichOneof("Type"))


def change_pixels(spec: Any, image: str, affine: Affine, *, swapped: bool) -> None:
    """Apply `affine` to the pixels, by a layer between the preprocessing and the network.

    Args:
        spec: The model, changed in place.
        image: The name of the image input.
        affine: What the pixels need.
        swapped: Whether the image's color order was changed. The preprocessing names its biases by
            color, the network counts its channels.
    """
    network = _network(spec)
    means = [each for each in network.preprocessing if each.featureName in ("", image)]
    scalers = [each.scaler for each in means if each.WhichOneof("preprocessor") == "scaler"]
    if swapped:
        for scaler in scalers:
            scaler.redBias, scaler.blueBias = scaler.blueBias, scaler.redBias
    if affine.is_identity:
        if swapped and len(scalers) < len(means):
            raise _mean_image()
        return
    if len(means) > len(scalers) or len(scalers) > 1:
        raise _mean_image()
    scale = scalers[0].channelScale if scalers else 1.0
    biases = _biases(spec, scalers[0]) if scalers else (0.0,) * len(affine.factor)
    name = _free(network, f"{image}_scaled")
    for each in every_layer(network.layers):
        each.input[:] = [name if given == image else given for given in each.input]
    layers = list(network.layers)
    del network.layers[:]
    layer = network.layers.add(name=name, input=[image], output=[name])
    layer.scale.shapeScale.append(len(affine.factor))
    layer.scale.scale.floatValue.extend(affine.factor)
    layer.scale.hasBias = True
    layer.scale.shapeBias.append(len(affine.factor))
    # The layer gets scale * pixel + bias, and passes on scale * (factor * pixel + term) + bias.
    layer.scale.bias.floatValue.extend(
        scale * term + bias - factor * bias
        for factor, term, bias in zip(affine.factor, affine.term, biases, strict=True)
    )
    network.layers.extend(layers)


def _mean_image() -> ConversionError:
    return ConversionError(
        "the file subtracts a mean image from its input, or has two scalers; its scale, bias and "
        "color order cannot be changed; convert the model again from its source"
    )


def _biases(spec: Any, scaler: Any) -> tuple[float, ...]:
    """One bias per channel, in the order of the image's channels."""
    red, green, blue = scaler.redBias, scaler.greenBias, scaler.blueBias
    color = spec.description.input[0].type.imageType.colorSpace
    return {20: (red, green, blue), 30: (blue, green, red)}.get(color, (scaler.grayBias,))


def rename_classes(spec: Any, labels: Sequence[str]) -> None:
    """Replace the class labels."""
    network = _network(spec)
    network.ClearField(network.WhichOneof("ClassLabels"))
    network.stringClassLabels.vector.extend(labels)


def add_classes(
    spec: Any,
    output: str,
    labels: Sequence[str],
    *,
    softmax_axis: int | None,
    names: tuple[str, str],  # noqa: ARG001 - the description has them
) -> None:
    """Turn the network into a classifier.

    Args:
        spec: The model, changed in place.
        output: The output with one score per class.
        labels: The class names.
        softmax_axis: The axis of its classes, if the scores are logits; None for probabilities.
        names: The names of the new outputs, label and probabilities.
    """
    old = spec.neuralNetwork
    layers, preprocessing = list(old.layers), list(old.preprocessing)
    mappings = old.arrayInputShapeMapping, old.imageInputShapeMapping
    if old.HasField("updateParams"):
        raise ConversionError("the file is updatable; convert the model again from its source")
    new = spec.neuralNetworkClassifier  # the next line drops the old network
    new.layers.extend(layers)
    new.preprocessing.extend(preprocessing)
    new.arrayInputShapeMapping, new.imageInputShapeMapping = mappings
    new.labelProbabilityLayerName = output
    new.stringClassLabels.vector.extend(labels)
    if softmax_axis is not None:
        name = _free(new, f"{output}_probabilities")
        layer = new.layers.add(name=name, input=[output], output=[name])
        if new.arrayInputShapeMapping:
            layer.softmaxND.axis = softmax_axis
        else:
            layer.softmax.SetInParent()
        new.labelProbabilityLayerName = name


def _free(network: Any, name: str) -> str:
    """The name, or a longer one if the network uses it."""
    layers = list(every_layer(network.layers))
    used: Iterable[str] = (each for layer in layers for each in (*layer.input, *layer.output))
    taken = {*used, *(layer.name for layer in layers)}
    while name in taken:
        name += "_"
    return name
