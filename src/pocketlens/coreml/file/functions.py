"""The functions of an ML Program: the block that runs, its operations, their content."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pocketlens.coreml.file.features import default_function
from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.file.values import NARROW, constant_of, tensor_type
from pocketlens.coreml.file.weights import Weights
from pocketlens.errors import ModelFileError, UnsupportedModelError

__all__ = ["active_block", "check_opset", "operations", "program_content"]

MAX_DEPTH = 16
NEWEST_OPSET = 9  # CoreML9, of iOS 26

LEAST_WEIGHT = 10
"""From how many elements on coremltools stores a constant in the weights file, if it can."""

COMPRESSION = {
    "constexpr_affine_dequantize": "quantized",
    "constexpr_blockwise_shift_scale": "quantized",
    "constexpr_sparse_blockwise_shift_scale": "quantized",
    "constexpr_lut_to_dense": "palettized",
    "constexpr_lut_to_sparse": "palettized",
    "constexpr_sparse_to_dense": "sparse",
}
"""The ops that make weights from compressed ones, and how those are compressed."""


def active_block(file: ModelFile, name: str) -> tuple[Any, Any, int]:
    """The function `name`, its block that runs, and the number of its opset.

    Raises:
        ModelFileError: There is no such function, or it has no block for its opset.
        UnsupportedModelError: The opset is newer than `NEWEST_OPSET`.
    """
    function, block, opset = _declared_block(file, name)
    if opset > NEWEST_OPSET:
        raise UnsupportedModelError(
            f"{file.path}: the program uses the opset {function.opset}; "
            f"the newest supported opset is CoreML{NEWEST_OPSET}"
        )
    return function, block, opset


def check_opset(file: ModelFile) -> None:
    """Raise an error if an ML Program's default function has an opset that does not run here."""
    if file.spec.WhichOneof("Type") == "mlProgram":
        active_block(file, default_function(file))


def _declared_block(file: ModelFile, name: str) -> tuple[Any, Any, int]:
    """`active_block` of any opset."""
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
    return function, function.block_specializations[function.opset], int(found[1])


def operations(block: Any, depth: int = 0) -> Iterator[Any]:
    """Every operation of a block and of its inner blocks."""
    if depth > MAX_DEPTH:
        raise ModelFileError(f"blocks are nested more than {MAX_DEPTH} deep")
    for operation in block.operations:
        yield operation
        for inner in operation.blocks:
            yield from operations(inner, depth + 1)


def program_content(file: ModelFile, name: str) -> dict[str, Any]:
    """The part of `inspect` for an ML Program: opset, classes, ops, weights of all functions.

    A constant in the weights file is counted once, however many functions share it. One that is not
    in that file is a weight if it is floating-point or has `LEAST_WEIGHT` elements; others are
    settings of ops, such as strides.
    """
    weights = Weights()
    seen: set[tuple[str, int]] = set()
    ops: dict[str, dict[str, int]] = {}
    opsets: dict[str, str] = {}
    classes: dict[str, list[str | int]] = {}
    for each in (name, *(other for other in file.spec.mlProgram.functions if other != name)):
        function, block, _ = _declared_block(file, each)
        counts: Counter[str] = Counter()
        opsets[each] = function.opset
        for operation in operations(block):
            if operation.type != "const":
                counts[operation.type] += 1
            weights.compressed[COMPRESSION.get(operation.type, "")] += 1
            values = list(operation.attributes.values())
            values += [b.value for a in operation.inputs.values() for b in a.arguments]
            for value in values:
                _count(value, weights, seen)
            if operation.type == "classify" and "classes" in operation.inputs:
                for binding in operation.inputs["classes"].arguments:
                    if binding.WhichOneof("binding") == "value":
                        found = constant_of(file, binding.value).tolist()
                        classes.setdefault(each, []).extend(found)
        ops[each] = dict(counts.most_common())
    total: Counter[str] = Counter()
    for counted in ops.values():
        total.update(counted)
    return {
        "opset": opsets[name],
        "classes": classes.get(name) or next(iter(classes.values()), []),
        "ops": dict(total.most_common()),
        "per_function": {each: {"opset": opsets[each], "ops": ops[each]} for each in sorted(ops)},
        **weights.content(),
    }


def _count(value: Any, weights: Weights, seen: set[tuple[str, int]]) -> None:
    """Count a constant as weights if it is one, and not yet `seen` in the weights file."""
    declared = tensor_type(value.type)
    if declared is None or not declared.shape or declared.dtype.kind == "O":
        return
    count = math.prod(declared.fixed)
    if value.WhichOneof("value") == "blobFileValue":
        place = (value.blobFileValue.fileName, value.blobFileValue.offset)
        if place in seen:
            return
        seen.add(place)
    elif declared.dtype.kind != "f" and count < LEAST_WEIGHT:
        return
    bits = NARROW.get(declared.name, 8 * declared.dtype.itemsize)
    weights.add(declared.name, count, (count * bits + 7) // 8)
