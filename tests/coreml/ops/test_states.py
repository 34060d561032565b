"""Ops that read and write states, in files written field by field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import load
from pocketlens.errors import (
    FeatureError,
    ModelFileError,
)


def stateful_spec(files: Any, operations: list[tuple[str, dict[str, str], str]]) -> Any:
    """Operations on the input x and the state s, both [2] float16; the last one returns y."""
    spec = files.program_spec("relu", {"x": np.zeros(2, np.float16)}, {}, [("float16", (2,))])
    function = spec.mlProgram.functions["main"]
    function.opset = "CoreML8"
    block = function.block_specializations["CoreML8"]
    del function.block_specializations["CoreML6"]
    spec.specificationVersion = 9
    feature = spec.description.state.add(name="s").type.stateType.arrayType
    feature.shape.append(2)
    feature.dataType = 65552
    state = function.inputs.add(name="s").type.stateType.wrappedType
    state.CopyFrom(files.type_message("float16", (2,)))
    for op, inputs, output in operations:
        made = block.operations.add(type=op)
        for name, tensor in inputs.items():
            made.inputs[name].arguments.add().name = tensor
        if output:
            made.outputs.add(name=output).type.CopyFrom(files.type_message("float16", (2,)))
    block.outputs.append("y0")
    return spec


READ = ("read_state", {"input": "s"}, "y0")


def test_writing_without_reading(files: Any, save: Callable[..., Path]) -> None:
    operations = [("write_state", {"input": "s", "data": "x"}, ""), READ]
    model = load(save(stateful_spec(files, operations)))
    state = model.make_state()
    x = np.array([1, -2], np.float16)
    np.testing.assert_array_equal(model.run({"x": x}, state=state)["y0"], x)
    np.testing.assert_array_equal(state.read("s"), x)


def test_update_as_one_op(files: Any, save: Callable[..., Path]) -> None:
    """coremltools splits this op, but a file may contain it."""
    spec = stateful_spec(files, [("coreml_update_state", {"state": "s", "value": "x"}, "y0")])
    model = load(save(spec))
    state = model.make_state()
    x = np.array([1, -2], np.float16)
    np.testing.assert_array_equal(model.run({"x": x}, state=state)["y0"], x)
    np.testing.assert_array_equal(state.read("s"), x)


def test_state_written_with_another_shape(files: Any, save: Callable[..., Path]) -> None:
    """An error on loading; or during the run, if sizes are known only then."""
    spec = stateful_spec(files, [("write_state", {"input": "s", "data": "x"}, ""), READ])
    x = spec.mlProgram.functions["main"].inputs[0]
    x.type.CopyFrom(files.type_message("float16", (3,)))
    spec.description.input[0].type.multiArrayType.shape[0] = 3
    message = r"it writes x: float16\[3\] to the state s: float16\[2\]; expected the same type"
    with pytest.raises(ModelFileError, match=message):
        load(save(spec))
    x.type.CopyFrom(files.type_message("float16", (None,)))
    sizes = spec.description.input[0].type.multiArrayType.shapeRange.sizeRanges
    sizes.add(lowerBound=1, upperBound=9)
    model = load(save(spec))
    state = model.make_state()
    model.run({"x": np.array([4, 5], np.float16)}, state=state)
    with pytest.raises(FeatureError, match="fails on these inputs"):
        model.run({"x": np.array([4, 5, 6], np.float16)}, state=state)
    assert state.read("s").tolist() == [4, 5]


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (
            ("read_state", {"input": "x"}, "y0"),
            "the op read_state 'y0': 'input' is 'x'; expected one of the model's states: s",
        ),
        (
            ("write_state", {"input": "s"}, ""),
            "the op write_state 'write_state': it has no 'data', which this op needs",
        ),
        (("relu", {"x": "x"}, ""), "the op relu 'relu': it has 0 outputs; expected 1"),
    ],
)
def test_invalid_operations(
    operation: Any, message: str, files: Any, save: Callable[..., Path]
) -> None:
    path = save(stateful_spec(files, [operation, READ] if operation[0] != READ[0] else [operation]))
    with pytest.raises(ModelFileError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: {message}"


def test_state_that_the_program_does_not_have(files: Any, save: Callable[..., Path]) -> None:
    spec = stateful_spec(files, [READ])
    del spec.mlProgram.functions["main"].inputs[1]
    with pytest.raises(ModelFileError, match="the program takes x; the description says s, x"):
        load(save(spec))


def test_state_of_another_type_than_described(files: Any, save: Callable[..., Path]) -> None:
    spec = stateful_spec(files, [READ])
    spec.description.state[0].type.stateType.arrayType.shape[0] = 3
    message = r"the input 's': the description says float16\[3\]; the program declares float16\[2\]"
    with pytest.raises(ModelFileError, match=message):
        load(save(spec))
    spec = stateful_spec(files, [READ])
    spec.mlProgram.functions["main"].inputs[1].type.CopyFrom(files.type_message("float16", (2,)))
    with pytest.raises(
        ModelFileError, match="only one of the description and the program declares it as a state"
    ):
        load(save(spec))
