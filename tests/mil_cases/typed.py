"""Small inputs for every ML Program op, for the test of op × documented type.

The numbers are integers that every type can hold, unless an op has no integer types: for unsigned
types the test takes their absolute values, for bool whether they are 0. A key is an op, or an op
and the first coremltools target (6: iOS 15, 7: iOS 16, ...) with other parameters.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["INPUTS", "NO_CASE", "VARIANTS", "inputs_for"]

X = np.array([[3, -1, 2], [0, 5, -4]])
Y = np.array([[2, 3, 2], [1, 4, 3]])
UNIT = np.array([[0.25, -0.5, 0.75], [0.0, 0.5, -0.25]])
POSITIVE = np.array([[1, 4, 2], [3, 5, 1]])
FLAGS = np.array([[1, 0, 1], [0, 0, 1]])
IMAGE = np.array([[3, 1, 4, 1], [5, 9, 2, 6], [5, 3, 5, 8], [9, 7, 9, 3]]).reshape(1, 1, 4, 4)
PLANES = np.arange(16).reshape(1, 4, 2, 2) % 7
LEFT, RIGHT = np.array([[1, 2, 3, 4], [-5, 6, 7, 2]]), np.array([[2, 3, -5, 4], [1, -1, 7, 3]])
STEPS = np.array([[[1, -1, 2]], [[2, 0, 1]]])  # [s, b, I]
BOXES = np.array([[[2, 2, 2, 2], [2, 3, 2, 2], [8, 8, 2, 2]]])
SCORES = np.array([[[1, 3], [2, 1], [4, 2]]])


def _weights(gates: int) -> dict[str, Any]:
    steps = (np.arange(gates * 2 * 5) % 5 - 2) / 4
    return {
        "x": STEPS,
        "initial_h": np.array([[1, -1]]) / 2,
        "weight_ih": steps[: gates * 2 * 3].reshape(-1, 3),
        "weight_hh": steps[: gates * 2 * 2].reshape(-1, 2),
        "bias": np.arange(gates * 2) / 8,
    }


def _same(inputs: dict[str, Any], *ops: str) -> dict[Any, dict[str, Any]]:
    return dict.fromkeys(ops, inputs)


_UNARY = (
    "abs", "ceil", "cos", "cosh", "erf", "exp", "exp2", "expand_dims", "floor", "gelu", "identity",
    "non_zero", "relu", "relu6", "round", "shape", "sigmoid", "sign", "silu", "sin", "sinh",
    "softmax", "softplus", "softsign", "square", "squeeze", "tanh", "argsort", "band_part",
    "cumsum", "flatten2d", "reverse", "topk", "reduce_argmax", "reduce_argmin", "reduce_l1_norm",
    "reduce_l2_norm", "reduce_log_sum_exp", "reduce_max", "reduce_mean", "reduce_min",
    "reduce_prod", "reduce_sum", "reduce_sum_square", "tan",
)  # fmt: skip
_WINDOW = {"x": IMAGE, "kernel_sizes": [2, 3], "pad_type": "valid"}
_INDEXED = {"data": X, "indices": [1, 0], "mode": "update"}
_CROPS = {"x": IMAGE, "target_height": 2, "target_width": 3}

INPUTS: dict[str | tuple[str, int], dict[str, Any]] = {
    **_same({"x": X}, *_UNARY),
    **_same({"x": UNIT}, "acos", "asin", "atan", "atanh"),
    **_same({"x": POSITIVE}, "inverse", "log", "rsqrt", "sqrt", "reduce_log_sum"),
    **_same(
        {"x": X, "y": Y},
        *("add", "equal", "floor_div", "greater", "greater_equal", "less", "less_equal", "maximum"),
        *("minimum", "mod", "mul", "not_equal", "pow", "real_div", "sub"),
    ),
    **_same({"x": X, "y": FLAGS}, "logical_and", "logical_or", "logical_xor"),
    **_same(
        {"x": X, "alpha": 0.5, "beta": 1.5},
        *("clamped_relu", "clip", "linear_activation", "scaled_tanh", "sigmoid_hard"),
    ),
    **_same({"x": X, "alpha": 0.5}, "elu", "leaky_relu", "thresholded_relu"),
    **_same({"x": IMAGE}, "l2_norm", "upsample_nearest_neighbor"),
    **_same(_WINDOW, "avg_pool", "max_pool", "l2_pool"),
    "threshold": {"x": X, "alpha": 1},
    "layer_norm": {"x": X, "axes": [-1]},
    "prelu": {"x": PLANES, "alpha": [0.5, 1, 2, 0.25]},
    "softplus_parametric": {"x": PLANES, "alpha": [0.5, 1, 2, 0.25], "beta": [1, 0.5, 2, 1]},
    "expand_dims": {"x": X, "axes": [0]},
    "squeeze": {"x": X[:, :1], "axes": [1]},
    "logical_not": {"x": FLAGS},
    "select": {"cond": FLAGS, "a": X, "b": Y},
    "batch_norm": {"x": PLANES, "mean": [1, 2, 3, 0], "variance": [1, 4, 2, 1]},
    "instance_norm": {"x": PLANES, "gamma": [1, 2, 3, 1], "beta": [0, 1, 0, 2]},
    "local_response_norm": {"x": PLANES, "size": 3},
    "cast": {"x": X, "dtype": "int32"},
    # The values of batch_to_space are those that space_to_batch returns.
    "batch_to_space": {
        "x": IMAGE.reshape(4, 1, 2, 2), "block_shape": [2, 2], "crops": [[0, 0], [0, 0]],
    },
    "space_to_batch": {"x": IMAGE, "block_shape": [2, 2], "paddings": [[0, 0], [0, 0]]},
    "depth_to_space": {"x": PLANES, "block_size": 2},
    "space_to_depth": {"x": IMAGE, "block_size": 2},
    "pixel_shuffle": {"x": PLANES, "upscale_factor": 2},
    "pixel_unshuffle": {"x": IMAGE, "downscale_factor": 2},
    "concat": {"values": [X, Y], "axis": 0, "interleave": False},
    "stack": {"values": [X, Y], "axis": 1},
    "einsum": {
        "values": [PLANES, PLANES.transpose(0, 3, 2, 1) + 1], "equation": "nchw,nwhu->nchu",
    },
    "conv": {"x": IMAGE, "weight": np.arange(8).reshape(2, 1, 2, 2) - 3, "bias": [1, 2]},
    "conv_transpose": {"x": IMAGE, "weight": np.arange(8).reshape(1, 2, 2, 2) - 3, "bias": [1, 2]},
    "linear": {"x": LEFT, "weight": RIGHT, "bias": [1, -2]},
    "matmul": {"x": LEFT, "y": RIGHT, "transpose_y": True},
    "crop": {"x": IMAGE, "crop_height": [1, 0], "crop_width": [0, 2]},
    "crop_resize": _CROPS | {"roi": np.array([0, 1, 1, 3, 3]).reshape(1, 1, 5, 1, 1)},
    ("crop_resize", 8): _CROPS | {"boxes": [[1, 1, 3, 3]], "box_indices": [0]},
    "resize": {"x": IMAGE, "shape": [2, 6], "resized_dims": 2},
    "resize_bilinear": {"x": IMAGE, "target_size_height": 2, "target_size_width": 6},
    "resize_nearest_neighbor": {"x": IMAGE, "target_size_height": 2, "target_size_width": 6},
    "upsample_bilinear": {"x": IMAGE, "scale_factor_height": 2, "scale_factor_width": 1},
    "upsample_nearest_neighbor": {"x": IMAGE, "scale_factor_height": 2, "scale_factor_width": 1},
    "affine": {
        "x": IMAGE, "transform_matrix": [[1, 0, 0, 0, 0.5, 0]], "output_height": 4,
        "output_width": 4, "sampling_mode": "bilinear", "padding_mode": "constant",
        "padding_value": 0.0, "coordinates_mode": "normalized_minus_one_to_one",
        "align_corners": True,
    },
    "resample": {
        "x": IMAGE, "coordinates": np.array([[1, 2], [0, 3], [3, 3], [2, 0]]).reshape(1, 2, 2, 2),
        "sampling_mode": "bilinear", "padding_mode": "constant", "padding_value": 0.0,
        "coordinates_mode": "unnormalized", "align_corners": True,
    },
    "fill": {"shape": [2, 3], "value": 2},
    "fill_like": {"ref_tensor": X, "value": 2},
    "gather": {"x": X, "indices": [1, 0, 1], "axis": 1},
    "gather_along_axis": {"x": X, "indices": [[1, 0], [2, 1]], "axis": 1},
    "gather_nd": {"x": X, "indices": [[1, 2], [0, 0]]},
    "scatter": _INDEXED | {"updates": Y},
    "scatter_along_axis": _INDEXED | {"indices": [[1, 0, 1]], "updates": [[7, 8, 9]]},
    "scatter_nd": _INDEXED | {"indices": [[0, 1], [1, 2]], "updates": [7, 8]},
    "non_maximum_suppression": {
        "boxes": BOXES, "scores": SCORES, "iou_threshold": 0.25, "score_threshold": 1.5,
        "max_boxes": 2,
    },
    ("non_maximum_suppression", 8): {
        "boxes": BOXES.transpose(0, 2, 1), "scores": SCORES.transpose(0, 2, 1),
        "iou_threshold": 0.25, "max_boxes": 2,
    },
    "one_hot": {"indices": [2, 0], "one_hot_vector_size": 3, "on_value": 4, "off_value": 1},
    "pad": {"x": X, "pad": [1, 0, 0, 2], "mode": "constant", "constant_val": 2},
    "range_1d": {"end": 9, "start": 1, "step": 3},
    "reshape": {"x": X, "shape": [3, -1]},
    "reshape_like": {
        "x": X, "ref_tensors": [Y.reshape(3, 2)], "begins": [0], "ends": [2], "end_masks": [False],
    },
    "reverse_sequence": {"x": X, "lengths": [2, 3], "seq_axis": 1, "batch_axis": 0},
    "slice_by_index": {"x": X, "begin": [0, 1], "end": [2, 3], "stride": [1, 1]},
    "slice_by_size": {"x": X, "begin": [0, 1], "size": [2, 2]},
    "slice_update": {
        "x": X, "update": [[7, 8]], "begin": [1, 0], "end": [2, 3], "stride": [1, 2],
    },
    "sliding_windows": {"x": X, "axis": 1, "size": 2},
    "split": {"x": X, "num_splits": 3, "axis": 1},
    "tile": {"x": X, "reps": [2, 1]},
    "topk": {"x": X, "k": 2},
    "transpose": {"x": X, "perm": [1, 0]},
    "quantize": {"input": X / 2, "scale": 0.5, "zero_point": 3, "output_dtype": "DstT"},
    "dequantize": {"input": X, "scale": 0.5, "zero_point": 3},
    "rnn": _weights(1),
    "gru": _weights(3),
    "lstm": _weights(4) | {"initial_c": np.array([[1, 0]]) / 4},
    "scaled_dot_product_attention": {
        "query": PLANES[0] / 4, "key": PLANES[0] / 2, "value": PLANES[0],
        "attn_mask": [[1, 0], [1, 1]],
    },
    "random_bernoulli": {"shape": [4, 3], "prob": 0.5, "seed": 1},
    "random_categorical": {"x": UNIT, "size": 2, "seed": 1},
    "random_normal": {"shape": [4, 3], "mean": 1, "stddev": 2, "seed": 1},
    "random_uniform": {"shape": [4, 3], "low": 1, "high": 3, "seed": 1},
    "constexpr_affine_dequantize": {
        "quantized_data": X, "zero_point": 1, "scale": 0.5, "axis": 0,
    },
    "constexpr_cast": {"source_val": UNIT, "output_dtype": "fp32"},
    "constexpr_lut_to_dense": {"indices": [0b11100100, 0b10], "lut": [2, 4, 6, 3], "shape": [5]},
    # The test makes a palette of the right size for the type of the indices.
    ("constexpr_lut_to_dense", 9): {"indices": [1, 0, 1], "lut": []},
    "constexpr_lut_to_sparse": {
        "indices_mask": [1, 0, 1, 1], "indices_nonzero_data": [1, 0, 1], "lut": [],
    },
    "constexpr_sparse_to_dense": {"nonzero_data": [3, 5], "mask": [0b0110], "shape": [4]},
    ("constexpr_sparse_to_dense", 9): {"nonzero_data": [3, 5], "mask": [0, 1, 1, 0]},
    "constexpr_blockwise_shift_scale": {
        "data": [[1, 2], [3, 4]], "scale": [[0.5], [2]], "offset": [[1], [2]],
    },
    "constexpr_sparse_blockwise_shift_scale": {
        "data_mask": [[1, 1], [0, 1]], "nonzero_data": [1, 2, 3], "scale": [[0.5], [2]],
        "offset": [[1], [2]],
    },
}  # fmt: skip

NO_CASE = {
    "conv_quantized": "not supported",
    "classify": "needs a classifier: tests of classifiers",
    "cond": "nested blocks: test_typed_programs.py",
    "while_loop": "nested blocks: test_typed_programs.py",
    **dict.fromkeys(
        ("make_list", "list_gather", "list_length", "list_read", "list_scatter", "list_write"),
        "several ops together: test_typed_programs.py",
    ),
    "read_state": "needs a state: test_states.py",
}
"""Ops that do not run alone."""


MODES = ("add", "sub", "mul", "div", "max", "min")
_ROWS = {"updates": Y, "indices": [1, 0]}
_PLACES = {"updates": [[7, 8, 9]], "indices": [[1, 0, 1]]}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "argsort": [{"axis": 0, "ascending": True}],
    "band_part": [{"lower": 0, "upper": 1}],
    "concat": [{"axis": 1, "interleave": True}],
    "cumsum": [{"axis": 1, "reverse": True}],
    "gather": [{"indices": [[0, 2], [1, 1]], "axis": 1}],
    "one_hot": [{"axis": 0}],
    "pad": [{"pad": [0, 0, 1, 1], "mode": "reflect"}, {"pad": [0, 1, 2, 0], "mode": "replicate"}],
    "reduce_argmax": [{"axis": 0, "keep_dims": True}],
    "reduce_max": [{"axes": [1], "keep_dims": True}],
    "reduce_mean": [{"axes": [0]}],
    "reduce_sum": [{"axes": [0]}],
    "scatter": [{"mode": mode} | _ROWS for mode in MODES],
    "scatter_along_axis": [{"mode": mode} | _PLACES for mode in MODES],
    "scatter_nd": [{"mode": mode} for mode in MODES],
    "slice_by_index": [{"begin": [1, 2], "end": [-3, 0], "stride": [-1, -2]}],
    "stack": [{"axis": 0}],
    "topk": [{"k": 1, "axis": 0, "ascending": True}],
    "resize": [{"interpolation_mode": "NEAREST_NEIGHBOR"}],
    "linear": [{"x": np.stack([LEFT, LEFT + 1]), "weight": RIGHT}],
    "matmul": [
        {"x": np.stack([LEFT, LEFT - 2]), "y": RIGHT.T, "transpose_y": False},
        {"x": LEFT.T, "y": RIGHT, "transpose_x": True, "transpose_y": True},
    ],
}
"""More inputs for an op; they replace those of `INPUTS`."""


def inputs_for(op: str, target: int, variant: int = 0) -> dict[str, Any]:
    """The inputs of an op for a coremltools target; those after the first are in `VARIANTS`."""
    versions = [key for key in INPUTS if key == op or (key[0] == op and int(key[1]) <= target)]
    more = VARIANTS[op][variant - 1] if variant else {}
    return INPUTS[versions[-1]] | more
