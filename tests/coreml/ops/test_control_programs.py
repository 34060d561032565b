"""Invalid branches, loops and lists of ML Programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arrays import f32
from pocketlens.coreml import load
from pocketlens.errors import ModelFileError


def loop_spec(files: Any) -> Any:
    """`while a < 5: a = a + 1` as an ML Program."""
    spec = files.program_spec(
        "while_loop", {"loop_vars": [np.zeros(1, np.float32)]}, {}, [("float32", (1,))]
    )
    operation = spec.mlProgram.functions["main"].block_specializations["CoreML6"].operations[-1]
    scalar = files.type_message("float32", (1,))
    for op, kind, amount in (("less", "bool", 5), ("add", "float32", 1)):
        block = operation.blocks.add(outputs=[op])
        block.inputs.add(name="v").type.CopyFrom(scalar)
        made = block.operations.add(type=op)
        made.inputs["x"].arguments.add().name = "v"
        made.inputs["y"].arguments.add().value.CopyFrom(files.value_message(f32([amount])))
        made.outputs.add(name=op).type.CopyFrom(files.type_message(kind, (1,)))
    return spec


def main_loop(spec: Any) -> Any:
    return spec.mlProgram.functions["main"].block_specializations["CoreML6"].operations[-1]


def test_valid_program(files: Any, save: Callable[..., Path]) -> None:
    model = load(save(loop_spec(files)))
    assert [model.run({"loop_vars0": [a]})["y0"] for a in (0, 4.5, 8)] == [5, 5.5, 8]


def one_block(operation: Any) -> None:
    del operation.blocks[1]


def no_input(operation: Any) -> None:
    del operation.blocks[1].inputs[:]


def two_outputs(operation: Any) -> None:
    operation.blocks[1].outputs.append("v")


def two_conditions(operation: Any) -> None:
    operation.blocks[0].outputs.append("less")


def no_condition(operation: Any) -> None:
    del operation.blocks[0].outputs[:]


def unknown_output(operation: Any) -> None:
    operation.blocks[1].outputs[0] = "gone"


def number_for_a_condition(operation: Any) -> None:
    operation.blocks[0].outputs[0] = "v"


def condition_for_a_number(operation: Any) -> None:
    operation.blocks[1].CopyFrom(operation.blocks[0])


def another_type(operation: Any) -> None:
    operation.blocks[0].inputs[0].type.tensorType.dimensions[0].constant.size = 2


def taken_name(operation: Any) -> None:
    operation.blocks[0].inputs[0].name = "loop_vars0"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (one_block, "it has 1 nested blocks; expected 2"),
        (no_input, "a nested block has 0 inputs; expected 1"),
        (two_outputs, "the loop's body has 2 outputs; expected 1"),
        (two_conditions, "the loop's condition has 2 outputs; expected one"),
        (no_condition, "the loop's condition has 0 outputs; expected one"),
        (unknown_output, "it takes 'gone', which no earlier op produces"),
        (number_for_a_condition, "And cannot take "),
        (condition_for_a_number, "declares 'v' as float32[1]; its inputs result in bool[1]"),
        (another_type, "the file declares 'v' as float32[2]; its inputs result in float32[1]"),
        (taken_name, "two tensors of the model have the name 'loop_vars0'"),
    ],
)
def test_damaged_programs(
    damage: Callable[[Any], None], words: str, files: Any, save: Callable[..., Path]
) -> None:
    spec = loop_spec(files)
    damage(main_loop(spec))
    path = save(spec)
    with pytest.raises(ModelFileError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: the op while_loop 'y0': ")
    assert words in str(caught.value)


def test_loop_changes_a_size_that_the_file_fixes(files: Any, save: Callable[..., Path]) -> None:
    """The body makes the variable longer; the file declares size 1 for every step."""
    spec = loop_spec(files)
    test, block = main_loop(spec).blocks
    test.inputs[0].type.CopyFrom(files.type_message("float32", (None,)))
    test.operations[0].inputs["x"].arguments[0].value.CopyFrom(files.value_message(np.zeros(1)))
    block.operations[0].type = "concat"
    del block.operations[0].inputs["x"], block.operations[0].inputs["y"]
    for _ in range(2):
        block.operations[0].inputs["values"].arguments.add().name = "v"
    axis = block.operations[0].inputs["axis"].arguments.add()
    axis.value.CopyFrom(files.value_message(np.int32(0)))
    block.operations[0].outputs[0].type.CopyFrom(files.type_message("float32", (2,)))
    with pytest.raises(ModelFileError, match=r"the loop changes the sizes of .*\[1\] to \[2\]"):
        load(save(spec))


def test_branches_of_two_types(files: Any, save: Callable[..., Path]) -> None:
    spec = files.program_spec("cond", {"pred": np.ones(1, np.int32)}, {}, [("float32", (1,))])
    operation = main_loop(spec)
    spec.mlProgram.functions["main"].inputs[0].type.CopyFrom(files.type_message("bool", (1,)))
    for kind in ("float32", "int32"):
        block = operation.blocks.add(outputs=["v"])
        made = block.operations.add(type="const")
        value = files.value_message(np.ones(1, kind))
        made.attributes["val"].CopyFrom(value)
        made.outputs.add(name="v").type.CopyFrom(value.type)
    with pytest.raises(ModelFileError, match=r"float32\[1\] and .*int32\[1\] come from two branch"):
        load(save(spec))
    del operation.blocks[1].outputs[:]
    with pytest.raises(ModelFileError, match="one branch has 1 outputs, the other 0"):
        load(save(spec))


def test_invalid_list_length(files: Any, save: Callable[..., Path]) -> None:
    fields = {"init_length": "x", "elem_shape": (np.int32(2),)}
    path = save(files.program_spec("make_list", {}, fields, [("float32", (1, 2))]))
    with pytest.raises(ModelFileError, match=r"'init_length' is .*; expected an integer"):
        load(path)


def test_blocks_nested_too_deep(files: Any, save: Callable[..., Path]) -> None:
    spec = loop_spec(files)
    block = main_loop(spec).blocks[1]
    for _ in range(20):
        outer = block.operations.add(type="while_loop")
        block = outer.blocks.add()
    with pytest.raises(ModelFileError, match="blocks are nested more than 16 deep"):
        load(save(spec))


def test_block_in_an_op_that_takes_none(files: Any, save: Callable[..., Path]) -> None:
    spec = files.program_spec("relu", {"x": np.zeros(2, np.float32)}, {}, [("float32", (2,))])
    main_loop(spec).blocks.add()
    with pytest.raises(
        ModelFileError, match="the op relu 'y0': it has 1 nested blocks; expected 0"
    ):
        load(save(spec))
