"""A PyTorch network from an image to any tensors, as a source of a Core ML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketlens.conversion.exporting import export, input_planes
from pocketlens.conversion.from_torch import image_input
from pocketlens.conversion.quiet import first_line
from pocketlens.conversion.required import required_spec
from pocketlens.conversion.source_kinds import SourceOptions
from pocketlens.conversion.torch_arrays import TorchArrays
from pocketlens.conversion.torch_input import torch_scaling_warning
from pocketlens.conversion.torch_source import disturbed, several_sizes
from pocketlens.errors import ConversionError
from pocketlens.evaluation.arrays import Arrays

__all__ = ["NamedOutputs", "TorchImages"]


class TorchImages(TorchArrays):
    """A network from `pixel * scale + bias`, `(1, C, H, W)`, to one or several tensors.

    Args:
        network: On the CPU, in evaluation mode.
        options: What is said about it, with an InputSpec.
        what: How it is called in messages.

    Raises:
        OptionError: The InputSpec is missing.
        ConversionError: It cannot process such images, or cannot be exported.
    """

    def __init__(self, network: nn.Module, options: SourceOptions, what: str) -> None:
        spec = required_spec(options, what)
        self.network = network
        sizes = several_sizes(options.sizes, spec)
        super().__init__(export(network, spec, any_size=bool(sizes)), SourceOptions())
        self.take_images(spec, sizes)
        if warning := torch_scaling_warning(self.exported, spec):
            self.warnings = (warning,)

    def _outputs(self, arrays: Arrays, seed: int | None = None) -> list[NDArray[Any]]:
        assert self.input_spec is not None
        (images,) = arrays.values()
        planes = torch.from_numpy(self.input_spec.network_input(images))
        with torch.no_grad():
            try:
                if seed is None:
                    found = self.network(planes)
                else:
                    with disturbed(self.network, seed):
                        found = self.network(planes)
            except Exception as error:  # the network's own code runs here
                raise ConversionError(
                    f"the network cannot process images of shape {tuple(planes.shape[1:])} "
                    f"(channels, height, width): {first_line(error)}; expected an InputSpec that "
                    "fits the network"
                ) from error
        values = found.values() if isinstance(found, Mapping) else found
        listed = [values] if isinstance(values, Tensor) else list(values)
        return [np.asarray(each.detach().cpu()) for each in listed]

    def tensors(self, arrays: Arrays) -> list[Tensor]:
        """The image as the exported program takes it."""
        assert self.input_spec is not None
        (images,) = arrays.values()
        return [input_planes(self.input_spec, images[0])]

    def core_ml_inputs(self, ct: Any) -> list[Any]:
        """The image in terms of coremltools."""
        assert self.input_spec is not None
        return [image_input(ct, self.input_spec, self.sizes)]


class NamedOutputs(nn.Module):
    """A network whose outputs have names."""

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.names = list(names)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """The outputs by name."""
        found = self.network(image)
        values = [found] if isinstance(found, Tensor) else list(found)
        return dict(zip(self.names, values, strict=True))
