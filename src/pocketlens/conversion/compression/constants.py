"""The constants of an ML Program, and what its operations do with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.file.functions import operations
from pocketlens.coreml.file.package import ModelFile
from pocketlens.coreml.file.values import constant_of

__all__ = ["Constants", "every_operation", "key_of"]


def every_operation(spec: Any) -> Iterator[Any]:
    for function in spec.mlProgram.functions.values():
        for block in function.block_specializations.values():
            yield from operations(block)


def key_of(operation: Any) -> str | None:
    """What names a constant: its place in the weights file, or what it contains."""
    if operation.type != "const" or len(operation.outputs) != 1:
        return None
    value = operation.attributes["val"]
    if value.WhichOneof("value") == "blobFileValue":
        return f"{value.blobFileValue.fileName}:{value.blobFileValue.offset}"
    return hashlib.blake2b(value.SerializeToString(deterministic=True)).hexdigest()


class Constants:
    """What the operations of a program do with its constants."""

    def __init__(self, file: ModelFile) -> None:
        self.file = file
        self.constants: dict[str, list[Any]] = {}
        self.keys: dict[str, list[str]] = {}
        self.users: dict[str, list[tuple[str, Any]]] = {}
        """By the name of a tensor: the parameter and the operation that take it."""
        for operation in every_operation(file.spec):
            if (key := key_of(operation)) is not None:
                name = operation.outputs[0].name
                self.constants.setdefault(name, []).append(operation)
                self.keys.setdefault(key, []).append(name)
            for parameter, argument in operation.inputs.items():
                for binding in argument.arguments:
                    self.users.setdefault(binding.name, []).append((parameter, operation))

    def uses(
        self, key: str, array: NDArray[Any]
    ) -> tuple[int, tuple[str, ...], NDArray[Any] | None]:
        """The dimension of the output channels, the operations that multiply, and their bias."""
        users = [user for name in self.keys[key] for user in self.users.get(name, ())]
        axes = {self._axis(parameter, operation, array.ndim) for parameter, operation in users}
        (axis,) = axes if len(axes) == 1 else (None,)
        if axis is None:
            transposed = {operation.type for _, operation in users} == {"conv_transpose"}
            return int(transposed), (), None
        places = tuple(operation.outputs[0].name for _, operation in users)
        bias = self._bias(users[0][1], array) if len(users) == 1 else None
        return axis, places, bias

    def _axis(self, parameter: str, operation: Any, rank: int) -> int | None:
        """The dimension of the output channels; None if the operation does not multiply so."""
        if parameter == "weight" and operation.type in ("conv", "linear"):
            return 0
        if parameter == "y" and operation.type == "matmul" and rank == 2:
            flag = self._given(operation, "transpose_y")
            return 1 if flag is None or not bool(flag) else 0
        return None

    def _bias(self, operation: Any, array: NDArray[Any]) -> NDArray[Any] | None:
        if operation.type == "matmul":
            return None
        if "bias" not in operation.inputs:
            return np.zeros(len(array), array.dtype)
        found = self._given(operation, "bias")
        return found if found is not None and found.shape == (len(array),) else None

    def _given(self, operation: Any, parameter: str) -> NDArray[Any] | None:
        """A constant that an operation takes; None without."""
        if parameter not in operation.inputs or len(operation.inputs[parameter].arguments) != 1:
            return None
        (binding,) = operation.inputs[parameter].arguments
        if binding.WhichOneof("binding") == "value":
            return constant_of(self.file, binding.value)
        found = self.constants.get(binding.name, [])
        return constant_of(self.file, found[0].attributes["val"]) if len(found) == 1 else None
