"""Every supported ML Program op, in float32 and float16, compared with NumPy or PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from arrays import i32
from mil_cases.activation import ACTIVATIONS
from mil_cases.case import Case, x2, x4
from mil_cases.convolution import CONVOLUTIONS, POOLS
from mil_cases.elementwise import BINARY, NORMALIZATIONS, UNARY
from mil_cases.indexing import INDEXING, batched, deep, pairs, picks
from mil_cases.linear import LINEAR
from mil_cases.quantization import ATTENTION, QUANTIZATION, steps, wide_range
from mil_cases.resampling import RESAMPLING, both, spots
from mil_cases.resizing import RESIZING
from mil_cases.tensor_creation import CREATION, numbers
from mil_cases.transformation import TRANSFORMATION, one
from pocketlens.coreml.ops.registry import ops
from pocketlens.errors import FeatureError, ModelFileError, PocketlensError, UnsupportedParameter

CASES = [
    *ACTIVATIONS,
    *CONVOLUTIONS,
    *POOLS,
    *NORMALIZATIONS,
    *BINARY,
    *UNARY,
    *LINEAR,
    *TRANSFORMATION,
    *RESIZING,
    *INDEXING,
    *CREATION,
    *QUANTIZATION,
    *ATTENTION,
    *RESAMPLING,
]

# Ops with tests elsewhere: weights in test_weights.py, classify in the tests of classifiers, others
# in the file with the name of their family.
ELSEWHERE = {
    "classify",
    "cond",
    "constexpr_affine_dequantize",
    "constexpr_blockwise_shift_scale",
    "constexpr_cast",
    "constexpr_lut_to_dense",
    "constexpr_lut_to_sparse",
    "constexpr_sparse_blockwise_shift_scale",
    "constexpr_sparse_to_dense",
    "coreml_update_state",
    "crop_resize",
    "gru",
    "list_gather",
    "list_length",
    "list_read",
    "list_scatter",
    "list_write",
    "lstm",
    "make_list",
    "non_maximum_suppression",
    "random_bernoulli",
    "random_categorical",
    "random_normal",
    "random_uniform",
    "read_state",
    "rnn",
    "while_loop",
    "write_state",
}


def halved(value: Any) -> Any:
    """The value in float16, if it is a floating-point array or number."""
    if isinstance(value, list):
        return [halved(item) for item in value]
    if isinstance(value, float):
        return np.float16(value)
    if isinstance(value, np.ndarray) and value.dtype == np.float32:
        return value.astype(np.float16)
    return value


def flat(inputs: dict[str, Any]) -> list[np.ndarray]:
    return [a for v in inputs.values() for a in (v if isinstance(v, list) else [v])]


ROWS = [
    pytest.param(case, precision, id=f"{case}-{precision}")
    for case in CASES
    for precision in ("float32", "float16")
    if precision == "float32" or not case.only
]


@pytest.mark.parametrize(("case", "precision"), ROWS)
def test_op(case: Case, precision: str, run_op: Callable[..., list[np.ndarray]]) -> None:
    half = precision == "float16"
    inputs = {k: halved(v) for k, v in case.inputs.items()} if half else case.inputs
    fields = {k: halved(v) for k, v in case.fields.items()} if half else case.fields
    # The formula gets the same inputs as the op, as rounded, but computes in float32.
    wide = [a.astype(np.float32) if a.dtype == np.float16 else a for a in flat(inputs)]
    with np.errstate(all="ignore"):
        expected = case.expected(*wide)
    several = expected if isinstance(expected, (list, tuple)) else [expected]
    arrays = [e.numpy() if isinstance(e, torch.Tensor) else np.asarray(e) for e in several]
    outputs = [(case.kind or precision, a.shape) for a in arrays]
    answers = run_op(case.op, inputs, fields, outputs, case.opset, case.attributes)
    loose = case.tolerance or 4e-3
    rtol, atol = (loose, loose) if half else (2e-5, 2e-6)
    if case.kind == "float16":
        rtol, atol = case.tolerance, 0
    for answer, array in zip(answers, arrays, strict=True):
        np.testing.assert_allclose(np.asarray(answer, np.float64), array, rtol=rtol, atol=atol)


@dataclass
class Rejection:
    """One row: inputs and fields that an op rejects, and the error."""

    op: str
    inputs: dict[str, Any]
    fields: dict[str, Any]
    error: type[Exception]
    message: str
    opset: str = "CoreML6"

    def __str__(self) -> str:
        return f"{self.op}-{self.message}"


REJECTIONS = [
    Rejection(
        "resize_bilinear",
        {"x": x4},
        {"target_size_height": 2**30, "target_size_width": 2},
        ModelFileError,
        "has 1.07374e.09 × 2 pixels; expected 1 to 1048576 each",
    ),
    Rejection(
        "resize_bilinear",
        {"x": x4},
        {"sampling_mode": "CUBIC"},
        UnsupportedParameter,
        "the sampling mode is 'CUBIC'; expected OFFSET_CORNERS or DEFAULT",
    ),
    Rejection(
        "range_1d",
        {},
        {"start": 0, "end": 2**31 - 1, "step": 1},
        ModelFileError,
        "would be int32.2147483647.; expected at most 2147483648 bytes",
    ),
    Rejection(
        "range_1d",
        {},
        {"start": 0, "end": 3, "step": 0},
        ModelFileError,
        "a range has the step 0; expected a number other than 0",
    ),
    Rejection(
        "fill",
        {},
        {"shape": i32([2**20, 2**20])},
        ModelFileError,
        "would be float32.*; expected at most 2147483648 bytes",
    ),
    Rejection(
        "one_hot",
        {"indices": numbers},
        {"one_hot_vector_size": 2**31 - 1},
        ModelFileError,
        "expected at most 2147483648 bytes",
    ),
    Rejection("topk", {"x": one}, {"k": 9}, ModelFileError, "TopK cannot take"),
    Rejection(
        "topk",
        {"x": one},
        {"k": 0},
        ModelFileError,
        "elements to select is 0; expected 1",
    ),
    Rejection(
        "sliding_windows",
        {"x": one},
        {"axis": 0, "size": 3},
        ModelFileError,
        "windows of size 3 and stride 1 do not fit 2 elements",
    ),
    Rejection(
        "reverse_sequence",
        {"x": one, "lengths": i32([1, 1])},
        {},
        ModelFileError,
        "have the same axis, 0",
    ),
    Rejection(
        "space_to_batch",
        {"x": x4},
        {"block_shape": i32([2, 2]), "paddings": i32([[0, 0], [0, 0]])},
        ModelFileError,
        "7 × 6 is not divisible by 'block_shape' .2, 2.",
    ),
    Rejection(
        "slice_update",
        {"x": one, "update": one[:, :, :3]},
        {"begin": i32([0, 0, 0]), "end": i32([2, 2, 4]), "stride": i32([1, 1, 2])},
        ModelFileError,
        "the slice has the sizes .2, 2, 2.; expected those of",
        "CoreML8",
    ),
    Rejection(
        "slice_update",
        {"x": one, "update": one[:1]},
        {"begin": i32([0, 0, 0]), "end": i32([2, 3, 4])},
        ModelFileError,
        "the slice has the sizes .2, 3, 4.; expected those of",
        "CoreML8",
    ),
    Rejection(
        "quantize",
        {"input": wide_range},
        {"scale": steps, "output_dtype": "int8", "axis": 1},
        ModelFileError,
        "'axis' is 1 for the scale .* of input",
        "CoreML7",
    ),
    Rejection(
        "quantize",
        {"input": wide_range},
        {"scale": 0.5, "output_dtype": "int4"},
        UnsupportedParameter,
        "'output_dtype' is 'int4'; expected one of int8, uint8",
        "CoreML7",
    ),
    Rejection(
        "resample",
        {"x": x4, "coordinates": spots},
        {"sampling_mode": "bilinear", "padding_mode": "symmetric", "padding_value": 0.0}
        | {"coordinates_mode": both, "align_corners": True},
        UnsupportedParameter,
        "'padding_mode' is 'symmetric' and 'align_corners' True; expected False",
    ),
    Rejection(
        "scatter",
        {"data": one, "indices": picks, "updates": one},
        {"axis": 3},
        ModelFileError,
        "the axis is 3; x has 3 dimensions",
    ),
    Rejection(
        "scatter_nd",
        {"data": one, "indices": pairs, "updates": one},
        {"mode": "xor"},
        UnsupportedParameter,
        "the mode is 'xor'; expected one of update, add, sub, mul, div, max, min",
    ),
    Rejection(
        "gather",
        {"x": deep, "indices": batched},
        {"axis": 0, "batch_dims": 1},
        ModelFileError,
        "1 batch dimensions, axis 0 and .* do not fit",
    ),
    Rejection(
        "upsample_bilinear",
        {"x": x4},
        {"half_pixel_centers": True},
        UnsupportedParameter,
        "are both true; expected at most one",
    ),
    Rejection(
        "resize",
        {"x": x4},
        {"shape": i32([2, 3, 4]), "resized_dims": np.uint32(3)},
        UnsupportedParameter,
        "'resized_dims' is 3; expected 1 or 2",
        "CoreML7",
    ),
]


@pytest.mark.parametrize("row", REJECTIONS, ids=str)
def test_rejection(row: Rejection, run_op: Callable[..., list[np.ndarray]]) -> None:
    with pytest.raises(row.error, match=row.message):
        run_op(row.op, row.inputs, row.fields, [("float32", (1,))], row.opset)


@pytest.mark.parametrize("op", ["gather", "gather_along_axis", "gather_nd", "scatter_nd"])
def test_index_out_of_range(op: str, run_op: Callable[..., list[np.ndarray]]) -> None:
    indices = np.full((1, 1), 9, np.int32)
    if op == "scatter_nd":
        given = {"data": x2, "indices": indices, "updates": x2[:1]}
        shape: tuple[int, ...] = (3, 5)
    else:
        given = {"x": x2, "indices": indices}
        shape = {"gather": (1, 1, 5), "gather_along_axis": (1, 1), "gather_nd": (1, 5)}[op]
    with pytest.raises(PocketlensError, match="ut of (bounds|range)|ut of data bounds|invalid ind"):
        run_op(op, given, {}, [("float32", shape)])


ONE_BEFORE = np.array([[0, -1]], np.int32)


@pytest.mark.parametrize(
    ("op", "inputs", "last"),
    [
        ("gather", {"x": x2, "indices": ONE_BEFORE[0]}, x2[[0, -1]]),
        ("gather_along_axis", {"x": x2, "indices": ONE_BEFORE}, [[x2[0, 0], x2[-1, 1]]]),
        ("gather_nd", {"x": x2, "indices": ONE_BEFORE}, x2[[0], [-1]]),
        ("scatter", {"data": x2, "indices": ONE_BEFORE[0], "updates": x2[:2]}, None),
        ("scatter_along_axis", {"data": x2, "indices": ONE_BEFORE, "updates": x2[:1, :2]}, None),
        ("scatter_nd", {"data": x2, "indices": ONE_BEFORE, "updates": x2[0, :1]}, None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_negative_index_is_rejected_if_the_file_validates_indices(
    op: str, inputs: dict[str, Any], last: Any, run_op: Callable[..., list[np.ndarray]]
) -> None:
    outputs = [("float32", x2.shape if last is None else np.shape(last))]
    (given,) = run_op(op, inputs, {}, outputs, "CoreML7")  # from the end
    if last is not None:
        np.testing.assert_array_equal(given, last)
    with pytest.raises(PocketlensError, match="ut of (bounds|range)|ut of data bounds|invalid ind"):
        run_op(op, inputs, {"validate_indices": True}, outputs, "CoreML7")


@pytest.mark.parametrize("sides", [[-1, 4], [2**20, 2**20]], ids=str)
def test_size_of_a_resized_image_is_limited(
    sides: list[int], run_op: Callable[..., list[np.ndarray]]
) -> None:
    inputs = {"x": x4, "shape": i32(sides)}
    outputs = [("float32", (2, 4, 4, 4))]
    with pytest.raises(FeatureError, match="would make a tensor with a negative size"):
        run_op("resize", inputs, {"resized_dims": np.uint32(2)}, outputs, "CoreML7")


@pytest.mark.parametrize("amounts", [[0, 0, 0, -1], [0, 2**30, 2**30, 0]], ids=str)
def test_padding_is_limited(amounts: list[int], run_op: Callable[..., list[np.ndarray]]) -> None:
    inputs = {"x": x2, "pad": i32(amounts)}
    with pytest.raises(FeatureError, match="would make a tensor with a negative size"):
        run_op("pad", inputs, {}, [("float32", (4, 4))])


def test_too_few_padding_amounts_at_run_time(run_op: Callable[..., list[np.ndarray]]) -> None:
    inputs = {"x": x2, "pad": i32([0, 1])}
    with pytest.raises(ModelFileError, match="expected 4 numbers, two for each dim.*received 2"):
        run_op("pad", inputs, {}, [("float32", (4, 4))])


@pytest.mark.parametrize("given", ["when it runs", "in the file"])
def test_remainder_by_minus_one(given: str, run_op: Callable[..., list[np.ndarray]]) -> None:
    """On x86, the lowest integer divided by -1 crashes the process."""
    numbers = {"x": i32([-(2**31), 7]), "y": i32([-1, -1])}
    inputs, fields = (numbers, {}) if given == "when it runs" else ({}, numbers)
    (answer,) = run_op("mod", inputs, fields, [("int32", (2,))])
    assert answer.tolist() == [0, 0]


def test_every_supported_op_has_a_case() -> None:
    supported = {row.op for row in ops("mil") if row.supported}
    assert {case.op for case in CASES} | ELSEWHERE == supported
