"""`.pt2` files of `torch.export`: classifiers of images, and models from arrays to arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pocketlens.conversion.pixel_scaling import assumed_spec
from pocketlens.conversion.places import op_name, place_of
from pocketlens.conversion.pt2 import load_pt2
from pocketlens.conversion.required import sized, takes_image
from pocketlens.conversion.source_kinds import SourceOptions
from pocketlens.conversion.torch_arrays import TorchArrays, outputs_of_program
from pocketlens.conversion.torch_images import NamedOutputs, TorchImages
from pocketlens.conversion.torch_input import torch_own_scaling
from pocketlens.conversion.torch_programs import ProgramNetwork, one_row
from pocketlens.conversion.torch_source import TorchSource, image_source
from pocketlens.errors import ConversionError, OptionError

__all__ = ["open_program"]


def open_program(path: Path, options: SourceOptions) -> TorchSource | TorchArrays:
    """A `.pt2` file of `torch.export.save` as a source; see `open_source`.

    With labels, and one image `(N, C, H, W)` as its input, it classifies images. Without labels,
    the input is an image if `takes` says so.

    Raises:
        ConversionError: See `pt2.load_pt2`; or it was exported in training mode.
    """
    program = load_pt2(path)
    _check_inference(path, program)
    example = _examples(program)
    source = TorchArrays(program, SourceOptions(), example)
    shape = source.inputs[0].shape if len(source.inputs) == 1 else ()
    image = len(shape) == 4 and shape[1] in (1, 3) and source.inputs[0].dtype == "float32"
    if options.inputs is not None:
        raise OptionError(
            f"the inputs of {path} are those of its export: "
            f"{', '.join(f'{each.name} {each.expected}' for each in source.inputs)}; leave out "
            "inputs (--shape), or export it again"
        )
    if not takes_image(options, options.assume and image, str(path)):
        if options.labels is not None:
            program, example = one_row(program), None
        return TorchArrays(program, options, example)
    if not image:
        raise OptionError(
            f"{path} takes {', '.join(f'{each.name} {each.expected}' for each in source.inputs)}, "
            "not one image (N, channels, height, width) with 1 or 3 channels; leave out the "
            "InputSpec, and inputs='image' (--inputs image)"
        )
    if shape[0] not in (1, None):
        raise ConversionError(
            f"{path} was exported for batches of {shape[0]} images; export it with an example of "
            "one image, or with a batch of any size"
        )
    notes: tuple[str, ...] = ()
    if options.input_spec is None and options.assume:
        own = torch_own_scaling(program)
        notes = (f"the network scales pixels itself, at {own}",) if own else ()
        sides = [side if isinstance(side, int) else None for side in shape[2:]]
        height, width = sized(options, sides[0], sides[1], str(path))
        channels = 1 if shape[1] == 1 else 3
        spec = assumed_spec(height, width, channels, own is not None, options.values)
        options = replace(options, input_spec=spec)
    network = ProgramNetwork(program).eval()
    found: TorchSource | TorchImages
    if options.labels is None:
        named = NamedOutputs(network, outputs_of_program(program)).eval()
        found = TorchImages(named, options, str(path))
    else:
        found = image_source(network, options, str(path))
    found.notes = notes
    return found


def _examples(program: torch.export.ExportedProgram) -> list[Tensor] | None:
    """The inputs that a program was exported with, if all of them are tensors."""
    leaves = _leaves(program.example_inputs or ())
    names = program.graph_signature.user_inputs
    if len(leaves) != len(names) or not all(isinstance(each, Tensor) for each in leaves):
        return None
    return leaves


def _leaves(tree: Any) -> list[Any]:
    """The values in tuples, lists and dictionaries, in the order of PyTorch."""
    if isinstance(tree, Mapping):
        tree = tree.values()
    elif not isinstance(tree, (tuple, list)):
        return [tree]
    return [leaf for each in tree for leaf in _leaves(each)]


def _check_inference(path: Path, program: torch.export.ExportedProgram) -> None:
    """Refuse a program in training mode: it drops values at random."""
    training = {
        torch.ops.aten.dropout.default: 2,
        torch.ops.aten.batch_norm.default: 5,
        torch.ops.aten.feature_dropout.default: 2,
        torch.ops.aten.alpha_dropout.default: 2,
    }
    for node in program.graph.nodes:
        at = training.get(node.target)
        if at is not None and len(node.args) > at and node.args[at] is True:
            raise ConversionError(
                f"{path} was exported in training mode (op {op_name(node)!r}{place_of(node)}); "
                "call network.eval() before torch.export.export, and save it again"
            )
