"""One small network per operator of the page's engine, and per way of using it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from pocketlens.web.lowerings import LOWERINGS
from web.graphs import conv, floats, ints, network, resized, rng, turned, weights

UNARY = [
    *("Asinh", "Atan", "Celu", "Cosh", "Mish", "Round", "Selu", "Sinh", "Softsign", "Tan"),
    *("Abs", "Ceil", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish"),
    *("Identity", "LeakyRelu", "Neg", "Reciprocal", "Relu", "Sigmoid", "Sign", "Sin", "Softplus"),
    "Tanh",
]
POSITIVE: Any = ("Abs", ["x"], {})
BINARY = ["Add", "Div", "Max", "Min", "Mul", "PRelu", "Sub"]
COMPARISONS = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]
LOGIC = ["And", "Or", "Xor"]
TRUTH: Any = {"to": onnx.TensorProto.BOOL}
FLOAT: Any = {"to": onnx.TensorProto.FLOAT}
REDUCTIONS = [name for name in LOWERINGS if name.startswith("Reduce")]
POOL = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}
CENTER: Any = ("Sub", ["x", floats(0.3)], {})


ASYMMETRIC: Any = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
CORNERS: Any = {"coordinate_transformation_mode": "align_corners", "mode": "linear"}
RESIZES: dict[str, Any] = {
    "nearest": resized((1.0, 1.0, 2.0, 3.0)),
    "nearest, to a size": resized((1, 3, 5, 17)),
    "nearest, asymmetric": resized((1.0, 1.0, 2.5, 0.7), **ASYMMETRIC),
    "linear": resized((1.0, 1.0, 2.0, 2.0), mode="linear"),
    "linear, smaller": resized((1, 3, 4, 5), mode="linear"),
    "linear, corners": resized((1, 3, 18, 7), **CORNERS),
    "linear, antialias": resized((1, 3, 4, 5), mode="linear", antialias=1),
    "linear, one axis": resized((1, 3, 9, 30), mode="linear"),
    "linear, some axes": resized((20, 4), mode="linear", axes=[3, 2]),
    "linear of a line": resized((1, 3, 25), (1, 3, 10), mode="linear"),
    "cubic": resized((1, 3, 13, 17), mode="cubic", cubic_coeff_a=-0.5),
    "cubic, excluded": resized((1, 3, 13, 17), mode="cubic", exclude_outside=1),
}


CASES: dict[str, onnx.ModelProto] = {
    "conv": network(conv(5, 3, (3, 3), pads=[1, 1, 1, 1])),
    "conv without bias": network(("Conv", ["x", weights(8, 3, 3, 3)], {})),
    "conv strides and uneven pads": network(
        conv(6, 3, (3, 2), pads=[2, 0, 1, 1], strides=[2, 3])
    ),
    "conv dilations": network(conv(4, 3, (3, 3), dilations=[2, 3])),
    "conv of one pixel": network(conv(4, 3, (1, 1), strides=[2, 2])),
    "conv larger than a panel": network(
        conv(7, 3, (5, 5), pads=[2, 2, 2, 2]), shape=(1, 3, 40, 41)
    ),
    "conv same size": network(conv(4, 3, (3, 3), auto_pad="SAME_UPPER", strides=[2, 2])),
    "conv same size, lower": network(conv(4, 3, (2, 2), auto_pad="SAME_LOWER")),
    "conv groups": network(conv(6, 2, (3, 3), group=2, pads=[1, 1, 1, 1]), shape=(1, 4, 9, 11)),
    "conv depthwise": network(conv(3, 1, (3, 3), group=3, pads=[1, 1, 1, 1])),
    "conv depthwise, strides": network(conv(3, 1, (5, 5), group=3, strides=[2, 3])),
    "conv depthwise, two outputs each": network(conv(6, 1, (3, 3), group=3, strides=[2, 2])),
    "conv of a line": network(conv(4, 3, (5,), pads=[2, 1], strides=[2]), shape=(1, 3, 30)),
    "gemm": network(
        ("Flatten", ["x"], {}),
        ("Gemm", [0, weights(7, 297), weights(7)], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    ),
    "gemm of rows": network(
        ("Reshape", ["x", ints(27, 11)], {}), ("Gemm", [0, weights(11, 5), weights(5)], {})
    ),
    "gemm transposed": network(
        ("Reshape", ["x", ints(27, 11)], {}), ("Gemm", [0, weights(27, 5)], {"transA": 1})
    ),
    "matmul of one row": network(
        ("ReduceMean", ["x", ints(2, 3)], {"keepdims": 0}), ("MatMul", [0, weights(3, 9)], {})
    ),
    "matmul of a batch": network(("MatMul", ["x", weights(11, 6)], {})),
    "matmul of constants by values": network(("MatMul", [weights(5, 9), "x"], {})),
    "attention": network(
        ("Transpose", ["x"], {"perm": [0, 1, 3, 2]}),
        ("MatMul", ["x", 0], {}),
        ("Softmax", [1], {"axis": -1}),
        ("MatMul", [2, "x"], {}),
    ),
    **{name: network(CENTER, (name, [0], {})) for name in UNARY},
    "Gelu tanh": network(CENTER, ("Gelu", [0], {"approximate": "tanh"})),
    **{
        name: network(("Sigmoid", ["x"], {}), (name, [0], {})) for name in ("Acos", "Asin", "Atanh")
    },
    "Acosh": network(("Exp", ["x"], {}), ("Add", [0, floats(1)], {}), ("Acosh", [1], {})),
    "ThresholdedRelu": network(("ThresholdedRelu", ["x"], {"alpha": 0.2})),
    "Celu with alpha": network(("Celu", ["x"], {"alpha": 0.3})),
    "Selu with numbers": network(("Selu", ["x"], {"alpha": 0.3, "gamma": 2.0})),
    "Mean of three": network(("Mean", ["x", weights(3, 1, 1), weights(11)], {})),
    **{
        name: network(
            ("Round", ["x"], {}), (name, [0, floats(*range(-5, 6))], {}), ("Cast", [1], FLOAT)
        )
        for name in COMPARISONS
    },
    **{
        name: network(
            ("Relu", ["x"], {}), ("Cast", [0], TRUTH), ("Floor", ["x"], {}), ("Cast", [2], TRUTH),
            ("Not", [3], {}), (name, [1, 4], {}), ("Cast", [5], FLOAT),
        )
        for name in LOGIC
    },
    "Where": network(
        ("Greater", ["x", weights(9, 1)], {}), ("Exp", ["x"], {}),
        ("Where", [0, 1, weights(3, 1, 1)], {}),
    ),
    "Where of infinite values": network(
        ("Log", ["x"], {}), ("Less", ["x", floats(0.5)], {}), ("Where", [1, floats(2), 0], {}),
    ),
    "Where with a constant condition": network(
        ("Where", [weights(9, 11) > 0, "x", floats(-1)], {})
    ),
    "Gather": network(("Gather", ["x", ints(8, 0, -1, 3, 3)], {"axis": 2})),
    "Gather of the last axis": network(
        ("Gather", ["x", ints(1, 0, 4, 2).reshape(2, 2)], {"axis": -1})
    ),
    "Gather of one": network(("Gather", ["x", ints(-2).reshape(())], {"axis": 1})),
    "GatherElements": network(
        ("GatherElements", ["x", rng.integers(-9, 9, (1, 3, 4, 11))], {"axis": 2})
    ),
    "GatherND": network(("GatherND", ["x", ints(0, 2, 5, 0, 0, 8).reshape(2, 3)], {})),
    "DepthToSpace": network(("DepthToSpace", ["x"], {"blocksize": 2}), shape=(1, 12, 3, 4)),
    "DepthToSpace CRD": network(
        ("DepthToSpace", ["x"], {"blocksize": 2, "mode": "CRD"}), shape=(1, 12, 3, 4)
    ),
    "SpaceToDepth": network(("SpaceToDepth", ["x"], {"blocksize": 2}), shape=(1, 3, 4, 6)),
    "CumSum": network(("CumSum", ["x", ints(2).reshape(())], {})),
    "CumSum, exclusive": network(
        ("CumSum", ["x", ints(-1).reshape(())], {"exclusive": 1, "reverse": 1})
    ),
    "LRN": network(("LRN", ["x"], {"size": 3, "alpha": 0.5}), shape=(1, 7, 4, 5)),
    "LRN with numbers": network(
        ("LRN", ["x"], {"size": 5, "alpha": 0.5, "beta": 0.5, "bias": 2.0}), shape=(1, 7, 4, 5)
    ),
    **{
        f"LpNormalization {p}": network(("LpNormalization", ["x"], {"p": p, "axis": 1}))
        for p in (1, 2)
    },
    **{f"Resize {name}": model for name, model in RESIZES.items()},
    "ConvTranspose": turned(4, (3, 3)),
    "ConvTranspose, strides": turned(4, (3, 2), strides=[2, 3], pads=[1, 0, 2, 1]),
    "ConvTranspose, larger": turned(4, (3, 3), strides=[2, 2], output_padding=[1, 1], pads=[1] * 4),
    "ConvTranspose, dilations": turned(2, (3, 3), dilations=[2, 1], pads=[1, 0, 0, 1]),
    "ConvTranspose, groups": turned(2, (2, 2), groups=2, strides=[2, 2]),
    "ConvTranspose, depthwise": network(
        ("ConvTranspose", ["x", weights(4, 1, 3, 3)], {"group": 4, "strides": [2, 2]}),
        shape=(1, 4, 5, 6),
    ),
    "ConvTranspose of a line": turned(4, (3,), strides=[2], pads=[1, 0]),
    "Log of Sqrt": network(POSITIVE, ("Sqrt", [0], {}), ("Log", [1], {})),
    "Pow": network(POSITIVE, ("Pow", [0, floats(1.7)], {})),
    **{
        f"{name} {list(other.shape)}": network((name, ["x", other], {}))
        for name in BINARY
        for other in (weights(3, 1, 1), weights(1, 1, 9, 1), weights(11))
    },
    "Sub of a constant": network(("Sub", [floats(1.0), "x"], {})),
    "Max of constants and a value": network(
        ("Max", [weights(3, 1, 1), weights(11), "x", weights(9, 1)], {})
    ),
    "Sum of three": network(("Sum", ["x", weights(3, 1, 1), weights(11)], {})),
    "Clip": network(("Clip", ["x", floats(-0.2).reshape(()), floats(0.4).reshape(())], {})),
    "Clip of a value that is used again": network(
        CENTER, ("Relu", [0], {}), ("Add", [0, 1], {}),
        ("Clip", [2, "", floats(0.5).reshape(())], {}),
    ),
    "Relu, then Clip": network(
        CENTER, ("Relu", [0], {}), ("Clip", [1, floats(0.1).reshape(()), ""], {})
    ),
    "max pool": network(("MaxPool", ["x"], POOL)),
    "max pool, dilations": network(
        ("MaxPool", ["x"], {"kernel_shape": [2, 2], "dilations": [2, 3]})
    ),
    "max pool, rounded up": network(
        ("MaxPool", ["x"], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1})
    ),
    "average pool": network(("AveragePool", ["x"], POOL)),
    "average pool with the pads": network(("AveragePool", ["x"], POOL | {"count_include_pad": 1})),
    "global average": network(("GlobalAveragePool", ["x"], {})),
    "global maximum": network(("GlobalMaxPool", ["x"], {})),
    **{
        f"{name}, {keep}": network(POSITIVE, (name, [0, ints(1, -1)], {"keepdims": keep}))
        for name in REDUCTIONS
        for keep in (0, 1)
    },
    "ReduceMean of all": network(("ReduceMean", ["x"], {})),
    "softmax of channels": network(("Softmax", ["x"], {"axis": 1})),
    "log softmax": network(("LogSoftmax", ["x"], {"axis": -1})),
    "batch norm": network(
        (
            "BatchNormalization",
            ["x", weights(3), weights(3), weights(3), np.abs(weights(3)) + 1],
            {"epsilon": 1e-3},
        )
    ),
    "layer norm": network(("LayerNormalization", ["x", weights(11), weights(11)], {})),
    "instance norm": network(("InstanceNormalization", ["x", weights(3), weights(3)], {})),
    "transpose": network(("Transpose", ["x"], {"perm": [3, 0, 2, 1]})),
    "squeeze and unsqueeze": network(
        ("Squeeze", ["x", ints(0)], {}), ("Unsqueeze", [0, ints(1, 3)], {}), ("Neg", [1], {})
    ),
    "concat": network(
        ("Transpose", ["x"], {"perm": [0, 1, 3, 2]}),
        ("Reshape", [0, ints(1, 3, 9, 11)], {}),
        ("Concat", ["x", 1, weights(1, 3, 2, 11)], {"axis": 2}),
        ("Relu", [2], {}),
    ),
    "slice": network(
        ("Slice", ["x", ints(8, 1), ints(-(2**63), 10), ints(2, 3), ints(-2, 3)], {})
    ),
    "split": network(
        ("Split", ["x"], {"axis": 3, "num_outputs": 2}), ("Transpose", [0], {}), outputs=2
    ),
    "pad": network(
        ("Pad", ["x", ints(0, 0, 1, 2, 0, 1, 0, 3), floats(0.5).reshape(())], {})
    ),
    "pad with the edge": network(
        ("Pad", ["x", ints(0, 0, 1, 20, 0, 0, 2, 3)], {"mode": "edge"})
    ),
    "pad by reflection": network(
        ("Pad", ["x", ints(0, 0, 8, 2, 0, 0, 0, 3)], {"mode": "reflect"})
    ),
    "expand": network(
        ("ReduceMax", ["x", ints(2)], {}), ("Expand", [0, ints(2, 3, 4, 11)], {})
    ),
    "tile": network(("Tile", ["x", ints(1, 2, 1, 3)], {})),
    "computed constants": network(
        ("Transpose", [weights(11, 5)], {}), ("Gemm", [weights(4, 11), 0], {"transB": 1}),
        ("ReduceSum", [1], {"keepdims": 0}), ("Mul", ["x", 2], {}),
    ),
    "constants by an operator that the engine lacks": network(
        ("Shrink", [weights(11)], {}), ("Mul", ["x", 0], {})
    ),
    "residual blocks share memory": network(
        conv(8, 3, (3, 3), pads=[1, 1, 1, 1]), ("Relu", [0], {}),
        ("Conv", [1, weights(8, 8, 3, 3), weights(8)], {"pads": [1, 1, 1, 1]}),
        ("Add", [1, 2], {}), ("Relu", [3], {}),
        ("Conv", [4, weights(5, 8, 1, 1)], {}), ("Sigmoid", [5], {}), ("Mul", [5, 6], {}),
        ("GlobalAveragePool", [7], {}), ("Flatten", [8], {}), ("Softmax", [9], {}),
    ),
}  # fmt: skip
