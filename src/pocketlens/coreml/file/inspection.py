"""`inspect`: everything that a Core ML file says about itself, whether or not it runs here."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from pocketlens.coreml.file.classic_content import classic_content
from pocketlens.coreml.file.errors import one_line_errors
from pocketlens.coreml.file.features import (
    Feature,
    Interface,
    functions_of,
    read_interface,
    training_inputs,
)
from pocketlens.coreml.file.functions import check_opset, program_content
from pocketlens.coreml.file.input_spec import declared_input_spec
from pocketlens.coreml.file.kinds import NETWORKS, check_kind, kind_name
from pocketlens.coreml.file.network_content import network_content
from pocketlens.coreml.file.package import ModelFile, open_model
from pocketlens.errors import PocketlensError

__all__ = ["declared_classes", "inspect", "inspect_file"]


def inspect(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Describe a Core ML file with plain values that can be written as JSON.

    Works for every kind of model, also for those that do not run here.

    Args:
        path: A `.mlpackage` folder or a `.mlmodel` file.

    Returns:
        `path`, `kind`, `specification_version`, `problems` (why the model cannot run here; empty if
        it can, as far as this reads it), `opset` and `functions` (of an ML Program), `stages` (of a
        pipeline: name and kind), `inputs`, `outputs`, `states` and `training_inputs` (name, type,
        shape, color, description), `classes`, `input_spec`, `metadata` (author, license, version,
        description, user), `ops` (name to count, of all functions), `per_function` (the opset, ops
        and features of each function), `parameters` (count), `weights` (type to count),
        `weight_bytes` (type to bytes), `compressed` (`quantized`, `palettized` or `sparse` to the
        number of tensors), `updatable`, `updatable_layers` and `bytes`.

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
    interface = read_interface(file, strict=False)
    metadata = spec.description.metadata
    content = _content(file, kind, interface.function)
    declared, problems = None, []
    for check in (check_kind, read_interface, check_opset):
        problems += _errors_of(check, file)
    if not problems:
        try:
            declared = declared_input_spec(file, interface)
        except PocketlensError as error:
            problems.append(str(error))
    functions = functions_of(file)
    per_function = content.get("per_function", {})
    return {
        "path": str(file.path),
        "kind": kind_name(kind),
        "specification_version": spec.specificationVersion,
        "problems": [problem.removeprefix(f"{file.path}: ") for problem in problems],
        "opset": content["opset"],
        "functions": list(functions),
        "stages": content.get("stages", []),
        **_features(interface),
        "training_inputs": [_feature(each) for each in training_inputs(file)],
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
        "per_function": {
            name: found
            | (_features(read_interface(file, name, strict=False)) if name in functions else {})
            for name, found in per_function.items()
        },
        "parameters": sum(content["weights"].values()),
        "weights": content["weights"],
        "weight_bytes": content["weight_bytes"],
        "compressed": content["compressed"],
        "updatable": spec.isUpdatable or bool(content.get("updatable_layers")),
        "updatable_layers": content.get("updatable_layers", []),
        "bytes": file.size,
    }


def _errors_of(check: Callable[[ModelFile], object], file: ModelFile) -> list[str]:
    try:
        check(file)
    except PocketlensError as error:
        return [str(error)]
    return []


def _features(interface: Interface) -> dict[str, Any]:
    return {
        "inputs": [_feature(feature) for feature in interface.inputs],
        "outputs": [_feature(feature) for feature in interface.outputs],
        "states": [_feature(feature) for feature in interface.states],
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
