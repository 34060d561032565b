"""Conversion of a NeuralNetwork to an equivalent ONNX graph.

The reader maps the inputs, preprocesses images, and binds the message of each layer to the
parameters of the layer's lowering. The lowerings are in `neural_network/`, one file per family.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from pocketlens.coreml.file.errors import located_errors
from pocketlens.coreml.file.features import Feature, Interface
from pocketlens.coreml.file.network_content import (
    every_layer,
    inner_networks,
    network_classes,
    network_of,
)
from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.graph import MAX_OPERATIONS, Graph, Value
from pocketlens.coreml.ops.common.classifier import classifier
from pocketlens.coreml.ops.common.control import NOTHING, Block, choose
from pocketlens.coreml.ops.lowered import Lowered, finish, unsupported_ops
from pocketlens.coreml.ops.neural_network.control_flow import BREAK, ENDED
from pocketlens.coreml.ops.registry import Lowering, lookup
from pocketlens.errors import ModelFileError, UnsupportedOp, UnsupportedParameter, with_article

__all__ = ["lower_network", "moves_steps", "outer_sizes", "takes_steps"]

RANK5 = 0  # RANK5_ARRAY_MAPPING and RANK5_IMAGE_MAPPING, the older of the two mappings

# The rank of an array [C], [C, H, W] or, with sequence steps, [Seq, Batch, C, H, W]
# -> the missing ones of the five dimensions.
UNSQUEEZED = {1: [0, 1, 3, 4], 3: [0, 1], 5: []}


def lower_network(file: ModelFile, interface: Interface) -> Lowered:
    """Convert a NeuralNetwork, NeuralNetworkClassifier or NeuralNetworkRegressor to a graph.

    Raises:
        ModelFileError: The network contradicts itself or its description.
        UnsupportedOp: Some layers have no lowering; the message lists all of them.
        UnsupportedParameter: A layer sets a field that its lowering does not take.
    """
    network = network_of(file)
    count = _check_layers(file, network)
    names = [name for each in every_layer(network.layers) for name in (*each.input, *each.output)]
    names += [feature.name for feature in (*interface.inputs, *interface.outputs)]
    reader = _Reader(file, network, Graph(names, operations=count))
    for feature in interface.inputs:
        with located_errors(file, f"the input '{feature.name}'"):
            reader.input(feature)
    reader.preprocess(interface)
    reader.layers(network.layers)
    return reader.finish(interface)


def takes_steps(file: ModelFile, interface: Interface) -> bool:
    """Whether the array inputs may have leading dimensions Seq and Batch (see `sequences`)."""
    older = network_of(file).arrayInputShapeMapping == RANK5
    return older and any(each.kind == "array" for each in interface.inputs)


def moves_steps(file: ModelFile) -> bool:
    """Whether a layer moves Seq to another dimension, so that results may depend on its length."""
    return any(
        (each.HasField("permute") and list(each.permute.axis[:1]) != [0])
        or (each.HasField("reshape") and len(each.reshape.targetShape) == 4)
        for each in every_layer(network_of(file).layers)
    )


def _check_layers(file: ModelFile, network: Any) -> int:
    """How many layers there are. Each needs a lowering; one error reports all that have none."""
    with located_errors(file, "the network"):
        layers = list(islice(every_layer(network.layers), MAX_OPERATIONS + 1))
    if len(layers) > MAX_OPERATIONS:
        raise ModelFileError(f"{file.path}: more than {MAX_OPERATIONS} layers")
    missing: dict[str, str] = {}
    for each in layers:
        kind = each.WhichOneof("layer")
        if kind is None:
            raise ModelFileError(f"{file.path}: the layer '{each.name}' has an unknown type")
        try:
            lookup("neural_network", kind)
        except UnsupportedOp as error:
            missing.setdefault(kind, f"{error}, first used in '{each.name}'")
    if missing:
        version = f"specification {file.spec.specificationVersion}"
        raise unsupported_ops(file, version, "layer", missing)
    return len(layers)


class _Reader:
    def __init__(self, file: ModelFile, network: Any, graph: Graph) -> None:
        self.file = file
        self.network = network
        self.graph = graph

    def input(self, feature: Feature) -> None:
        """Declare the input and give it the rank that the layers expect."""
        g = self.graph
        if feature.kind == "image":
            open_sides = feature.shapes or feature.ranges
            sides = (None, None) if open_sides else feature.shape
            value = g.input(feature.name, np.float32, (1, feature.channels, *sides))
            if self.network.imageInputShapeMapping == RANK5:
                g.tensors[feature.name] = g.Unsqueeze(value, np.array([0], np.int64))
            return
        if feature.kind != "array":
            raise UnsupportedParameter(
                f"it is {with_article(feature.kind)}; expected an image or an array"
            )
        if not feature.shape or feature.shapes or feature.ranges:
            shape: tuple[int | None, ...] = _open_shape(feature)
        else:
            shape = feature.shape
        value = g.input(feature.name, np.float32, shape)
        if self.network.arrayInputShapeMapping == RANK5:
            if len(shape) not in UNSQUEEZED:
                raise ModelFileError(
                    f"it has {len(shape)} dimensions; the network's shape mapping expects 1 or 3"
                )
            axes = UNSQUEEZED[len(shape)]
            if axes:
                g.tensors[feature.name] = g.Unsqueeze(value, np.array(axes, np.int64))

    def preprocess(self, interface: Interface) -> None:
        """Apply the scale, bias and mean image that the file sets for image inputs."""
        images = {feature.name: feature for feature in interface.inputs if feature.kind == "image"}
        for each in self.network.preprocessing:
            only = next(iter(images)) if len(images) == 1 else ""
            name = each.featureName or only
            if name not in images:
                raise ModelFileError(
                    f"{self.file.path}: preprocessing is set for {name!r}; "
                    f"expected an image input: {', '.join(images) or 'there are none'}"
                )
            with located_errors(self.file, f"the preprocessing of '{name}'"):
                value = self.graph.tensors[name]
                prepared = self._prepared(each, images[name], value)
                self.graph.tensors[name] = prepared

    def _prepared(self, message: Any, feature: Feature, x: Value) -> Value:
        g = self.graph
        kind = message.WhichOneof("preprocessor")
        if kind == "scaler":
            s = message.scaler
            biases = {
                "gray": [s.grayBias],
                "gray-float16": [s.grayBias],
                "rgb": [s.redBias, s.greenBias, s.blueBias],
                "bgr": [s.blueBias, s.greenBias, s.redBias],
            }[feature.color]
            bias = np.array(biases, np.float32).reshape(-1, 1, 1)
            return g.Add(g.Mul(x, g.like(s.channelScale, x)), bias)
        if kind == "meanImage":
            shape = (feature.channels, *feature.shape)
            mean = np.array(message.meanImage.meanImage, np.float32)
            if mean.size != math.prod(shape):
                raise ModelFileError(
                    f"the mean image has {mean.size} values; expected {math.prod(shape)}"
                )
            return g.Sub(x, mean.reshape(shape))
        raise ModelFileError("it is empty; expected a scaler or a mean image")

    def layers(self, layers: Sequence[Any]) -> None:
        for number, each in enumerate(layers, 1):
            self.layer(each)
            if _ends_step(each):
                # The remaining layers run only if the step goes on.
                rest = self._block(layers[number:])
                choose(self.graph, self.graph.tensors[ENDED], NOTHING, rest)
                return

    def _block(self, layers: Sequence[Any]) -> Block:
        """Layers that run conditionally or in a loop."""

        def lower(g: Graph) -> tuple[Value, ...]:
            _Reader(self.file, self.network, g).layers(layers)
            return ()

        return Block(lower, frozenset(_written(layers)))

    def layer(self, each: Any) -> None:
        kind = each.WhichOneof("layer")
        what = f"the layer '{each.name}' ({kind})"
        with located_errors(self.file, what):
            function = each.activation.WhichOneof("NonlinearityType")
            exact_kind = function if kind == "activation" and function else kind
            self.graph.scope(each.name or kind, what, exact_kind)
            lowering = lookup("neural_network", kind)
            inputs = [self._tensor(name) for name in each.input]
            fields = {
                name: self._block(value.layers)
                if lowering.parameters[name].annotation == "Block"
                else value
                for name, value in lowering.bind(getattr(each, kind)).items()
            }
            _check_inputs(lowering, len(inputs))
            results = lowering.function(self.graph, *inputs, **fields)
            values = [results] if isinstance(results, Value) else list(results)
            if len(values) != len(each.output):
                raise ModelFileError(f"it has {len(each.output)} outputs; expected {len(values)}")
            for name, value in zip(each.output, values, strict=True):
                if kind == "copy" and name in self.graph.tensors:
                    self.graph.assign(name, value)  # only this layer may overwrite a tensor
                else:
                    self.graph.bind(name, value)

    def _tensor(self, name: str) -> Value:
        if name not in self.graph.tensors:
            raise ModelFileError(
                f"it takes {name!r}, which is neither an input nor the output of an earlier layer"
            )
        return self.graph.tensors[name]

    def finish(self, interface: Interface) -> Lowered:
        g = self.graph
        finish(g)
        classes = network_classes(self.network)
        label = probabilities = None
        if self.file.spec.WhichOneof("Type") == "neuralNetworkClassifier":
            with located_errors(self.file, "the classifier"):
                kind = object if classes and isinstance(classes[0], str) else np.int64
                scores = self._scores()
                label, probabilities = classifier(g, scores, np.array(classes, kind))
        for feature in interface.outputs:
            with located_errors(self.file, f"the output '{feature.name}'"):
                if label is not None and feature.name == interface.label:
                    value = label
                elif probabilities is not None and feature.kind == "dictionary":
                    value = probabilities
                elif feature.name in g.tensors:
                    value = self._output(g.tensors[feature.name], feature)
                else:
                    raise ModelFileError("no layer produces it")
                g.output(feature.name, value)
        return Lowered(g, classes if probabilities is not None else (), probabilities)

    def _scores(self) -> Value:
        """The tensor with the probabilities of a classifier."""
        name = self.network.labelProbabilityLayerName
        layers = self.network.layers
        if name in self.graph.tensors:
            return self.graph.tensors[name]
        source = next((each for each in layers if each.name == name), None)
        if not name and layers:
            source = layers[-1]
        if source is None or not source.output:
            raise ModelFileError(
                f"its probabilities should come from {name!r}, which no layer produces"
            )
        return self.graph.tensors[source.output[0]]

    def _output(self, value: Value, feature: Feature) -> Value:
        """The output in Core ML's shape: the declared one if it has as many elements."""
        if feature.kind != "array":
            return value
        older = self.network.arrayInputShapeMapping == RANK5
        if not _all_known(value):
            sizes = value.shape or ()
            if older and (len(sizes) != 5 or None in sizes[1:]):
                raise UnsupportedParameter(
                    f"{value!r} has unknown sizes; expected only Seq to be unknown"
                )
            return value
        return self.graph.reshape(value, outer_sizes(value.sizes, feature))


def outer_sizes(sizes: tuple[int, ...], feature: Feature) -> tuple[int, ...]:
    """The shape in which Core ML returns an output: the declared one if it has as many elements.

    If the file declares no shape, a network with the older mapping returns all five dimensions,
    such as [1, 1, 44, 28, 28], as users of Core ML have reported.

    Args:
        sizes: The sizes of the output inside the network.
        feature: The declared output.
    """
    if feature.shapes or feature.ranges:
        inner = [sizes[2:], sizes[2:3]] if len(sizes) == 5 else []
        fitting = [each for each in inner if math.prod(each) == math.prod(sizes)]
        return next((each for each in fitting if feature.allows(each)), sizes)
    same = bool(feature.shape) and math.prod(feature.shape) == math.prod(sizes)
    return feature.shape if same else sizes


def _all_known(value: Value) -> bool:
    return value.shape is not None and None not in value.shape


def _written(layers: Iterable[Any]) -> Iterator[str]:
    """The names of the tensors that the layers, including nested ones, may write."""
    for each in layers:
        yield from each.output
        kind = each.WhichOneof("layer")
        if kind in ("loopBreak", "loopContinue"):
            yield from (BREAK, ENDED)
        for inner in inner_networks(each):
            # A break of the inner loop does not end this one.
            yield from (
                name
                for name in _written(inner.layers)
                if kind != "loop" or name not in (BREAK, ENDED)
            )


def _ends_step(each: Any) -> bool:
    """Whether the layer may end the current step of the surrounding loop."""
    kind = each.WhichOneof("layer")
    if kind == "branch":
        return any(_ends_step(other) for inner in inner_networks(each) for other in inner.layers)
    return kind in ("loopBreak", "loopContinue")


def _open_shape(feature: Feature) -> tuple[int | None, ...]:
    """The shape of an array input; None for each size that the file lets vary."""
    if feature.ranges:
        return tuple(low if low == high else None for low, high in feature.ranges)
    if feature.shapes and len({len(shape) for shape in feature.shapes}) == 1:
        columns = zip(*feature.shapes, strict=True)
        return tuple(sizes[0] if len(set(sizes)) == 1 else None for sizes in columns)
    raise UnsupportedParameter("its number of dimensions is not fixed")


def _check_inputs(lowering: Lowering, count: int) -> None:
    least, most = lowering.inputs
    if not least <= count <= (math.inf if most is None else most):
        expected = f"{least}" if least == most else f"{least} to {most or 'any number'}"
        raise ModelFileError(f"it has {count} inputs; expected {expected}")
