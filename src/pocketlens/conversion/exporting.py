"""Export a PyTorch network with `torch.export`, in the ops that coremltools converts rightly."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export.graph_signature import OutputKind, TensorArgument

from pocketlens.compat import coremltools_converts
from pocketlens.conversion.lowerings import LOWERINGS, inline, lower, trace
from pocketlens.conversion.places import place_of
from pocketlens.conversion.quiet import first_line, quiet
from pocketlens.errors import ConversionError
from pocketlens.image import InputSpec

__all__ = [
    "ByName",
    "all_inputs",
    "append",
    "core_ops",
    "export",
    "frozen_copy",
    "import_exporter",
    "input_planes",
    "one_scale",
    "output_of",
    "undefined_order",
]


class Scaled(nn.Module):
    """A network that gets pixels and scales them itself, with a scale for each channel."""

    scale: Tensor
    bias: Tensor

    def __init__(self, network: nn.Module, input_spec: InputSpec) -> None:
        super().__init__()
        self.network = network
        for name in ("scale", "bias"):
            values = torch.tensor(getattr(input_spec, name)).reshape(1, -1, 1, 1)
            self.register_buffer(name, values)

    def forward(self, image: Tensor) -> Tensor:
        """The outputs of planes of pixels `(N, C, H, W)`."""
        outputs: Tensor = self.network(image * self.scale + self.bias)
        return outputs


def frozen_copy(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode, on the CPU, in float32; the original does not change.

    Raises:
        ConversionError: Its weights have no values.
    """
    empty = [name for name, value in network.state_dict().items() if getattr(value, "is_meta", 0)]
    if empty:
        raise ConversionError(
            f"the weight {empty[0]!r} of the network has no values: it is on the device 'meta'; "
            "load the weights into the network before you convert it"
        )
    return copy.deepcopy(network).cpu().float().eval()


def one_scale(input_spec: InputSpec) -> bool:
    """Whether all channels have one scale, so that the Core ML image input can apply it.

    In both formats it has one scale for all channels. coremltools accepts a list for an ML Program,
    but applies it along the width.
    """
    return len(set(input_spec.scale)) == 1


def input_planes(input_spec: InputSpec, image: Any) -> Tensor:
    """One image `(H, W, C)` uint8 as the exported program receives it, `(1, C, H, W)`."""
    if not one_scale(input_spec):
        input_spec = input_spec.with_values(scale=1.0, bias=0.0)
    return torch.from_numpy(input_spec.network_input(image[None]))


def export(
    network: nn.Module, input_spec: InputSpec, *, any_size: bool = False
) -> torch.export.ExportedProgram:
    """Export a network for one image; the program still has PyTorch's own ops.

    Args:
        network: A module on the CPU, in evaluation mode, from `pixel * scale + bias`,
            `(1, C, H, W)`, to its outputs.
        input_spec: How an image becomes its input. Pixels enter if each channel has its own scale.
        any_size: Whether the image may have another height and width.

    Raises:
        ConversionError: PyTorch cannot export the network.
    """
    module = network if one_scale(input_spec) else Scaled(network, input_spec).eval()
    example = torch.zeros(1, input_spec.channels, input_spec.height, input_spec.width)
    sides = dict.fromkeys((2, 3), torch.export.Dim.DYNAMIC)
    with quiet(), torch.no_grad(), fx.traceback.preserve_node_meta():
        try:
            return torch.export.export(
                Named(module), (example,), dynamic_shapes={"image": sides} if any_size else None
            )
        except Exception as error:  # the network's own code runs here
            raise ConversionError(
                f"PyTorch cannot export the network{_where(error)}: {first_line(error)}; expected "
                "a forward without branches that depend on pixel values; see the guide of "
                "torch.export"
            ) from error


class Named(nn.Module):
    """A network whose input is named as the image of the Core ML file."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """The outputs of the network."""
        outputs: Tensor = self.network(image)
        return outputs


class ByName(nn.Module):
    """A network whose inputs have names, in a form that `torch.export` takes with open sizes.

    With `**inputs` it fails if a size is open.

    Args:
        network: Takes the inputs by their names.
        names: The names, in order.
    """

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network = network

        def forward(*given: Tensor, **named: Tensor) -> Any:
            return network(**dict(zip(names, given, strict=False)), **named)

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(name, kind) for name in names]
        forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        self.forward = forward


def core_ops(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The same program, in ops that coremltools converts rightly.

    Raises:
        ConversionError: PyTorch cannot express an op in others.
    """
    with quiet(), torch.no_grad():
        try:
            program = _decompose(program)
        except Exception as error:  # PyTorch raises no more specific type
            raise ConversionError(
                f"PyTorch cannot express the network in core ops: {first_line(error)}; replace "
                "that part of the network"
            ) from error
        lower(program)
    _rewrite_for_coremltools(program)
    return program


def all_inputs(program: torch.export.ExportedProgram, inputs: Sequence[Tensor]) -> list[Any]:
    """The arguments of a program's graph: weights and constants, and the inputs of the user."""
    given, rest = [], list(inputs)
    for spec in program.graph_signature.input_specs:
        if spec.target is None:
            given.append(rest.pop(0))
        elif spec.target in program.state_dict:
            given.append(program.state_dict[spec.target])
        else:
            given.append(program.constants[spec.target])
    return given


def append(
    program: torch.export.ExportedProgram, function: Callable[[Tensor], Tensor]
) -> torch.export.ExportedProgram:
    """The program, followed by a function of its output."""
    (end,) = program.graph.find_nodes(op="output")
    output = output_of(program)
    result = inline(program.graph_module, trace(function, [output]), [output], end)
    for spec in program.graph_signature.output_specs:
        if spec.kind == OutputKind.USER_OUTPUT:
            spec.arg = TensorArgument(name=result.name)
    end.args = (tuple(result if each is output else each for each in end.args[0]),)
    program.graph_module.recompile()
    return program


def output_of(program: torch.export.ExportedProgram) -> fx.Node:
    """The node of the only output; what a network writes to its buffers are outputs of the graph.

    Raises:
        ConversionError: There is another number of outputs.
    """
    names = program.graph_signature.user_outputs
    nodes: list[fx.Node] = [node for node in program.graph.nodes if node.name in names]
    if len(names) != 1 or len(nodes) != 1:
        raise ConversionError(
            f"the exported network has {len(names)} outputs; expected one tensor (1, classes)"
        )
    return nodes[0]


def undefined_order(program: torch.export.ExportedProgram) -> str | None:
    """What is not defined if the network uses the indices of a `topk`; None if it does not.

    PyTorch says of equal values only that any of them may come first.
    """
    for node in program.graph.nodes:
        if node.target is torch.ops.aten.topk.default:
            for user in node.users:
                if user.args[1:] == (1,) and user.users:
                    return (
                        f"the network uses the indices of 'topk'{place_of(node)}: for equal values "
                        "PyTorch does not define their order, and the Core ML file may return them "
                        "in another one"
                    )
    return None


def import_exporter() -> None:
    """Import what `torch.export` imports when it is first used; it takes half a second."""
    with quiet(), torch.no_grad():
        torch.export.export(nn.Identity().eval(), (torch.zeros(1),))


def _where(error: BaseException) -> str:
    """The innermost layer in which it happened, if a wrapper around the layers noted it."""
    where = ""
    each: BaseException | None = error
    while each is not None:
        where = next((f" {note}" for note in getattr(each, "__notes__", ())), where)
        each = each.__cause__ or each.__context__
    return where


def _decompose(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Express ops that coremltools does not know, such as `subtract`, in PyTorch's core ops."""
    table = torch.export.default_decompositions()

    def unknown() -> set[Any]:
        ops = {node.target for node in program.graph.nodes if node.op == "call_function"}
        return {
            op
            for op in ops
            if op in table and op not in LOWERINGS and not coremltools_converts(op.name())
        }

    tried: set[Any] = set()
    ops = unknown()
    while True:
        # Also with an empty table, because it turns the training program into an inference one.
        program = program.run_decompositions({op: table[op] for op in ops})
        tried |= ops
        ops = unknown() - tried
        if not ops:
            return program


def _rewrite_for_coremltools(program: torch.export.ExportedProgram) -> None:
    """Rewrite, in place, what coremltools cannot convert although Core ML can express it."""
    pools = (torch.ops.aten.max_pool2d.default, torch.ops.aten.avg_pool2d.default)
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        if node.target in pools and len(node.args) == 2:
            # PyTorch's default stride is the window size; coremltools expects an explicit stride.
            node.args = (*node.args, node.args[1])
        elif node.target == torch.ops.aten.alias.default:
            node.target = torch.ops.aten.clone.default  # the same computation
