"""Work that grows with the size of the model only, counted, not timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import load
from pocketlens.coreml.graph import Graph, builder
from pocketlens.errors import ModelFileError


class CountedSet(set[str]):
    """A set that counts how often somebody asks whether it contains something."""

    asked = 0

    def __contains__(self, item: object) -> bool:
        self.asked += 1
        return super().__contains__(item)


@pytest.mark.parametrize("reserved", [(), [f"constant.{n}" for n in range(2, 4000)]])
def test_naming_constants_takes_linear_time(reserved: Any) -> None:
    graph = Graph()
    graph._names.taken = names = CountedSet(reserved)
    values = [graph.constant(float(n)) for n in range(4000)]
    assert len({value.name for value in values}) == 4000
    assert names.asked <= 3 * 4000 + len(reserved)


def test_names_of_nodes_and_constants_stay_as_they_were() -> None:
    graph = Graph(["constant.2"])
    assert [graph.constant(n).name for n in range(3)] == ["constant", "constant.3", "constant.4"]
    inner = graph.inner()
    assert inner.constant(7).name == "constant.5"


def nested_loops(files: Any, depth: int, place: int) -> Any:
    """Loops inside each other's condition (`place` 0) or body (1)."""
    x = np.zeros(1, np.float32)
    spec = files.program_spec("while_loop", {"x": x}, {}, [("float32", (1,))])
    vector, flag = files.type_message("float32", (1,)), files.type_message("bool", (1,))
    numbers: Iterator[int] = iter(range(1000))

    def fill(loop: Any, source: str, left: int) -> None:
        number = next(numbers)
        loop.inputs["loop_vars"].arguments.add().name = source
        for part, name in enumerate((f"c{number}", f"b{number}")):
            block = loop.blocks.add()
            block.inputs.add(name=name).type.CopyFrom(vector)
            last = name
            if part == place and left > 1:
                inner = block.operations.add(type="while_loop")
                last = f"inner{number}"
                inner.outputs.add(name=last).type.CopyFrom(vector)
                fill(inner, name, left - 1)
            op = block.operations.add(type="less" if part == 0 else "add")
            op.inputs["x"].arguments.add().name = last
            op.inputs["y"].arguments.add().value.CopyFrom(files.value_message(np.ones(1, "f4")))
            op.outputs.add(name=f"{name}_end").type.CopyFrom(flag if part == 0 else vector)
            block.outputs.append(f"{name}_end")

    (loop,) = spec.mlProgram.functions["main"].block_specializations["CoreML6"].operations
    del loop.inputs["x"], loop.attributes["name"]
    fill(loop, "x", depth)
    return spec


@pytest.fixture
def translated(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many operations have been translated so far."""
    count = [0]
    scope = Graph.scope

    def counted(graph: Graph, name: str, what: str, kind: str = "") -> None:
        count[0] += 1
        scope(graph, name, what, kind)

    monkeypatch.setattr(Graph, "scope", counted)
    return lambda: count[0]


@pytest.mark.parametrize("place", [0, 1])
def test_three_nested_loops(place: int, files: Any, save: Callable[..., Path]) -> None:
    answer = load(save(nested_loops(files, 3, place))).run({"x": [0.0]})
    np.testing.assert_array_equal(answer["y0"], [[1.0], [3.0]][place])


def test_nested_conditions_have_a_budget(
    files: Any, save: Callable[..., Path], translated: Callable[[], int]
) -> None:
    """Each level is translated twice: 14 levels would be 2 to the power of 14."""
    with pytest.raises(ModelFileError, match=r"op \w+ '\w+': its loops are nested so that more"):
        load(save(nested_loops(files, 14, 0)))
    assert translated() <= builder.FREE_REPEATS + builder.REPEATS * 42 + 1


def test_nested_bodies_are_translated_once(
    files: Any, save: Callable[..., Path], translated: Callable[[], int]
) -> None:
    load(save(nested_loops(files, 14, 1)))
    assert translated() <= 4 * 42


def test_graphs_inside_graphs_have_a_limit() -> None:
    graph = Graph()
    with pytest.raises(ModelFileError, match="nested more than 30 deep"):
        for _ in range(31):
            graph = graph.inner()


def test_number_of_nodes_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "MAX_NODES", 10)
    graph = Graph()
    x = graph.input("x", np.float32, (1,))
    with pytest.raises(ModelFileError, match="more than 10 operations"):
        for _ in range(11):
            graph.Relu(x)
