"""`inspect`: everything that a Core ML file says about itself, whether or not it runs here."""

from __future__ import annotations

import os
from typing import Any

from pocketlens.coreml.file.classic_content import classic_content
from pocketlens.coreml.file.errors import one_line_errors
from pocketlens.coreml.file.features import (
    Feature,
    Interface,
    functions_of,
    read_interface,
)
from pocketlens.coreml.file.functions import program_content
from pocketlens.coreml.file.input_spec import declared_input_spec
from pocketlens.coreml.file.kinds import KINDS, NETWORKS, UNSUPPORTED
from pocketlens.coreml.file.network_content import network_content
from pocketlens.coreml.file.package import ModelFile, open_model

__all__ = ["declared_classes", "inspect", "inspect_file"]


def inspect(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Describe a Core ML file with plain values that can be written as JSON.

    Works for every kind of model, also for those that do not run here.

    Args:
        path: A `.mlpackage` folder or a `.mlmodel` file.

    Returns:
        `path`, `kind`, `specification_version`, `opset` and `functions` (of an ML Program),
        `inputs`, `outputs` and `states` (name, type, shape, color, description), `classes`,
        `input_spec`, `metadata` (author, license, version, description, user), `ops` (name to
        count), `parameters` (count), `weights` (precision to count) and `bytes`.

    Raises:
        ModelFileError: The file does not exist, or is damaged, truncated or unsafe.
        UnsupportedModelError: A compiled model, or a specification version that is too new.
    """
    with one_line_errors():
        return inspect_file(open_model(path))


def inspect_file(file: ModelFile) -> dict[str, Any]:
    """`inspect` for a file that is already open."""
    spec = file.spec
    kind = spec.WhichOneof("Type")
    interface = read_interface(file)
    metadata = spec.description.metadata
    declared = declared_input_spec(file, interface)
    content = _content(file, kind, interface.function)
    return {
        "path": str(file.path),
        "kind": KINDS.get(kind) or UNSUPPORTED.get(kind) or kind,
        "specification_version": spec.specificationVersion,
        "opset": content["opset"],
        "functions": list(functions_of(file)),
        "inputs": [_feature(feature) for feature in interface.inputs],
        "outputs": [_feature(feature) for feature in interface.outputs],
        "states": [_feature(feature) for feature in interface.states],
        "classes": content["classes"],
        "input_spec": None if declared is None else declared.to_dict(),
        "metadata": {
            "description": metadata.shortDescription,
            "author": metadata.author,
            "license": metadata.license,
            "version": metadata.versionString,
            "user": dict(sorted(metadata.userDefined.items())),
        },
        "ops": content["ops"],
        "parameters": sum(content["weights"].values()),
        "weights": content["weights"],
        "bytes": file.size,
    }


def declared_classes(file: ModelFile, interface: Interface) -> tuple[str | int, ...]:
    """A classifier's labels as the file has them, read without translating the model."""
    return tuple(_content(file, file.spec.WhichOneof("Type"), interface.function)["classes"])


def _feature(feature: Feature) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": feature.name,
        "type": feature.kind,
        "description": feature.description,
    }
    if feature.kind == "image":
        row |= {
            "height": feature.shape[0],
            "width": feature.shape[1],
            "color": feature.color,
        }
    elif feature.kind in ("array", "state"):
        row |= {"shape": list(feature.shape), "dtype": feature.dtype}
    elif feature.dtype:
        row |= {"keys": feature.dtype}
    if feature.shapes:
        row["shapes"] = [list(shape) for shape in feature.shapes]
    if feature.ranges:
        row["ranges"] = [list(bounds) for bounds in feature.ranges]
    if feature.optional:
        row["optional"] = True
    if feature.default is not None:
        row["default"] = feature.default
    return row


def _content(file: ModelFile, kind: str | None, function: str) -> dict[str, Any]:
    """The opset, classes, ops and weights of the model itself, without its description."""
    if kind == "mlProgram":
        return program_content(file, function)
    if kind in NETWORKS:
        return network_content(file)
    return classic_content(file, _content)
