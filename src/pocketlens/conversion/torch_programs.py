"""Exported programs as modules, and with a batch of one row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export.graph_signature import OutputKind

from pocketlens.conversion.array_probes import probe_arrays
from pocketlens.conversion.exporting import ByName, all_inputs
from pocketlens.conversion.quiet import first_line, quiet
from pocketlens.conversion.torch_arrays import program_inputs
from pocketlens.errors import ConversionError
from pocketlens.evaluation.arrays import ArrayInput

__all__ = ["ProgramNetwork", "one_row"]


class ProgramNetwork(nn.Module):
    """A program as a module of the same inputs, one after another."""

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        super().__init__()
        self.inner = program.graph_module
        specs = program.graph_signature.input_specs
        self._given = [spec.target is None for spec in specs]
        inputs = all_inputs(program, [torch.empty(0)] * sum(self._given))
        values = [each for each, given in zip(inputs, self._given, strict=True) if not given]
        self.values = nn.ParameterList(nn.Parameter(each.data, False) for each in values)
        kinds = [spec.kind for spec in program.graph_signature.output_specs]
        self._outputs = [at for at, kind in enumerate(kinds) if kind == OutputKind.USER_OUTPUT]

    def forward(self, *given: Tensor) -> Any:
        """The output of the program; if it has several, a tuple."""
        inputs, values = iter(given), iter(self.values)
        results = fx.Interpreter(self.inner).run(
            *(next(inputs) if each else next(values) for each in self._given)
        )
        outputs = tuple(results[at] for at in self._outputs)
        return outputs[0] if len(outputs) == 1 else outputs


class _Named(nn.Module):
    """A network that takes its inputs by name."""

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, list(names)

    def forward(self, **inputs: Tensor) -> Any:
        """The outputs of the network."""
        return self.network(*(inputs[name] for name in self.names))


def one_row(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The program for a batch of one row, if it takes a batch of any size.

    A classifier of Core ML returns one label.

    Raises:
        ConversionError: It cannot be exported so.
    """
    inputs = program_inputs(program)
    if not any(0 in each.limits for each in inputs):
        return program
    features = [
        ArrayInput(each.feature.name, (1, *each.feature.shape[1:]), each.feature.dtype)
        for each in inputs
    ]
    (_, arrays), *_ = probe_arrays(features)
    example = {
        each.feature.name: torch.from_numpy(arrays[each.feature.name]).to(each.dtype)
        for each in inputs
    }
    dynamic = {
        each.feature.name: {axis: torch.export.Dim.DYNAMIC for axis in each.limits if axis > 0}
        for each in inputs
    }
    network = ByName(_Named(ProgramNetwork(program), list(example)), list(example)).eval()
    with quiet(), torch.no_grad(), fx.traceback.preserve_node_meta():
        try:
            return torch.export.export(network, (), example, dynamic_shapes=dynamic)
        except Exception as error:  # PyTorch raises exceptions of any type
            raise ConversionError(
                f"PyTorch cannot export the network for one row: {first_line(error)}; export it "
                "with an example of one row"
            ) from error
