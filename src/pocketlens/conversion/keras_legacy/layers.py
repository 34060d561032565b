"""Layers of Keras 2 as layers of Keras 3, from their configuration."""

from __future__ import annotations

import inspect
from typing import Any

from pocketlens.errors import ConversionError, printable

__all__ = ["MAX_DEPTH", "LayerMaker", "layer_text"]

MAX_DEPTH = 30
"""Of models and wrappers inside each other."""

_REFUSED = {
    "Lambda": "has Python code inside; rewrite it with layers or keras.ops where the model was "
    "made, and save it as a .keras file",
    "TFSMLayer": "reads another file; save the layers themselves",
    "TorchModuleWrapper": "has a pickle inside; convert the PyTorch module itself",
    "JaxLayer": "needs JAX; convert the model with layers of Keras",
    "FlaxLayer": "needs JAX; convert the model with layers of Keras",
}

_RENAMED = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "CuDNNGRU": "GRU",
    "CuDNNLSTM": "LSTM",
    "SyncBatchNormalization": "BatchNormalization",
    "ThresholdedReLU": "ReLU",
}
_ARGUMENTS = {
    "LeakyReLU": {"alpha": "negative_slope"},
    "ThresholdedReLU": {"theta": "threshold"},
    "RandomHeight": {},
}
_NO_EFFECT = {
    "name", "trainable", "dtype", "batch_input_shape", "batch_shape", "input_dim", "input_length",
    "implementation", "unit_forget_bias", "fused", "sparse", "ragged", "seed", "stateful",
    "momentum", "registered_name", "module", "build_config", "time_major", "unroll", "renorm",
    "virtual_batch_size", "adjustment", "activity_regularizer", "optional", "synchronized",
}  # fmt: skip
"""What does not change the outputs at inference, or is set in another way."""
_NOT_PASSED = ("seed", "stateful", "activity_regularizer")
_ENDINGS = ("_initializer", "_regularizer", "_constraint")
_ACTIVATIONS = ("activation", "recurrent_activation")


class LayerMaker:
    """Makes layers of Keras 3; `make` is given the class name and the configuration.

    Args:
        keras: The package Keras.
        version: The version of Keras that wrote the file; empty if not known.
    """

    def __init__(self, keras: Any, version: str) -> None:
        self._keras = keras
        self._old = not version.startswith("3")

    def make(self, kind: str, config: dict[str, Any], depth: int = 0) -> Any:
        """A layer.

        Raises:
            ConversionError: There is no such layer in Keras 3, or a field of it is not known.
        """
        what = layer_text(kind, config)
        if depth > MAX_DEPTH:
            raise ConversionError(f"{what} is nested too deeply; expected {MAX_DEPTH} levels")
        if kind in _REFUSED:
            raise ConversionError(f"{what} {_REFUSED[kind]}")
        cls = self._class(kind)
        if cls is None:
            raise ConversionError(
                f"{what} is not a layer of Keras; load the model where that layer is defined, "
                "replace it by layers of Keras, and save it as a .keras file"
            )
        values = self._arguments(kind, cls, config, what, depth)
        try:
            return cls(name=_name(config), **values)
        except Exception as error:  # Keras raises exceptions of any type
            raise ConversionError(f"{what} cannot be made: {_line(error)}") from error

    def _class(self, kind: str) -> Any:
        found, name = vars(self._keras.layers), _RENAMED.get(kind, kind)
        cls = found.get(name)
        if cls is None:  # some are public under another name than their own
            cls = next((c for c in found.values() if getattr(c, "__name__", "") == name), None)
        layer = self._keras.layers.Layer
        return cls if isinstance(cls, type) and issubclass(cls, layer) else None

    def _arguments(
        self, kind: str, cls: Any, config: dict[str, Any], what: str, depth: int
    ) -> dict[str, Any]:
        base = inspect.signature(self._keras.layers.Layer.__init__).parameters
        known = {  # with those of BaseConv, behind **kwargs
            name for parent in cls.__mro__ for name in inspect.signature(parent.__init__).parameters
        }
        values: dict[str, Any] = {}
        for key, value in config.items():
            name = _ARGUMENTS.get(kind, {}).get(key, key)
            if key in _NOT_PASSED or key.endswith(_ENDINGS):
                continue
            if name in known and name not in base:
                values[name] = self._value(key, value, what, depth)
            elif key in _NO_EFFECT:
                continue
            elif value not in (None, False, "", [], {}) and (key, value) != ("groups", 1):
                raise ConversionError(
                    f"{what} has the field {printable(key)!r} with the value "
                    f"{printable(repr(value))[:80]}, which Keras 3 does not have"
                )
        if config.get("time_major"):
            raise ConversionError(f"{what} is time_major, which Keras 3 does not have")
        if cls is self._keras.layers.GRU and self._old and "reset_after" not in config:
            values["reset_after"] = kind == "CuDNNGRU"  # the default of that time
        if isinstance(values.get("axis"), tuple) and len(values["axis"]) == 1:
            (values["axis"],) = values["axis"]
        return values

    def _value(self, key: str, value: Any, what: str, depth: int) -> Any:
        if key in _ACTIVATIONS or key.endswith("_activation"):
            return self._activation(value, what, depth)
        if isinstance(value, dict) and "class_name" in value:
            if not isinstance(value.get("config"), dict):
                raise ConversionError(f"{what} has the unusual field {printable(key)!r}")
            return self.make(str(value["class_name"]), value["config"], depth + 1)
        if isinstance(value, dict) and value.get("type") == "ndarray":
            return _tuples(value["value"])
        if isinstance(value, list) and any(isinstance(each, dict) for each in value):
            return [self._value(key, each, what, depth) for each in value]
        return _tuples(value)

    def _activation(self, value: Any, what: str, depth: int) -> Any:
        if isinstance(value, dict) and "class_name" in value:
            if value["class_name"] == "function":
                value = value.get("config")
            elif isinstance(value.get("config"), dict):
                return self.make(str(value["class_name"]), value["config"], depth + 1)
        if value is None:
            return None
        if value == "hard_sigmoid" and self._old:
            return self._hard_sigmoid
        found = vars(self._keras.activations).get(value) if isinstance(value, str) else None
        if value == "swish":
            found = self._keras.activations.silu
        if found is None or value in ("get", "serialize", "deserialize"):
            raise ConversionError(
                f"{what} has the activation {printable(str(value))[:80]!r}, which Keras does not "
                "have; replace it by one of Keras, and save the model as a .keras file"
            )
        return found

    def _hard_sigmoid(self, x: Any) -> Any:
        """That of Keras 2; in Keras 3 it has another slope."""
        return self._keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


def layer_text(kind: str, config: Any) -> str:
    """A layer in messages, such as `the layer 'dense' (Dense)`."""
    name = config.get("name", "") if isinstance(config, dict) else ""
    return f"the layer {printable(str(name))[:80]!r} ({printable(kind)[:80]})"


def _name(config: dict[str, Any]) -> str | None:
    name = config.get("name")
    return None if name is None else str(name).replace("/", "_")  # Keras 3 refuses slashes


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return printable(lines[0])[:300].rstrip(".")
