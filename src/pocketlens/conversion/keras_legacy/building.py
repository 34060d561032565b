"""A model of Keras 2, built from its configuration with layers of Keras 3, and its weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from pocketlens.conversion.keras_legacy.layers import MAX_DEPTH, LayerMaker, layer_text
from pocketlens.conversion.keras_legacy.stored import MAX_WEIGHT_BYTES, StoredModel, Weight
from pocketlens.errors import ConversionError, printable
from pocketlens.files import size_text

__all__ = ["build"]

MAX_LAYERS = 5_000
MAX_ELEMENTS = 2**28
"""Of what a layer returns for one input."""

_MODELS = ("Model", "Functional")


def build(keras: Any, stored: StoredModel) -> Any:
    """A functional model of Keras 3 with the weights of the file.

    Raises:
        ConversionError: A layer or a field is not known, weights are missing or do not fit, or the
            model is too large; the message names the layer.
    """
    try:
        with keras.device("meta"):  # variables have a shape, and take no memory
            trial = _Builder(keras, stored.version).model(stored.config)
        size = sum(max(4, v.value.element_size()) * math.prod(v.shape) for v in trial.variables)
        if size > MAX_WEIGHT_BYTES:
            raise ConversionError(
                f"the model has variables of {size_text(size)}; expected at most "
                f"{size_text(MAX_WEIGHT_BYTES)}"
            )
        with keras.device("cpu"):
            builder = _Builder(keras, stored.version)
            model = builder.model(stored.config)
            _fill(builder.leaves, stored.weights)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise ConversionError(
            f"{stored.path}: its configuration is not that of a model: "
            f"{printable(repr(error))[:200]}"
        ) from error
    except ConversionError as error:
        raise ConversionError(f"{stored.path}: {error}") from error
    return model


class _Builder:
    """Builds models; `leaves` are all layers with their names in the file."""

    def __init__(self, keras: Any, version: str) -> None:
        self._keras = keras
        self._maker = LayerMaker(keras, version)
        self.leaves: list[tuple[str, Any]] = []

    def model(self, stored: dict[str, Any], incoming: Any = None, depth: int = 0) -> Any:
        """A model.

        Args:
            stored: Its `class_name` and `config`.
            incoming: The shape of its input, without the batch, if it does not say that itself.
            depth: How many models are around it.
        """
        kind, config = stored["class_name"], stored["config"]
        if depth > MAX_DEPTH:
            raise ConversionError(f"models are nested too deeply; expected {MAX_DEPTH} levels")
        if kind == "Sequential":
            return self._sequential(config, incoming, depth)
        if kind in _MODELS and isinstance(config, dict) and "layers" in config:
            return self._functional(config, depth)
        raise ConversionError(
            f"the model is of the class {printable(str(kind))[:80]!r}, which is defined in Python "
            "code; expected a Sequential or a functional model; save it as a .keras file where "
            "that class is defined, load it in Python and call pocketlens.convert(model, …)"
        )

    def _made(self, stored: dict[str, Any], incoming: Any, depth: int) -> Any:
        """A layer or an inner model."""
        kind, config = str(stored["class_name"]), stored["config"]
        if kind == "Sequential" or kind in _MODELS:
            return self.model(stored, incoming, depth + 1)
        layer = self._maker.make(kind, config)
        self.leaves.append((str(config.get("name", layer.name)), layer))
        if len(self.leaves) > MAX_LAYERS:
            raise ConversionError(f"the model has more than {MAX_LAYERS} layers")
        return layer

    def _sequential(self, config: Any, incoming: Any, depth: int) -> Any:
        layers = config["layers"] if isinstance(config, dict) else config
        name = config.get("name") if isinstance(config, dict) else None
        shape = _first_shape(layers)
        if shape is None:
            shape = incoming
        if shape is None:
            raise ConversionError("the model does not say the shape of its input")
        first = tensor = self._keras.Input(shape, dtype=_dtype(layers[0]))
        for each in layers:
            if each["class_name"] != "InputLayer":
                made = self._made(each, tuple(tensor.shape)[1:], depth)
                tensor = _called(made, each, [tensor], {})
        return self._keras.Model(first, tensor, name=_plain(name))

    def _functional(self, config: dict[str, Any], depth: int) -> Any:
        known: dict[tuple[str, int], list[Any]] = {}
        made: dict[str, Any] = {}
        waiting = []
        if len(config["layers"]) > MAX_LAYERS:
            raise ConversionError(f"the model has more than {MAX_LAYERS} layers")
        for each in config["layers"]:
            name = str(each.get("name", each["config"].get("name")))
            if each["class_name"] == "InputLayer":
                shape = _shape(each["config"])
                known[name, 0] = [self._keras.Input(shape, dtype=_dtype(each), name=_plain(name))]
            waiting += [(name, at, each) for at in range(len(each.get("inbound_nodes") or []))]
        while waiting:
            left = []
            for name, at, each in waiting:
                node = _Node(each["inbound_nodes"][at], known)
                if node.missing:
                    left.append((name, at, each))
                    continue
                kind = str(each["class_name"])
                if kind in ("TFOpLambda", "TensorFlowOpLayer", "SlicingOpLambda"):
                    found = _op(self._keras, each, node)
                else:
                    if name not in made:
                        incoming = tuple(node.inputs[0].shape)[1:] if node.inputs else None
                        made[name] = self._made(each, incoming, depth)
                    found = _called(made[name], each, node.inputs, node.options)
                known[name, at] = list(found) if isinstance(found, (list, tuple)) else [found]
            if len(left) == len(waiting):
                text = layer_text(str(left[0][2]["class_name"]), left[0][2]["config"])
                raise ConversionError(f"{text} is called with what no other layer returns")
            waiting = left
        inputs, outputs = (
            [known[name, at][index] for name, at, index in _references(config[key])]
            for key in ("input_layers", "output_layers")
        )
        return self._keras.Model(
            inputs[0] if len(inputs) == 1 else inputs,
            outputs[0] if len(outputs) == 1 else outputs,
            name=_plain(config.get("name")),
        )


class _Node:
    """One call of a layer: its input tensors and other arguments."""

    def __init__(self, stored: Any, known: dict[tuple[str, int], list[Any]]) -> None:
        self._known = known
        self.missing = False
        self.inputs: list[Any] = []
        self.options: dict[str, Any] = {}
        if isinstance(stored, dict):  # as Keras 3 writes it
            args = [self._resolved(each) for each in stored["args"]]
            self.inputs = list(args[0]) if args and isinstance(args[0], list) else args
            options = stored.get("kwargs") or {}
        else:
            calls = [stored] if stored and isinstance(stored[0], str) else stored
            self.inputs = [self._tensor(*each[:3]) for each in calls]
            options = next((each[3] for each in calls if len(each) > 3 and each[3]), {})
        for key, value in options.items():
            if key not in ("training", "mask", "name") and value is not None:
                self.options[key] = self._resolved(value)

    def _tensor(self, name: str, node: int, index: int) -> Any:
        found = self._known.get((str(name), node))
        self.missing |= found is None
        return None if found is None else found[index]

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            return self._tensor(*value["config"]["keras_history"])
        if isinstance(value, list):
            if len(value) == 3 and isinstance(value[0], str) and value[0] != "_CONSTANT_VALUE":
                return self._tensor(*value)
            if len(value) == 3 and value[0] == "_CONSTANT_VALUE":
                return value[2]
            return [self._resolved(each) for each in value]
        return value


def _called(layer: Any, stored: dict[str, Any], inputs: list[Any], options: dict[str, Any]) -> Any:
    text = layer_text(str(stored["class_name"]), stored["config"])
    try:
        result = layer(inputs[0] if len(inputs) == 1 else inputs, **options)
    except Exception as error:  # Keras raises exceptions of any type
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ConversionError(f"{text} cannot be called: {printable(lines[0])[:300]}") from error
    for each in result if isinstance(result, (list, tuple)) else [result]:
        if math.prod(size or 1 for size in each.shape) > MAX_ELEMENTS:
            raise ConversionError(
                f"{text} returns {tuple(each.shape)}; expected at most {MAX_ELEMENTS} numbers"
            )
    return result


_OPS = {
    "__operators__.add": "add", "math.add": "add", "math.subtract": "subtract",
    "math.multiply": "multiply", "math.truediv": "divide", "math.divide": "divide",
    "nn.relu": "relu", "nn.relu6": "relu6", "nn.softmax": "softmax", "math.sigmoid": "sigmoid",
    "nn.sigmoid": "sigmoid", "math.tanh": "tanh", "nn.silu": "silu", "nn.swish": "silu",
    "math.maximum": "maximum", "math.minimum": "minimum", "math.abs": "abs", "math.exp": "exp",
    "math.sqrt": "sqrt", "math.square": "square", "math.pow": "power", "math.negative": "negative",
}  # fmt: skip
"""The functions of TensorFlow that a functional model may call, by their names in keras.ops."""


def _op(keras: Any, stored: dict[str, Any], node: _Node) -> Any:
    config = stored["config"]
    name = str(config.get("function", ""))
    others = [node.options[key] for key in ("y",) if key in node.options]
    if name not in _OPS or set(node.options) - {"y"} or stored["class_name"] != "TFOpLambda":
        raise ConversionError(
            f"{layer_text(str(stored['class_name']), config)} calls TensorFlow's "
            f"{printable(name or 'op')!r}; replace it by layers of Keras, and save the model as a "
            ".keras file"
        )
    return getattr(keras.ops, _OPS[name])(*node.inputs, *others)


def _references(stored: Any) -> Iterator[tuple[str, int, int]]:
    """The layer, call and output of each input or output of a model."""
    if isinstance(stored, dict):
        stored = list(stored.values())
    if stored and isinstance(stored[0], str):
        stored = [stored]
    for name, node, index in stored:
        yield str(name), int(node), int(index)


def _first_shape(layers: list[dict[str, Any]]) -> tuple[int | None, ...] | None:
    """The shape of the input of a Sequential model, if its first layers say it."""
    first = layers[0]
    config = first["config"]
    if isinstance(config, dict) and (found := _shape(config)) is not None:
        return found
    inner = config["layers"] if isinstance(config, dict) and "layers" in config else config
    if first["class_name"] in ("Sequential", *_MODELS) and isinstance(inner, list):
        return _first_shape(inner)
    if "layer" in (config if isinstance(config, dict) else {}):  # of a wrapper
        return None
    return None


def _shape(config: dict[str, Any]) -> tuple[int | None, ...] | None:
    for key in ("batch_input_shape", "batch_shape"):
        if config.get(key) is not None:
            return tuple(None if size is None else int(size) for size in config[key][1:])
    if config.get("input_shape") is not None:
        return tuple(config["input_shape"])
    return None


def _dtype(stored: dict[str, Any]) -> str:
    config = stored["config"]
    given = config.get("dtype") if isinstance(config, dict) else None
    return given if isinstance(given, str) and given.startswith(("int", "uint")) else "float32"


def _plain(name: Any) -> str | None:
    return None if name is None else str(name).replace("/", "_")


# --- weights


def _fill(leaves: list[tuple[str, Any]], weights: tuple[Weight, ...]) -> None:
    """Give each layer its weights, which are found by their names."""
    unused = dict(enumerate(weights))
    of_layer: dict[str, list[int]] = {}
    for at, each in unused.items():
        for part in _layer_names(each.path):
            of_layer.setdefault(part, []).append(at)
    for name, layer in leaves:
        variables = list(layer.weights)
        own = [at for at in of_layer.get(name, ()) if at in unused]
        # Two layers of the same name, in different models inside, have theirs in this order.
        by_name = [_variable_name(unused[at].path) for at in own]
        text = layer_text(type(layer).__name__, {"name": name})
        for number, variable in enumerate(variables):
            wanted = {variable.name, *_OTHER_NAMES.get(variable.name, ())}
            unique = len({each.name for each in variables}) == len(variables)
            places = [i for i, each in enumerate(by_name) if each in wanted]
            at = (places[0] if places else len(own)) if unique else 0
            if at >= len(own):
                raise ConversionError(f"{text} has no weight {variable.name!r} in the file")
            weight = unused.pop(own.pop(at))
            by_name.pop(at)
            _assign(variable, weight, text, number)
        if hasattr(layer, "finalize_state") and variables:
            layer.finalize_state()
    if unused:
        paths = ", ".join(printable(each.path) for each in list(unused.values())[:3])
        raise ConversionError(f"the file has {len(unused)} weights of no layer, such as {paths}")


def _layer_names(path: str) -> set[str]:
    """All that may be the name of a layer in the path of a weight; a name may have slashes."""
    parts = path.split("/")[:-1][-8:]
    return {
        "/".join(parts[first:last])
        for first in range(len(parts))
        for last in range(first + 1, len(parts) + 1)
    }


_OTHER_NAMES = {"kernel": ("depthwise_kernel",)}


def _variable_name(path: str) -> str:
    return path.rpartition("/")[2].partition(":")[0]


def _assign(variable: Any, weight: Weight, text: str, number: int) -> None:
    values = weight.values
    if tuple(values.shape) != tuple(variable.shape):
        raise ConversionError(
            f"{text}: the weight {variable.name!r} (number {number + 1}) has the shape "
            f"{tuple(values.shape)} in the file; expected {tuple(variable.shape)}"
        )
    variable.assign(values.astype(np.float32) if values.dtype.kind == "f" else values)
