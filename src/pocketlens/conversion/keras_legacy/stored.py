"""Keras 2 models as files store them: a configuration and named weights, read without Keras.

An `.h5` file is read with h5py, the `model.json` of TensorFlow.js with its shards of weights. Sizes
are checked before anything is allocated, and nothing of a file is run.
"""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.errors import ConversionError, missing_package, printable
from pocketlens.files import read_limited, size_text

__all__ = ["MAX_CONFIG_BYTES", "MAX_WEIGHT_BYTES", "StoredModel", "Weight", "read_h5", "read_tfjs"]

MAX_WEIGHT_BYTES = 2 * 1024**3
"""The largest model that is read: the bytes of its weights."""

MAX_CONFIG_BYTES = 64 * 1024**2
MAX_WEIGHTS = 100_000


@dataclass(frozen=True)
class Weight:
    """One array of a layer.

    Args:
        path: Names separated by slashes: those of models around it, the layer, and the weight.
        values: The array.
    """

    path: str
    values: NDArray[Any]


@dataclass(frozen=True)
class StoredModel:
    """What a file has.

    Args:
        path: The file.
        config: The configuration of the model: `class_name` and `config`.
        weights: All weights, in the order of the file.
        version: The version of Keras that wrote it, such as `2.4.0`; empty if not known.
    """

    path: Path
    config: dict[str, Any]
    weights: tuple[Weight, ...]
    version: str


def read_h5(path: Path) -> StoredModel:
    """The model in an `.h5` file of Keras 2 or tf.keras.

    Raises:
        ConversionError: It is damaged, too large, or has weights without a model.
        MissingExtraError: h5py is not installed.
    """
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise missing_package(error, purpose="reading an .h5 file") from error
    try:
        with h5py.File(path, "r") as file:
            config = _text(file.attrs.get("model_config"))
            if not config:
                raise ConversionError(
                    f"{path} has weights but no model; save the whole model: "
                    "model.save('model.h5'), not model.save_weights"
                )
            if len(config) > MAX_CONFIG_BYTES:
                raise _too_large(path, f"a configuration of {size_text(len(config))}")
            group = file.get("model_weights", file)
            version = _text(group.attrs.get("keras_version") or file.attrs.get("keras_version"))
            return StoredModel(path, _json(path, config), tuple(_h5_weights(path, group)), version)
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise ConversionError(
            f"{path} cannot be read as an .h5 file of Keras: {printable(str(error))[:200]}; save "
            "or copy it again"
        ) from error


def _h5_weights(path: Path, group: Any) -> list[Weight]:
    import h5py

    found: list[tuple[str, Any]] = []
    total = 0
    for layer in _names(group, "layer_names"):
        if not isinstance(group.get(layer, getlink=True), h5py.HardLink):
            raise ConversionError(
                f"{path}: the weights of {printable(layer)!r} are in another file"
            )
        for name in _names(group[layer], "weight_names"):
            item = group[layer][name]
            if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
                raise ConversionError(f"{path}: the weight {printable(name)!r} is in another file")
            if item.dtype.kind not in "fiu":
                raise ConversionError(f"{path}: the weight {printable(name)!r} is not of numbers")
            total += (item.size or 0) * max(4, item.dtype.itemsize)
            if total > MAX_WEIGHT_BYTES or len(found) >= MAX_WEIGHTS:
                raise _too_large(path, f"weights of more than {size_text(total)}")
            found.append((f"{layer}/{name}", item))
    return [Weight(name, np.asarray(item[()])) for name, item in found]


def _names(group: Any, attribute: str) -> list[str]:
    """A list of names; one that is too long for an attribute is in several, with numbers."""
    if attribute in group.attrs:
        return [_text(name) for name in group.attrs[attribute]]
    names: list[str] = []
    for number in itertools.count():
        if f"{attribute}{number}" not in group.attrs:
            return names
        names += [_text(name) for name in group.attrs[f"{attribute}{number}"]]
    return names


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8")
    return "" if value is None else str(value)


def _json(path: Path, text: str | bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"{path}: its configuration is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ConversionError(f"{path}: its configuration is not that of a model")
    return value


def _too_large(path: Path, what: str) -> ConversionError:
    return ConversionError(f"{path} has {what}; expected at most {size_text(MAX_WEIGHT_BYTES)}")


# --- TensorFlow.js


def read_tfjs(path: Path) -> StoredModel:
    """The model in a `model.json` of TensorFlow.js, with the shards of weights beside it.

    Raises:
        ConversionError: It is damaged, too large, or not a layers model.
    """
    try:
        content = _json(path, read_limited(path, MAX_CONFIG_BYTES))
        topology = content.get("modelTopology")
        if content.get("format") == "graph-model" or not isinstance(topology, dict):
            raise ConversionError(
                f"{path} is a graph model of TensorFlow.js, whose layers are lost; convert the "
                "model that it was made from (.keras or .h5), or a layers model"
            )
        version = str(topology.get("keras_version", ""))
        config = topology.get("model_config", topology)
        if isinstance(config, str):
            config = _json(path, config)
        weights = tuple(_shards(path, content["weightsManifest"]))
        return StoredModel(path, config, weights, version)
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConversionError(
            f"{path} cannot be read as a model of TensorFlow.js: {printable(repr(error))[:200]}; "
            "save it again, with its weights files beside it"
        ) from error


_QUANTIZED = {"uint8": np.uint8, "uint16": np.uint16, "float16": np.float16}
_TYPES = {"float32": np.float32, "int32": np.int32, "uint8": np.uint8, "bool": np.uint8}


def _shards(path: Path, manifest: list[dict[str, Any]]) -> list[Weight]:
    found: list[Weight] = []
    total = 0
    for part in manifest:
        pieces: list[bytes] = []
        for name in map(str, part["paths"]):
            if Path(name).name != name:
                raise ConversionError(f"{path}: the weights {printable(name)!r} are not beside it")
            pieces.append(read_limited(path.parent / name, MAX_WEIGHT_BYTES - total))
            total += len(pieces[-1])
        content = b"".join(pieces)
        at = 0
        for each in part["weights"]:
            quantized = each.get("quantization")
            stored = _QUANTIZED[quantized["dtype"]] if quantized else _TYPES[each["dtype"]]
            shape = tuple(int(size) for size in each["shape"])
            size = math.prod(shape) * np.dtype(stored).itemsize
            if min(shape, default=0) < 0 or at + size > len(content):
                raise ConversionError(
                    f"{path}: its weights have {len(content)} bytes; "
                    f"{printable(str(each['name']))!r} needs {at + size}; copy all files again"
                )
            values = np.frombuffer(content, stored, math.prod(shape), at).reshape(shape)
            if quantized and quantized["dtype"] != "float16":
                values = values.astype(np.float32) * np.float32(quantized["scale"])
                values = values + np.float32(quantized["min"])
            found.append(Weight(str(each["name"]), values))
            at += size
    return found
