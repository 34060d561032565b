"""Write a Keras 3 model as Keras 2.x and TensorFlow.js wrote theirs: the layout of their files.

The fields and their order are those that tf.keras 2.4 to 2.15 put into `model_config`, and that
`saveWeights` of TensorFlow.js puts into `model.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

__all__ = ["config_of", "weights_of", "write_h5", "write_tfjs"]

_UNKNOWN_TO_2 = ("build_config", "registered_name", "module", "seed", "synchronized", "optional")


def config_of(model: Any) -> dict[str, Any]:
    """The `class_name` and `config` of a model."""
    if type(model).__name__ == "Sequential":
        layers = [_layer(each) for each in model.layers]
        shape = [None, *model.input_shape[1:]]
        if "layers" not in layers[0]["config"]:
            layers[0]["config"]["batch_input_shape"] = shape
        return {"class_name": "Sequential", "config": {"name": model.name, "layers": layers}}
    layers = []
    for layer in model.layers:
        stored = _layer(layer)
        nodes = [
            [[*_history(tensor), {}] for tensor in node.input_tensors]
            for node in layer._inbound_nodes
            if not node.is_input
            and all(
                each._keras_history.operation in model.operations for each in node.input_tensors
            )
        ]
        layers.append({**stored, "name": stored["config"]["name"], "inbound_nodes": nodes})
    return {
        "class_name": "Functional",
        "config": {
            "name": model.name,
            "layers": layers,
            "input_layers": [_history(each) for each in model.inputs],
            "output_layers": [_history(each) for each in model.outputs],
        },
    }


def _history(tensor: Any) -> list[Any]:
    history = tensor._keras_history
    return [_name(history.operation), history.node_index, history.tensor_index]


def _name(layer: Any) -> str:
    return str(layer.name).replace("__", "/")


def _layer(layer: Any) -> dict[str, Any]:
    kind = type(layer).__name__
    if kind in ("Sequential", "Functional"):
        return config_of(layer)
    config = {
        key: _old(value) for key, value in layer.get_config().items() if key not in _UNKNOWN_TO_2
    }
    config |= {"name": _name(layer), "dtype": "float32", "trainable": True}
    if kind == "InputLayer":
        config["batch_input_shape"] = [None, *config.pop("batch_shape")[1:]]
        config |= {"sparse": False, "ragged": False}
    if kind == "BatchNormalization":
        config["axis"] = [config["axis"] % len(layer.input.shape)]
    if kind == "DepthwiseConv2D":
        config |= {"groups": 1, "kernel_initializer": {"class_name": "Zeros", "config": {}}}
    if kind == "LeakyReLU":
        config["alpha"] = config.pop("negative_slope")
    if kind in ("LSTM", "GRU", "SimpleRNN"):
        config |= {"time_major": False, "implementation": 2}
    return {"class_name": kind, "config": config}


def _old(value: Any) -> Any:
    if isinstance(value, dict) and "class_name" in value:
        config = value["config"]
        if isinstance(config, dict):
            config = {k: _old(v) for k, v in config.items() if k not in _UNKNOWN_TO_2}
        return {"class_name": value["class_name"], "config": config}
    return list(map(_old, value)) if isinstance(value, (list, tuple)) else value


def weights_of(layer: Any) -> list[tuple[str, np.ndarray[Any, Any]]]:
    """The weights of a layer, or of all layers inside a model: trainable ones first."""
    found = []
    for kind in ("trainable_weights", "non_trainable_weights"):
        for each in _leaves(layer):
            for variable in getattr(each, kind):
                name = variable.name
                if type(each).__name__ == "DepthwiseConv2D" and name == "kernel":
                    name = "depthwise_kernel"
                inside = variable.path.rpartition(f"{each.name}/")[2].rpartition("/")[0]
                if type(each).__name__ == "Bidirectional":
                    inside = variable.path.partition("/")[2].rpartition("/")[0]
                path = f"{_name(each)}/{inside}/{name}" if inside else f"{_name(each)}/{name}"
                found.append((path, np.asarray(variable.numpy())))
    return found


def _leaves(layer: Any) -> list[Any]:
    if type(layer).__name__ in ("Sequential", "Functional"):
        return [leaf for each in layer.layers for leaf in _leaves(each)]
    return [layer]


def write_h5(path: Path, model: Any, config: dict[str, Any] | None = None) -> Path:
    """An `.h5` file as `model.save` of tf.keras 2.4 writes it."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = b"2.4.0"
        file.attrs["backend"] = b"tensorflow"
        file.attrs["model_config"] = json.dumps(config or config_of(model)).encode()
        group = file.create_group("model_weights")
        layers = model.layers
        group.attrs["layer_names"] = [_name(each).encode() for each in layers]
        group.attrs["keras_version"] = b"2.4.0"
        for layer in layers:
            own = group.create_group(_name(layer))
            weights = weights_of(layer)
            own.attrs["weight_names"] = [f"{name}:0".encode() for name, _ in weights]
            for name, values in weights:
                own.create_dataset(f"{name}:0", data=values)
    return path


def write_tfjs(
    folder: Path, model: Any, metadata: dict[str, Any] | None = None, shard: int = 4096
) -> Path:
    """`model.json`, the shards of weights and `metadata.json`, as TensorFlow.js writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = weights_of(model)
    content = b"".join(values.astype("<f4").tobytes() for _, values in weights)
    names = []
    for number, at in enumerate(range(0, len(content), shard)):
        names.append("weights.bin" if shard >= len(content) else f"weights{number}.bin")
        (folder / names[-1]).write_bytes(content[at : at + shard])
    listed = [
        {"name": name, "shape": list(values.shape), "dtype": "float32"} for name, values in weights
    ]
    described = {
        "modelTopology": {**config_of(model), "keras_version": "tfjs-layers 1.3.1"},
        "weightsManifest": [{"paths": names, "weights": listed}],
    }
    (folder / "model.json").write_text(json.dumps(described))
    if metadata is not None:
        (folder / "metadata.json").write_text(json.dumps(metadata))
    return folder / "model.json"
