"""A PyTorch network that classifies images, as a source of a Core ML file."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pocketlens.conversion.differences import first_difference, first_overflow
from pocketlens.conversion.endings import ending_of
from pocketlens.conversion.exporting import (
    append,
    core_ops,
    export,
    frozen_copy,
    input_planes,
    undefined_order,
)
from pocketlens.conversion.from_torch import (
    classified,
    image_input,
    outputs_of,
    to_core_ml,
)
from pocketlens.conversion.labels import read_labels
from pocketlens.conversion.metadata import IMAGE_FEATURE
from pocketlens.conversion.package import Format
from pocketlens.conversion.places import place_in
from pocketlens.conversion.probes import noise_images
from pocketlens.conversion.required import reject_own, required
from pocketlens.conversion.source_kinds import ImageSource, Precision, SourceOptions
from pocketlens.conversion.torch_input import torch_scaling_warning
from pocketlens.coreml import CoreMLModel
from pocketlens.errors import ConversionError, OptionError
from pocketlens.heads import Head, find_head, probabilities_of
from pocketlens.image import InputSpec
from pocketlens.prediction import Thresholds

__all__ = ["TorchSource", "disturbed", "image_source", "open_recognizer"]


class TorchSource(ImageSource):
    """A network from `pixel * scale + bias`, `(N, C, H, W)`, to scores of classes `(N, K)`.

    Args:
        network: On the CPU, in evaluation mode.
        head: What its outputs are.
        labels: The class names.
        input_spec: How an image becomes its input.
        temperature: Divides logits.
        thresholds: When a label is shown; None: not said.
        program: The network as `exporting.export` makes it, if that is done already.
        sizes: All sizes that the image may have, (height, width), if there are several.
    """

    def __init__(
        self,
        network: nn.Module,
        head: Head,
        labels: Sequence[str],
        input_spec: InputSpec,
        *,
        temperature: float = 1.0,
        thresholds: Thresholds | None = None,
        program: torch.export.ExportedProgram | None = None,
        sizes: Sequence[tuple[int, int]] = (),
    ) -> None:
        super().__init__(labels, input_spec, head, thresholds)
        self.sizes = several_sizes(sizes, input_spec)
        self.network = network
        self.temperature = temperature
        self._exported = program
        self._program: torch.export.ExportedProgram | None = None

    def of_size(self, size: tuple[int, int]) -> TorchSource:
        """The same network for images of another of its sizes, (height, width)."""
        other = copy.copy(self)
        other._input_spec = replace(self.input_spec, height=size[0], width=size[1])
        return other

    def with_input(self, *, labels: Sequence[str] | None = None, **values: Any) -> Self:
        """A copy that shares the network; see `Predictor.with_input`."""
        other = super().with_input(labels=labels, **values)
        other._exported = other._program = None
        return other

    @property
    def program(self) -> torch.export.ExportedProgram:
        """The network in core ops, followed by the head: to probabilities `(1, K)`."""
        if self._program is None:
            program = self._exported or export(
                self.network, self.input_spec, any_size=bool(self.sizes)
            )
            self._program = append(core_ops(program), classified(self.head, self.temperature))
            if warning := undefined_order(self._program):
                self.warnings = (*self.warnings, warning)
        return self._program

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities `(N, K)` as PyTorch computes them, one image at a time."""
        if not len(images):
            return np.empty((0, len(self.classes)), np.float32)
        outputs = outputs_of(self.network, images, self.input_spec)
        if self.head in ("logits", "logit"):
            outputs = outputs / np.float32(self.temperature)
        return probabilities_of(outputs, self.head)

    def to_core_ml(
        self,
        *,
        format: Format,  # noqa: A002 - the word of the command line
        precision: Precision,
        folder: Path,
    ) -> tuple[Any, Path | None]:
        """See `from_torch.to_core_ml`."""
        return to_core_ml(
            self.program,
            lambda ct: [image_input(ct, self.input_spec, self.sizes)],
            labels=self.classes,
            format=format,
            precision=precision,
            folder=folder,
        )

    def place(self, op: str) -> str:
        """The layer and the line of an op of the Core ML file."""
        return place_in(self.program, op)

    def moved(self, images: NDArray[np.uint8], seed: int) -> NDArray[np.float32]:
        """The probabilities with each weight and each pixel changed by a rounding error."""
        with disturbed(self.network, seed):
            return TorchSource.probabilities(self, images)

    def first_difference(
        self, model: CoreMLModel, image: NDArray[np.uint8], probabilities: NDArray[np.float32]
    ) -> str:
        """The first op whose tensor differs, and its layer."""
        planes = input_planes(self.input_spec, image)
        return first_difference(
            self.program,
            model,
            [planes],
            {model.interface.inputs[0].name: image},
            [probabilities],
        )

    def first_overflow(self, model: CoreMLModel, image: NDArray[np.uint8]) -> str:
        """The op after which a value is not finite, and its layer."""
        return first_overflow(model, {IMAGE_FEATURE: image}, self.program)


def several_sizes(
    sizes: Sequence[tuple[int, int]], input_spec: InputSpec
) -> tuple[tuple[int, int], ...]:
    """The sizes of an image if there are several; the one of the InputSpec is the usual one.

    Raises:
        OptionError: A size is not positive, or that of the InputSpec is not among them.
    """
    found = tuple(dict.fromkeys(sizes))
    if len(found) < 2:
        return ()
    usual = (input_spec.height, input_spec.width)
    if usual not in found or min(min(size) for size in found) < 1:
        raise OptionError(
            f"sizes are {', '.join(f'{height}x{width}' for height, width in found)}; expected "
            f"positive numbers, and the size of the InputSpec, {usual[0]}x{usual[1]}, among them"
        )
    return found


def image_source(network: nn.Module, options: SourceOptions, what: str) -> TorchSource:
    """A network, on the CPU and in evaluation mode, that classifies images, as a source.

    Raises:
        OptionError: The labels or the InputSpec are missing.
        ConversionError: It is not a classifier of such images, or cannot be exported.
    """
    labels, input_spec = required(options, what)
    outputs = outputs_of(network, noise_images(input_spec), input_spec)
    sizes = several_sizes(options.sizes, input_spec)
    program = export(network, input_spec, any_size=bool(sizes))
    head = find_head(outputs, ending_of(program), labels, "the network", options.head)
    source = TorchSource(network, head, labels, input_spec, program=program, sizes=sizes)
    if warning := torch_scaling_warning(program, input_spec):
        source.warnings = (warning,)
    return source


def open_recognizer(model: Any, options: SourceOptions) -> TorchSource:
    """A Recognizer as a source: its `network` returns logits, which its `temperature` divides.

    Raises:
        ConversionError: The temperature is not a number above 0, or the outputs do not fit.
    """
    reject_own(options, "a Recognizer")
    temperature = model.temperature
    if not (
        isinstance(temperature, (int, float)) and math.isfinite(temperature) and temperature > 0
    ):
        raise ConversionError(
            f"the temperature of the Recognizer is {temperature!r}; expected a number above 0"
        )
    names = read_labels(model.classes)
    network = frozen_copy(model.network)
    outputs = outputs_of(network, noise_images(model.input_spec), model.input_spec)
    head = find_head(outputs, "linear", names, "the network")
    return TorchSource(
        network,
        head,
        names,
        model.input_spec,
        temperature=float(temperature),
        thresholds=model.thresholds,
    )


@contextmanager
def disturbed(network: nn.Module, seed: int) -> Iterator[None]:
    """Within: each weight is changed by a rounding error, as is each pixel."""
    random = torch.Generator().manual_seed(seed)

    def shaken(value: torch.Tensor) -> torch.Tensor:
        if not value.is_floating_point():
            return value
        return value * (1 + 3e-7 * torch.randn(value.shape, generator=random))

    def shake_input(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return tuple(map(shaken, inputs))

    weights = {
        id(each): each
        for each in (*network.parameters(), *network.buffers())
        if each.is_floating_point()
    }
    before = [each.detach().clone() for each in weights.values()]
    hook = network.register_forward_pre_hook(shake_input)
    try:
        for each in weights.values():
            each.data.copy_(shaken(each.data))
        yield
    finally:
        hook.remove()
        for each, old in zip(weights.values(), before, strict=True):
            each.data.copy_(old)
