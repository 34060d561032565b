"""Whether a PyTorch network scales pixels itself, read from its exported program."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx

from pocketlens.conversion.exporting import one_scale
from pocketlens.conversion.pixel_scaling import FAR, double_scaling, scales_pixels
from pocketlens.conversion.places import op_name, place_of
from pocketlens.image import InputSpec

__all__ = ["torch_own_scaling", "torch_scaling_warning"]

_ARITHMETIC = {"divide": "div", "multiply": "mul", "subtract": "sub"}
_SAME = {"clone", "contiguous", "permute", "to", "_to_copy", "flip"}


def torch_own_scaling(program: torch.export.ExportedProgram) -> str | None:
    """The op, with its layer, with which a network scales pixels itself; None if there is none."""
    for node, constants in _first_ops(program):
        if _scales(op_name(node), [float(value.detach().abs().max()) for value in constants]):
            return f"op '{op_name(node)}'{place_of(node)}"
    return None


def torch_scaling_warning(
    program: torch.export.ExportedProgram, input_spec: InputSpec
) -> str | None:
    """What is wrong if the InputSpec scales pixels that the network scales again; else None.

    Args:
        program: The network, as `exporting.export` makes it.
        input_spec: How pixels become its input.
    """
    # With a scale for each channel, the program itself begins with that of the InputSpec.
    if not one_scale(input_spec) or (own := torch_own_scaling(program)) is None:
        return None
    return double_scaling("the network", f"at {own}", input_spec)


def _scales(op: str, sizes: list[float]) -> bool:
    if op == "batch_norm":  # trained on pixels from 0 to 255, the mean is far above 1
        return len(sizes) >= 4 and sizes[-4] > FAR  # mean, variance, momentum, eps
    return scales_pixels(_ARITHMETIC.get(op, op), sizes)


def _first_ops(program: torch.export.ExportedProgram) -> Iterator[tuple[fx.Node, list[Tensor]]]:
    """The ops on the image alone, one after another, each with its constant operands."""
    known: dict[str, Any] = {**program.state_dict, **program.constants}
    targets = {spec.arg.name: spec.target for spec in program.graph_signature.input_specs}
    constants: dict[fx.Node, Any] = {}
    image = None
    for each in program.graph.nodes:
        inputs = each.all_input_nodes
        if each.op == "placeholder" and targets.get(each.name) in known:
            constants[each] = known[targets[each.name]]
        elif each.op == "placeholder":
            image = each
        elif each.op == "call_function" and inputs and constants.keys() >= set(inputs):
            args, kwargs = fx.node.map_arg((each.args, each.kwargs), constants.__getitem__)
            constants[each] = each.target(*args, **kwargs)
    node = image
    while node is not None:
        users = [user for user in node.users if not op_name(user).startswith("_assert")]
        if len(users) != 1 or users[0].op != "call_function":
            return
        (user,) = users
        others = [constants.get(each, each) for each in user.args if each is not node]
        tensors = [
            torch.as_tensor(each)
            for each in others
            if isinstance(each, (Tensor, int, float)) and not isinstance(each, bool)
        ]
        if op_name(user) not in _SAME:
            yield user, tensors
            if op_name(user) not in ("add", "sub", "mul", "div"):
                return
        node = user
