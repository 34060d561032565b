"""A Keras 3 model from arrays to arrays, as a source of a Core ML file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from pocketlens.conversion.array_probes import probe_arrays
from pocketlens.conversion.exporting import ByName
from pocketlens.conversion.from_keras import _import_keras, arranged, layout_of
from pocketlens.conversion.keras_network import KerasNetwork
from pocketlens.conversion.probes import noise_images
from pocketlens.conversion.quiet import first_line, quiet
from pocketlens.conversion.source_kinds import SourceOptions
from pocketlens.conversion.torch_arrays import TorchArrays
from pocketlens.errors import ConversionError, OptionError
from pocketlens.evaluation.arrays import ArrayInput, Arrays
from pocketlens.image import InputSpec

__all__ = ["KerasArrays", "image_network"]


class KerasArrays(TorchArrays):
    """A Keras model; `run` is Keras itself, and PyTorch's export of it is converted.

    Its inputs and outputs have the names that they have in Keras. They take one row at a time, of
    any size where Keras takes any; `inputs` may say it otherwise.

    Args:
        model: The model, on the CPU.
        options: What is said about it.

    Raises:
        ConversionError: It is not known what it takes, or it cannot be exported.
    """

    def __init__(self, model: Any, options: SourceOptions) -> None:
        features = _features(model, options.inputs)
        network = _Network(model, [each.name for each in features])
        (_, arrays), *_ = probe_arrays(features)
        example = {name: torch.from_numpy(array) for name, array in arrays.items()}
        example = {k: v.long() if v.dtype == torch.int32 else v for k, v in example.items()}
        dynamic = {
            each.name: {
                axis: torch.export.Dim.DYNAMIC
                for axis, size in enumerate(each.shape)
                if not isinstance(size, int)
            }
            for each in features
        }
        with quiet(), torch.no_grad(), fx.traceback.preserve_node_meta():
            try:
                network.keras.find_inert_layers(**example)
                program = torch.export.export(
                    ByName(network, list(example)).eval(),
                    (),
                    example,
                    dynamic_shapes=dynamic if any(dynamic.values()) else None,
                )
            except Exception as error:  # the model's own code runs here
                note = "".join(f" {each}" for each in getattr(error, "__notes__", ())[:1])
                raise ConversionError(
                    f"PyTorch cannot export the Keras model{note}: {first_line(error)}"
                    f"{_fixed_sizes(features)}"
                ) from error
        self.network = network
        super().__init__(program, options, sizes={each.name: each.shape for each in features})

    def _outputs(self, arrays: Arrays, seed: int | None = None) -> list[NDArray[Any]]:
        if seed is not None:
            return super()._outputs(arrays, seed)
        tensors = self.tensors(arrays)
        named = dict(zip((each.name for each in self.inputs), tensors, strict=True))
        with torch.no_grad():
            try:
                outputs = self.network(**named)
            except Exception as error:  # the model's own code runs here
                raise ConversionError(
                    f"the Keras model cannot process these arrays: {first_line(error)}"
                ) from error
        return [each.detach().cpu().numpy() for each in outputs.values()]


def image_network(model: Any, input_spec: InputSpec) -> nn.Module:
    """A network from planes `(N, C, H, W)` to the outputs of a model by name.

    Raises:
        ConversionError: The input of the model is not an image that fits the InputSpec.
    """
    network = _Outputs(model, partial(arranged, layout=layout_of(model, input_spec)))
    noise = input_spec.network_input(noise_images(input_spec, 1))
    network.keras.find_inert_layers(torch.from_numpy(noise))
    return network.eval()


class _Outputs(nn.Module):
    """The model with outputs by name."""

    def __init__(self, model: Any, arrange: Callable[..., Any]) -> None:
        super().__init__()
        self.keras = KerasNetwork(_import_keras(), model, arrange)
        self._names = [_plain(name) for name in getattr(model, "output_names", None) or []]

    def forward(self, *given: Tensor, **inputs: Tensor) -> dict[str, Tensor]:
        """The outputs by name."""
        result = self.keras(*given, **inputs)
        if isinstance(result, Mapping):
            return {_plain(name): value for name, value in result.items()}
        values = list(result) if isinstance(result, (list, tuple)) else [result]
        names = self._names
        if len(names) != len(values) or len(set(names)) < len(names):
            names = [f"output_{n}" for n in range(len(values))] if len(values) > 1 else ["output"]
        return dict(zip(names, values, strict=True))


class _Network(_Outputs):
    """The model with inputs and outputs by name."""

    def __init__(self, model: Any, names: list[str]) -> None:
        structure = getattr(model, "input", None)  # a tensor, or several in some structure
        single = not isinstance(structure, (list, tuple, dict))

        def structured(**inputs: Tensor) -> Any:
            if isinstance(structure, Mapping):  # by its own keys, in any order
                return {key: inputs[_plain(each.name)] for key, each in structure.items()}
            values = [inputs[name] for name in names]
            return values[0] if single and len(values) == 1 else values

        super().__init__(model, structured)


def _features(model: Any, given: Any) -> list[ArrayInput]:
    """The inputs: those that are given, else those of the model, with a batch of 1."""
    own = getattr(model, "inputs", None)
    if given is None and not own:
        raise OptionError(
            "what the Keras model takes is not known, as it is a subclass or not built yet; pass "
            "inputs, such as inputs={'x': numpy.zeros((1, 3))}"
        )
    names = [_plain(each.name) for each in own or ()]
    if given is None:
        return [
            ArrayInput(name, (1, *each.shape[1:]), _dtype(name, each.dtype))
            for name, each in zip(names, own or (), strict=True)
        ]
    items = dict(given) if isinstance(given, Mapping) else None
    if items is None:
        values = list(given) if isinstance(given, (list, tuple)) else [given]
        named = [each.name for each in values if isinstance(each, ArrayInput)]
        names = (
            named
            if len(named) == len(values)
            else names or [f"x{number}" for number in range(len(values))]
        )
        items = dict(zip(names, values, strict=False))
    if own and sorted(items) != sorted(_plain(each.name) for each in own):
        raise OptionError(
            f"inputs are {', '.join(map(str, items))}; the Keras model takes: "
            f"{', '.join(_plain(each.name) for each in own)}"
        )
    types = {_plain(each.name): _dtype(each.name, each.dtype) for each in own or ()}
    return [_feature(str(name), value, types.get(str(name))) for name, value in items.items()]


def _fixed_sizes(features: list[ArrayInput]) -> str:
    """What to do about inputs of any size, as the end of an error; "" without any."""
    open_ones = [each for each in features if None in each.shape]
    if not open_ones:
        return ""
    shown = "; ".join(f"{each.name} {each.expected}" for each in open_ones)
    sizes = ",".join(str(size or 20) for size in open_ones[0].shape)
    return (
        f"; its inputs have open sizes ({shown}), and recurrent layers, which Keras runs step by "
        "step, need a fixed one; give them a fixed one, in Python: pocketlens.convert(model, path, "
        f"inputs={{'{open_ones[0].name}': numpy.zeros(({sizes}))}}), on the command line: "
        f"--shape {open_ones[0].name}={sizes}"
    )


def _feature(name: str, value: Any, dtype: str | None) -> ArrayInput:
    """An input as it is given; of a shape alone, the model says the type."""
    if isinstance(value, ArrayInput):
        return ArrayInput(name, value.shape, dtype or value.dtype)
    array = np.asarray(value)
    return ArrayInput(name, array.shape, _dtype(name, str(array.dtype)))


def _dtype(name: str, dtype: str) -> str:
    if dtype.startswith(("float", "bfloat")):
        return "float32"
    if dtype.startswith(("int", "uint")):
        return "int32"
    raise ConversionError(
        f"the input {name!r} of the Keras model has the type {dtype}; expected numbers"
    )


def _plain(name: Any) -> str:
    """A name that Core ML and PyTorch allow."""
    text = re.sub(r"\W", "_", str(name))
    return f"_{text}" if text[:1].isdigit() else text
