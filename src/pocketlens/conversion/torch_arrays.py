"""A PyTorch program from arrays to arrays, as a source of a Core ML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx
from torch.export.graph_signature import InputKind, OutputKind, TensorArgument

from pocketlens.conversion.array_probes import Probe
from pocketlens.conversion.differences import first_difference
from pocketlens.conversion.endings import ending_of
from pocketlens.conversion.exporting import all_inputs, append, core_ops, undefined_order
from pocketlens.conversion.from_torch import classified, to_core_ml
from pocketlens.conversion.metadata import LABEL_FEATURE, PROBABILITIES_FEATURE
from pocketlens.conversion.package import Format
from pocketlens.conversion.places import place_in
from pocketlens.conversion.quiet import first_line
from pocketlens.conversion.source_kinds import ArraySource, Precision, SourceOptions
from pocketlens.coreml import CoreMLModel
from pocketlens.errors import ConversionError, OptionError
from pocketlens.evaluation.arrays import ArrayInput, Arrays, Size
from pocketlens.heads import Head, find_head, probabilities_of

__all__ = ["ProgramInput", "TorchArrays", "outputs_of_program", "program_inputs"]

MOST = 1024
"""The largest size of a dimension of any size, where the program gives no limit."""

_CORE_ML_TYPES = {
    torch.float32: "float32",
    torch.int32: "int32",
    torch.int64: "int32",
}
"""Of an input, what Core ML has for it."""


@dataclass(frozen=True)
class ProgramInput:
    """An input of an exported program.

    Args:
        feature: Its name, shape and type in the Core ML file.
        dtype: Its type in the program.
        limits: The smallest and largest size of each dimension of any size, by its index.
    """

    feature: ArrayInput
    dtype: torch.dtype
    limits: dict[int, tuple[int, int]]


def program_inputs(program: torch.export.ExportedProgram) -> tuple[ProgramInput, ...]:
    """The inputs of a program.

    Raises:
        ConversionError: One of them is not a tensor of float32, int32 or int64.
    """
    nodes = {node.name: node for node in program.graph.find_nodes(op="placeholder")}
    found = []
    for spec in program.graph_signature.input_specs:
        if spec.kind != InputKind.USER_INPUT:
            continue
        name = spec.arg.name
        value = nodes[name].meta.get("val")
        if not isinstance(spec.arg, TensorArgument) or not isinstance(value, Tensor):
            raise ConversionError(
                f"the input {name!r} of the network is not a tensor; expected tensors only; give "
                "it a fixed value inside forward"
            )
        if value.dtype not in _CORE_ML_TYPES:
            raise ConversionError(
                f"the input {name!r} has the type {value.dtype}; Core ML has float32 and int32 "
                "arrays; convert it inside forward, or call network.float() before the export"
            )
        found.append(_input(program, name, value))
    return tuple(found)


def _input(program: torch.export.ExportedProgram, name: str, value: Tensor) -> ProgramInput:
    limits: dict[int, tuple[int, int]] = {}
    for axis, size in enumerate(value.shape):
        if not isinstance(size, int):
            known = program.range_constraints.get(size.node.expr)
            high = getattr(known, "upper", None)
            limits[axis] = (1, int(high) if high is not None and high < 2**31 else MOST)
    shape = tuple(None if axis in limits else int(size) for axis, size in enumerate(value.shape))
    return ProgramInput(ArrayInput(name, shape, _CORE_ML_TYPES[value.dtype]), value.dtype, limits)


def outputs_of_program(program: torch.export.ExportedProgram) -> tuple[str, ...]:
    """Names for the outputs of a program: the keys if it returns a dictionary, else `output`."""
    specs = [
        spec for spec in program.graph_signature.output_specs if spec.kind == OutputKind.USER_OUTPUT
    ]
    if not specs or not all(isinstance(spec.arg, TensorArgument) for spec in specs):
        raise ConversionError(
            "the network returns something else than tensors; expected tensors only"
        )
    tree = program.call_spec.out_spec
    keys = tree.context if tree is not None and tree.type is dict else None
    if keys is not None and len(keys) == len(specs):
        return tuple(map(str, keys))
    if len(specs) == 1:
        return ("output",)
    return tuple(f"output_{number}" for number in range(len(specs)))


class TorchArrays(ArraySource):
    """An exported program from tensors to tensors.

    Args:
        program: As `torch.export` makes it.
        options: What is said about it. With labels, its only output are the scores of the classes.
        example: Inputs that it was exported with, if they are known.
        sizes: The shapes of its inputs by name, where they are known better than from the program:
            one of several sizes in place of any. The first of each dimension belong together, and
            so on.

    Raises:
        ConversionError: Its inputs or outputs are not tensors that Core ML has.
    """

    def __init__(
        self,
        program: torch.export.ExportedProgram,
        options: SourceOptions,
        example: Sequence[Tensor] | None = None,
        sizes: Mapping[str, tuple[Size, ...]] | None = None,
    ) -> None:
        self.exported = program
        self.program_inputs = tuple(
            _sized(each, (sizes or {}).get(each.feature.name)) for each in program_inputs(program)
        )
        self.inputs = tuple(each.feature for each in self.program_inputs)
        taken = {each.name for each in self.inputs}
        self.outputs = tuple(
            f"{name}_out" if name in taken else name for name in outputs_of_program(program)
        )
        self.example = example
        self._program: torch.export.ExportedProgram | None = None
        self.head: Head | None = None
        if options.labels is not None:
            self._classify(options)

    def _classify(self, options: SourceOptions) -> None:
        assert options.labels is not None
        scores = self._outputs(self.probes()[0][1])[0].astype(np.float32)
        if scores.ndim < 2 or len(scores) != 1:
            raise ConversionError(
                f"the network returns scores of the shape {scores.shape}; a classifier of arrays "
                f"takes one row and returns (1, {len(options.labels)}); export it for a batch of "
                "1, or of any size; without a batch, add one in forward: scores[None]"
            )
        self.head = find_head(
            scores, ending_of(self.exported), options.labels, "the network", options.head
        )
        self.labels = options.labels
        self.label, self.probabilities = LABEL_FEATURE, PROBABILITIES_FEATURE
        self.outputs = (LABEL_FEATURE, PROBABILITIES_FEATURE)

    @property
    def program(self) -> torch.export.ExportedProgram:
        """The program in core ops, of a classifier followed by its head."""
        if self._program is None:
            program = core_ops(self.exported)
            if self.head is not None:
                program = append(program, classified(self.head, 1.0))
            if warning := undefined_order(program):
                self.warnings = (*self.warnings, warning)
            self._program = program
        return self._program

    def run(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """The outputs, as PyTorch computes them."""
        return self._named(self._outputs(arrays))

    def _named(self, outputs: list[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if self.head is None:
            return dict(zip(self.outputs, outputs, strict=True))
        probabilities = probabilities_of(outputs[0].astype(np.float32), self.head)
        labels = np.array(self.labels, dtype=object)[probabilities.argmax(1)]
        return {self.label: labels, self.probabilities: probabilities}

    def _outputs(self, arrays: Arrays, seed: int | None = None) -> list[NDArray[Any]]:
        given = all_inputs(self.exported, self.tensors(arrays))
        interpreter = fx.Interpreter(self.exported.graph_module)
        if seed is not None:
            interpreter = _Shaking(self.exported.graph_module, seed)
        with torch.no_grad():
            try:
                results = interpreter.run(*given)
            except Exception as error:  # PyTorch raises exceptions of any type
                shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
                raise ConversionError(
                    f"the network cannot process {shapes}: {first_line(error)}"
                ) from error
        kinds = [spec.kind for spec in self.exported.graph_signature.output_specs]
        return [
            result.detach().numpy()
            for result, kind in zip(results, kinds, strict=True)
            if kind == OutputKind.USER_OUTPUT
        ]

    def tensors(self, arrays: Arrays) -> list[Tensor]:
        """The inputs as PyTorch takes them."""
        return [
            torch.from_numpy(np.ascontiguousarray(arrays[each.feature.name])).to(each.dtype)
            for each in self.program_inputs
        ]

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
            self.core_ml_inputs,
            labels=tuple(map(str, self.labels)),
            outputs=() if self.labels else self.outputs,
            format=format,
            precision=precision,
            folder=folder,
        )

    def core_ml_inputs(self, ct: Any) -> list[Any]:
        """The inputs in terms of coremltools."""
        return [_core_ml_input(ct, each) for each in self.program_inputs]

    def probes(self) -> list[Probe]:
        """Made-up inputs, and those that the program was exported with."""
        probes = super().probes()
        if self.example is not None:
            arrays = {
                each.name: value.detach().cpu().numpy().astype(each.dtype)
                for each, value in zip(self.inputs, self.example, strict=True)
            }
            probes.insert(0, ("the example of the export", arrays))
        return probes

    def place(self, op: str) -> str:
        """The layer and the line of an op of the Core ML file."""
        return place_in(self.program, op)

    def moved(self, arrays: Arrays, seed: int) -> dict[str, NDArray[Any]]:
        """The outputs with each weight, input and result changed by a rounding error."""
        return self._named(self._outputs(arrays, seed))

    def first_difference(self, model: CoreMLModel, arrays: Arrays) -> str:
        """The first op whose tensor differs, and its layer."""
        want = self.run(arrays)
        outputs = [want[self.probabilities]] if self.head else list(want.values())
        return first_difference(
            self.program, model, self.tensors(arrays), self.features(arrays), outputs
        )


class _Shaking(fx.Interpreter):
    """Runs a program with each weight, input and result changed by a rounding error."""

    def __init__(self, module: torch.nn.Module, seed: int) -> None:
        super().__init__(module)
        self.random = torch.Generator().manual_seed(seed)

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n.op == "output" or not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        share = 3e-7 if n.op == "placeholder" else 6e-8
        return value * (1 + share * torch.randn(value.shape, generator=self.random))


def _sized(each: ProgramInput, shape: tuple[Size, ...] | None) -> ProgramInput:
    """The input with a list of sizes in place of any size."""
    if shape is None or not any(isinstance(size, tuple) for size in shape):
        return each
    counts = {len(size) for size in shape if isinstance(size, tuple)}
    if None in shape or len(counts) > 1 or min(counts) < 2:
        raise OptionError(
            f"the input {each.feature.name!r} has the shape {shape}; expected as many sizes in "
            "each dimension that has several, at least two, and no dimension of any size beside"
        )
    return replace(each, feature=replace(each.feature, shape=shape))


def _core_ml_input(ct: Any, each: ProgramInput) -> Any:
    given = each.feature.shape
    if several := [size for size in given if isinstance(size, tuple)]:
        shapes = [
            [size[number] if isinstance(size, tuple) else size for size in given]
            for number in range(len(several[0]))
        ]
        return ct.TensorType(
            name=each.feature.name,
            shape=ct.EnumeratedShapes(shapes=shapes, default=shapes[0]),
            dtype=np.dtype(each.feature.dtype).type,
        )
    shape = [
        ct.RangeDim(*each.limits[axis]) if size is None else size
        for axis, size in enumerate(each.feature.shape)
    ]
    return ct.TensorType(
        name=each.feature.name, shape=shape, dtype=np.dtype(each.feature.dtype).type
    )
