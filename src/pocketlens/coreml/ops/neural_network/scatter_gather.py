"""Gathering and scattering; indices are integers stored as floating-point numbers."""

from __future__ import annotations

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.common import indexing
from pocketlens.coreml.ops.registry import layer


def _mode(name: str) -> str:
    return name.removeprefix("SCATTER_").lower()


@layer()
def gather(g: Graph, x: Value, indices: Value, *, axis: int = 0) -> Value:
    return indexing.gather(g, x, indices, axis)


@layer()
def gatherAlongAxis(g: Graph, x: Value, indices: Value, *, axis: int = 0) -> Value:
    return indexing.gather_along_axis(g, x, indices, axis)


@layer()
def gatherND(g: Graph, x: Value, indices: Value) -> Value:
    return indexing.gather_nd(g, x, indices)


@layer()
def scatter(
    g: Graph,
    data: Value,
    indices: Value,
    updates: Value,
    *,
    axis: int = 0,
    mode: str = "SCATTER_UPDATE",
) -> Value:
    return indexing.scatter(g, data, indices, updates, axis, _mode(mode))


@layer()
def scatterAlongAxis(
    g: Graph,
    data: Value,
    indices: Value,
    updates: Value,
    *,
    axis: int = 0,
    mode: str = "SCATTER_UPDATE",
) -> Value:
    return indexing.scatter_along_axis(g, data, indices, updates, axis, _mode(mode))


@layer()
def scatterND(
    g: Graph, data: Value, indices: Value, updates: Value, *, mode: str = "SCATTER_UPDATE"
) -> Value:
    return indexing.scatter_nd(g, data, indices, updates, _mode(mode))
