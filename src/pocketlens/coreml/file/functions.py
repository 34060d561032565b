"""The functions of an ML Program: the block that runs, its operations, their content."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.file.values import constant_of, tensor_type
from pocketlens.errors import ModelFileError, UnsupportedModelError

__all__ = ["active_block", "operations", "program_content"]

MAX_DEPTH = 16
NEWEST_OPSET = 9  # CoreML9, of iOS 26


def active_block(file: ModelFile, name: str) -> tuple[Any, Any, int]:
    """The function `name`, its block that runs, and the number of its opset.

    Raises:
        ModelFileError: There is no such function, or it has no block for its opset.
        UnsupportedModelError: The opset is newer than `NEWEST_OPSET`.
    """
    functions = file.spec.mlProgram.functions
    if name not in functions:
        raise ModelFileError(
            f"{file.path}: the program has no function {name!r}; it has: "
            f"{', '.join(functions) or 'none'}"
        )
    function = functions[name]
    found = re.fullmatch(r"CoreML(\d{1,3})", function.opset)
    if found is None or function.opset not in function.block_specializations:
        raise ModelFileError(
            f"{file.path}: the function {name!r} has no block for its opset {function.opset!r}; "
            "expected an opset such as CoreML6, and a block for it"
        )
    opset = int(found[1])
    if opset > NEWEST_OPSET:
        raise UnsupportedModelError(
            f"{file.path}: the program uses the opset {function.opset}; "
            f"the newest supported opset is CoreML{NEWEST_OPSET}"
        )
    return function, function.block_specializations[function.opset], opset


def operations(block: Any, depth: int = 0) -> Iterator[Any]:
    """Every operation of a block and of its inner blocks."""
    if depth > MAX_DEPTH:
        raise ModelFileError(f"blocks are nested more than {MAX_DEPTH} deep")
    for operation in block.operations:
        yield operation
        for inner in operation.blocks:
            yield from operations(inner, depth + 1)


def program_content(file: ModelFile, name: str) -> dict[str, Any]:
    """The part of `inspect` for an ML Program: opset, classes, ops, numbers per precision."""
    function, block, _ = active_block(file, name)
    ops: Counter[str] = Counter()
    weights: Counter[str] = Counter()
    classes: list[str | int] = []
    for operation in operations(block):
        if operation.type != "const":
            ops[operation.type] += 1
        values = list(operation.attributes.values())
        values += [b.value for a in operation.inputs.values() for b in a.arguments]
        for value in values:
            declared = tensor_type(value.type)
            if declared is None or not declared.shape:
                continue
            if value.WhichOneof("value") == "blobFileValue" or declared.dtype.kind == "f":
                weights[declared.name] += math.prod(declared.fixed)
        if operation.type == "classify" and "classes" in operation.inputs:
            for binding in operation.inputs["classes"].arguments:
                if binding.WhichOneof("binding") == "value":
                    classes += constant_of(file, binding.value).tolist()
    return {
        "opset": function.opset,
        "classes": classes,
        "ops": dict(ops.most_common()),
        "weights": dict(weights),
    }
