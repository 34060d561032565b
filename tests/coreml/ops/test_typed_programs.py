"""Types in programs of several ops, large integers, and types without a kernel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import defs

from arrays import Run, i32
from pocketlens.coreml import load
from pocketlens.coreml.graph import Graph
from pocketlens.coreml.graph.inference import OPSET
from pocketlens.coreml.graph.kernels import KERNELS
from pocketlens.errors import ModelFileError, UnsupportedOp

NUMPY = {"fp16": np.float16, "fp32": np.float32, "int32": np.int32, "bool": np.bool_}
DATA = {"fp16": [1.5, -2.0], "fp32": [1.5, -2.0], "int32": [2**24 + 1, -7], "bool": [True, False]}


def loaded(build: Callable[..., Any], kind: str, folder: Path) -> Any:
    """A program of coremltools with the input x [2] of a type, saved and loaded.

    A boolean cannot be an input or an output: the program converts it.
    """
    import coremltools as ct
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil.mil import types

    outside = "int32" if kind == "bool" else kind
    spec = mb.TensorSpec((2,), dtype=types.string_to_builtin(outside))

    def program(x: Any) -> Any:
        value = mb.cast(x=x, dtype=kind) if kind == "bool" else x
        result = build(mb, value)
        return (
            mb.cast(x=result, dtype="int32", name="y")
            if kind == "bool"
            else mb.identity(x=result, name="y")
        )

    made = mb.program(input_specs=[spec], opset_version=ct.target.iOS17)(program)
    path = folder / "m.mlpackage"
    ct.convert(
        made, minimum_deployment_target=ct.target.iOS17, skip_model_load=True,
        compute_precision=ct.precision.FLOAT32, pass_pipeline=ct.PassPipeline.EMPTY,
    ).save(str(path))  # fmt: skip
    return load(path)


def branch(mb: Any, x: Any) -> Any:
    return mb.cond(
        pred=np.bool_(True), _true_fn=lambda: mb.identity(x=x),
        _false_fn=lambda: mb.reverse(x=x, axes=[0]),
    )  # fmt: skip


def twice_reversed(mb: Any, x: Any) -> Any:
    def go_on(count: Any, _: Any) -> Any:
        return mb.less(x=count, y=2)

    def step(count: Any, value: Any) -> Any:
        return mb.add(x=count, y=1), mb.reverse(x=value, axes=[0])

    return mb.while_loop(_cond=go_on, _body=step, loop_vars=(np.int32(0), x))[1]


def through_a_list(mb: Any, x: Any) -> Any:
    from coremltools.converters.mil.mil import types

    kind = types.builtin_to_string(x.dtype)
    items = mb.make_list(init_length=2, elem_shape=(2,), dtype=kind, dynamic_length=False)
    items = mb.list_write(ls=items, index=1, value=x)
    items = mb.list_scatter(ls=items, indices=[0], value=mb.expand_dims(x=x, axes=[0]))
    several = mb.list_gather(ls=items, indices=[1, 0])
    first = mb.squeeze(x=mb.slice_by_size(x=several, begin=[1, 0], size=[1, 2]), axes=[0])
    return mb.select(
        cond=mb.equal(x=mb.list_length(ls=items), y=2), a=mb.list_read(ls=items, index=1), b=first
    )


@pytest.mark.parametrize("build", [branch, twice_reversed, through_a_list])
@pytest.mark.parametrize("kind", NUMPY)
def test_blocks_and_lists(build: Callable[..., Any], kind: str, tmp_path: Path) -> None:
    x: np.ndarray = np.array(DATA[kind]).astype(NUMPY[kind])
    model = loaded(build, kind, tmp_path)
    outside = x.astype(np.int32) if kind == "bool" else x
    answer = next(iter(model.run({"x": outside}).values()))
    np.testing.assert_array_equal(answer, outside)


BIG = i32([[2**24 + 1, -3, 2**29 + 7], [5, 2**24 + 3, -(2**28) - 1]])
SMALL = i32([[1, 2, -3], [3, -1, 2]])

EXACT: list[tuple[str, dict[str, Any], dict[str, Any], np.ndarray]] = [
    ("linear", {"x": BIG}, {"weight": SMALL, "bias": i32([3, -1])}, BIG @ SMALL.T + i32([3, -1])),
    ("linear", {"x": np.stack([BIG, SMALL])}, {"weight": SMALL}, np.stack([BIG, SMALL]) @ SMALL.T),
    ("matmul", {"x": BIG}, {"y": SMALL, "transpose_y": True}, BIG @ SMALL.T),
    ("matmul", {"x": BIG, "y": SMALL}, {"transpose_x": True}, BIG.T @ SMALL),
    ("matmul", {"x": np.stack([BIG] * 2), "y": SMALL.T}, {}, np.stack([BIG @ SMALL.T] * 2)),
    ("add", {"x": BIG, "y": SMALL}, {}, BIG + SMALL),
    ("sub", {"x": BIG, "y": SMALL}, {}, BIG - SMALL),
    ("mul", {"x": BIG, "y": SMALL}, {}, BIG * SMALL),
    ("floor_div", {"x": BIG, "y": SMALL}, {}, BIG // SMALL),
    ("mod", {"x": BIG, "y": SMALL}, {}, BIG % SMALL),
    ("real_div", {"x": BIG, "y": SMALL}, {}, np.trunc(BIG / SMALL).astype(np.int32)),
    ("maximum", {"x": BIG, "y": SMALL}, {}, np.maximum(BIG, SMALL)),
    ("abs", {"x": BIG}, {}, abs(BIG)),
    ("cumsum", {"x": BIG}, {"axis": 1}, np.cumsum(BIG, 1).astype(np.int32)),
    ("reduce_sum", {"x": BIG}, {"axes": [1]}, BIG.sum(1).astype(np.int32)),
    ("reduce_max", {"x": BIG}, {"axes": [0]}, BIG.max(0)),
    ("reduce_mean", {"x": BIG[:1]}, {"axes": [1]}, np.trunc(BIG[:1].mean(1)).astype(np.int32)),
    ("reduce_l2_norm", {"x": i32([[60000, -80000]])}, {"axes": [1]}, i32([100000])),
    ("threshold", {"x": BIG}, {"alpha": np.int32(2**24 + 2)}, np.maximum(BIG, 2**24 + 2)),
    ("select", {"cond": BIG > 0, "a": BIG, "b": SMALL}, {}, np.where(BIG > 0, BIG, SMALL)),
    ("pad", {"x": BIG}, {"pad": i32([0, 0, 1, 0]), "constant_val": np.int32(2**24 + 1)},
     np.pad(BIG, ((0, 0), (1, 0)), constant_values=2**24 + 1)),
    ("scatter", {"data": BIG, "updates": SMALL, "indices": i32([1, 0])}, {"mode": "add"},
     BIG + SMALL[::-1]),
    ("scatter", {"data": BIG, "updates": SMALL, "indices": i32([1, 0])}, {"mode": "div"},
     np.trunc(BIG / SMALL[::-1]).astype(np.int32)),
]  # fmt: skip


@pytest.mark.parametrize(("op", "inputs", "fields", "expected"), EXACT)
@pytest.mark.parametrize("opset", ["CoreML5", "CoreML7"])
def test_integers_that_float32_cannot_hold(
    op: str, inputs: dict[str, Any], fields: dict[str, Any], expected: np.ndarray, opset: str,
    run_op: Run,
) -> None:  # fmt: skip
    (answer,) = run_op(op, inputs, fields, [("int32", expected.shape)], opset)
    np.testing.assert_array_equal(answer, expected)


@pytest.mark.parametrize(("kind", "weight"), [("int32", "float32"), ("int32", "float16")])
def test_integers_times_weights_of_another_type(kind: str, weight: str, run_op: Run) -> None:
    """iOS 17 allows it; the result has the type of x."""
    for op, name in (("linear", "weight"), ("matmul", "y")):
        fields = {name: SMALL.astype(weight)} | ({"transpose_y": True} if op == "matmul" else {})
        (answer,) = run_op(op, {"x": BIG}, fields, [(kind, (2, 2))], "CoreML7")
        np.testing.assert_array_equal(answer, BIG @ SMALL.T)


CASTS = ["float16", "float32", "int8", "uint8", "int16", "uint16", "int32", "bool"]


@pytest.mark.parametrize("source", CASTS)
@pytest.mark.parametrize("target", CASTS)
def test_casts(source: str, target: str, run_op: Run) -> None:
    x = np.array([0, 1, 3, 100]).astype(source)
    dtype = target.replace("float", "fp")
    (answer,) = run_op("cast", {"x": x}, {"dtype": dtype}, [(target, (4,))], "CoreML7")
    np.testing.assert_array_equal(answer, x.astype(target))


def kernels() -> dict[str, list[Any]]:
    """ONNX Runtime's own list of its CPU kernels for our opset, by operator."""
    from onnxruntime.capi import onnxruntime_pybind11_state as runtime

    if not hasattr(runtime, "get_all_opkernel_def"):
        pytest.skip("this ONNX Runtime does not list its kernels")
    found: dict[str, list[Any]] = {}
    for each in runtime.get_all_opkernel_def():
        first, last = each.version_range
        if each.provider == "CPUExecutionProvider" and not each.domain and first <= OPSET <= last:
            found.setdefault(each.op_name, []).append(each)
    return found


def types_of(op: str, given: list[Any]) -> tuple[set[str], set[str]]:
    """The types of the data that ONNX allows for an operator, and those that have a kernel."""
    schema = defs.get_schema(op, OPSET)
    formal = [each.type_str for each in schema.inputs]
    variable = "T" if "T" in formal else formal[0]
    allowed = {
        each.removeprefix("tensor(").removesuffix(")")
        for one in schema.type_constraints
        if one.type_param_str == variable
        for each in one.allowed_type_strs
    }
    names = {"float": "float32", "double": "float64"}
    taken = {
        names.get(name, name)
        for kernel in given
        for each in kernel.type_constraints.get(variable, [f"tensor({a})" for a in allowed])
        for name in [str(each).removeprefix("tensor(").removesuffix(")")]
    }
    return {names.get(each, each) for each in allowed}, taken


MIL_INTEGERS = {"bool", "int8", "int16", "int32", "uint8", "uint16"}


def test_the_table_of_kernels_is_that_of_onnx_runtime() -> None:
    """Each type in it has a kernel, and every operator with a missing kernel is in it."""
    own = kernels()
    for op, listed in KERNELS.items():
        assert set(listed) <= types_of(op, own[op])[1], op
    emitted = operators_in_the_source()
    assert len(emitted) > 100
    for op in emitted - {"If", "Loop", "QuantizeLinear"}:
        if op not in own:  # a function of other operators
            assert defs.get_schema(op, OPSET).has_function, op
            continue
        allowed, taken = types_of(op, own[op])
        assert op in KERNELS or not (allowed - taken) & MIL_INTEGERS, op


def operators_in_the_source() -> set[str]:
    """Every name in the source of the runtime that is an ONNX operator."""
    import ast

    import pocketlens.coreml.ops

    names: set[str] = set()
    for path in Path(str(pocketlens.coreml.ops.__file__)).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                names.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.add(node.value)
    return {name for name in names if name[:1].isupper() and defs.has(name)}


def test_a_type_without_a_kernel_is_computed_in_a_wider_one() -> None:
    g = Graph()
    x = g.input("x", np.int16, (2, 3))
    y = g.Where(g.Less(x, g.like(0, x)), x, x)
    assert y.dtype == np.int16
    assert [node.op for node in g.nodes] == ["Less", "Cast", "Cast", "Where", "Cast"]
    values, indices = g.op("TopK", x, np.array([1]), outputs=2)
    assert [values.dtype.name, indices.dtype.name] == ["int16", "int64"]


def test_a_type_without_any_kernel_is_refused() -> None:
    g = Graph()
    x = g.input("x", np.int32, (2, 2))
    with pytest.raises(UnsupportedOp, match="it needs Gemm of int32, which ONNX Runtime does not"):
        g.Gemm(x, x)


def test_the_error_names_the_op(files: Any, save: Callable[..., Path]) -> None:
    """A file with a type that the text of the op does not allow."""
    x = np.ones((1, 2), np.int32)
    path = save(files.program_spec("prelu", {"x": x}, {"alpha": x[0]}, [("int32", (1, 2))]))
    with pytest.raises(UnsupportedOp) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path}: the op prelu 'y0': it needs PRelu of int32, which ONNX Runtime does not have"
    )


@pytest.mark.parametrize("op", ["sqrt", "sigmoid", "exp", "floor"])
def test_a_type_that_onnx_does_not_allow(op: str, files: Any, save: Callable[..., Path]) -> None:
    x = np.ones((1, 2), np.int32)
    path = save(files.program_spec(op, {"x": x}, {}, [("int32", (1, 2))]))
    with pytest.raises(ModelFileError) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path}: the op {op} 'y0': {op.capitalize()} cannot take x: int32[1, 2]; "
        "expected float16, float32, float64"
    )
