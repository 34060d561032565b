"""Gathering and scattering.

An index out of range always stops the run. A negative index counts from the end, as specified
before iOS 17; since iOS 17 it stops the run if the file sets `validate_indices`, and is undefined
otherwise.
"""

from __future__ import annotations

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.common import indexing
from pocketlens.coreml.ops.registry import IOS16, IOS17, mil


@mil()
def gather(g: Graph, x: Value, indices: Value, axis: int = 0) -> Value:
    return indexing.gather(g, x, indices, axis)


@mil(since=IOS16, name="gather")
def gather_ios16(g: Graph, x: Value, indices: Value, axis: int = 0, batch_dims: int = 0) -> Value:
    return indexing.gather(g, x, indices, axis, batch_dims)


@mil(since=IOS17, name="gather")
def gather_ios17(
    g: Graph,
    x: Value,
    indices: Value,
    axis: int = 0,
    batch_dims: int = 0,
    validate_indices: bool = False,
) -> Value:
    if validate_indices:
        indices = indexing.reject_negative(g, x, indices, axis)
    return indexing.gather(g, x, indices, axis, batch_dims)


@mil()
def gather_along_axis(g: Graph, x: Value, indices: Value, axis: int = 0) -> Value:
    return indexing.gather_along_axis(g, x, indices, axis)


@mil(since=IOS17, name="gather_along_axis")
def gather_along_axis_ios17(
    g: Graph, x: Value, indices: Value, axis: int = 0, validate_indices: bool = False
) -> Value:
    if validate_indices:
        indices = indexing.reject_negative(g, x, indices, axis)
    return indexing.gather_along_axis(g, x, indices, axis)


@mil()
def gather_nd(g: Graph, x: Value, indices: Value) -> Value:
    return indexing.gather_nd(g, x, indices)


@mil(since=IOS16, name="gather_nd")
def gather_nd_ios16(g: Graph, x: Value, indices: Value, batch_dims: int = 0) -> Value:
    return indexing.gather_nd(g, x, indices, batch_dims)


@mil(since=IOS17, name="gather_nd")
def gather_nd_ios17(
    g: Graph, x: Value, indices: Value, batch_dims: int = 0, validate_indices: bool = False
) -> Value:
    if validate_indices:
        indices = indexing.reject_negative(g, x, indices, start=batch_dims)
    return indexing.gather_nd(g, x, indices, batch_dims)


# The op's description says that the default mode is "update", its definition says "add".
@mil()
def scatter(
    g: Graph, data: Value, indices: Value, updates: Value, axis: int = 0, mode: str = "add"
) -> Value:
    return indexing.scatter(g, data, indices, updates, axis, mode)


@mil(since=IOS17, name="scatter")
def scatter_ios17(
    g: Graph,
    data: Value,
    indices: Value,
    updates: Value,
    axis: int = 0,
    mode: str = "add",
    validate_indices: bool = False,
) -> Value:
    if validate_indices:
        indices = indexing.reject_negative(g, data, indices, axis)
    return indexing.scatter(g, data, indices, updates, axis, mode)


@mil()
def scatter_along_axis(
    g: Graph, data: Value, indices: Value, updates: Value, axis: int = 0, mode: str = "add"
) -> Value:
    return indexing.scatter_along_axis(g, data, indices, updates, axis, mode)


@mil(since=IOS17, name="scatter_along_axis")
def scatter_along_axis_ios17(
    g: Graph,
    data: Value,
    indices: Value,
    updates: Value,
    axis: int = 0,
    mode: str = "add",
    validate_indices: bool = False,
) -> Value:
    if validate_indices:
        indices = indexing.reject_negative(g, data, indices, axis)
    return indexing.scatter_along_axis(g, data, indices, updates, axis, mode)


@mil()
def scatter_nd(g: Graph, data: Value, indices: Value, updates: Value, mode: str = "add") -> Value:
    return indexing.scatter_nd(g, data, indices, updates, mode)


@mil(since=IOS17, name="scatter_nd")
def scatter_nd_ios17(
    g: Graph,
    data: Value,
    indices: Value,
    updates: Value,
    mode: str = "add",
    validate_indices: bool = False,
) -> Value:
    if validate_indices:
        indices = indexing.reject_negative(g, data, indices)
    return indexing.scatter_nd(g, data, indices, updates, mode)
