"""Which nodes of an ONNX network have no counterpart in Core ML."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Set
from typing import Any

from pocketlens.conversion.from_onnx.reading import ONNX_DOMAINS
from pocketlens.errors import ConversionError, printable

__all__ = ["check_coverage"]

SHOWN = 8
"""How many ops without a lowering a message names, and how many nodes of each."""


def check_coverage(nodes: Iterable[Any], known: Set[str]) -> None:
    """Refuse nodes whose ops are not known.

    Raises:
        ConversionError: There are some; the message names the ops and the nodes.
    """
    missing: dict[str, list[str]] = defaultdict(list)
    for node in nodes:
        plain = node.domain in ONNX_DOMAINS
        key = node.op_type if plain else f"{node.domain}.{node.op_type}"
        if key not in known:
            missing[key].append(node.name or f"of '{node.output[0]}'")
    if not missing:
        return
    listed = []
    for op, nodes in sorted(missing.items()):
        shown = ", ".join(map(printable, nodes[:SHOWN]))
        more = f" and {len(nodes) - SHOWN} more" if len(nodes) > SHOWN else ""
        listed.append(f"{printable(op)} ({len(nodes)} node{'s' * (len(nodes) > 1)}: {shown}{more})")
    custom = any("." in op for op in missing)
    way = (
        "ops of other packages are not part of ONNX: export the network again without them "
        "(without ONNX Runtime's optimizations)"
        if custom
        else "replace these parts of the network, or cut the network before them and compute the "
        "rest in the app"
    )
    raise ConversionError(f"Core ML has no counterpart for: {'; '.join(listed)}; {way}")
