"""PyTorch ops that `coreai-torch` lacks, in terms of ops that it has.

As in `conversion.lowerings`, a lowering computes the same with other ops, and is traced with the
shapes of one node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from pocketlens.conversion.lowerings import LOWERINGS
from pocketlens.conversion.lowerings.axes import linear_maps
from pocketlens.conversion.lowerings.replacing import inline, lower, trace
from pocketlens.conversion.lowerings.views import as_strided
from pocketlens.conversion.places import op_name, place_of
from pocketlens.errors import ConversionError

__all__ = ["CORE_AI_LOWERINGS", "lower_for_core_ai"]

aten = torch.ops.aten


def adaptive_max_pool(x: Tensor, size: Sequence[int]) -> Tensor:
    """The maximum of each window, axis by axis; without its place."""
    for dim, out in enumerate(size, start=x.ndim - len(size)):
        side = x.shape[dim]
        bounds = [(i * side // out, -(-(i + 1) * side // out)) for i in range(out)]
        parts = [x.narrow(dim, a, b - a).amax(dim, keepdim=True) for a, b in bounds]
        x = torch.cat(parts, dim)
    return x


def adaptive_avg_pool(x: Tensor, size: Sequence[int]) -> Any:
    """Windows of different sizes: a linear map of each axis."""
    sides = list(zip(x.shape[x.ndim - len(size) :], size, strict=True))
    if len(size) == 2 and all(side % out == 0 for side, out in sides):
        return NotImplemented
    matrices = [
        F.adaptive_avg_pool1d(torch.eye(side)[:, None], out)[:, 0].T.to(x.dtype)
        for side, out in sides
    ]
    if x.ndim == len(size) + 1:
        return linear_maps(x[None], matrices)[0]
    return linear_maps(x, matrices)


def to_copy(x: Tensor, *, dtype: torch.dtype | None = None, **_: Any) -> Any:
    """Another type: the converter removes a pair such as `x.long().float()`, which rounds."""
    if not x.is_floating_point() or dtype is None or dtype.is_floating_point:
        return NotImplemented
    whole: Tensor = x != 0 if dtype == torch.bool else torch.trunc(x)
    return whole if dtype == torch.bool else aten._to_copy.default(whole, dtype=dtype)


def argmin(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The place of the smallest number."""
    return torch.argmax(-x, dim, keepdim)


# As for coremltools: of these, `coreai-torch` ignores `alpha`; the last one it lacks.
SHARED = (
    *(aten.add.Tensor, aten.add.Scalar, aten.sub.Tensor, aten.sub.Scalar),
    aten._trilinear.default,
)

CORE_AI_LOWERINGS: dict[Any, Callable[..., Any]] = {
    **{op: LOWERINGS[op] for op in SHARED},
    aten._to_copy.default: to_copy,
    aten.argmin.default: argmin,
    aten._adaptive_avg_pool2d.default: adaptive_avg_pool,
    aten._adaptive_avg_pool3d.default: adaptive_avg_pool,
    aten.adaptive_avg_pool1d.default: adaptive_avg_pool,
    aten.as_strided.default: as_strided,
}

FIRST_OF_PAIR: dict[Any, Callable[..., Any]] = {
    aten.adaptive_max_pool2d.default: adaptive_max_pool,
    aten.adaptive_max_pool3d.default: adaptive_max_pool,
}
"""Ops that also return the places of maxima; these lowerings compute the maxima only."""

WRONG_SECOND = (aten.max_pool2d_with_indices.default, *FIRST_OF_PAIR)
"""The places of maxima are other ones in Core AI."""


def lower_for_core_ai(program: torch.export.ExportedProgram) -> None:
    """Replace, in place, the nodes for whose op there is a lowering.

    Raises:
        ConversionError: The network uses the places of maxima.
    """
    lower(program, CORE_AI_LOWERINGS)
    module = program.graph_module
    for node in list(module.graph.nodes):
        if node.target not in WRONG_SECOND:
            continue
        uses = [each for each in node.users if each.users]
        if any(each.args[1] != 0 for each in uses):
            raise ConversionError(
                f"Core AI computes other indices than PyTorch in the op '{op_name(node)}'"
                f"{place_of(node)}; write that part of the network without the indices, or use "
                "--format mlpackage"
            )
        if node.target in FIRST_OF_PAIR:
            _replace_pair(module, node)
    module.recompile()


def _replace_pair(module: fx.GraphModule, node: fx.Node) -> None:
    lowering, rest = FIRST_OF_PAIR[node.target], node.args[1:]
    (x,) = node.all_input_nodes
    result = inline(module, trace(lambda x: lowering(x, *rest), [x]), [x], node)
    for each in list(node.users):
        if each.args[1] == 0:
            each.replace_all_uses_with(result)
        module.graph.erase_node(each)
    module.graph.erase_node(node)
