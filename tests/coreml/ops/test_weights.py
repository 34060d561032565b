"""Weights in every storage format, decompressed to their values."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from arrays import Draw, Run, f32, i32, u8, u32
from pocketlens.coreml import load
from pocketlens.coreml.graph.export import onnx_model
from pocketlens.coreml.runtime.graph_model import GraphModel
from pocketlens.errors import ModelFileError


def unpacked(
    run_op: Run,
    op: str,
    fields: dict[str, Any],
    expected: np.ndarray,
    opset: str = "CoreML6",
) -> None:
    """Fields stored as attributes (as iOS 16 does) or as inputs have the same meaning."""
    outputs = [(expected.dtype.name, expected.shape)]
    for kind in ("attributes", "fields"):
        attributes = fields if kind == "attributes" else {}
        given = fields if kind == "fields" else {}
        (answer,) = run_op(op, {}, given, outputs, opset, attributes)
        np.testing.assert_array_equal(answer, expected)


def packed(array: np.ndarray, bits: int) -> np.ndarray:
    stream = (array.reshape(-1)[:, None] >> np.arange(bits)) & 1
    return np.packbits(stream.reshape(-1).astype(np.uint8), bitorder="little")


def test_affine_by_channel(run_op: Run) -> None:
    random = np.random.default_rng(31)
    data = random.integers(0, 256, (3, 4), dtype=np.uint8)
    zero, scale = u8([1, 100, 255]), f32([0.5, 0.25, 2.0])
    fields = {"quantized_data": data, "zero_point": zero, "scale": scale, "axis": 0}
    expected = (data.astype(np.float32) - zero[:, None]) * scale[:, None]
    unpacked(run_op, "constexpr_affine_dequantize", fields, expected)


def test_affine_by_one_number(run_op: Run) -> None:
    random = np.random.default_rng(32)
    data = random.integers(-128, 128, (3, 4), dtype=np.int8)
    fields = {
        "quantized_data": data,
        "zero_point": np.int8(3),
        "scale": np.float16(0.5),
        "axis": 1,
    }
    expected = ((data.astype(np.float32) - 3) * 0.5).astype(np.float16)
    unpacked(run_op, "constexpr_affine_dequantize", fields, expected)


def test_cast(run_op: Run) -> None:
    random = np.random.default_rng(33)
    half = random.standard_normal((2, 3)).astype(np.float16)
    fields = {"source_val": half, "output_dtype": "fp32"}
    unpacked(run_op, "constexpr_cast", fields, half.astype(np.float32))


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
def test_palette(bits: int, run_op: Run) -> None:
    random = np.random.default_rng(34)
    lut = random.standard_normal(1 << bits).astype(np.float16)
    indices = random.integers(0, 1 << bits, (3, 5))
    fields = {"indices": packed(indices, bits), "lut": lut, "shape": u32([3, 5])}
    fields["shape"] = i32([3, 5])
    unpacked(run_op, "constexpr_lut_to_dense", fields, lut[indices])


def test_sparse(run_op: Run) -> None:
    random = np.random.default_rng(35)
    mask = random.integers(0, 2, (3, 5))
    values = random.standard_normal(int(mask.sum())).astype(np.float16)
    expected = np.zeros((3, 5), np.float16)
    expected[mask.astype(bool)] = values
    fields = {"nonzero_data": values, "mask": packed(mask, 1), "shape": i32([3, 5])}
    unpacked(run_op, "constexpr_sparse_to_dense", fields, expected)


def test_blockwise(run_op: Run) -> None:
    random = np.random.default_rng(36)
    data = random.integers(-128, 128, (4, 6), dtype=np.int8)
    scale = random.uniform(0.1, 1, (4, 2)).astype(np.float32)
    offset = random.integers(-5, 5, (4, 2), dtype=np.int8)
    wide = data.astype(np.float32)
    plain = wide * scale.repeat(3, 1)
    fields: dict[str, Any] = {"data": data, "scale": scale}
    unpacked(run_op, "constexpr_blockwise_shift_scale", fields, plain, "CoreML8")
    shifted = (wide - offset.repeat(3, 1)) * scale.repeat(3, 1)
    fields["offset"] = offset
    unpacked(run_op, "constexpr_blockwise_shift_scale", fields, shifted, "CoreML8")


def test_palette_by_block(run_op: Run) -> None:
    random = np.random.default_rng(37)
    indices = random.integers(0, 4, (4, 6), dtype=np.uint8)
    lut = random.standard_normal((2, 1, 4, 1)).astype(np.float16)
    expected = np.concatenate([lut[0, 0, indices[:2], 0], lut[1, 0, indices[2:], 0]])
    fields: dict[str, Any] = {"indices": indices, "lut": lut}
    unpacked(run_op, "constexpr_lut_to_dense", fields, expected, "CoreML8")
    vectors = random.standard_normal((1, 1, 4, 2)).astype(np.float16)
    rows = [[vectors[0, 0, i] for i in row] for row in indices]  # [4, 6, 2]
    laid_out = np.stack(rows).transpose(0, 2, 1).reshape(8, 6)  # pairs along axis 0
    fields = {"indices": indices, "lut": vectors, "vector_axis": 0}
    unpacked(run_op, "constexpr_lut_to_dense", fields, laid_out, "CoreML8")


def test_sparse_since_ios18(run_op: Run) -> None:
    random = np.random.default_rng(38)
    mask = random.integers(0, 2, (3, 5), dtype=np.uint8)
    values = random.standard_normal(int(mask.sum())).astype(np.float16)
    expected = np.zeros((3, 5), np.float16)
    expected[mask.astype(bool)] = values
    fields = {"nonzero_data": values, "mask": mask}
    unpacked(run_op, "constexpr_sparse_to_dense", fields, expected, "CoreML8")


@pytest.mark.parametrize("kind", ["int4", "uint4", "uint2", "uint1", "int8", "uint8"])
def test_blob_types(kind: str, tmp_path: Path, files: Any) -> None:
    """A blockwise scale of 1 returns the values of the blob."""
    random = np.random.default_rng(39)
    bits = int(kind.strip("uint"))
    low = -(1 << (bits - 1)) if kind.startswith("int") else 0
    array = random.integers(low, low + (1 << bits), (3, 7)).astype(np.int8 if low else np.uint8)
    data, (_, offset) = files.blob_file(("float16", np.ones(5, np.float16)), (kind, array))
    spec = files.program_spec(
        "constexpr_blockwise_shift_scale",
        {},
        {"data": array, "scale": np.ones((1, 1), np.float32)},
        [("float32", (3, 7))],
        "CoreML8",
    )
    block = spec.mlProgram.functions["main"].block_specializations["CoreML8"]
    value = block.operations[0].attributes["val"]
    value.ClearField("immediateValue")
    value.type.CopyFrom(files.type_message(kind, (3, 7)))
    value.blobFileValue.fileName = "@model_path/weights/weight.bin"
    value.blobFileValue.offset = offset
    block.operations[0].outputs[0].type.CopyFrom(value.type)
    model = load(files.write_package(tmp_path / "p.mlpackage", spec, data))
    np.testing.assert_array_equal(model.run({"unused": [0.0]})["y0"], array.astype(np.float32))
    assert model.inspect()["weights"] == {kind: 21, "float32": 1}


@pytest.mark.parametrize("bits", [4, 8])
def test_compressed_by_coremltools(bits: int, tmp_path: Path) -> None:
    """Weights that coremltools itself compresses (its writer, its bit order) are read correctly."""
    import coremltools as ct
    import torch
    from coremltools.optimize import coreml as cto

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(64, 48), torch.nn.ReLU(), torch.nn.Linear(48, 4))
    traced = torch.export.export(net.eval(), (torch.rand(1, 64),)).run_decompositions({})
    target = ct.target.iOS18 if bits == 4 else ct.target.iOS16
    model = ct.convert(traced, convert_to="mlprogram", minimum_deployment_target=target)
    if bits == 4:
        config: Any = cto.OpLinearQuantizerConfig(dtype="int4", granularity="per_block")
        packed = cto.linear_quantize_weights(model, cto.OptimizationConfig(config))
    else:
        config = cto.OpPalettizerConfig(nbits=6, mode="uniform")
        packed = cto.palettize_weights(model, cto.OptimizationConfig(config))
    packed.save(str(tmp_path / "p.mlpackage"))
    ours = load(tmp_path / "p.mlpackage")
    x = np.random.default_rng(0).standard_normal((1, 64)).astype(np.float32)
    name = next(iter(ours.inspect()["inputs"]))["name"]
    (answer,) = ours.run({name: x}).values()
    with torch.no_grad():
        exact = net(torch.from_numpy(x)).numpy()
    # The weights have 4 or 6 bits; wrongly decompressed ones would give noise of the result's size.
    assert np.abs(answer - exact).max() < 0.15 * np.abs(exact).max()
    assert any(op.startswith("constexpr_") for op in ours.inspect()["ops"])


DENSE = {"inputChannels": 4, "outputChannels": 3}
ROW = Draw(3).normal(1, 4)


def dense_spec(files: Any, **weights: Any) -> Any:
    spec = files.network_spec("innerProduct", [ROW], DENSE, [(1, 3)])
    files.fill(spec.neuralNetwork.layers[0].innerProduct.weights, weights)
    return spec


def test_layer_weights_float16(save: Callable[..., Path], files: Any) -> None:
    random = np.random.default_rng(40)
    half = random.standard_normal((3, 4)).astype(np.float16)
    model = load(save(dense_spec(files, float16Value=half.tobytes())))
    np.testing.assert_allclose(
        model.run({"x0": ROW})["y0"], ROW @ half.T.astype(np.float32), rtol=1e-6
    )
    assert model.inspect()["weights"] == {"float16": 12}


def from_the_top(array: np.ndarray, bits: int) -> bytes:
    stream = (array.reshape(-1)[:, None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(stream.reshape(-1).astype(np.uint8)).tobytes()


@pytest.mark.parametrize("bits", [1, 3, 4, 8])
def test_layer_weights_quantized(bits: int, save: Callable[..., Path], files: Any) -> None:
    random = np.random.default_rng(41)
    index = random.integers(0, 1 << bits, (3, 4))
    raw = from_the_top(index, bits)
    scale, bias = f32([0.5, 0.25, 1.0]), f32([-1, 0, 0.5])
    quantization = {"scale": scale.tolist(), "bias": bias.tolist()}
    linear = {"numberOfBits": bits, "linearQuantization": quantization}
    model = load(save(dense_spec(files, rawValue=raw, quantization=linear)))
    expected = ROW @ (index * scale[:, None] + bias[:, None]).T
    np.testing.assert_allclose(model.run({"x0": ROW})["y0"], expected, rtol=1e-5)
    lut = random.standard_normal(1 << bits).astype(np.float32)
    table = {"numberOfBits": bits, "lookupTableQuantization": {"floatValue": lut.tolist()}}
    model = load(save(dense_spec(files, rawValue=raw, quantization=table)))
    np.testing.assert_allclose(model.run({"x0": ROW})["y0"], ROW @ lut[index].T, rtol=1e-5)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("transposed", [True, False])
def test_convolution_weights_quantized(
    groups: int, transposed: bool, save: Callable[..., Path], files: Any
) -> None:
    random = np.random.default_rng(42)
    x = random.standard_normal((1, 8, 4, 5)).astype(np.float32)
    shape = (8, 12 // groups, 2, 3) if transposed else (12, 8 // groups, 2, 3)
    index = random.integers(0, 16, shape)
    scale, bias = (random.standard_normal(12).astype(np.float32) for _ in range(2))
    lut = random.standard_normal(16).astype(np.float32)

    def per_output(numbers: np.ndarray) -> np.ndarray:
        if not transposed:
            return numbers[:, None, None, None]
        # Output channel o has weights in one group only, in column o % (12 // groups).
        columns = numbers.reshape(groups, 1, 12 // groups)
        return np.repeat(columns, 8 // groups, axis=1).reshape(8, 12 // groups, 1, 1)

    linear = {"scale": scale.tolist(), "bias": bias.tolist()}
    for kind, message, full in (
        ("linearQuantization", linear, index * per_output(scale) + per_output(bias)),
        ("linearQuantization", {"scale": [0.5]}, index * 0.5),
        ("lookupTableQuantization", {"floatValue": lut.tolist()}, lut[index]),
    ):
        apply = F.conv_transpose2d if transposed else F.conv2d
        expected = apply(torch.from_numpy(x), torch.from_numpy(np.float32(full)), groups=groups)
        fields: dict[str, Any] = {
            "outputChannels": 12,
            "kernelChannels": shape[0] if transposed else shape[1],
        }
        fields |= {"kernelSize": [2, 3], "nGroups": groups, "isDeconvolution": transposed}
        spec = files.network_spec("convolution", [x], fields, [tuple(expected.shape)])
        raw = {"rawValue": from_the_top(index, 4) + b"unused"}
        quantized = raw | {"quantization": {"numberOfBits": 4, kind: message}}
        files.fill(spec.neuralNetwork.layers[0].convolution.weights, quantized)
        answer = load(save(spec)).run({"x0": x})["y0"]
        np.testing.assert_allclose(answer, expected.numpy(), rtol=1e-4, atol=1e-4)


def test_layer_weights_quantized_by_coremltools(
    save: Callable[..., Path], files: Any, tmp_path: Path
) -> None:
    random = np.random.default_rng(43)
    import coremltools as ct
    from coremltools.models.neural_network.quantization_utils import quantize_weights

    matrix = random.standard_normal((3, 4)).astype(np.float32)
    spec = dense_spec(files, floatValue=matrix.reshape(-1).tolist())
    full = ct.models.MLModel(str(save(spec, "full.mlmodel")))
    small = quantize_weights(full, 7, "linear")
    small = getattr(small, "get_spec", lambda: small)()
    path = tmp_path / "small.mlmodel"
    path.write_bytes(small.SerializeToString())
    answer = load(path).run({"x0": ROW})["y0"]
    # The range of each row has 7 bits.
    step = (matrix.max(1) - matrix.min(1)) / 127
    assert (np.abs(answer - ROW @ matrix.T) <= step * np.abs(ROW).sum()).all()


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"floatValue": [1.0] * 11}, "has 11 values; expected 12"),
        ({}, "has no 'weights'"),
        ({"float16Value": b"abc"}, "has 3 bytes of float16; expected an even number"),
        ({"floatValue": [1.0] * 12, "float16Value": b"ab" * 12}, "expected exactly one field"),
        ({"rawValue": b"abc", "quantization": {"numberOfBits": 8}}, "has 3 bytes; expected 12"),
        ({"rawValue": b"a" * 12, "quantization": {"numberOfBits": 8}}, "has no scale and no table"),
        ({"rawValue": b"a" * 12, "quantization": {"numberOfBits": 99}}, "99 bits"),
        ({"int8RawValue": b"abc", "quantization": {"numberOfBits": 8}}, "has 3 bytes; expected 12"),
        ({"int8RawValue": b"a" * 12}, "has no scale and no table"),
    ],
)
def test_invalid_layer_weights(
    weights: dict[str, Any], words: str, save: Callable[..., Path], files: Any
) -> None:
    path = save(dense_spec(files, **weights))
    with pytest.raises(ModelFileError) as caught:
        load(path)
    assert f"{path}: the layer 'the_layer' (innerProduct): " in str(caught.value)
    assert words in str(caught.value)


def test_layer_weights_for_a_quantized_input(save: Callable[..., Path], files: Any) -> None:
    random = np.random.default_rng(44)
    codes = random.integers(-128, 128, (3, 4)).astype(np.int8)
    linear = {"numberOfBits": 8, "linearQuantization": {"scale": [0.25]}}
    spec = dense_spec(files, int8RawValue=codes.tobytes(), quantization=linear)
    spec.neuralNetwork.layers[0].innerProduct.int8DynamicQuantize = True
    answer = load(save(spec)).run({"x0": ROW})["y0"]
    np.testing.assert_allclose(answer, ROW @ (0.25 * codes.T), rtol=1e-5)


def test_layer_size_is_limited(save: Callable[..., Path], files: Any) -> None:
    spec = dense_spec(files, floatValue=[1.0])
    spec.neuralNetwork.layers[0].innerProduct.inputChannels = 2**62
    with pytest.raises(ModelFileError, match="expected at most 536870912 elements"):
        load(save(spec))


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("op", ["linear", "matmul", "conv"])
def test_weights_are_passed_to_the_runtime_as_stored_in_the_file(
    op: str, half: bool, tmp_path: Path, files: Any
) -> None:
    """A transposed or float32 copy would be half of the memory that a model needs."""
    random = np.random.default_rng(45)
    kind = "float16" if half else "float32"
    shape, x_shape, y_shape = {
        "linear": ((64, 32), (2, 5, 32), (2, 5, 64)),
        "matmul": ((64, 32), (2, 5, 32), (2, 5, 64)),
        "conv": ((64, 32, 1, 1), (1, 32, 2, 2), (1, 64, 2, 2)),
    }[op]
    weight = random.standard_normal(shape).astype(kind)
    data, (offset,) = files.blob_file((kind, weight))
    x = random.standard_normal(x_shape).astype(kind)
    fields = {"y": weight, "transpose_y": True} if op == "matmul" else {"weight": weight}
    spec = files.program_spec(op, {"x": x}, fields, [(kind, y_shape)], "CoreML7")
    block = spec.mlProgram.functions["main"].block_specializations["CoreML7"]
    value = block.operations[0].attributes["val"]
    value.ClearField("immediateValue")
    value.blobFileValue.fileName = "@model_path/weights/weight.bin"
    value.blobFileValue.offset = offset
    model = load(files.write_package(tmp_path / "p.mlpackage", spec, data))

    apart: dict[str, np.ndarray] = {}
    assert isinstance(model, GraphModel)
    onnx_model(model._lowered.graph, apart=apart)
    (given,) = apart.values()
    assert given.dtype == kind and not given.flags.owndata and not given.flags.writeable
    while isinstance(given.base, np.ndarray):
        given = given.base
    assert isinstance(given, np.memmap) or isinstance(given.base, (memoryview, mmap.mmap))
    wide, rows = x.astype(np.float32), weight.astype(np.float32).reshape(64, 32)
    expected = np.einsum("oi,bihw->bohw" if op == "conv" else "oi,bci->bco", rows, wide)
    np.testing.assert_allclose(model.run({"x": x})["y0"], expected, rtol=2e-2, atol=2e-2)
