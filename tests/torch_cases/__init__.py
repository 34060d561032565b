"""PyTorch ops and modules with their options, each as a function of planes `(1, 3, 12, 12)`.

Each is one row: `convert` computes the same, or refuses and names the op.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from torch_cases import (
    activations,
    arithmetic,
    attention,
    convolutions,
    norms,
    pools,
    recurrent,
    resizes,
    shapes,
)
from torch_cases.case import Made, Net

__all__ = ["ROWS", "network"]

ROWS: dict[str, Any] = {
    **activations.ROWS,
    **norms.ROWS,
    **convolutions.ROWS,
    **pools.ROWS,
    **resizes.ROWS,
    **arithmetic.ROWS,
    **shapes.ROWS,
    **attention.ROWS,
    **recurrent.ROWS,
}
"""Name -> a function, or a module in a `Made`."""


def network(name: str) -> nn.Module:
    """The network of a row."""
    torch.manual_seed(0)
    row = ROWS[name]
    op = row() if isinstance(row, Made) else row
    if isinstance(op, nn.Module):
        for value in (*op.parameters(), *op.buffers()):
            if value.is_floating_point():
                value.data += 0.1 * torch.randn_like(value).abs()  # no identity, no zero
        op.eval()
    return Net(op).eval()
