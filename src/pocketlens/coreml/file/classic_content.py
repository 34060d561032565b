"""The part of `inspect` for classic models and pipelines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from pocketlens.coreml.file.features import read_interface
from pocketlens.coreml.file.kinds import PIPELINES, UNSUPPORTED
from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.file.pipelines import MAX_DEPTH, stages_of
from pocketlens.coreml.file.proto import repeated
from pocketlens.errors import ModelFileError

__all__ = ["classic_content"]

PRECISIONS = {5: "float64", 6: "float32"}  # protobuf's CPPTYPE_DOUBLE and CPPTYPE_FLOAT


def classic_content(
    file: ModelFile, content: Callable[[ModelFile, str | None, str], dict[str, Any]], depth: int = 0
) -> dict[str, Any]:
    """Classes, ops and number counts of a model; for a pipeline, summed over its stages.

    Args:
        file: The model.
        content: Returns the same dictionary for a model of any kind: `(file, type, function)`.
        depth: How many pipelines are around this one.

    Returns:
        `opset` (always None), `classes`, `ops` (name to count), `weights` (precision to count).
    """
    kind = file.spec.WhichOneof("Type")
    if kind is None or kind in UNSUPPORTED:
        return {"opset": None, "classes": [], "ops": {kind: 1} if kind else {}, "weights": {}}
    if kind not in PIPELINES:
        message = getattr(file.spec, kind)
        return {
            "opset": None,
            "classes": _classes(message),
            "ops": {kind: 1},
            "weights": dict(_numbers(message)),
        }
    if depth > MAX_DEPTH:
        raise ModelFileError(f"{file.path}: pipelines are nested more than {MAX_DEPTH} deep")
    ops: Counter[str] = Counter()
    weights: Counter[str] = Counter()
    classes: list[str | int] = []
    for stage in stages_of(file):
        inner = stage.spec.WhichOneof("Type")
        if inner in PIPELINES:
            found = classic_content(stage, content, depth + 1)
        else:
            found = content(stage, inner, read_interface(stage).function)
        ops.update(found["ops"])
        weights.update(found["weights"])
        classes = found["classes"] or classes
    return {"opset": None, "classes": classes, "ops": dict(ops), "weights": dict(weights)}


def _classes(message: Any) -> list[str | int]:
    if "ClassLabels" not in message.DESCRIPTOR.oneofs_by_name:
        return []
    kind = message.WhichOneof("ClassLabels")
    # A nearest neighbors model has one label per sample, so classes repeat.
    return list(dict.fromkeys(getattr(message, kind).vector)) if kind else []


def _numbers(message: Any) -> Counter[str]:
    """How many floating-point numbers a message and its inner messages hold, by precision."""
    found: Counter[str] = Counter()
    for field, value in message.ListFields():
        precision = PRECISIONS.get(field.cpp_type)
        if precision is not None:
            found[precision] += len(value) if repeated(field) else 1
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for inner in value if repeated(field) else [value]:
                found += _numbers(inner)
    return found
