"""The program that runs a Core AI model, see `session`: Apple's interpreter, called nowhere else.

The argument is the size to which its address space is limited, in bytes. A request is one of:

    {"op": "open", "path": …}         -> {"functions": [{"name", "inputs", "outputs", "states"}]}
    {"op": "summary", "path": …}      -> {"ops", "weights", "compatibility"}
    {"op": "run", "function": …, "count": n, "inputs": [arrays], "states": [arrays]}
                                      -> {"outputs": [arrays], "states": [arrays]}

Arrays are described as `{"name", "dtype", "shape"}`, and follow one after another as bytes; each
input and each output has `n` arrays of this shape. An error is `{"error": …}`, `{"memory": true}`
if there was not enough memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pocketlens.processes import Answer, limit_files, limit_memory, serve

ALIASES = {"bool": "bool", "boolean": "bool"}
"""Apple's names of types that NumPy calls otherwise."""


class _Server:
    """Answers requests about one model."""

    def __init__(self) -> None:
        self.loop = asyncio.Runner()
        self.open = contextlib.AsyncExitStack()  # never closed: the process ends
        self.functions: dict[str, Any] = {}

    def answer(self, head: dict[str, Any], data: bytes) -> Answer:
        """See `serve`."""
        try:
            found: Answer = self.loop.run(getattr(self, f"_{head['op']}")(head, data))
            return found
        except MemoryError:
            return {"memory": True}, b""
        except Exception as error:  # Apple's code raises exceptions of any type
            return {"error": f"{error}".strip() or type(error).__name__}, b""

    async def _open(self, head: Mapping[str, Any], _: bytes) -> Answer:
        from coreai.authoring.asset import AIModelAsset

        model = await self.open.enter_async_context(AIModelAsset.load(head["path"]).executable())
        self.functions = {name: model.load_function(name) for name in model.function_names}
        return {"functions": [_described(f.desc) for f in self.functions.values()]}, b""

    async def _summary(self, head: Mapping[str, Any], _: bytes) -> Answer:
        from coreai.authoring.asset import AIModelAsset

        found = AIModelAsset.load(head["path"]).summary()
        if found is None:
            return {"error": "it has no program"}, b""
        weights = {name: int(count) for name, count in found.storage_types}
        return {
            "ops": {name: int(count) for name, count in found.operation_distribution},
            "weights": weights,
            "compatibility": found._compatibility_version or "",
        }, b""

    async def _run(self, head: Mapping[str, Any], data: bytes) -> Answer:
        from coreai.runtime import NDArray

        function, count = self.functions[head["function"]], head["count"]
        arrays = _arrays([*_repeated(head["inputs"], count), *head["states"]], data)
        given = {row["name"]: [next(arrays) for _ in range(count)] for row in head["inputs"]}
        states = {row["name"]: NDArray(next(arrays)) for row in head["states"]}
        results: list[dict[str, Any]] = []
        for number in range(count):
            inputs = {name: NDArray(each[number]) for name, each in given.items()}
            outputs = await function(inputs, states)
            # Copied: the next run may use the same memory.
            results.append({name: _numpy(each) for name, each in outputs.items()})
        kept = [(name, [_numpy(each)]) for name, each in states.items()]
        made = [(name, [each[name] for each in results]) for name in function.desc.output_names]
        rows = {
            kind: [
                {"name": name, "dtype": each[0].dtype.name, "shape": list(each[0].shape)}
                for name, each in group
            ]
            for kind, group in (("outputs", made), ("states", kept))
        }
        return rows, b"".join(each.tobytes() for _, group in (*made, *kept) for each in group)


def _described(desc: Any) -> dict[str, Any]:
    groups = {
        "inputs": (desc.input_names, desc.input_descriptor),
        "outputs": (desc.output_names, desc.output_descriptor),
        "states": (desc.state_names, desc.state_descriptor),
    }
    found: dict[str, Any] = {"name": desc.name}
    for kind, (names, descriptor) in groups.items():
        rows = [(name, descriptor(name)) for name in names]
        found[kind] = [
            {"name": name, "dtype": ALIASES.get(each.dtype, each.dtype), "shape": list(each.shape)}
            for name, each in rows
        ]
    return found


def _repeated(rows: Iterable[dict[str, Any]], count: int) -> Iterator[dict[str, Any]]:
    return (row for row in rows for _ in range(count))


def _arrays(rows: Iterable[dict[str, Any]], data: bytes) -> Iterator[Any]:
    import numpy as np

    start = 0
    for row in rows:
        kind, length = np.dtype(row["dtype"]), math.prod(row["shape"])
        array = np.frombuffer(data, kind, length, start)
        start += array.nbytes
        yield array.reshape(row["shape"]).copy()  # Apple's code wants memory that may be written


def _numpy(array: Any) -> Any:
    """A copy as a NumPy array of a type that NumPy itself has."""
    import numpy as np

    found = np.array(array.numpy(), order="C")
    return found if found.dtype.kind in "biuf" else found.astype(np.float32)


if __name__ == "__main__":
    limit_memory(int(sys.argv[1]))
    limit_files(int(sys.argv[1]))
    serve(_Server().answer)
