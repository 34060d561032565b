"""Make the description of an ML Program smaller: equal constants once, short names inside.

In a small network the description takes as much space as the weights: a constant for each stride
and padding, with its name three times. What the program computes stays the same, and so do the
names of its inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pocketlens.coreml.file.functions import operations

__all__ = ["tidy"]

DIGITS = "abcdefghijklmnopqrstuvwxyz"


def tidy(spec: Any) -> None:
    """Share equal constants, drop unused ones and shorten inner names, in place."""
    for function in spec.mlProgram.functions.values():
        given = {each.name for each in function.inputs}
        for block in function.block_specializations.values():
            kept = {*given, *block.outputs}
            _share_constants(block, kept)
            _drop_unused(block, kept)
            _shorten_names(block, kept)


def _share_constants(block: Any, kept: set[str]) -> None:
    first: dict[bytes, str] = {}
    instead: dict[str, str] = {}
    rest = []
    for operation in block.operations:
        name = operation.outputs[0].name if len(operation.outputs) == 1 else ""
        if operation.type == "const" and name not in kept:
            value = operation.attributes["val"]
            content = value.SerializeToString(deterministic=True)
            if content in first:
                instead[name] = first[content]
                continue
            first[content] = name
        rest.append(operation)
    _replace(block, rest)
    _rename(block, instead)


def _drop_unused(block: Any, kept: set[str]) -> None:
    taken = {
        binding.name
        for operation in operations(block)
        for argument in operation.inputs.values()
        for binding in argument.arguments
    }
    taken |= {name for each in operations(block) for inner in each.blocks for name in inner.outputs}
    used = kept | taken
    constant = [
        each.type == "const" and each.outputs[0].name not in used for each in block.operations
    ]
    _replace(
        block, [each for each, drop in zip(block.operations, constant, strict=True) if not drop]
    )


def _replace(block: Any, rest: Sequence[Any]) -> None:
    copies = [type(each).FromString(each.SerializeToString()) for each in rest]
    del block.operations[:]
    block.operations.extend(copies)


def _shorten_names(block: Any, kept: set[str]) -> None:
    names = dict.fromkeys(
        each.name
        for operation in operations(block)
        for each in (*operation.outputs, *(given for b in operation.blocks for given in b.inputs))
    )
    short = _short_names(kept)
    _rename(block, {name: next(short) for name in names if name not in kept})
    for operation in operations(block):
        if "name" in operation.attributes and operation.outputs:
            strings = operation.attributes["name"].immediateValue.tensor.strings
            strings.values[:] = [operation.outputs[0].name]


def _rename(block: Any, names: Mapping[str, str]) -> None:
    """Replace names wherever they are given or taken, in inner blocks, too."""
    for operation in operations(block):
        for argument in operation.inputs.values():
            for binding in argument.arguments:
                if binding.name in names:
                    binding.name = names[binding.name]
        for each in operation.outputs:
            each.name = names.get(each.name, each.name)
        for inner in operation.blocks:
            for each in inner.inputs:
                each.name = names.get(each.name, each.name)
            inner.outputs[:] = [names.get(name, name) for name in inner.outputs]


def _short_names(taken: set[str]) -> Iterator[str]:
    """`a_`, `b_`, …, `aa_`: no words of the language, and none of `taken`."""
    count = 0
    while True:
        text, rest = "", count
        while True:
            rest, digit = divmod(rest, len(DIGITS))
            text = DIGITS[digit] + text
            if not rest:
                break
            rest -= 1
        count += 1
        if (name := f"{text}_") not in taken:
            yield name
