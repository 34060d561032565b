"""Branches, loops and lists in files written by coremltools, compared with Python and NumPy."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arrays import f16, f32
from pocketlens.coreml import CoreMLModel, load
from pocketlens.coreml.ops.common import control
from pocketlens.errors import FeatureError

Build = Callable[..., Any]


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., CoreMLModel]:
    """Makes an ML Program; `build` takes coremltools' builder, then tensors of the given shapes."""

    def make(build: Build, *shapes: tuple[int, ...], half: bool = False) -> CoreMLModel:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import coremltools as ct
            from coremltools.converters.mil import Builder as mb
            from coremltools.converters.mil.mil import types

            kind = types.fp16 if half else types.fp32
            specs = [mb.TensorSpec(shape, dtype=kind) for shape in shapes]
            # coremltools requires a function with exactly as many parameters.
            functions = {1: lambda a: build(mb, a), 2: lambda a, b: build(mb, a, b)}
            decorate = mb.program(input_specs=specs, opset_version=ct.target.iOS16)
            converted = ct.convert(
                decorate(functions[len(shapes)]),
                minimum_deployment_target=ct.target.iOS16,
                compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
            )
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.mlpackage"
        converted.save(str(path))
        return load(path)

    return make


def answers(model: CoreMLModel, *arrays: Any) -> list[Any]:
    """The outputs of the model, in order."""
    names = [feature.name for feature in model.interface.inputs]
    assert len(names) == len(arrays)
    kinds = [feature.dtype for feature in model.interface.inputs]
    feed = {
        name: np.asarray(array, kind)
        for name, array, kind in zip(names, arrays, kinds, strict=True)
    }
    return list(model.run(feed).values())


def test_cond(program: Callable[..., CoreMLModel]) -> None:
    """Both branches can use outer tensors, and can return them."""

    def build(mb: Any, a: Any, b: Any) -> Any:
        twice = mb.mul(x=b, y=np.float32(2))

        def yes() -> Any:
            return mb.add(x=twice, y=np.float32(1)), mb.identity(x=b)

        def no() -> Any:
            return mb.mul(x=twice, y=twice), mb.add(x=b, y=np.float32(-1))

        pred = mb.squeeze(x=mb.greater(x=a, y=f32([0])))
        return mb.cond(pred=pred, _true_fn=yes, _false_fn=no)

    model = program(build, (1,), (2, 2))
    b = f32([[1, -2], [3, 0.5]])
    for a, expected in ((1, (2 * b + 1, b)), (-1, (4 * b * b, b - 1))):
        for ours, theirs in zip(answers(model, [a], b), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def collatz(n: int) -> int:
    steps = 0
    while n != 1:
        n = 3 * n + 1 if n % 2 else n // 2
        steps += 1
    return steps


def collatz_program(mb: Any, a: Any) -> Any:
    """The number of steps to reach 1: a branch inside a loop."""

    def go(n: Any, _: Any) -> Any:
        return mb.greater(x=n, y=f32([1]))

    def body(n: Any, steps: Any) -> Any:
        half = mb.floor_div(x=n, y=f32([2]))
        odd = mb.greater(x=n, y=mb.mul(x=half, y=f32([2])))

        def up() -> Any:
            return mb.add(x=mb.mul(x=n, y=f32([3])), y=f32([1]))

        def down() -> Any:
            return mb.identity(x=half)

        following = mb.cond(pred=mb.squeeze(x=odd), _true_fn=up, _false_fn=down)
        return following, mb.add(x=steps, y=f32([1]))

    return mb.while_loop(_cond=go, _body=body, loop_vars=(a, f32([0])))[1]


def test_cond_in_a_loop(program: Callable[..., CoreMLModel]) -> None:
    model = program(collatz_program, (1,))
    for n in (1, 2, 7, 27, 97):
        assert answers(model, [n]) == [collatz(n)]


def test_loops_in_loops(program: Callable[..., CoreMLModel]) -> None:
    """A sum over pairs: the outer loop sets the length of the inner one."""

    def build(mb: Any, a: Any) -> Any:
        one = f32([1])

        def outer_go(i: Any, _: Any) -> Any:
            return mb.less(x=i, y=a)

        def outer(i: Any, total: Any) -> Any:
            def go(j: Any, _: Any) -> Any:
                return mb.less_equal(x=j, y=i)

            def body(j: Any, partial: Any) -> Any:
                return mb.add(x=j, y=one), mb.add(x=partial, y=mb.mul(x=i, y=j))

            _, total = mb.while_loop(_cond=go, _body=body, loop_vars=(one, total))
            return mb.add(x=i, y=one), total

        return mb.while_loop(_cond=outer_go, _body=outer, loop_vars=(one, f32([0])))[1]

    model = program(build, (1,))
    for n in (0, 1, 2, 6):
        assert answers(model, [n]) == [sum(i * j for i in range(1, n) for j in range(1, i + 1))]


def test_outer_weights_in_a_loop(program: Callable[..., CoreMLModel]) -> None:
    """A recurrence with a matrix as a while loop, in float32."""
    random = np.random.default_rng(3)
    weight = random.standard_normal((16, 16)).astype(np.float32) / 4
    bias = random.standard_normal(16).astype(np.float32)

    def build(mb: Any, a: Any, b: Any) -> Any:
        def go(i: Any, _: Any) -> Any:
            return mb.less(x=i, y=b)

        def body(i: Any, x: Any) -> Any:
            return mb.add(x=i, y=f32([1])), mb.tanh(x=mb.linear(x=x, weight=weight, bias=bias))

        return mb.while_loop(_cond=go, _body=body, loop_vars=(f32([0]), a))

    model = program(build, (2, 16), (1,))
    x = random.standard_normal((2, 16)).astype(np.float32)
    for n in (0, 1, 9):
        expected = x.astype(np.float64)
        for _ in range(n):
            expected = np.tanh(expected @ weight.T + bias)
        steps, y = answers(model, x, [n])
        assert steps == n
        np.testing.assert_allclose(y, expected, atol=1e-5)


def test_half_precision_is_rounded_at_every_step(program: Callable[..., CoreMLModel]) -> None:
    """Exactly the results of float16; float32 sums that are rounded at the end would differ."""

    def build(mb: Any, a: Any, b: Any) -> Any:
        def go(i: Any, _: Any) -> Any:
            return mb.less(x=i, y=b)

        def body(i: Any, x: Any) -> Any:
            return mb.add(x=i, y=f16([1])), mb.mul(x=mb.add(x=x, y=a), y=np.float16(1.1))

        return mb.while_loop(_cond=go, _body=body, loop_vars=(f16([0]), a))[1]

    model = program(build, (4,), (1,), half=True)
    x = f16([1 / 3, 0.7, -0.01, 3])
    expected, wide = x, x.astype(np.float32)
    for _ in range(20):
        expected = (expected + x) * np.float16(1.1)
        wide = (wide + x) * np.float32(np.float16(1.1))
    (y,) = answers(model, x, [20])
    np.testing.assert_array_equal(y, expected)
    assert (wide.astype(np.float16) != expected).any()


def test_half_precision_input_of_a_branch_is_rounded(program: Callable[..., CoreMLModel]) -> None:
    def build(mb: Any, a: Any, b: Any) -> Any:
        square = mb.mul(x=b, y=b)  # infinite in float16, not in float32

        def yes() -> Any:
            return mb.mul(x=square, y=np.float16(0.001))

        def no() -> Any:
            return mb.mul(x=b, y=np.float16(2))

        pred = mb.squeeze(x=mb.greater(x=a, y=f16([0])))
        return mb.cond(pred=pred, _true_fn=yes, _false_fn=no)

    model = program(build, (1,), (2,), half=True)
    np.testing.assert_array_equal(answers(model, [1], [300, 3])[0], f16([np.inf, 0.009]))
    np.testing.assert_array_equal(answers(model, [-1], [300, 3])[0], f16([600, 6]))


def test_sizes_that_change_in_a_loop(program: Callable[..., CoreMLModel]) -> None:
    def build(mb: Any, a: Any, b: Any) -> Any:
        def go(i: Any, _: Any) -> Any:
            return mb.less(x=i, y=b)

        def body(i: Any, x: Any) -> Any:
            longer = mb.concat(values=[x, mb.mul(x=a, y=i)], axis=0)
            return mb.add(x=i, y=f32([1])), longer

        return mb.while_loop(_cond=go, _body=body, loop_vars=(f32([0]), a))[1]

    model = program(build, (2, 3), (1,))
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for n in (0, 1, 4):
        (y,) = answers(model, x, [n])
        np.testing.assert_array_equal(y, np.concatenate([x, *(x * i for i in range(n))]))


def test_list(program: Callable[..., CoreMLModel]) -> None:
    def build(mb: Any, a: Any, b: Any) -> Any:
        ls = mb.make_list(init_length=2, elem_shape=(3,))
        fresh = mb.list_read(ls=ls, index=1)
        ls = mb.list_write(ls=ls, index=0, value=a)
        short = mb.list_length(ls=ls)
        ls = mb.list_write(ls=ls, index=5, value=b)
        long = mb.list_length(ls=ls)
        rows = f32([[1, 2, 3], [4, 5, 6]])
        ls = mb.list_scatter(ls=ls, indices=[7, 2], value=rows)
        everything = mb.list_gather(ls=ls, indices=[0, 1, 2, 3, 4, 5, 6, 7])
        return fresh, short, long, mb.list_read(ls=ls, index=5), everything, mb.list_length(ls=ls)

    a, b = f32([1, 2, 3]), f32([-1, 0, 1])
    fresh, short, long, read, everything, longest = answers(program(build, (3,), (3,)), a, b)
    expected = np.zeros((8, 3), np.float32)
    expected[0], expected[5], expected[7], expected[2] = a, b, [1, 2, 3], [4, 5, 6]
    np.testing.assert_array_equal(fresh, np.zeros(3))
    np.testing.assert_array_equal(read, b)
    np.testing.assert_array_equal(everything, expected)
    assert (short, long, longest) == (2, 6, 8)


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "int32", "bool"])
def test_list_of_each_type(dtype: str, program: Callable[..., CoreMLModel]) -> None:
    def build(mb: Any, a: Any) -> Any:
        ls = mb.make_list(init_length=1, elem_shape=(2,), dtype=dtype)
        ls = mb.list_write(ls=ls, index=2, value=mb.cast(x=a, dtype=dtype))
        return mb.cast(x=mb.list_gather(ls=ls, indices=[2, 0, 1]), dtype="fp32")

    (y,) = answers(program(build, (2,)), [0, 1])
    np.testing.assert_array_equal(y, [[0, 1], [0, 0], [0, 0]])


def test_list_of_a_fixed_length(program: Callable[..., CoreMLModel]) -> None:
    def build(mb: Any, a: Any, b: Any) -> Any:
        ls = mb.make_list(init_length=3, elem_shape=(2,), dynamic_length=False)
        index = mb.squeeze(x=mb.cast(x=b, dtype="int32"))
        ls = mb.list_write(ls=ls, index=index, value=a)
        return mb.list_gather(ls=ls, indices=[0, 1, 2])

    model = program(build, (2,), (1,))
    for index in range(3):
        expected = np.zeros((3, 2))
        expected[index] = [4, 5]
        np.testing.assert_array_equal(answers(model, [4, 5], [index])[0], expected)
    with pytest.raises(FeatureError, match="fails on these inputs: .*ind"):
        answers(model, [4, 5], [3])


def test_list_in_a_loop(program: Callable[..., CoreMLModel]) -> None:
    """As in TensorFlow's recurrent networks: read from one list, write to another."""

    def build(mb: Any, a: Any, b: Any) -> Any:
        rows = mb.make_list(init_length=4, elem_shape=(3,), dynamic_length=False)
        rows = mb.list_scatter(ls=rows, indices=[0, 1, 2, 3], value=a)
        sums = mb.make_list(init_length=0, elem_shape=(3,))
        limit = mb.squeeze(x=mb.cast(x=b, dtype="int32"))

        def go(i: Any, *_: Any) -> Any:
            return mb.less(x=i, y=limit)

        def body(i: Any, sums: Any, total: Any) -> Any:
            total = mb.add(x=total, y=mb.list_read(ls=rows, index=i))
            return mb.add(x=i, y=1), mb.list_write(ls=sums, index=i, value=total), total

        start = (np.int32(0), sums, np.zeros(3, np.float32))
        _, sums, _ = mb.while_loop(_cond=go, _body=body, loop_vars=start)
        length = mb.list_length(ls=sums)
        return mb.list_gather(ls=sums, indices=mb.range_1d(start=0, end=length, step=1))

    model = program(build, (4, 3), (1,))
    x = np.arange(12, dtype=np.float32).reshape(4, 3) ** 2
    for n in (1, 3, 4):
        np.testing.assert_array_equal(answers(model, x, [n])[0], np.cumsum(x, 0)[:n])
    with pytest.raises(FeatureError, match="out of data bounds"):
        answers(model, x, [5])


def test_element_size_known_only_at_run_time(program: Callable[..., CoreMLModel]) -> None:
    """The first element that is written sets the size of the others."""

    def build(mb: Any, a: Any, b: Any) -> Any:
        ls = mb.make_list(init_length=2, elem_shape=("some", 3))
        ls = mb.list_write(ls=ls, index=3, value=a)
        ls = mb.list_write(ls=ls, index=0, value=b)
        return mb.list_gather(ls=ls, indices=[0, 1, 2, 3])

    a, b = np.full((2, 3), 5.0), np.full((2, 3), 7.0)
    (y,) = answers(program(build, (2, 3), (2, 3)), a, b)
    np.testing.assert_array_equal(y, [b, 0 * a, 0 * a, a])


@pytest.mark.parametrize(("length", "works"), [(0, True), (3, True), (2**30, False), (-1, False)])
def test_list_length_known_only_at_run_time(
    length: int, works: bool, program: Callable[..., CoreMLModel]
) -> None:
    """The length is checked before the list is created."""

    def build(mb: Any, a: Any) -> Any:
        count = mb.squeeze(x=mb.cast(x=a, dtype="int32"))
        return mb.list_length(ls=mb.make_list(init_length=count, elem_shape=(2, 3)))

    model = program(build, (1,))
    if works:
        assert answers(model, [length]) == [length]
    else:
        with pytest.raises(FeatureError, match="would make a tensor with a negative size"):
            answers(model, [length])


@pytest.mark.slow
def test_list_growth_is_limited(program: Callable[..., CoreMLModel]) -> None:
    def build(mb: Any, a: Any, b: Any) -> Any:
        index = mb.squeeze(x=mb.cast(x=a, dtype="int32"))
        ls = mb.make_list(init_length=1, elem_shape=(2,))
        ls = mb.list_write(ls=ls, index=index, value=b)
        return mb.list_length(ls=ls), mb.list_read(ls=ls, index=index)

    model = program(build, (1,), (2,))
    length, last = answers(model, [1000], [4, 5])
    assert (length, last.tolist()) == (1001, [4, 5])
    with pytest.raises(FeatureError, match="fails on these inputs: .*ind"):
        answers(model, [2**30], [4, 5])


def test_tensor_growth_in_a_loop_is_limited(
    program: Callable[..., CoreMLModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size doubles with each step, so the limit of steps is not enough."""
    monkeypatch.setattr(control, "MAX_TENSOR_BYTES", 4 * 3 * 2**10)

    def build(mb: Any, a: Any, b: Any) -> Any:
        def go(i: Any, _: Any) -> Any:
            return mb.less(x=i, y=b)

        def body(i: Any, x: Any) -> Any:
            return mb.add(x=i, y=f32([1])), mb.concat(values=[x, x], axis=0)

        return mb.while_loop(_cond=go, _body=body, loop_vars=(f32([0]), a))[1]

    model = program(build, (3,), (1,))
    assert answers(model, [1, 2, 3], [10])[0].size == 3 * 2**10
    with pytest.raises(FeatureError, match="a tensor of the loop '.*' grows beyond 12288 bytes"):
        answers(model, [1, 2, 3], [10**9])


def endless(mb: Any, a: Any) -> Any:
    """Counts from `a` up to 7; if it misses 7, it does not end."""

    def go(i: Any) -> Any:
        return mb.not_equal(x=i, y=f32([7]))

    def body(i: Any) -> Any:
        return mb.add(x=i, y=f32([1]))

    return mb.while_loop(_cond=go, _body=body, loop_vars=(a,))


def test_a_loop_that_does_not_end(
    program: Callable[..., CoreMLModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MAX_STEPS", 50)
    model = program(endless, (1,))
    assert answers(model, [0]) == [7]
    assert answers(model, [7 - 50]) == [7]  # exactly the limit
    for start in (8, 6.5, 7 - 51):
        with pytest.raises(FeatureError) as caught:
            answers(model, [start])
        assert str(caught.value) == (
            f"{model.path}: the loop 'while_loop_0' does not end on these inputs: it was stopped "
            "after 50 steps, the limit for all loops of the model together"
        )
    assert answers(model, [0]) == [7]


def test_steps_are_counted_together(
    program: Callable[..., CoreMLModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nested loops, and one after another: a limit for each loop would not limit the total."""
    monkeypatch.setattr(control, "MAX_STEPS", 60)

    def build(mb: Any, a: Any, b: Any) -> Any:
        one = f32([1])

        def count(to: Any, inside: Callable[[], Any], name: str) -> Any:
            def go(i: Any) -> Any:
                return mb.less(x=i, y=to)

            def body(i: Any) -> Any:
                return mb.add(x=i, y=mb.mul(x=inside(), y=one))

            start = f32([0])
            return mb.while_loop(_cond=go, _body=body, loop_vars=(start,), name=name)

        def inner() -> Any:
            times = count(b, lambda: one, "inner")
            return mb.real_div(x=times, y=times)

        return count(a, inner, "outer"), count(a, lambda: one, "after")

    model = program(build, (1,), (1,))
    assert answers(model, [5], [9]) == [5, 5]  # 5 × (1 + 9) + 5 = 55 steps
    assert answers(model, [4], [13]) == [4, 4]  # 4 × (1 + 13) + 4 = 60
    for a, b, name in ((2, 70, "inner"), (59, 1, "outer|inner"), (5, 11, "after")):
        with pytest.raises(FeatureError, match=f"the loop '({name})' does not end"):
            answers(model, [a], [b])


def test_intermediate_returns_tensors_outside_of_loops(program: Callable[..., CoreMLModel]) -> None:
    def build(mb: Any, a: Any) -> Any:
        twice = mb.mul(x=a, y=np.float32(2), name="twice")

        def go(i: Any) -> Any:
            return mb.less(x=mb.reduce_sum(x=i), y=np.float32(100))

        def body(i: Any) -> Any:
            return mb.mul(x=i, y=np.float32(3), name="inside")

        grown = mb.while_loop(_cond=go, _body=body, loop_vars=(twice,), name="grown")
        return mb.add(x=grown, y=twice, name="sum")

    model = program(build, (2,))
    tensors = model.run({"a": f32([1, 2])}, intermediate=True)
    np.testing.assert_array_equal(tensors["twice"], [2, 4])
    np.testing.assert_array_equal(tensors["grown"], [54, 108])
    np.testing.assert_array_equal(tensors["sum"], [56, 112])
    assert "inside" not in tensors


def test_onnx_file(program: Callable[..., CoreMLModel], tmp_path: Path) -> None:
    """A valid file with unique names; one output tells whether a loop was stopped."""
    import onnx
    import onnxruntime

    path = program(collatz_program, (1,)).to_onnx(tmp_path / "collatz.onnx")
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    names: list[str] = []

    def collect(graph: onnx.GraphProto) -> None:
        names.extend(each.name for each in (*graph.input, *graph.initializer))
        for node in graph.node:
            names.extend(name for name in node.output if name)
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    collect(attribute.g)

    collect(model.graph)
    assert {node.op_type for node in model.graph.node} >= {"Loop"}
    assert len(names) == len(set(names))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_outputs()][1:] == ["steps_left"]
    steps, left = session.run(None, {"a": f32([27])})
    assert (steps, left) == (collatz(27), control.MAX_STEPS - collatz(27))


def test_a_size_that_a_run_computes_is_limited_by_what_is_left(
    program: Callable[..., CoreMLModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POCKETLENS_MAX_MEMORY", "10000000")

    def build(mb: Any, a: Any) -> Any:
        return mb.reduce_sum(x=mb.fill(shape=mb.cast(x=a, dtype="int32"), value=np.float32(1)))

    model = program(build, (1,))
    assert answers(model, [2_000_000])[0] == 2_000_000
    with pytest.raises(FeatureError, match=r"of more than 9\d{6} bytes, on these inputs"):
        answers(model, [2_500_000])
