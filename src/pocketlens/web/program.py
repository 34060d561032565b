"""`Program`: the steps of a network over float32 tensors of fixed shapes, and its file.

The file has the magic bytes, the size of the header (4 bytes, little-endian), the header as JSON,
then the constants: as float16 where that loses nothing, else as float32. `engine/network.js` reads
it and describes the steps.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.web.kernels import COLUMNS, ROWS

__all__ = ["Program", "Ref", "collapsed", "smallest", "strides_of", "without_step"]

MAGIC = b"PLNET001"
ALIGNMENT = 16  # bytes
FLOAT = 4  # bytes
READS = ("x", "a", "b")


@dataclass(frozen=True)
class Ref:
    """A value of the network while it is written.

    Args:
        shape: Its sizes.
        const: The content of a constant.
        tensor: The index of its tensor; None for a constant.
        step: The index of the step that writes it, if that step can also limit and round it.
    """

    shape: tuple[int, ...]
    const: NDArray[Any] | None = None
    tensor: int | None = None
    step: int | None = None

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Tensor:
    count: int
    slack: int = COLUMNS  # what kernels may overwrite behind it, in floats
    content: NDArray[np.float32] | None = None


class Program:
    """Steps, and the tensors that they read and write."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.steps: list[dict[str, Any]] = []
        self._constants: dict[int, tuple[NDArray[Any], int]] = {}

    def add(self, op: str, shape: Sequence[int], slack: int = 0, /, **fields: Any) -> Ref:
        """Add a step with a new tensor for its result, and `slack` floats behind it."""
        out = self._tensor(Tensor(math.prod(shape), COLUMNS + slack))
        self.steps.append({"op": op, **fields, "out": out})
        return Ref(tuple(shape), tensor=out, step=len(self.steps) - 1)

    def given(self, shape: Sequence[int]) -> Ref:
        """The tensor of the network's input."""
        return Ref(tuple(shape), tensor=self._tensor(Tensor(math.prod(shape))))

    def product(
        self, op: str, shape: Sequence[int], size: tuple[int, int], /, **fields: Any
    ) -> Ref:
        """Add a step whose kernel computes `size`, (rows, columns), in groups of `ROWS` rows."""
        rows, columns = size
        return self.add(op, shape, -rows % ROWS * columns, **fields)

    def tensor(self, ref: Ref) -> int:
        """The index of the value's tensor; a constant gets one."""
        if ref.tensor is not None:
            return ref.tensor
        assert ref.const is not None
        if id(ref.const) not in self._constants:
            content = np.ascontiguousarray(ref.const, np.float32).reshape(-1)
            index = self._tensor(Tensor(content.size, content=content))
            self._constants[id(ref.const)] = (ref.const, index)  # alive, so that the id stays its
        return self._constants[id(ref.const)][1]

    def limited(
        self, ref: Ref, *, low: float = -math.inf, high: float = math.inf, half: bool = False
    ) -> Ref:
        """The value limited to [low, high], then rounded to float16 if `half`."""
        limits = {"low": low, "high": high}
        added = {k: v for k, v in limits.items() if not math.isinf(v)}
        if half:
            added["half"] = True
        if not added:
            return ref
        step = None if ref.step is None else self.steps[ref.step]
        taken = step is None or "half" in step or (added.keys() - {"half"} and step.keys() & limits)
        if taken:
            ref = self.moved(ref, ref.shape, from_strides=strides_of(ref.shape))
            assert ref.step is not None
            step = self.steps[ref.step]
        assert step is not None
        step |= added
        return ref

    def moved(
        self, ref: Ref, shape: Sequence[int], *, start: int = 0, from_strides: Sequence[int]
    ) -> Ref:
        """A new tensor of this shape, filled from the value's elements with these strides."""
        sizes, (source, target) = collapsed(shape, from_strides, strides_of(shape))
        fields: dict[str, Any] = {"shape": sizes, "from": start, "from_strides": source}
        return self.add("move", shape, x=self.tensor(ref), **fields, to=0, to_strides=target)

    def memory(self, given: Ref, result: Ref) -> int:
        """About how many bytes the page needs for the tensors."""
        assert given.tensor is not None
        _, arena = self._places(given.tensor, self.tensor(result))
        return arena + FLOAT * sum(each.count for each in self.tensors if each.content is not None)

    def to_bytes(self, given: Ref, result: Ref) -> bytes:
        """The file's content."""
        assert given.tensor is not None
        output = self.tensor(result)
        places, arena = self._places(given.tensor, output)
        content = bytearray()
        tensors: list[dict[str, Any]] = []
        for index, tensor in enumerate(self.tensors):
            if tensor.content is None:
                tensors.append({"count": tensor.count, "at": places[index]})
                continue
            stored = smallest(tensor.content)
            content += b"\0" * (-len(content) % FLOAT)
            entry = {"count": tensor.count, "from": len(content), "type": stored.dtype.name}
            tensors.append(entry)
            content += stored.tobytes()
        header = json.dumps(
            {
                "arena": arena,
                "input": given.tensor,
                "output": output,
                "tensors": tensors,
                "steps": self.steps,
            },
            separators=(",", ":"),
        ).encode()
        header += b" " * (-(len(MAGIC) + 4 + len(header)) % ALIGNMENT)
        return MAGIC + struct.pack("<I", len(header)) + header + bytes(content)

    def _tensor(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _places(self, given: int, output: int) -> tuple[dict[int, int], int]:
        """Where each tensor is, in bytes, and the size of all: those in use never overlap."""
        ends: dict[int, int] = {}
        for number, step in enumerate(self.steps):
            ends |= {step[key]: number for key in (*READS, "out") if key in step}
        ends[output] = len(self.steps)
        places: dict[int, int] = {}
        top = 0
        for number, index in enumerate([given, *(step["out"] for step in self.steps)]):
            if index in places:  # a tensor that several steps fill
                continue
            written = number - 1
            used = sorted(
                (places[each], places[each] + self._bytes(each))
                for each in places
                if ends.get(each, -1) >= written
            )
            at = 0
            for start, end in used:
                if start - at >= self._bytes(index):
                    break
                at = max(at, end)
            places[index] = at
            top = max(top, at + self._bytes(index))
        return places, top

    def _bytes(self, index: int) -> int:
        tensor = self.tensors[index]
        floats = FLOAT * (tensor.count + tensor.slack)
        return floats + -floats % ALIGNMENT


def strides_of(shape: Sequence[int]) -> list[int]:
    """The strides of a tensor whose elements are one after the other."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def collapsed(shape: Sequence[int], *strides: Sequence[int]) -> tuple[list[int], list[list[int]]]:
    """The same elements in the same order, in as few dimensions as possible."""
    sizes: list[int] = []
    found: list[list[int]] = [[] for _ in strides]
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        steps = [each[axis] for each in strides]
        if sizes and all(own[-1] == step * size for own, step in zip(found, steps, strict=True)):
            sizes[-1] *= size
            for own, step in zip(found, steps, strict=True):
                own[-1] = step
            continue
        sizes.append(size)
        for own, step in zip(found, steps, strict=True):
            own.append(step)
    return sizes, found


def smallest(content: NDArray[np.float32]) -> NDArray[Any]:
    """As little-endian float16 if every value stays the same, else as float32."""
    with np.errstate(over="ignore"):
        half = content.astype("<f2")
    same = np.array_equal(half.astype(np.float32), content, equal_nan=True)
    return half if same else content.astype("<f4")


def without_step(ref: Ref) -> Ref:
    """The value, when something else reads it as it is now."""
    return replace(ref, step=None)
