"""A source as the exported program of a Core AI model: the whole way from pixels to probabilities.

A Core AI model has no image inputs and no preprocessing, so scale, bias and color order are part of
the network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from pocketlens.conversion.core_ai.decompositions import in_known_ops
from pocketlens.conversion.core_ai.lowerings import lower_for_core_ai
from pocketlens.conversion.exporting import export
from pocketlens.conversion.from_torch import classified
from pocketlens.conversion.quiet import first_line, quiet
from pocketlens.conversion.torch_arrays import TorchArrays
from pocketlens.conversion.torch_images import TorchImages
from pocketlens.conversion.torch_programs import ProgramNetwork
from pocketlens.conversion.torch_source import TorchSource
from pocketlens.coreai.asset import IMAGE_INPUT, PROBABILITIES_OUTPUT
from pocketlens.errors import ConversionError
from pocketlens.image import InputSpec

__all__ = ["CoreAIProgram", "core_ai_program"]

HALF_MAX = 65504.0
"""The largest number of float16."""


@dataclass(frozen=True)
class CoreAIProgram:
    """An exported program, in ops that Apple's converter takes, with the names of its features."""

    program: torch.export.ExportedProgram
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def core_ai_program(source: Any, *, half: bool) -> CoreAIProgram:
    """The program of a source.

    Args:
        source: A PyTorch or Keras network: `TorchSource` or `TorchArrays`.
        half: Compute the network in float16. Pixels are scaled, and probabilities computed, in
            float32 in any case.

    Raises:
        ConversionError: It is another kind of source, has inputs of any size, or PyTorch cannot
            export it.
    """
    if not isinstance(source, (TorchSource, TorchArrays)):
        raise ConversionError(
            "a Core AI model is made of a PyTorch or Keras network only; expected a Recognizer, a "
            "PyTorch module, a .pt2 or .keras file; or use --format mlpackage"
        )
    if source.sizes or any(not isinstance(s, int) for each in _shapes(source) for s in each):
        raise ConversionError(
            "a Core AI model is made for one size only; leave out the other sizes, or use --format "
            "mlpackage"
        )
    network = _network(source, half=half)
    examples = _examples(source)
    with quiet(), torch.no_grad(), fx.traceback.preserve_node_meta():
        try:
            program = in_known_ops(torch.export.export(network, examples))
        except Exception as error:  # PyTorch raises exceptions of any type
            reason = "in float16: use --precision float32, or " if half else ""
            raise ConversionError(
                f"PyTorch cannot export the network for Core AI: {first_line(error)}; {reason}"
                "use --format mlpackage"
            ) from error
    if isinstance(source, TorchSource):
        return CoreAIProgram(program, (IMAGE_INPUT,), (PROBABILITIES_OUTPUT,))
    outputs = (PROBABILITIES_OUTPUT,) if source.head is not None else source.outputs
    return CoreAIProgram(program, tuple(each.name for each in source.inputs), outputs)


def _shapes(source: TorchSource | TorchArrays) -> list[tuple[Any, ...]]:
    return [] if isinstance(source, TorchSource) else [each.shape for each in source.inputs]


class _Network(nn.Module):
    """A network between the inputs and the outputs of the file.

    Args:
        network: Takes what `before` returns, returns one or several tensors.
        before: From the inputs of the file.
        after: From each output of the network.
    """

    def __init__(
        self,
        network: nn.Module,
        before: Sequence[nn.Module],
        after: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__()
        self.network = network
        self.before = nn.ModuleList(before)
        self.after = after

    def forward(self, *inputs: Tensor) -> Any:
        """The outputs, in order."""
        given = [module(each) for module, each in zip(self.before, inputs, strict=True)]
        found = self.network(*given)
        values = found.values() if isinstance(found, dict) else found
        listed = [values] if isinstance(values, Tensor) else list(values)
        return tuple(self.after(each) for each in listed)


class _Planes(nn.Module):
    """From pixels `(1, H, W, C)` uint8, gray or RGB, to planes `(1, C, H, W)` as in the spec."""

    scale: Tensor
    bias: Tensor

    def __init__(self, spec: InputSpec, dtype: torch.dtype) -> None:
        super().__init__()
        self.flips, self.dtype = spec.color == "bgr", dtype
        for name in ("scale", "bias"):
            values = torch.tensor(getattr(spec, name), dtype=torch.float32).reshape(1, -1, 1, 1)
            self.register_buffer(name, values)

    def forward(self, pixels: Tensor) -> Tensor:
        """The planes."""
        planes = pixels.to(torch.float32).permute(0, 3, 1, 2).contiguous()
        if self.flips:
            planes = planes.flip(1)
        return (planes * self.scale + self.bias).to(self.dtype)


class _Cast(nn.Module):
    """To another type."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        """The same numbers."""
        return x.to(self.dtype)


def _network(source: TorchSource | TorchArrays, *, half: bool) -> nn.Module:
    kind = torch.float16 if half else torch.float32
    head = classified(source.head, _temperature(source)) if source.head is not None else None

    def after(x: Tensor) -> Tensor:
        x = x.float() if x.dtype == torch.float16 else x
        return x if head is None else head(x)

    before: list[nn.Module]
    if isinstance(source, (TorchSource, TorchImages)):
        spec = source.input_spec
        assert spec is not None
        before = [_Planes(spec, kind)]
        inner = export(source.network, spec.with_values(scale=1.0, bias=0.0))
    else:
        before = [
            _Cast(kind if each.dtype == torch.float32 else each.dtype)
            for each in source.program_inputs
        ]
        inner = source.exported
    with quiet(), torch.no_grad():
        inner = in_known_ops(inner)
        lower_for_core_ai(inner)
    network = ProgramNetwork(inner)
    if half:
        _halve(network)
    return _Network(network, before, after).eval()


def _temperature(source: TorchSource | TorchArrays) -> float:
    return source.temperature if isinstance(source, TorchSource) else 1.0


def _examples(source: TorchSource | TorchArrays) -> tuple[Tensor, ...]:
    if isinstance(source, TorchSource):
        return (torch.zeros((1, *source.input_spec.shape), dtype=torch.uint8),)
    made = []
    for each in source.inputs:
        shape = [size for size in each.shape if isinstance(size, int)]
        made.append(torch.zeros(shape, dtype=getattr(torch, each.dtype)))
    return tuple(made)


def _halve(network: ProgramNetwork) -> None:
    """Make a program compute in float16: its weights, and the tensors that it creates."""
    for each in network.values.parameters():
        if each.dtype == torch.float32:
            each.data = each.data.clamp(-HALF_MAX, HALF_MAX).half()
    for name, buffer in network.inner.named_buffers():
        if buffer.dtype == torch.float32:
            module = network.inner.get_submodule(name.rpartition(".")[0])
            module.register_buffer(name.rpartition(".")[2], buffer.half())

    def narrower(value: Any) -> Any:
        if value is torch.float32:
            return torch.float16
        if type(value) is float and HALF_MAX < abs(value) < float("inf"):
            return HALF_MAX if value > 0 else -HALF_MAX
        return value

    for node in network.inner.graph.nodes:
        if node.op == "call_function":
            node.args = _mapped(narrower, node.args)
            node.kwargs = _mapped(narrower, node.kwargs)
    network.inner.recompile()


def _mapped(function: Callable[[Any], Any], values: Any) -> Any:
    return fx.node.map_aggregate(values, function)
