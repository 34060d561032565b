"""States and functions: what a model keeps between predictions, and several models in one file."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import describe, load
from pocketlens.errors import (
    FeatureError,
    ModelFileError,
    OptionError,
    UnsupportedModelError,
)

X = np.arange(6, dtype=np.float16).reshape(2, 3)


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A program of this file, written by coremltools, once a session."""
    folder = tmp_path_factory.mktemp("states")

    def convert(name: str) -> Path:
        path = folder / f"{name}.mlpackage"
        if not path.exists():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import coremltools as ct

                rows = [ct.TensorType("x", (ct.RangeDim(1, 5, 2), 2), dtype=np.float16)]
                ct.convert(
                    PROGRAMS[name](),
                    inputs=rows if name == "of_any_length" else None,
                    minimum_deployment_target=ct.target.iOS18,
                ).save(str(path))
        return path

    return convert


def _program(*specs: Any) -> Callable[..., Any]:
    import coremltools as ct
    from coremltools.converters.mil import Builder as mb

    return mb.program(input_specs=list(specs), opset_version=ct.target.iOS18)


def _tensor(shape: tuple[int, ...], *, state: bool = False, single: bool = False) -> Any:
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil.mil import types

    made = mb.StateTensorSpec if state else mb.TensorSpec
    return made(shape, dtype=types.fp32 if single else types.fp16)


def mean() -> Any:
    """The mean of what came so far: two states, each read and written."""
    from coremltools.converters.mil import Builder as mb

    @_program(_tensor((2, 3)), _tensor((2, 3), state=True), _tensor((1,), state=True))
    def program(x: Any, total: Any, count: Any) -> Any:
        everything = mb.add(x=mb.read_state(input=total), y=x)
        everything = mb.coreml_update_state(state=total, value=everything)
        number = mb.add(x=mb.read_state(input=count), y=np.float16(1))
        number = mb.coreml_update_state(state=count, value=number)
        return mb.real_div(x=everything, y=number)

    return program


def only_a_state() -> Any:
    from coremltools.converters.mil import Builder as mb

    @_program(_tensor((2,), state=True))
    def program(kept: Any) -> Any:
        return mb.add(x=mb.read_state(input=kept), y=np.float16(0.5))

    return program


def in_a_loop() -> Any:
    """`kept` doubles and grows by one, `n` times; `seen` is only read."""
    from coremltools.converters.mil import Builder as mb

    @_program(_tensor((1,), single=True), _tensor((2,), state=True), _tensor((2,), state=True))
    def program(n: Any, kept: Any, seen: Any) -> Any:
        def body(i: Any) -> Any:
            value = mb.mul(x=mb.read_state(input=kept), y=np.float16(2))
            value = mb.add(x=value, y=mb.read_state(input=seen))
            mb.coreml_update_state(state=kept, value=value)
            return mb.add(x=i, y=np.float32([1]))

        def go(i: Any) -> Any:
            return mb.less(x=i, y=n)

        steps = mb.while_loop(_cond=go, _body=body, loop_vars=(np.float32([0]),))
        return steps, mb.read_state(input=kept)

    return program


def in_a_branch() -> Any:
    """Counts the positive numbers."""
    from coremltools.converters.mil import Builder as mb

    @_program(_tensor((1,), single=True), _tensor((1,), state=True))
    def program(n: Any, count: Any) -> Any:
        def yes() -> Any:
            value = mb.add(x=mb.read_state(input=count), y=np.float16(1))
            mb.coreml_update_state(state=count, value=value)
            return mb.mul(x=n, y=np.float32([1]))

        def no() -> Any:
            return mb.mul(x=n, y=np.float32([-1]))

        positive = mb.squeeze(x=mb.greater(x=n, y=np.float32([0])))
        return mb.cond(pred=positive, _true_fn=yes, _false_fn=no), mb.read_state(input=count)

    return program


def of_any_length() -> Any:
    """The sum of all that came, in rows of any number: an op here needs to know how many."""
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil.mil import get_new_symbol

    @_program(_tensor((get_new_symbol(), 2)), _tensor((1,), state=True))
    def program(x: Any, total: Any) -> Any:
        row = mb.flatten2d(x=x, axis=0)
        here = mb.reduce_sum(x=row, axes=[0, 1], keep_dims=False)
        everything = mb.add(x=mb.read_state(input=total), y=here)
        return mb.coreml_update_state(state=total, value=everything), row

    return program


PROGRAMS = {
    each.__name__: each for each in (mean, only_a_state, in_a_loop, in_a_branch, of_any_length)
}


def test_each_run_reads_and_writes(converted: Callable[[str], Path]) -> None:
    model = load(converted("mean"))
    state = model.make_state()
    assert state.names == ("total", "count")
    np.testing.assert_array_equal(state.read("total"), np.zeros((2, 3), np.float16))
    given = [X, 3 * X, -X]
    for number in range(1, 4):
        (answer,) = model.run({"x": given[number - 1]}, state=state).values()
        np.testing.assert_allclose(answer, sum(given[:number]) / number, rtol=1e-3)
        assert answer.dtype == np.float16
    np.testing.assert_array_equal(state.read("count"), np.float16([3]))
    np.testing.assert_array_equal(state.read("total"), 3 * X)


def test_states_are_independent(converted: Callable[[str], Path]) -> None:
    model = load(converted("mean"))
    one, other = model.make_state(), model.make_state()
    for _ in range(3):
        model.run({"x": X}, state=one)
    model.run({"x": X}, state=other)
    assert one.read("count") == 3
    assert other.read("count") == 1


def test_reading_and_writing_a_state(converted: Callable[[str], Path]) -> None:
    model = load(converted("mean"))
    state = model.make_state()
    state.write("count", [4])
    array = np.full((2, 3), 1 / 3)
    state.write("total", array)
    array[:] = 9  # what was written is a copy
    np.testing.assert_array_equal(state.read("total"), np.full((2, 3), np.float16(1 / 3)))
    state.read("total")[:] = 9  # and so is what is read
    (answer,) = model.run({"x": X}, state=state).values()
    np.testing.assert_allclose(answer, (1 / 3 + X) / 5, rtol=1e-3)


def test_intermediate_runs_once(converted: Callable[[str], Path]) -> None:
    model = load(converted("mean"))
    state = model.make_state()
    tensors = model.run({"x": X}, state=state, intermediate=True)
    assert state.read("count") == 1
    assert any(np.array_equal(each, X) for each in tensors.values())


def test_a_failed_run_changes_nothing(converted: Callable[[str], Path]) -> None:
    model = load(converted("mean"))
    state = model.make_state()
    with pytest.raises(FeatureError, match="has the shape 2 × 3"):
        model.run({"x": X[:1]}, state=state)
    assert state.read("count") == 0


def test_no_input_but_a_state(converted: Callable[[str], Path]) -> None:
    model = load(converted("only_a_state"))
    state = model.make_state()
    state.write("kept", [1, 2])
    (answer,) = model.run({}, state=state).values()
    np.testing.assert_array_equal(answer, np.float16([1.5, 2.5]))


@pytest.mark.parametrize("n", [0, 1, 4])
def test_written_in_a_loop(n: int, converted: Callable[[str], Path]) -> None:
    model = load(converted("in_a_loop"))
    state = model.make_state()
    state.write("seen", [1, 3])
    expected = np.zeros(2)
    for _ in range(2):
        steps, kept = model.run({"n": np.float32([n])}, state=state).values()
        for _ in range(n):
            expected = 2 * expected + [1, 3]
        np.testing.assert_array_equal(kept, expected)
        np.testing.assert_array_equal(state.read("kept"), expected)
        assert steps == n


def test_written_in_a_branch(converted: Callable[[str], Path]) -> None:
    model = load(converted("in_a_branch"))
    state = model.make_state()
    counts = []
    for n in (3, -2, 0, 7):
        size, count = model.run({"n": np.float32([n])}, state=state).values()
        assert size == abs(n)
        counts.append(int(count[0]))
    assert counts == [1, 1, 1, 2]


def test_one_state_for_every_shape(converted: Callable[[str], Path]) -> None:
    model = load(converted("of_any_length"))
    state = model.make_state()
    total = 0.0
    for length in (1, 4, 2, 1):
        x = np.arange(2 * length).reshape(length, 2) + 1
        total += float(x.sum())
        given, row = model.run({"x": x}, state=state).values()
        assert given == total
        np.testing.assert_array_equal(row, x.reshape(1, -1))
    with pytest.raises(FeatureError, match="keeps 'total' between predictions; expected a state"):
        model.run({"x": x})


def test_only_programs_keep_states(files: Any, save: Callable[..., Path]) -> None:
    spec = files.network_spec("copy", [np.zeros((1, 2), np.float32)], {}, [(1, 2)])
    feature = spec.description.state.add(name="s").type.stateType.arrayType
    feature.shape.append(2)
    feature.dataType = 65552
    words = r"\(neural network\) keeps 's' between predictions, as only an ML Program can here"
    with pytest.raises(UnsupportedModelError, match=words):
        load(save(spec))


def test_wrong_states(converted: Callable[[str], Path]) -> None:
    path = converted("mean")
    model, twin = load(path), load(path)
    kept = (
        f"{path} keeps 'total', 'count' between predictions; expected a state made by its "
        "make_state(), as in run(inputs, state=state); received: "
    )
    for given, words in (
        (None, f"{kept}NoneType"),
        ({"total": X}, f"{kept}dict"),
        (
            twin.make_state(),
            f"{path} takes a state made by its own make_state(); received: "
            f"<State of {path}: total float16[2, 3], count float16[1]>",
        ),
    ):
        with pytest.raises(FeatureError) as caught:
            model.run({"x": X}, state=given)
        assert str(caught.value) == words
    with pytest.raises(FeatureError, match="has no input 'total'; expected one of: x"):
        model.run({"x": X, "total": X}, state=model.make_state())
    state = model.make_state()
    with pytest.raises(FeatureError, match="keeps no state 'totl'; did you mean 'total'"):
        state.read("totl")
    with pytest.raises(FeatureError, match=r"'total' of .* is float16\[2, 3\]; received: float16"):
        state.write("total", X[0])
    with pytest.raises(FeatureError, match=r"is float16\[1\]; received: <U1\[1\]"):
        state.write("count", ["x"])


def test_no_state(files: Any, save: Callable[..., Path]) -> None:
    x = np.zeros((1, 2), np.float32)
    path = save(files.program_spec("relu", {"x": x}, {}, [("float32", (1, 2))], "CoreML8"))
    model = load(path)
    with pytest.raises(UnsupportedModelError, match="keeps no state between predictions"):
        model.make_state()
    with pytest.raises(FeatureError, match="keeps no state; expected state=None"):
        model.run({"x": x}, state=object())


def test_described(converted: Callable[[str], Path]) -> None:
    assert describe(converted("mean"))["states"] == [
        {"name": "total", "type": "state", "description": "", "shape": [2, 3], "dtype": "float16"},
        {"name": "count", "type": "state", "description": "", "shape": [1], "dtype": "float16"},
    ]


def stateful_spec(files: Any, operations: list[tuple[str, dict[str, str], str]]) -> Any:
    """Operations on the input x and the state s, both [2] in float16; the last gives y."""
    spec = files.program_spec("relu", {"x": np.zeros(2, np.float16)}, {}, [("float16", (2,))])
    function = spec.mlProgram.functions["main"]
    function.opset = "CoreML8"
    block = function.block_specializations["CoreML8"]
    del function.block_specializations["CoreML6"]
    spec.specificationVersion = 9
    feature = spec.description.state.add(name="s").type.stateType.arrayType
    feature.shape.append(2)
    feature.dataType = 65552
    given = function.inputs.add(name="s").type.stateType.wrappedType
    given.CopyFrom(files.type_message("float16", (2,)))
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
    x = np.float16([1, -2])
    np.testing.assert_array_equal(model.run({"x": x}, state=state)["y0"], x)
    np.testing.assert_array_equal(state.read("s"), x)


def test_update_as_one_op(files: Any, save: Callable[..., Path]) -> None:
    """coremltools takes it apart; a file may hold it whole."""
    spec = stateful_spec(files, [("coreml_update_state", {"state": "s", "value": "x"}, "y0")])
    model = load(save(spec))
    state = model.make_state()
    x = np.float16([1, -2])
    np.testing.assert_array_equal(model.run({"x": x}, state=state)["y0"], x)
    np.testing.assert_array_equal(state.read("s"), x)


def test_written_in_another_shape(files: Any, save: Callable[..., Path]) -> None:
    """Found when the file is loaded; and in the run, where sizes are open till then."""
    spec = stateful_spec(files, [("write_state", {"input": "s", "data": "x"}, ""), READ])
    given = spec.mlProgram.functions["main"].inputs[0]
    given.type.CopyFrom(files.type_message("float16", (3,)))
    spec.description.input[0].type.multiArrayType.shape[0] = 3
    words = r"it writes x: float16\[3\] to the state s: float16\[2\]; expected the same type"
    with pytest.raises(ModelFileError, match=words):
        load(save(spec))
    given.type.CopyFrom(files.type_message("float16", (None,)))
    sizes = spec.description.input[0].type.multiArrayType.shapeRange.sizeRanges
    sizes.add(lowerBound=1, upperBound=9)
    model = load(save(spec))
    state = model.make_state()
    model.run({"x": np.float16([4, 5])}, state=state)
    with pytest.raises(FeatureError, match="fails on these inputs"):
        model.run({"x": np.float16([4, 5, 6])}, state=state)
    assert state.read("s").tolist() == [4, 5]


@pytest.mark.parametrize(
    ("operation", "words"),
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
def test_faulty_operations(
    operation: Any, words: str, files: Any, save: Callable[..., Path]
) -> None:
    path = save(stateful_spec(files, [operation, READ] if operation[0] != READ[0] else [operation]))
    with pytest.raises(ModelFileError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: {words}"


def test_state_that_the_program_does_not_know(files: Any, save: Callable[..., Path]) -> None:
    spec = stateful_spec(files, [READ])
    del spec.mlProgram.functions["main"].inputs[1]
    with pytest.raises(ModelFileError, match="the program takes x; the description says s, x"):
        load(save(spec))


def test_state_of_another_type_than_described(files: Any, save: Callable[..., Path]) -> None:
    spec = stateful_spec(files, [READ])
    spec.description.state[0].type.stateType.arrayType.shape[0] = 3
    words = r"the input 's': the description says float16\[3\]; the program keeps float16\[2\]"
    with pytest.raises(ModelFileError, match=words):
        load(save(spec))
    spec = stateful_spec(files, [READ])
    spec.mlProgram.functions["main"].inputs[1].type.CopyFrom(files.type_message("float16", (2,)))
    with pytest.raises(ModelFileError, match="a state in one place and none in another"):
        load(save(spec))


def test_onnx_file_gives_the_states(converted: Callable[[str], Path], tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    path = load(converted("mean")).to_onnx(tmp_path / "mean.onnx")
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    assert names[1:] == ["total/new", "count/new"]
    feed = {"x": X, "total": X, "count": np.float16([1])}
    answer, total, count = session.run(None, feed)
    np.testing.assert_array_equal(answer, X)
    np.testing.assert_array_equal(total, 2 * X)
    np.testing.assert_array_equal(count, np.float16([2]))


def test_several_functions(tmp_path: Path) -> None:
    """As coremltools puts them together: one base, two adapters, the weights shared."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import coremltools as ct
        from coremltools.converters.mil import Builder as mb

        base = np.random.default_rng(4).standard_normal((4, 3)).astype(np.float32)

        def adapted(factor: float) -> Any:
            @mb.program(input_specs=[mb.TensorSpec((1, 3))], opset_version=ct.target.iOS18)
            def program(x: Any) -> Any:
                return mb.mul(x=mb.linear(x=x, weight=base), y=np.float32(factor), name="y")

            return program

        adapters = {"plus": 2.0, "minus": -3.0}
        descriptor = ct.utils.MultiFunctionDescriptor()
        for name, factor in adapters.items():
            one = str(tmp_path / f"{name}.mlpackage")
            ct.convert(
                adapted(factor),
                minimum_deployment_target=ct.target.iOS18,
                compute_precision=ct.precision.FLOAT32,
            ).save(one)
            descriptor.add_function(one, src_function_name="main", target_function_name=name)
        descriptor.default_function_name = "plus"
        path = tmp_path / "both.mlpackage"
        ct.utils.save_multifunction(descriptor, str(path))
    x = np.float32([[1, -2, 3]])
    for name, factor in adapters.items():
        answer = load(path, function=name).run({"x": x})["y"]
        np.testing.assert_allclose(answer, x @ base.T * factor, rtol=1e-5)
    np.testing.assert_allclose(load(path).run({"x": x})["y"], x @ base.T * 2, rtol=1e-5)
    assert sorted(describe(path)["functions"]) == ["minus", "plus"]
    with pytest.raises(OptionError, match="has no function 'main'; did you mean 'minus'"):
        load(path, function="main")
