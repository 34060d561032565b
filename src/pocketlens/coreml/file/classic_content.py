"""The part of `inspect` for classic models and pipelines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from pocketlens.coreml.file.features import default_function
from pocketlens.coreml.file.kinds import PIPELINES, UNSUPPORTED, kind_name
from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.file.pipelines import MAX_DEPTH, stages_of
from pocketlens.coreml.file.proto import repeated
from pocketlens.coreml.file.weights import Weights
from pocketlens.errors import ModelFileError

__all__ = ["classic_content"]

PRECISIONS = {5: ("float64", 8), 6: ("float32", 4)}  # protobuf's CPPTYPE_DOUBLE and CPPTYPE_FLOAT


def classic_content(
    file: ModelFile, content: Callable[[ModelFile, str | None, str], dict[str, Any]], depth: int = 0
) -> dict[str, Any]:
    """Classes, ops and number counts of a model; for a pipeline, summed over its stages.

    Args:
        file: The model.
        content: Returns the same dictionary for a model of any kind: `(file, type, function)`.
        depth: How many pipelines are around this one.

    Returns:
        `opset` (always None), `classes`, `ops` (name to count), `stages` (name and kind), `weights`
        (type to count), `weight_bytes`, `compressed`, `updatable_layers`.
    """
    kind = file.spec.WhichOneof("Type")
    message = getattr(file.spec, kind) if kind else None
    weights = Weights()
    if kind not in PIPELINES:
        if message is not None and kind not in UNSUPPORTED:
            _count(message, weights)
        return {
            "opset": None,
            "classes": [] if message is None else _classes(message),
            "ops": {kind: 1} if kind else {},
            **weights.content(),
        }
    if depth > MAX_DEPTH:
        raise ModelFileError(f"{file.path}: pipelines are nested more than {MAX_DEPTH} deep")
    ops: Counter[str] = Counter()
    classes: list[str | int] = []
    stages: list[dict[str, str]] = []
    updatable: list[str] = []
    for stage in stages_of(file):
        inner = stage.spec.WhichOneof("Type")
        name = str(stage.path).removeprefix(f"{file.path} › ")
        stages.append({"name": name, "kind": kind_name(inner)})
        if inner in PIPELINES:
            found = classic_content(stage, content, depth + 1)
        else:
            found = content(stage, inner, default_function(stage))
        ops.update(found["ops"])
        weights.update(found)
        classes = found["classes"] or classes
        layers = found.get("updatable_layers", [])
        if stage.spec.isUpdatable:
            updatable += [f"{name}: {layer}" for layer in layers] or [name]
    return {
        "opset": None,
        "classes": classes,
        "ops": dict(ops),
        "stages": stages,
        "updatable_layers": updatable,
        **weights.content(),
    }


def _classes(message: Any) -> list[str | int]:
    if "ClassLabels" not in message.DESCRIPTOR.oneofs_by_name:
        return []
    kind = message.WhichOneof("ClassLabels")
    # A nearest neighbors model has one label per sample, so classes repeat.
    return list(dict.fromkeys(getattr(message, kind).vector)) if kind else []


def _count(message: Any, weights: Weights) -> None:
    """Add the floating-point numbers of a message and of its inner messages."""
    for field, value in message.ListFields():
        if field.cpp_type in PRECISIONS:
            precision, size = PRECISIONS[field.cpp_type]
            count = len(value) if repeated(field) else 1
            weights.add(precision, count, size * count)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for inner in value if repeated(field) else [value]:
                _count(inner, weights)
