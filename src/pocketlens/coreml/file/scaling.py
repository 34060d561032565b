"""Reads the scale and bias that a Core ML file itself applies to the pixels of its image input.

A NeuralNetwork has a preprocessing section; both dialects may begin with elementwise arithmetic
by constants, such as `mul` by 1/255 and `sub` of a mean. What follows is read until the first op
that is not a product, a sum or a change of layout: a batch norm belongs to the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.features import Feature, Interface
from pocketlens.coreml.file.functions import active_block, operations
from pocketlens.coreml.file.kinds import NETWORKS, PIPELINES
from pocketlens.coreml.file.network_content import every_layer, network_of
from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.file.pipelines import stages_of
from pocketlens.coreml.file.values import constant_of, tensor_type
from pocketlens.errors import PocketlensError

__all__ = ["Scaling", "read_scaling"]

Numbers: TypeAlias = NDArray[np.float64]
MAX_OPS = 32
"""How many leading ops are read."""

RANK5 = 0  # the older mapping of images: [1, 1, C, H, W]


@dataclass(frozen=True)
class Scaling:
    """`pixel * scale + bias`, one number per channel in the order of the image's colors."""

    scale: tuple[float, ...]
    bias: tuple[float, ...]


def read_scaling(file: ModelFile, interface: Interface) -> Scaling | None:
    """What the model applies to its image input; None if the file does not say it.

    Raw pixels say nothing: converters write a scaler of 1 when nobody set one, and scaling may be
    hidden in the weights of the first layer.

    Args:
        file: An ML Program, a neural network, or a pipeline that begins with one.
        interface: The interface whose `image` is read.
    """
    image = interface.image
    if image is None:
        return None
    try:
        chain = _chain(file, interface.function, image)
        values = chain and chain.result()
    except PocketlensError:
        return None  # an op of a kind that this reader does not expect; lowering reports damage
    if not values:
        return None
    scale, bias = values
    good = np.isfinite(scale).all() and np.isfinite(bias).all() and (scale != 0).all()
    return Scaling(tuple(scale.tolist()), tuple(bias.tolist())) if good else None


class _Chain:
    """`x * scale + bias`, as far as it has been read.

    Scale and bias have the rank of the tensor that they describe. Every size is 1, except that of
    the channels.
    """

    def __init__(self, channels: int, *, rank: int) -> None:
        shape = (1,) * (rank - 3) + (channels, 1, 1)
        self.scale: Numbers = np.ones(shape)
        self.bias: Numbers = np.zeros(shape)
        self.found = self.other = False
        """Whether any arithmetic has been read; whether some was not per channel."""

    def result(self) -> tuple[Numbers, Numbers] | None:
        unread = (
            self.other or not self.found or bool((self.scale == 1).all() and not self.bias.any())
        )
        return None if unread else (self.scale.ravel(), self.bias.ravel())

    def multiply(self, value: Any) -> bool:
        """Read a product with a constant; False if it is not one number per channel."""
        factor = self._per_channel(value)
        if factor is not None:
            self.scale, self.bias = self.scale * factor, self.bias * factor
            self.found = True
        return factor is not None

    def add(self, value: Any) -> bool:
        """Read a sum with a constant; False if it is not one number per channel."""
        term = self._per_channel(value)
        if term is not None:
            self.bias = self.bias + term
            self.found = True
        return term is not None

    def move(self, change: Callable[[Numbers], Numbers]) -> bool:
        """Read a change of layout."""
        try:
            self.scale, self.bias = change(self.scale), change(self.bias)
        except ValueError:  # such as an axis of size 1 here, which is larger in the tensor
            return False
        return True

    def _per_channel(self, value: Any) -> Numbers | None:
        numbers = self._reduced(value)
        self.other |= numbers is None
        return numbers

    def _reduced(self, value: Any) -> Numbers | None:
        """The constant in the shape of `scale`; None if it differs within a channel."""
        array = np.asarray(value, np.float64)
        if array.ndim > self.scale.ndim or array.size == 0:
            return None
        array = array.reshape((1,) * (self.scale.ndim - array.ndim) + array.shape)
        for axis, size in enumerate(self.scale.shape):
            if size == 1 and array.shape[axis] > 1:
                first = array.take([0], axis)
                if not np.all(array == first):
                    return None
                array = first
        fits = all(a in (1, s) for a, s in zip(array.shape, self.scale.shape, strict=True))
        return array if fits else None


def _chain(file: ModelFile, function: str, image: Feature) -> _Chain | None:
    kind = file.spec.WhichOneof("Type")
    if kind == "mlProgram":
        return _program_chain(file, function, image)
    if kind in NETWORKS:
        return _network_chain(file, image)
    if kind in PIPELINES:
        takers = [
            stage
            for stage in stages_of(file)
            if any(each.name == image.name for each in stage.spec.description.input)
        ]
        if len(takers) == 1:
            return _chain(takers[0], takers[0].spec.description.defaultFunctionName, image)
    return None


def _program_chain(file: ModelFile, function: str, image: Feature) -> _Chain:
    _, block, _ = active_block(file, function or "main")
    chain, name, known = _Chain(image.channels, rank=4), image.name, _Constants(file, block)
    elements = image.channels * math.prod(image.shape)
    for _ in range(MAX_OPS):
        takers = [op for op in operations(block) if op.type != "const" and name in _taken(op)]
        if len(takers) != 1 or len(takers[0].outputs) != 1 or name in block.outputs:
            break
        op = takers[0]
        if not _read_op(chain, op, name, partial(known.of, op, most=elements)):
            break
        name = op.outputs[0].name
    return chain


def _taken(operation: Any) -> list[str]:
    """The names of the tensors that an operation takes, one entry for each place."""
    return [b.name for argument in operation.inputs.values() for b in argument.arguments if b.name]


class _Constants:
    """The constants of a block, read when they are needed."""

    def __init__(self, file: ModelFile, block: Any) -> None:
        self.file = file
        self.made = {op.outputs[0].name: op for op in block.operations if len(op.outputs) == 1}

    def of(self, operation: Any, key: str, most: int) -> NDArray[Any] | None:
        """The constant argument `key`; None if it is missing, computed or larger than `most`."""
        arguments: Any = operation.inputs[key].arguments if key in operation.inputs else ()
        if len(arguments) != 1:
            return None
        value = arguments[0].value
        if arguments[0].WhichOneof("binding") == "name":
            made = self.made.get(arguments[0].name)
            if made is None:
                return None
            if made.type == "cast":  # of a constant
                return self.of(made, "x", most)
            if made.type != "const" or "val" not in made.attributes:
                return None
            value = made.attributes["val"]
        declared = tensor_type(value.type)
        if declared is None or math.prod(declared.fixed) > most:
            return None
        return constant_of(self.file, value)


def _read_op(chain: _Chain, op: Any, name: str, const: Callable[[str], Any]) -> bool:
    """Read one op of an ML Program; False if the arithmetic on pixels ends before it."""

    def numbers(key: str) -> Any:
        value = const(key)
        return None if value is None or value.dtype.kind not in "fiu" else value

    other = "y" if any(b.name == name for b in op.inputs["x"].arguments) else "x"
    match op.type:
        case "identity":
            return True
        case "cast":
            kind = const("dtype")
            return kind is not None and str(kind.item()).startswith(("fp", "float"))
        case "mul":
            return (value := numbers(other)) is not None and chain.multiply(value)
        case "add":
            return (value := numbers(other)) is not None and chain.add(value)
        case "sub" if other == "y":
            return (value := numbers("y")) is not None and chain.add(-np.float64(value))
        case "sub":
            value = numbers("x")
            return value is not None and chain.multiply(-1.0) and chain.add(value)
        case "real_div" if other == "y":
            value = numbers("y")
            return (
                value is not None and bool(np.all(value)) and chain.multiply(1 / np.float64(value))
            )
        case "linear_activation":
            alpha, beta = numbers("alpha"), numbers("beta")
            good = alpha is not None and beta is not None
            return good and chain.multiply(alpha) and chain.add(beta)
        case "transpose":
            perm = const("perm")
            return perm is not None and chain.move(lambda a: a.transpose(perm.tolist()))
        case "expand_dims":
            axes = const("axes")
            return axes is not None and chain.move(
                lambda a: np.expand_dims(a, tuple(axes.ravel().tolist()))
            )
        case "squeeze":
            axes = const("axes")
            return axes is not None and chain.move(
                lambda a: a.squeeze(tuple(axes.ravel().tolist()))
            )
    return False


def _network_chain(file: ModelFile, image: Feature) -> _Chain | None:
    network = network_of(file)
    older = network.imageInputShapeMapping == RANK5
    chain = _Chain(image.channels, rank=5 if older else 4)
    for each in network.preprocessing:
        if each.featureName not in ("", image.name):
            continue
        if not _read_preprocessing(chain, each, image):
            return None
    layers, name = list(every_layer(network.layers)), image.name
    constants = {each.output[0]: each for each in layers if len(each.output) == 1}
    outputs = {feature.name for feature in file.spec.description.output}
    for _ in range(MAX_OPS):
        takers = [each for each in layers if name in each.input]
        if len(takers) != 1 or len(takers[0].output) != 1 or name in outputs:
            break
        if not _read_layer(chain, takers[0], name, constants):
            break
        name = takers[0].output[0]
    return chain


def _read_preprocessing(chain: _Chain, message: Any, image: Feature) -> bool:
    shape = (image.channels, 1, 1)
    if message.WhichOneof("preprocessor") == "scaler":
        s = message.scaler
        colors = (s.redBias, s.greenBias, s.blueBias)
        biases = {"rgb": colors, "bgr": colors[::-1]}.get(image.color, (s.grayBias,))
        return chain.multiply(s.channelScale) and chain.add(np.reshape(biases, shape))
    mean = np.array(message.meanImage.meanImage, np.float64)
    if not mean.size or mean.size != image.channels * math.prod(image.shape):
        return False
    return chain.add(-mean.reshape(image.channels, *image.shape))


def _read_layer(chain: _Chain, layer: Any, name: str, constants: dict[str, Any]) -> bool:
    """Read one layer of a neural network; False if the arithmetic on pixels ends before it."""
    kind = layer.WhichOneof("layer")
    message: Any = getattr(layer, kind) if kind else None

    def other() -> NDArray[Any] | None:
        """The constant that a layer with two inputs combines with the image."""
        sides = [each for each in layer.input if each != name]
        return _constant(sides[0], constants) if len(sides) == len(layer.input) - 1 == 1 else None

    match kind:
        case "copy":
            return True
        case "scale":
            factor = _weights(message.scale, _of_channels(message.shapeScale))
            term: NDArray[Any] | None = np.zeros(1)
            if message.hasBias:
                term = _weights(message.bias, _of_channels(message.shapeBias))
            good = factor is not None and term is not None
            return good and chain.multiply(factor) and chain.add(term)
        case "bias":
            term = _weights(message.bias, _of_channels(message.shape))
            return term is not None and chain.add(term)
        case "activation" if message.WhichOneof("NonlinearityType") == "linear":
            return chain.multiply(message.linear.alpha) and chain.add(message.linear.beta)
        case "multiply" if len(layer.input) == 1:
            return chain.multiply(message.alpha)
        case "add" if len(layer.input) == 1:
            return chain.add(message.alpha)
        case "multiply" | "multiplyBroadcastable":
            return (value := other()) is not None and chain.multiply(value)
        case "add" | "addBroadcastable":
            return (value := other()) is not None and chain.add(value)
        case "subtractBroadcastable":
            if (value := other()) is None:
                return False
            first = layer.input[0] == name
            return chain.add(-value) if first else chain.multiply(-1.0) and chain.add(value)
        case "divideBroadcastable" if layer.input[0] == name:
            value = other()
            return value is not None and bool(np.all(value)) and chain.multiply(1 / value)
        case "transpose":
            return chain.move(lambda a: a.transpose(list(message.axes)))
        case "expandDims":
            return chain.move(lambda a: np.expand_dims(a, tuple(message.axes)))
        case "squeeze":
            return not message.squeezeAll and chain.move(lambda a: a.squeeze(tuple(message.axes)))
    return False


def _constant(name: str, made: dict[str, Any]) -> NDArray[Any] | None:
    """A constant tensor, also one with its sign changed: coremltools subtracts in that way."""
    layer = made.get(name)
    kind = layer.WhichOneof("layer") if layer is not None else None
    if layer is None or kind is None:
        return None
    message = getattr(layer, kind)
    if kind in ("loadConstant", "loadConstantND"):
        return _weights(message.data, message.shape)
    if kind != "activation" or message.WhichOneof("NonlinearityType") != "linear":
        return None
    source = made.get(layer.input[0])
    if source is None or source.WhichOneof("layer") not in ("loadConstant", "loadConstantND"):
        return None
    value = _constant(layer.input[0], made)
    return None if value is None else value * message.linear.alpha + message.linear.beta


def _of_channels(shape: Iterable[int]) -> tuple[int, ...]:
    """The shape of a scale or bias layer: [C] is one number per channel, as [C, 1, 1] is."""
    sizes = tuple(shape)
    return (*sizes, 1, 1) if len(sizes) == 1 else sizes


def _weights(message: Any, shape: Iterable[int]) -> NDArray[np.float64] | None:
    """Weights as an array; None if they are quantized or do not fit the shape."""
    values: Iterator[float] = iter(message.floatValue)
    if message.float16Value:
        values = iter(np.frombuffer(message.float16Value, "<f2").tolist())
    array, sizes = np.array(list(values), np.float64), tuple(shape)
    return array.reshape(sizes) if array.size and array.size == math.prod(sizes) else None
