"""The registry: complete, no duplicates, known annotations, the right version for a model."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any, Literal

import pytest

from pocketlens.coreml.file.features import Interface
from pocketlens.coreml.file.proto import generated
from pocketlens.coreml.graph import Array, Graph, Message, Value
from pocketlens.coreml.ops.registry import (
    FIELD_ANNOTATIONS,
    INPUT_ANNOTATIONS,
    IOS15,
    IOS16,
    IOS17,
    IOS18,
    SCALARS,
    TUPLES,
    Dialect,
    classic,
    layer,
    lookup,
    mil,
    ops,
    unsupported,
)
from pocketlens.errors import UnsupportedOp


def test_every_mil_op_is_listed() -> None:
    """Compared with coremltools' own registry."""
    from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

    registry = set(SSAOpRegistry.core_ops) - {"const", "_const_symbolic"}
    listed = {row.op for row in ops("mil")}
    # Ops of coremltools' Core ML dialect; its serializer writes the first one as the second.
    assert listed - {"coreml_update_state", "write_state"} == registry


def test_every_layer_is_listed() -> None:
    """Compared with the protobuf descriptor."""
    message = generated("NeuralNetwork_pb2").NeuralNetworkLayer.DESCRIPTOR
    layers = {field.name for field in message.oneofs_by_name["layer"].fields}
    assert {row.op for row in ops("neural_network")} == layers


def test_every_model_type_is_listed() -> None:
    """Compared with the protobuf descriptor, without programs and networks."""
    message = generated("Model_pb2").Model.DESCRIPTOR
    graphs = {"mlProgram", "neuralNetwork", "neuralNetworkClassifier", "neuralNetworkRegressor"}
    kinds = {field.name for field in message.oneofs_by_name["Type"].fields}
    assert {row.op for row in ops("classic")} == kinds - graphs
    assert {row.op for row in ops("classic") if not row.supported} == {
        "customModel", "linkedModel", "textClassifier", "wordTagger", "visionFeaturePrint",
        "soundAnalysisPreprocessing", "gazetteer", "wordEmbedding", "audioFeaturePrint",
        "serializedModel",
    }  # fmt: skip


def test_every_model_type_takes_the_fields_of_its_message() -> None:
    message = generated("Model_pb2").Model.DESCRIPTOR
    for row in ops("classic"):
        if row.supported:
            fields = {field.name for field in message.fields_by_name[row.op].message_type.fields}
            taken = lookup("classic", row.op).parameters.values()
            assert {p.name for p in taken if not p.positional} == fields, row.op


def test_parameters_are_the_fields_of_the_specification() -> None:
    """A lowering takes the fields of its op, with the same names, and no others."""
    from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

    targets = {IOS15: 6, IOS16: 7, IOS17: 8, IOS18: 9}
    for row in ops("mil"):
        for opset, target in targets.items():
            versions = {int(t): op for t, op in SSAOpRegistry.core_ops[row.op].items()}
            if not row.supported or target not in versions or min(row.versions) > opset:
                continue
            # coremltools adds one for its own use, when it reads a file.
            fields = set(versions[target].input_spec.input_types) - {"_existing_blocks"}
            assert set(lookup("mil", row.op, opset).parameters) == fields, (row.op, opset)
    message = generated("NeuralNetwork_pb2").NeuralNetworkLayer.DESCRIPTOR
    for row in ops("neural_network"):
        if row.supported:
            known = {f.name for f in message.fields_by_name[row.op].message_type.fields}
            taken = lookup("neural_network", row.op).parameters.values()
            assert {p.name for p in taken if not p.positional} <= known, row.op


def test_an_unsupported_op_has_a_reason() -> None:
    for row in ops():
        assert row.supported == bool(row.versions)
        assert row.supported or row.remark


def test_newest_version_that_the_model_may_use() -> None:
    assert lookup("mil", "cast", IOS15).since == IOS15
    assert lookup("mil", "cast", IOS16).since == IOS15
    assert lookup("mil", "cast", IOS17).since == IOS17
    assert lookup("mil", "cast", IOS18).since == IOS17
    assert lookup("mil", "constexpr_lut_to_dense", IOS17).since == IOS16
    assert lookup("mil", "constexpr_lut_to_dense", IOS18).since == IOS18


def test_op_newer_than_the_model() -> None:
    with pytest.raises(UnsupportedOp, match=r"shift_scale \(needs CoreML8 or later\)"):
        lookup("mil", "constexpr_blockwise_shift_scale", IOS17)


def test_unknown_and_unsupported() -> None:
    with pytest.raises(UnsupportedOp, match=r"nonsense \(unknown op\)"):
        lookup("mil", "nonsense", IOS18)
    with pytest.raises(UnsupportedOp, match=r"conv_quantized \(experimental in the spec"):
        lookup("mil", "conv_quantized", IOS18)


def test_registered_twice() -> None:
    lookup("mil", "relu", IOS15)
    with pytest.raises(ValueError, match="mil relu since 5 is registered twice"):
        mil(name="relu")(lambda g, x: x)
    with pytest.raises(ValueError, match="listed as unsupported twice"):
        unsupported("mil", "again", "conv_quantized")


def array_field(g: Graph, x: Value, weights: Array | None = None, *, axis: int = 0) -> Value:
    return x


def unknown(g: Graph, x: Value, *, mode: Literal["a", "b"] = "a") -> Value:
    return x


def no_annotation(g: Graph, x):  # type: ignore[no-untyped-def]  # what is tested
    return x


def catch_all(g: Graph, x: Value, **rest: int) -> Value:
    return x


def variadic(g: Graph, *xs: Value) -> Value:
    return xs[0]


def tensor_field(g: Graph, x: Value, *, scale: Value) -> Value:
    return x


def number_input(g: Graph, x: int) -> int:
    return x


def complex_field(model: Interface, *, kernel: Message, gamma: complex = 0) -> Message:
    return kernel


def positional_field(model: Interface, kernel: Message) -> Message:
    return kernel


@pytest.mark.parametrize(
    ("register", "function", "annotation", "expected"),
    [
        (mil, unknown, "Literal['a', 'b']' of the parameter 'mode", "Array, Block, Bools, Floats"),
        (mil, no_annotation, "' of the parameter 'x", "Array, Block, Bools, Floats, Ints, State"),
        (mil, catch_all, "**int' of the parameter 'rest", "Array, Block, Bools, Floats, Ints"),
        (mil, variadic, "*Value' of the parameter 'xs", "Array, Block, Bools, Floats, Ints"),
        (layer, unknown, "Literal['a', 'b']' of the parameter 'mode", "Block, Bools, Floats, Ints"),
        (layer, array_field, "Array' of the parameter 'weights", "*Value, Value"),
        (layer, tensor_field, "Value' of the parameter 'scale", "Block, Bools, Floats, I"),
        (layer, number_input, "int' of the parameter 'x", "*Value, Value"),
        (
            classic,
            complex_field,
            "complex' of the parameter 'gamma",
            "Bools, Floats, Ints, Message, bool",
        ),
        (
            classic,
            positional_field,
            "Message' of the parameter 'kernel",
            "a keyword-only parameter",
        ),
    ],
)
def test_unknown_annotation_is_rejected_at_registration(
    register: Callable[..., Any], function: Callable[..., Any], annotation: str, expected: str
) -> None:
    dialects: dict[Any, Dialect] = {mil: "mil", layer: "neural_network", classic: "classic"}
    dialect = dialects[register]
    with pytest.raises(ValueError, match="the reader does not know") as caught:
        register(name="not an op")(function)
    assert str(caught.value).startswith(
        f"{function.__name__} ({dialect} not an op): the reader does not know the annotation "
        f"'{annotation}'; expected {expected}"
    )
    with pytest.raises(UnsupportedOp, match="not an op"):
        lookup(dialect, "not an op", IOS18)
    assert "not an op" not in {row.op for row in ops(dialect)}


def test_every_annotation_that_is_read_is_used() -> None:
    """An entry of the tables without an op would be dead code in a reader.

    Constants are left out: both dialects share their conversion.
    """
    used: dict[tuple[Dialect, bool], set[str]] = {}
    for row in ops():
        for since in row.versions:
            for parameter in lookup(row.dialect, row.op, since).parameters.values():
                used.setdefault((row.dialect, parameter.positional), set()).add(
                    parameter.annotation
                )
    for positional, table in ((True, INPUT_ANNOTATIONS), (False, FIELD_ANNOTATIONS)):
        for dialect, known in table.items():
            if dialect == "mil" and not positional:
                continue  # an ML Program does not separate inputs from fields
            assert known - {*SCALARS, *TUPLES} <= used.get((dialect, positional), set())


def test_lookup_does_not_depend_on_import_order() -> None:
    code = """
import pocketlens.coreml.ops.mil.pool
from pocketlens.coreml.ops.registry import lookup
assert lookup("mil", "softmax", 5).op == "softmax"
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
