"""Express the ops of an ONNX network by those that have a lowering, where ONNX itself says how."""

from __future__ import annotations

from typing import Any

from pocketlens.conversion.from_onnx.reading import MAX_NODES
from pocketlens.errors import ConversionError, printable

__all__ = ["expanded", "upgraded"]

OLDEST = 13
"""Older networks are brought to this version of ONNX's ops first; the lowerings expect it."""


def upgraded(model: Any) -> Any:
    """The network with ops of the version `OLDEST` or newer."""
    import onnx

    versions = [each.version for each in model.opset_import if each.domain in ("", "ai.onnx")]
    if versions[0] >= OLDEST:
        return model
    try:
        return onnx.version_converter.convert_version(model, OLDEST)
    except Exception as error:  # it raises no more specific type
        raise ConversionError(
            f"ONNX cannot bring the network from version {versions[0]} of its ops to {OLDEST}: "
            f"{printable(' '.join(str(error).split())[-200:])}; export it again with opset 17"
        ) from error


def expanded(model: Any, keep: frozenset[str]) -> Any:
    """The network without the ops that ONNX itself defines by others and that have no lowering."""
    import onnx

    version = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    for _ in range(8):  # functions of functions
        ids = set()
        for node in model.graph.node:
            if node.domain not in ("", "ai.onnx") or node.op_type in keep:
                continue
            schema = onnx.defs.get_schema(node.op_type, version)
            if schema.has_function or schema.has_context_dependent_function:
                ids.add((node.domain, node.op_type))
        if not ids:
            return model
        before = len(model.graph.node)
        model = onnx.inliner.inline_selected_functions(
            model, sorted(ids), exclude=False, inline_schema_functions=True
        )
        if len(model.graph.node) > MAX_NODES:
            raise ConversionError(
                f"the network has {len(model.graph.node)} nodes, with its functions expanded; "
                f"expected at most {MAX_NODES}"
            )
        if len(model.graph.node) == before:
            return model
    return model
