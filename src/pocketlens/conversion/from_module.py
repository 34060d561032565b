"""PyTorch modules in memory: classifiers of images, and models from arrays to arrays."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from pocketlens.conversion.array_probes import probe_arrays
from pocketlens.conversion.exporting import frozen_copy
from pocketlens.conversion.quiet import first_line, quiet
from pocketlens.conversion.required import takes_image
from pocketlens.conversion.source_kinds import SourceOptions
from pocketlens.conversion.torch_arrays import TorchArrays
from pocketlens.conversion.torch_images import TorchImages
from pocketlens.conversion.torch_programs import one_row
from pocketlens.conversion.torch_source import TorchSource, image_source
from pocketlens.errors import ConversionError, OptionError
from pocketlens.evaluation.arrays import ArrayInput

__all__ = ["open_module"]


def open_module(model: nn.Module, options: SourceOptions) -> TorchSource | TorchArrays:
    """An `nn.Module` as a source; see `open_source`. It is copied.

    With `inputs`, it takes arrays; with labels, it classifies images; else it takes images.
    """
    network = frozen_copy(model)
    if options.inputs is None:
        silent = options.labels is None and options.input_spec is None and options.takes is None
        if silent or options.takes == "array":
            raise OptionError(
                "what the PyTorch module takes is not known; for images, pass labels and "
                "input_spec; for arrays, pass inputs, such as inputs=[numpy.zeros((1, 3))]"
            )
        if takes_image(options, True, "a PyTorch module") and options.labels is None:
            return TorchImages(network, options, "a PyTorch module")
        return image_source(network, options, "a PyTorch module")
    if options.sizes:
        raise OptionError("a size is for a classifier of images; pass labels, too (--labels)")
    if options.input_spec is not None:
        raise OptionError("pass input_spec for a classifier of images, or inputs for arrays")
    features = _features(network, options.inputs)
    example = [_example(each, given) for each, given in features]
    dynamic = {
        each.name: {
            axis: torch.export.Dim.DYNAMIC
            for axis, size in enumerate(each.shape)
            if not isinstance(size, int)
        }
        for each, _ in features
    }
    with quiet(), torch.no_grad(), fx.traceback.preserve_node_meta():
        try:
            program = torch.export.export(
                network,
                (),
                {each.name: value for (each, _), value in zip(features, example, strict=True)},
                dynamic_shapes=dynamic if any(dynamic.values()) else None,
            )
        except Exception as error:  # the network's own code runs here
            raise ConversionError(
                f"PyTorch cannot export the network: {first_line(error)}; expected a forward that "
                "takes these inputs, without branches that depend on their values; see the guide "
                "of torch.export"
            ) from error
    if options.labels is not None:
        program = one_row(program)
    known = options.labels is None and all(given is not None for _, given in features)
    sizes = {each.name: each.shape for each, _ in features}
    return TorchArrays(program, options, example if known else None, sizes)


def _features(network: nn.Module, inputs: Any) -> list[tuple[ArrayInput, Any]]:
    """The inputs, each with its example if it has one.

    Raises:
        OptionError: They are not arrays or `ArrayInput`s, or not as many as `forward` takes.
    """
    names = [
        name
        for name, each in inspect.signature(network.forward).parameters.items()
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    ]
    if isinstance(inputs, Mapping):
        given = dict(inputs)
    elif isinstance(inputs, Sequence) and not isinstance(inputs, str):
        named = [each.name for each in inputs if isinstance(each, ArrayInput)]
        if len(inputs) > len(names):
            raise OptionError(
                f"inputs has {len(inputs)} arrays, but forward takes {', '.join(names)}"
            )
        given = dict(zip(named if len(named) == len(inputs) else names, inputs, strict=False))
    else:
        given = {names[0]: inputs} if names else {}
    if unknown := [name for name in given if name not in names]:
        raise OptionError(
            f"forward has no parameter {unknown[0]!r}; it takes: {', '.join(names) or 'nothing'}"
        )
    return [(_feature(name, given[name]), _array(given[name])) for name in names if name in given]


def _feature(name: str, given: Any) -> ArrayInput:
    if isinstance(given, ArrayInput):
        return ArrayInput(name, given.shape, given.dtype)
    array = _array(given)
    if array is None or array.dtype.kind not in "iuf":
        raise OptionError(
            f"the input {name!r} is {type(given).__name__}; expected an array of numbers, a tensor "
            "or an ArrayInput(name, shape, dtype)"
        )
    return ArrayInput(name, array.shape, "float32" if array.dtype.kind == "f" else "int32")


def _array(given: Any) -> np.ndarray[Any, Any] | None:
    if isinstance(given, Tensor):
        found: np.ndarray[Any, Any] = given.detach().cpu().numpy()
        return found
    return np.asarray(given) if not isinstance(given, ArrayInput) else None


def _example(feature: ArrayInput, given: Any) -> Tensor:
    """An array for the export; sizes that may change are 2 or more there."""
    if given is None:
        (_, arrays), *_ = probe_arrays([feature])
        given = arrays[feature.name]
    tensor = torch.from_numpy(np.ascontiguousarray(given))
    return tensor.float() if tensor.is_floating_point() else tensor.long()
