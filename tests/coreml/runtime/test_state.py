"""`State`: values that a model keeps between predictions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import inspect, load
from pocketlens.errors import (
    FeatureError,
    UnsupportedModelError,
)

X = np.arange(6, dtype=np.float16).reshape(2, 3)


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Convert one of the programs below with coremltools, once per session."""
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

    decorator: Callable[..., Any] = mb.program(
        input_specs=list(specs), opset_version=ct.target.iOS18
    )
    return decorator


def _tensor(shape: tuple[int, ...], *, state: bool = False, single: bool = False) -> Any:
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil.mil import types

    made = mb.StateTensorSpec if state else mb.TensorSpec
    return made(shape, dtype=types.fp32 if single else types.fp16)


def mean() -> Any:
    """The mean of all inputs so far; reads and writes two states."""
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
    """`n` times: kept = 2 · kept + seen; `seen` is only read."""
    from coremltools.converters.mil import Builder as mb

    @_program(_tensor((1,), single=True), _tensor((2,), state=True), _tensor((2,), state=True))
    def program(n: Any, kept: Any, seen: Any) -> Any:
        def body(i: Any) -> Any:
            value = mb.mul(x=mb.read_state(input=kept), y=np.float16(2))
            value = mb.add(x=value, y=mb.read_state(input=seen))
            mb.coreml_update_state(state=kept, value=value)
            return mb.add(x=i, y=np.array([1], np.float32))

        def go(i: Any) -> Any:
            return mb.less(x=i, y=n)

        steps = mb.while_loop(_cond=go, _body=body, loop_vars=(np.array([0], np.float32),))
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
            return mb.mul(x=n, y=np.array([1], np.float32))

        def no() -> Any:
            return mb.mul(x=n, y=np.array([-1], np.float32))

        positive = mb.squeeze(x=mb.greater(x=n, y=np.array([0], np.float32)))
        return mb.cond(pred=positive, _true_fn=yes, _false_fn=no), mb.read_state(input=count)

    return program


def of_any_length() -> Any:
    """The sum of all inputs, with any number of rows; one op needs a fixed number of rows."""
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


def test_each_run_reads_and_writes_the_state(converted: Callable[[str], Path]) -> None:
    model = load(converted("mean"))
    state = model.make_state()
    assert state.names == ("total", "count")
    np.testing.assert_array_equal(state.read("total"), np.zeros((2, 3), np.float16))
    inputs = [X, 3 * X, -X]
    for number in range(1, 4):
        (answer,) = model.run({"x": inputs[number - 1]}, state=state).values()
        np.testing.assert_allclose(answer, np.mean(inputs[:number], axis=0), rtol=1e-3)
        assert answer.dtype == np.float16
    np.testing.assert_array_equal(state.read("count"), np.array([3], np.float16))
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
    array[:] = 9  # the state has a copy
    np.testing.assert_array_equal(state.read("total"), np.full((2, 3), np.float16(1 / 3)))
    state.read("total")[:] = 9  # `read` returns a copy
    (answer,) = model.run({"x": X}, state=state).values()
    np.testing.assert_allclose(answer, (1 / 3 + X) / 5, rtol=1e-3)


def test_run_with_intermediate_updates_the_state_once(converted: Callable[[str], Path]) -> None:
    model = load(converted("mean"))
    state = model.make_state()
    tensors = model.run({"x": X}, state=state, intermediate=True)
    assert state.read("count") == 1
    assert any(np.array_equal(each, X) for each in tensors.values())


def test_failed_run_does_not_change_the_state(converted: Callable[[str], Path]) -> None:
    model = load(converted("mean"))
    state = model.make_state()
    with pytest.raises(FeatureError, match="has the shape 2 × 3"):
        model.run({"x": X[:1]}, state=state)
    assert state.read("count") == 0


def test_model_without_inputs(converted: Callable[[str], Path]) -> None:
    model = load(converted("only_a_state"))
    state = model.make_state()
    state.write("kept", [1, 2])
    (answer,) = model.run({}, state=state).values()
    np.testing.assert_array_equal(answer, np.array([1.5, 2.5], np.float16))


@pytest.mark.parametrize("n", [0, 1, 4])
def test_state_written_in_a_loop(n: int, converted: Callable[[str], Path]) -> None:
    model = load(converted("in_a_loop"))
    state = model.make_state()
    state.write("seen", [1, 3])
    expected = np.zeros(2)
    for _ in range(2):
        steps, kept = model.run({"n": np.array([n], np.float32)}, state=state).values()
        for _ in range(n):
            expected = 2 * expected + [1, 3]
        np.testing.assert_array_equal(kept, expected)
        np.testing.assert_array_equal(state.read("kept"), expected)
        assert steps == n


def test_state_written_in_a_branch(converted: Callable[[str], Path]) -> None:
    model = load(converted("in_a_branch"))
    state = model.make_state()
    counts = []
    for n in (3, -2, 0, 7):
        size, count = model.run({"n": np.array([n], np.float32)}, state=state).values()
        assert size == abs(n)
        counts.append(int(count[0]))
    assert counts == [1, 1, 1, 2]


def test_one_state_for_all_shapes(converted: Callable[[str], Path]) -> None:
    model = load(converted("of_any_length"))
    state = model.make_state()
    total = 0.0
    for length in (1, 4, 2, 1):
        x = np.arange(2 * length).reshape(length, 2) + 1
        total += float(x.sum())
        result, row = model.run({"x": x}, state=state).values()
        assert result == total
        np.testing.assert_array_equal(row, x.reshape(1, -1))
    with pytest.raises(FeatureError, match="keeps 'total' between predictions; expected a state"):
        model.run({"x": x})


def test_only_programs_have_states(files: Any, save: Callable[..., Path]) -> None:
    spec = files.network_spec("copy", [np.zeros((1, 2), np.float32)], {}, [(1, 2)])
    feature = spec.description.state.add(name="s").type.stateType.arrayType
    feature.shape.append(2)
    feature.dataType = 65552
    message = r"\(neural network\) has the state 's'; only an ML Program can have states here"
    with pytest.raises(UnsupportedModelError, match=message):
        load(save(spec))


def test_wrong_states(converted: Callable[[str], Path]) -> None:
    path = converted("mean")
    model, twin = load(path), load(path)
    kept = (
        f"{path} keeps 'total', 'count' between predictions; expected a state made by its "
        "make_state(), as in run(inputs, state=state); received: "
    )
    for value, message in (
        (None, f"{kept}NoneType"),
        ({"total": X}, f"{kept}dict"),
        (
            twin.make_state(),
            f"{path} takes a state made by its own make_state(); received: "
            f"<State of {path}: total float16[2, 3], count float16[1]>",
        ),
    ):
        with pytest.raises(FeatureError) as caught:
            model.run({"x": X}, state=value)
        assert str(caught.value) == message
    with pytest.raises(FeatureError, match="has no input 'total'; expected one of: x"):
        model.run({"x": X, "total": X}, state=model.make_state())
    state = model.make_state()
    with pytest.raises(FeatureError, match="keeps no state 'totl'; did you mean 'total'"):
        state.read("totl")
    with pytest.raises(FeatureError, match=r"'total' of .* is float16\[2, 3\]; received: float16"):
        state.write("total", X[0])
    with pytest.raises(FeatureError, match=r"is float16\[1\]; received: <U1\[1\]"):
        state.write("count", ["x"])


def test_model_without_state(files: Any, save: Callable[..., Path]) -> None:
    x = np.zeros((1, 2), np.float32)
    path = save(files.program_spec("relu", {"x": x}, {}, [("float32", (1, 2))], "CoreML8"))
    model = load(path)
    with pytest.raises(UnsupportedModelError, match="keeps no state between predictions"):
        model.make_state()
    with pytest.raises(FeatureError, match="keeps no state; expected state=None"):
        model.run({"x": x}, state=object())


def test_describe_lists_states(converted: Callable[[str], Path]) -> None:
    assert inspect(converted("mean"))["states"] == [
        {"name": "total", "type": "state", "description": "", "shape": [2, 3], "dtype": "float16"},
        {"name": "count", "type": "state", "description": "", "shape": [1], "dtype": "float16"},
    ]


def test_states_in_the_onnx_file(converted: Callable[[str], Path], tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    path = load(converted("mean")).to_onnx(tmp_path / "mean.onnx")
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    assert names[1:] == ["total/new", "count/new"]
    feed = {"x": X, "total": X, "count": np.array([1], np.float16)}
    answer, total, count = session.run(None, feed)
    np.testing.assert_array_equal(answer, X)
    np.testing.assert_array_equal(total, 2 * X)
    np.testing.assert_array_equal(count, np.array([2], np.float16))
