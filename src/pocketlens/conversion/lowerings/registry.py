"""The lowering of each op."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["LOWERINGS", "lowers"]

LOWERINGS: dict[Any, Callable[..., Any]] = {}
"""Op, such as `torch.ops.aten.gelu.default`, -> the lowering."""


def lowers(*ops: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as the lowering of ops."""

    def register(lowering: Callable[..., Any]) -> Callable[..., Any]:
        LOWERINGS.update(dict.fromkeys(ops, lowering))
        return lowering

    return register
