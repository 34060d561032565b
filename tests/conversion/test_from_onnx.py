"""ONNX files to Core ML: refused if unsafe, fixed in size, checked against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnx_networks import BOOL, FLOAT, INT64, classifier, network, node, written
from pocketlens.conversion import convert
from pocketlens.conversion.from_onnx import lowerings, open_onnx
from pocketlens.conversion.from_onnx.fixing import fix_shapes
from pocketlens.conversion.from_onnx.preparing import prepare
from pocketlens.conversion.from_onnx.program import known_ops, to_core_ml
from pocketlens.conversion.from_onnx.reading import read_onnx
from pocketlens.conversion.source_kinds import SourceOptions
from pocketlens.conversion.verifying import verify_arrays
from pocketlens.coreml import load
from pocketlens.coreml.file.budget import Budget
from pocketlens.errors import CheckFailedError, ConversionError, OptionError
from pocketlens.image import InputSpec

SPEC = InputSpec(12, 12, "rgb", scale=(1 / 255,) * 3, bias=(-0.5, -0.4, -0.3))
X: Any = [("x", FLOAT, [1, 4])]
Y: Any = [("y", FLOAT, [1, 4])]


def read(model: Any, folder: Path) -> Any:
    return read_onnx(written(model, folder), Budget())


def function_bomb() -> Any:
    """Each of 30 functions calls the next one twice."""
    functions = []
    for level in range(30):
        op, domain = (f"F{level + 1}", "own") if level < 29 else ("Relu", "")
        body = [
            helper.make_node(op, ["a"], ["b"], domain=domain),
            helper.make_node(op, ["b"], ["c"], domain=domain),
        ]
        imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        functions.append(helper.make_function("own", f"F{level}", ["a"], ["c"], body, imports))
    calls = [helper.make_node("F0", ["x"], ["y"], domain="own")]
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return network(calls, X, Y, functions=functions, opset_imports=imports)


def own_circle() -> Any:
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    body = [helper.make_node("F", ["a"], ["b"], domain="own")]
    function = helper.make_function("own", "F", ["a"], ["b"], body, imports)
    calls = [helper.make_node("F", ["x"], ["y"], domain="own")]
    return network(calls, X, Y, functions=[function], opset_imports=imports)


def sequence() -> Any:
    model = network([node("Relu", "x", "y")], X, Y)
    model.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("y", FLOAT, None))
    return model


def sparse() -> Any:
    model = network([node("Add", "x s", "y")], X, Y)
    values = numpy_helper.from_array(np.ones(1, np.float32), "s")
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "i")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    return model


def without_values() -> Any:
    model = network([node("Add", "x w", "y")], X, Y, {"w": np.zeros(4, np.float32)})
    model.graph.initializer[0].dims[0] = 10**12
    return model


UNSAFE: dict[str, tuple[Callable[[], Any], str]] = {
    "circle": (
        lambda: network([node("Add", "x b", "a", name="n"), node("Relu", "a", "b")], X, Y),
        "'n' (op Add) needs its own result: the network has a circle",
    ),
    "no opset": (
        lambda: network([node("Relu", "x", "y")], X, Y, opset_imports=[]),
        "does not say which version of ONNX's ops it uses",
    ),
    "new opset": (lambda: network([node("Relu", "x", "y")], X, Y, opset=999), "version 999"),
    "function bomb": (function_bomb, "nodes, with its functions expanded"),
    "function circle": (own_circle, "the function 'own.F' calls itself"),
    "sequence": (sequence, "'y' is a sequence; Core ML has tensors and images only"),
    "sparse": (sparse, "'s' is a sparse tensor; export it as a dense one"),
    "no values": (without_values, "(1000000000000,) does not have 1000000000000 values"),
    "two makers": (
        lambda: network([node("Relu", "x", "y"), node("Abs", "x", "y")], X, Y),
        "two nodes make the tensor 'y'",
    ),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_networks_are_refused(name: str, tmp_path: Path) -> None:
    make, message = UNSAFE[name]
    with pytest.raises(ConversionError) as caught:
        read(make(), tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_a_file_cut_short_is_refused(share: float, tmp_path: Path) -> None:
    data = written(classifier(), tmp_path).read_bytes()
    path = tmp_path / "short.onnx"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ConversionError, match=r"cut short|is empty"):
        read_onnx(path, Budget())


def external(folder: Path, location: str, **said: str) -> Path:
    model = network([node("Add", "x w", "y")], X, Y, {"w": np.zeros(4, np.float32)})
    (tensor,) = model.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **said}.items():
        tensor.external_data.add(key=key, value=value)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_beside_the_file_are_read(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"1234" + np.arange(4, dtype=np.float32).tobytes())
    model = read_onnx(external(tmp_path, "w.bin", offset="4", length="16"), Budget())
    assert numpy_helper.to_array(model.graph.initializer[0]).tolist() == [0, 1, 2, 3]


def test_weights_outside_of_the_folder_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(16))
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "link.bin").symlink_to(secret)
    (folder / "out").symlink_to(tmp_path)
    (folder / "inside.bin").write_bytes(bytes(16))
    (folder / "near.bin").symlink_to(folder / "inside.bin")
    for location in ("../secret.bin", str(secret), "link.bin", "out/secret.bin", ""):
        with pytest.raises(ConversionError, match="outside of the folder|which cannot be read"):
            read_onnx(external(folder, location), Budget())
    with pytest.raises(ConversionError, match="it is a symbolic link"):
        read_onnx(external(folder, "near.bin"), Budget())


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"length": "8"}, "needs 16 bytes, but 8 bytes at 0 are given"),
        ({"offset": "-4"}, "needs 16 bytes, but 16 bytes at -4"),
        ({"offset": "4"}, "ends before the weight 'w'"),
        ({"offset": "x"}, "has an invalid place"),
    ],
)
def test_places_of_weights_are_checked(said: dict[str, str], message: str, tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(16))
    with pytest.raises(ConversionError, match=message):
        read_onnx(external(tmp_path, "w.bin", **said), Budget())


def bomb(*nodes: Any, **weights: Any) -> Any:
    return network(nodes, X, [("y", FLOAT, None)], weights)


BOMBS = {
    "constant": bomb(node("ConstantOfShape", "s", "y"), s=np.array([50_000, 50_000])),
    "tile": bomb(node("Tile", "x s", "y"), s=np.array([10**5, 10**5])),
    "expand": bomb(node("Expand", "x s", "y"), s=np.array([10**10, 1, 4])),
    "range": bomb(
        node("Range", "a b c", "r"), node("Cast", "r", "y", to=FLOAT),
        a=np.array(0), b=np.array(10**12), c=np.array(1),
    ),
    "pad": bomb(node("Pad", "x s", "y"), s=np.array([0, 0, 0, 10**11])),
    "many": bomb(
        *(node("ConstantOfShape", "s", f"c{i}") for i in range(40)),
        node("Sum", " ".join(f"c{i}" for i in range(40)), "y"),
        s=np.array([8_000, 8_000]),
    ),
    "resize": network(
        [node("Resize", "x  s", "y")], [("x", FLOAT, [1, 1, 8, 8])], [("y", FLOAT, None)],
        {"s": np.array([1, 1, 1e5, 1e5], np.float32)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_sizes_are_checked_before_anything_is_allocated(name: str, tmp_path: Path) -> None:
    budget = Budget(1 << 29)
    model = read_onnx(written(BOMBS[name], tmp_path), budget)
    with pytest.raises(ConversionError, match=r"expected at most|of memory; the limit is"):
        prepare(model, budget, keep=known_ops())


def test_all_nodes_without_counterpart_are_named(tmp_path: Path) -> None:
    model = network(
        [
            node("Unique", "x", "u", name="unique"),
            helper.make_node("Magic", ["u"], ["y"], name="spell", domain="com.acme"),
        ],
        X,
        [("y", FLOAT, None)],
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.acme", 1)],
    )
    with pytest.raises(ConversionError) as caught:
        prepare(read(model, tmp_path), Budget(), keep=known_ops())
    message = str(caught.value)
    assert "Unique (1 node: unique); com.acme.Magic (1 node: spell)" in message
    assert "without ONNX Runtime's optimizations" in message


def test_the_branch_that_always_runs_takes_the_place_of_an_if() -> None:
    def branch(op: str) -> Any:
        made = helper.make_tensor_value_info("inner", FLOAT, None)
        two = numpy_helper.from_array(np.float32(2), "two")
        return helper.make_graph([node(op, "x two", "inner")], "branch", [], [made], [two])

    model = network(
        [
            node("Size", "x", "size"),
            node("Greater", "size limit", "large"),
            node("If", "large", "a", then_branch=branch("Mul"), else_branch=branch("Sub")),
            node("Not", "large", "small"),
            node("If", "small", "b", then_branch=branch("Mul"), else_branch=branch("Sub")),
            node("Add", "a b", "y"),
        ],
        X,
        Y,
        {"limit": np.array(3)},
    )
    made = prepare(model, Budget(), keep=known_ops()).model
    assert [each.op_type for each in made.graph.node] == ["Mul", "Sub", "Add"]
    assert len({name for each in made.graph.node for name in each.output}) == 3


def inner(nodes: list[Any], takes: str, returns: str, **weights: Any) -> Any:
    """The graph inside of a node; numbers of steps are int64, conditions bool."""
    kinds = {"number": INT64, "go": BOOL, "going": BOOL}

    def ports(names: str) -> list[Any]:
        shape: Any = ([], [4])
        return [
            helper.make_tensor_value_info(each, kinds.get(each, FLOAT), shape[each not in kinds])
            for each in names.split()
        ]

    held = [numpy_helper.from_array(np.float32(value), name) for name, value in weights.items()]
    return helper.make_graph(nodes, "inner", ports(takes), ports(returns), held)


def loop(count: str = "five", *, stop: Any = None) -> Any:
    """y is x, five times doubled and added to the step's number; s has the value of each step."""
    going = (
        node("Identity", "go", "going") if stop is None else node("Less", "number stop", "going")
    )
    body = inner(
        [
            going,
            node("Cast", "number", "n", to=FLOAT),
            node("Mul", "v two", "w"),
            node("Add", "w n", "out"),
            node("Identity", "out", "kept"),
        ],
        "number go v",
        "going out kept",
        two=2.0,
    )
    weights: dict[str, Any] = {"five": np.array(5), "yes": np.array(True)}
    if stop is not None:
        weights["stop"] = np.array(stop)
    return network(
        [
            node("ReduceMax", "x", "most", keepdims=0),
            node("Cast", "most", "computed", to=INT64),
            node("Loop", f"{count} yes x", "y s", name="loop", body=body),
        ],
        [("x", FLOAT, [4])],
        [("y", FLOAT, [4]), ("s", FLOAT, None)],
        weights,
    )


@pytest.mark.parametrize("stop", [None, 2])
def test_a_loop_becomes_its_steps(stop: Any, tmp_path: Path) -> None:
    file = convert(written(loop(stop=stop), tmp_path), tmp_path / "Out", precision="float32")
    x = np.array([0, 1, -2, 3], np.float32)
    found, y, steps = load(file).run({"x": x}), x, []
    for number in range(5 if stop is None else 3):
        y = 2 * y + number
        steps.append(y)
    np.testing.assert_array_equal(found["y"], y)
    np.testing.assert_array_equal(found["s"], steps)


def test_a_scan_becomes_its_steps_and_an_if_both_branches(tmp_path: Path) -> None:
    body = inner(
        [node("Add", "sum row", "next"), node("Neg", "next", "kept")], "sum row", "next kept"
    )
    model = network(
        [
            node("Scan", "x rows", "total each", body=body, num_scan_inputs=1,
                 scan_input_directions=[1], scan_output_axes=[1]),
            node("ReduceSum", "x", "sum", keepdims=0),
            node("Greater", "sum zero", "up"),
            node("If", "up", "y",
                 then_branch=inner([node("Mul", "total two", "a")], "", "a", two=2.0),
                 else_branch=inner([node("Sub", "total two", "b")], "", "b", two=2.0)),
        ],
        [("x", FLOAT, [4]), ("rows", FLOAT, [3, 4])],
        [("y", FLOAT, [4]), ("each", FLOAT, None)],
        {"zero": np.float32(0)},
    )  # fmt: skip
    file = convert(written(model, tmp_path), tmp_path / "Out", precision="float32")
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    for sign in (1, -1):
        x = np.full(4, sign, np.float32)
        found = load(file).run({"x": x, "rows": rows})
        sums = x + np.cumsum(rows[::-1], 0)
        np.testing.assert_array_equal(found["each"], -sums.T)
        np.testing.assert_array_equal(found["y"], sums[-1] * 2 if sign > 0 else sums[-1] - 2)


def test_graphs_inside_of_nodes_that_core_ml_cannot_express() -> None:
    def refused(model: Any) -> str:
        with pytest.raises(ConversionError) as caught:
            prepare(model, Budget(), keep=known_ops())
        return str(caught.value)

    text = refused(loop("computed"))
    assert "'loop' (op Loop) runs a number of steps that depends on the input" in text
    endless = loop("")
    assert "'loop' (op Loop) makes more than 20000 nodes" in refused(endless)
    short = inner([node("ReduceMax", "x", "b")], "", "b")
    model = network(
        [
            node("ReduceSum", "x", "sum", keepdims=0),
            node("Cast", "sum", "c", to=BOOL),
            node("If", "c", "y", name="choice", else_branch=short,
                 then_branch=inner([node("Relu", "x", "a")], "", "a")),
        ],
        [("x", FLOAT, [4])],
        [("y", FLOAT, None)],
    )  # fmt: skip
    assert "'choice' (op If) returns tensors of different shapes" in refused(model)


def nested(depth: int) -> Any:
    """Branches in branches: as many nodes as the file has, not twice as many at each level."""
    graph = inner([node("Relu", "x", "a")], "", "a")
    for _ in range(depth):
        last = inner([node("Neg", "x", "a")], "", "a")
        graph = inner([node("If", "c", "a", then_branch=graph, else_branch=last)], "", "a")
    return graph


def test_branches_in_branches(tmp_path: Path) -> None:
    model = network(
        [node("If", "c", "y", then_branch=nested(25), else_branch=nested(0))],
        [("x", FLOAT, [4]), ("c", BOOL, [])],
        Y,
    )
    made = prepare(read(model, tmp_path), Budget(), keep=known_ops()).model
    assert len(made.graph.node) < 200


def test_a_network_without_inputs_or_outputs(tmp_path: Path) -> None:
    for inputs, outputs, what in (([], Y, "inputs"), (X, [], "outputs")):
        model = network([node("Relu", "w", "y")], inputs, outputs, {"w": np.zeros(4, np.float32)})
        with pytest.raises(ConversionError, match=f"has no {what}; expected at least one"):
            read(model, tmp_path)


def test_an_attribute_without_counterpart_is_named(tmp_path: Path) -> None:
    model = network(
        [node("MaxPool", "x", "y i", name="pool", kernel_shape=[2, 2])],
        [("x", FLOAT, [1, 1, 4, 4])],
        [("y", FLOAT, None), ("i", INT64, None)],
    )
    with pytest.raises(ConversionError, match=r"'pool' \(op MaxPool\) has the output 'i'"):
        convert(written(model, tmp_path), tmp_path / "Out.mlpackage")


def test_a_batch_becomes_one_and_other_sizes_are_asked_for() -> None:
    model = classifier()
    assert fix_shapes(model, {}) == ["the batch of the input 'x' is 1"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
    free = network([node("Relu", "x", "y")], [("x", FLOAT, ["N", 3, "H", "W"])], Y)
    with pytest.raises(OptionError, match=r"not fixed; add its sizes, such as --shape x=1,3,224"):
        fix_shapes(free, {})
    with pytest.raises(OptionError, match="has the size 3 in dimension 1; received 4"):
        fix_shapes(free, {"x": (1, 4, 8, 8)})
    with pytest.raises(OptionError, match="no input 'xx'; did you mean 'x'"):
        fix_shapes(free, {"xx": (1, 3, 8, 8)})
    twice = network(
        [node("Add", "a b", "y")], [("a", FLOAT, ["S"]), ("b", FLOAT, ["S"])], [("y", FLOAT, None)]
    )
    with pytest.raises(OptionError, match="the size 'S' is 3 in one input and 4 in another"):
        fix_shapes(twice, {"a": (3,), "b": (4,)})


def test_arrays_of_every_kind_keep_their_names(tmp_path: Path) -> None:
    """Also without a batch, without dimensions, and with names that Core ML does not allow."""
    model = network(
        [
            node("Where", "mask x.1 zero", "chosen"),
            node("Gather", "chosen at", "picked"),
            node("Mul", "picked factor", "out/1"),
            node("ReduceMax", "chosen", "most", keepdims=0),
            node("Greater", "x.1 zero", "positive"),
            node("Identity", "zero", "constant"),
            node("Shape", "x.1", "shape"),
        ],
        [("mask", BOOL, [6]), ("x.1", FLOAT, [6]), ("at", INT64, [3]), ("factor", FLOAT, [])],
        [("out/1", FLOAT, [3]), ("most", FLOAT, []), ("positive", BOOL, [6]),
         ("constant", FLOAT, []), ("shape", INT64, [1])],
        {"zero": np.float32(0)},
    )  # fmt: skip
    path = written(model, tmp_path)
    file = convert(path, tmp_path / "Out", precision="float32")
    results = load(file).run(
        {
            "mask": np.array([1, 0, 1, 1, 0, 1], np.int32),
            "x_1": np.arange(-2, 4, dtype=np.float32),
            "at": np.array([0, -1, 2], np.int32),
            "factor": np.array([2], np.float32),
        }
    )
    assert results["out_1"].tolist() == [-4, 6, 0]
    assert results["most"].tolist() == [3]
    assert results["positive"].tolist() == [0, 0, 0, 1, 1, 1]
    assert results["shape"].tolist() == [6]
    assert verify_arrays(path, file).passed


@pytest.mark.parametrize(
    ("last", "channels_last", "batch", "suffix"),
    [
        ("", False, "N", "mlpackage"),
        ("Softmax", True, 1, "mlmodel"),
        ("", True, 0, "mlmodel"),
    ],
)
def test_a_classifier_of_images(
    last: str, channels_last: bool, batch: Any, suffix: str, tmp_path: Path
) -> None:
    model = classifier(last=last, channels_last=channels_last, batch=batch)
    path, labels = written(model, tmp_path), ["a", "b", "c"]
    out = convert(path, tmp_path / f"Out.{suffix}", labels=labels, input_spec=SPEC)
    image = np.random.default_rng(1).integers(0, 256, (12, 12, 3), np.uint8)
    scaled = image / np.float32(255) + np.array([-0.5, -0.4, -0.3], np.float32)
    planes = scaled if channels_last else scaled.transpose(2, 0, 1)
    session = onnxruntime.InferenceSession(str(path))
    given = planes if batch == 0 else planes[None]
    scores = session.run(None, {"x": given.astype(np.float32)})[0].reshape(-1)
    wanted = scores if last else np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(load(out).probabilities(image[None])[0], wanted, atol=3e-3)


def test_the_first_node_that_differs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(x: Any) -> Any:
        from pocketlens.conversion.from_onnx.lowerings.registry import mb

        return mb.mul(x=mb.relu(x=x), y=np.float32(1.01))

    monkeypatch.setitem(lowerings.LOWERINGS, "Relu", wrong)
    with pytest.raises(CheckFailedError) as caught:
        convert(written(classifier(), tmp_path), tmp_path / "Out.mlpackage", precision="float32")
    assert "the first node that differs is the node 'relu' (op Relu)" in str(caught.value)
    assert not (tmp_path / "Out.mlpackage").exists()


def test_an_image_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = written(classifier(), tmp_path)
    with pytest.raises(OptionError, match=r"has the shape \(any, 3, 12, 12\); the InputSpec has"):
        convert(path, tmp_path / "Out", labels=["a", "b", "c"], input_spec=InputSpec(8, 8, "rgb"))
    with pytest.raises(ConversionError, match=r"returns 3 output\(s\), but there are 2 labels"):
        open_onnx(path, SourceOptions(labels=("a", "b"), input_spec=SPEC))
    with pytest.raises(OptionError, match="add --labels FILE"):
        open_onnx(path, SourceOptions(values={"color": "bgr"}))


def test_functions_and_old_ops_are_expressed_by_others(tmp_path: Path) -> None:
    """MeanVarianceNormalization is defined by other ops; opset 9 has Upsample."""
    model = network(
        [node("MeanVarianceNormalization", "x", "y", axes=[0, 2, 3])],
        [("x", FLOAT, [1, 2, 3, 3])],
        [("y", FLOAT, None)],
    )
    old = network(
        [node("Upsample", "x s", "y", mode="nearest")],
        [("x", FLOAT, [1, 2, 3, 3])],
        [("y", FLOAT, None)],
        {"s": np.array([1, 1, 2, 2], np.float32)},
        opset=9,
    )
    for each in (model, old):
        prepared = prepare(each, Budget(), keep=known_ops())
        folder = tmp_path / str(each.opset_import[0].version)
        folder.mkdir()
        spec, _ = to_core_ml(prepared, format="mlpackage", precision="float32", folder=folder)
        assert [output.name for output in spec.description.output] == ["y"]
