"""States that are kept between predictions. A state has a name; its value is a tensor."""

from __future__ import annotations

from typing import TypeAlias

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.registry import IOS18, mil
from pocketlens.errors import ModelFileError

State: TypeAlias = str  # the name


@mil(since=IOS18)
def read_state(g: Graph, input: State) -> Value:
    return g.Identity(g.tensors[input])


@mil(since=IOS18)
def write_state(g: Graph, input: State, data: Value) -> tuple[Value, ...]:
    held = g.tensors[input]
    sizes = held.sizes if data.shape is None else data.shape
    if held.dtype != data.dtype or not (
        len(sizes) == held.rank
        and all(one in (None, other) for one, other in zip(sizes, held.sizes, strict=True))
    ):
        raise ModelFileError(
            f"it writes {data!r} to the state {held!r}; expected the same type and shape"
        )
    g.assign(input, g.reshape(data, held.sizes))  # an unknown size is checked in the run
    return ()


@mil(since=IOS18)
def coreml_update_state(g: Graph, state: State, value: Value) -> Value:
    write_state(g, state, value)
    return read_state(g, state)
