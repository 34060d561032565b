"""The op tables: nothing forgotten, nothing registered twice, the right version for a model."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pocketlens.coreml import coverage
from pocketlens.coreml.file.proto import generated
from pocketlens.coreml.ops.registry import IOS15, IOS16, IOS17, IOS18, lookup, mil, unsupported
from pocketlens.errors import UnsupportedOp


def test_every_mil_op_is_listed() -> None:
    """Held against coremltools' own registry."""
    from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

    registry = set(SSAOpRegistry.core_ops) - {"const", "_const_symbolic"}
    listed = {row.op for row in coverage("mil")}
    # Of coremltools' Core ML dialect; its serializer writes the first as the second.
    assert listed - {"coreml_update_state", "write_state"} == registry


def test_every_layer_is_listed() -> None:
    """Held against the protobuf descriptor."""
    message = generated("NeuralNetwork_pb2").NeuralNetworkLayer.DESCRIPTOR
    layers = {field.name for field in message.oneofs_by_name["layer"].fields}
    assert {row.op for row in coverage("neural_network")} == layers


def test_every_kind_of_model_is_listed() -> None:
    """Held against the protobuf descriptor; programs and networks have tables of their own."""
    message = generated("Model_pb2").Model.DESCRIPTOR
    graphs = {"mlProgram", "neuralNetwork", "neuralNetworkClassifier", "neuralNetworkRegressor"}
    kinds = {field.name for field in message.oneofs_by_name["Type"].fields}
    assert {row.op for row in coverage("classic")} == kinds - graphs
    assert {row.op for row in coverage("classic") if not row.supported} == {
        "customModel", "linkedModel", "textClassifier", "wordTagger", "visionFeaturePrint",
        "soundAnalysisPreprocessing", "gazetteer", "wordEmbedding", "audioFeaturePrint",
        "serializedModel",
    }  # fmt: skip


def test_every_kind_takes_the_fields_of_its_message() -> None:
    message = generated("Model_pb2").Model.DESCRIPTOR
    for row in coverage("classic"):
        if row.supported:
            fields = {field.name for field in message.fields_by_name[row.op].message_type.fields}
            taken = lookup("classic", row.op).parameters.values()
            assert {p.name for p in taken if not p.positional} == fields, row.op


def test_every_parameter_is_the_specifications() -> None:
    """A lowering takes the fields of its op and no others, under their own names."""
    from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

    targets = {IOS15: 6, IOS16: 7, IOS17: 8, IOS18: 9}
    for row in coverage("mil"):
        for opset, target in targets.items():
            versions = {int(t): op for t, op in SSAOpRegistry.core_ops[row.op].items()}
            if not row.supported or target not in versions or min(row.versions) > opset:
                continue
            # For coremltools' own use, when it reads a file.
            fields = set(versions[target].input_spec.input_types) - {"_existing_blocks"}
            assert set(lookup("mil", row.op, opset).parameters) == fields, (row.op, opset)
    message = generated("NeuralNetwork_pb2").NeuralNetworkLayer.DESCRIPTOR
    for row in coverage("neural_network"):
        if row.supported:
            known = {f.name for f in message.fields_by_name[row.op].message_type.fields}
            taken = lookup("neural_network", row.op).parameters.values()
            assert {p.name for p in taken if not p.positional} <= known, row.op


def test_a_row_says_why() -> None:
    for row in coverage():
        assert row.supported == bool(row.versions)
        assert row.supported or row.remark


def test_newest_version_not_beyond_the_model() -> None:
    assert lookup("mil", "cast", IOS15).since == IOS15
    assert lookup("mil", "cast", IOS16).since == IOS15
    assert lookup("mil", "cast", IOS17).since == IOS17
    assert lookup("mil", "cast", IOS18).since == IOS17
    assert lookup("mil", "constexpr_lut_to_dense", IOS17).since == IOS16
    assert lookup("mil", "constexpr_lut_to_dense", IOS18).since == IOS18


def test_op_newer_than_the_model() -> None:
    with pytest.raises(UnsupportedOp, match="exists only from CoreML8 on"):
        lookup("mil", "constexpr_blockwise_shift_scale", IOS17)


def test_unknown_and_unsupported() -> None:
    with pytest.raises(UnsupportedOp, match="nonsense .no op of this name is known"):
        lookup("mil", "nonsense", IOS18)
    with pytest.raises(UnsupportedOp, match="conv_quantized .experimental in the spec"):
        lookup("mil", "conv_quantized", IOS18)


def test_registered_twice() -> None:
    lookup("mil", "relu", IOS15)
    with pytest.raises(ValueError, match="mil relu since 5 is registered twice"):
        mil(name="relu")(lambda g, x: x)
    with pytest.raises(ValueError, match="listed as unsupported twice"):
        unsupported("mil", "again", "conv_quantized")


def test_lookup_does_not_depend_on_import_order() -> None:
    code = """
import pocketlens.coreml.ops.mil.pool
from pocketlens.coreml.ops.registry import lookup
assert lookup("mil", "softmax", 5).op == "softmax"
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
