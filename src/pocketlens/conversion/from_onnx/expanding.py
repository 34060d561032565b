"""Express the ops of an ONNX network by those that have a lowering, where ONNX itself says how."""

from __future__ import annotations

from typing import Any

from pocketlens.conversion.from_onnx.reading import MAX_NODES, ONNX_DOMAINS
from pocketlens.errors import ConversionError, printable

__all__ = ["expanded", "upgraded", "version_of"]

OLDEST = 13
"""Older networks are brought to this version of ONNX's ops first; the lowerings expect it."""


def version_of(model: Any) -> int:
    """The version of ONNX's own ops that a network uses.

    Raises:
        ConversionError: It uses none of them.
    """
    for each in model.opset_import:
        if each.domain in ONNX_DOMAINS:
            return int(each.version)
    raise ConversionError(
        "the network uses none of ONNX's own ops, only those of "
        f"{', '.join(printable(each.domain) for each in model.opset_import)}; export it again "
        "without them"
    )


def _set_defaults(node: Any, schema: Any) -> None:
    """Give a node the attributes that it leaves out; the inliner does not do so."""
    given = {each.name for each in node.attribute}
    for name, attribute in schema.attributes.items():
        if name not in given and attribute.default_value.type:
            node.attribute.append(attribute.default_value)


def upgraded(model: Any) -> Any:
    """The network with ops of the version `OLDEST` or newer."""
    import onnx.version_converter

    version = version_of(model)
    if version >= OLDEST:
        return model
    try:
        return onnx.version_converter.convert_version(model, OLDEST)
    except Exception as error:  # it raises no more specific type
        raise ConversionError(
            f"ONNX cannot bring the network from version {version} of its ops to {OLDEST}: "
            f"{printable(' '.join(str(error).split())[-200:])}; export it again with opset 17"
        ) from error


def expanded(model: Any, keep: frozenset[str]) -> Any:
    """The network without ops that have no lowering, where ONNX defines them by others."""
    import onnx.defs
    import onnx.inliner

    version = version_of(model)
    copy = type(model)()
    copy.CopyFrom(model)
    model = copy
    stuck: set[tuple[str, str]] = set()
    for _ in range(8):  # functions of functions
        ids = set()
        for node in model.graph.node:
            if node.domain not in ONNX_DOMAINS or node.op_type in keep:
                continue
            schema = onnx.defs.get_schema(node.op_type, version)
            if schema.has_function or schema.has_context_dependent_function:
                ids.add((node.domain, node.op_type))
                _set_defaults(node, schema)
        if not ids - stuck:
            break
        for each in sorted(ids - stuck):
            try:
                model = onnx.inliner.inline_selected_functions(
                    model, [each], exclude=False, inline_schema_functions=True
                )
            except RuntimeError:  # it fails for some optional inputs that are left out
                stuck.add(each)
        if len(model.graph.node) > MAX_NODES:
            raise ConversionError(
                f"the network has {len(model.graph.node)} nodes, with its functions expanded; "
                f"expected at most {MAX_NODES}"
            )
    return model
