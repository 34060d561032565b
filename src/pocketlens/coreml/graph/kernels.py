"""Which types ONNX Runtime's kernels take, and the wider type that stands in for another one.

ONNX allows more types than ONNX Runtime has kernels for. A node of such a type computes in a wider
type, in which its result is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import defs

from pocketlens.coreml.graph.nodes import STRING, Value
from pocketlens.errors import UnsupportedOp

__all__ = ["KERNELS", "Data", "expected_types", "without_kernel"]

INTEGERS = ("int32", "int64")

KERNELS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("ArgMax", "ArgMin", "Clip", "CumSum", "Max", "Min", "NonZero"), INTEGERS),
    **dict.fromkeys(("Pad", "Pow", "Range", "TopK", "Where"), INTEGERS),
    **{f"Reduce{name}": INTEGERS for name in ("L1", "Max", "Min", "Prod", "Sum", "SumSquare")},
    # float64 holds every integer of up to 32 bits. These reductions have integer kernels, but their
    # sums of squares and exponentials would overflow.
    **{f"Reduce{name}": ("float64",) for name in ("L2", "LogSum", "LogSumExp", "Mean")},
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), ("float64",)),
    **dict.fromkeys(("Relu", "Resize"), ("int32",)),
    # Only for floating-point types; `ops.common.matrix` multiplies integers with MatMul.
    **dict.fromkeys(("Gemm", "GridSample", "PRelu"), ()),
}
"""Operator -> the types with kernels, other than floating-point types, the narrowest first.

ONNX Runtime 1.20 and later have them; a test compares this with ONNX Runtime's own list. For an
operator that is not here, there is a kernel for every integer type that ONNX allows.
"""


@dataclass(frozen=True)
class Data:
    """What a node computes on: values of one type, which no kernel takes.

    Attributes:
        inputs: The position of each input of this type -> the input.
        outputs: The positions of the outputs of this type.
        dtype: The type.
        wide: A type with a kernel that holds all its values.
    """

    inputs: Mapping[int, Value]
    outputs: frozenset[int]
    dtype: np.dtype[Any]
    wide: np.dtype[Any]


def without_kernel(op: str, opset: int, inputs: Sequence[Value | None]) -> Data | None:
    """What `op` computes on, if ONNX Runtime has no kernel for its type, else None.

    Raises:
        UnsupportedOp: There is no wider type that has a kernel.
    """
    if op not in KERNELS:
        return None
    schema = defs.get_schema(op, opset)
    formal = [each.type_str for each in schema.inputs]
    variable = "T" if "T" in formal else formal[0]
    types = [formal[min(i, len(formal) - 1)] for i in range(len(inputs))]
    data = {i: x for i, x in enumerate(inputs) if x is not None and types[i] == variable}
    dtype = next(iter(data.values())).dtype
    if dtype.kind not in "biu" or dtype.name in KERNELS[op]:
        return None
    wide = next((name for name in KERNELS[op] if np.can_cast(dtype, name)), None)
    if wide is None or dtype == np.int64:
        raise UnsupportedOp(f"it needs {op} of {dtype}, which ONNX Runtime does not have")
    results = frozenset(i for i, each in enumerate(schema.outputs) if each.type_str == variable)
    return Data(data, results, dtype, np.dtype(wide))


def expected_types(schema: defs.OpSchema, inputs: Sequence[Value | None]) -> str:
    """The types that ONNX allows for the first input that has another one; empty if none has."""
    allowed = {each.type_param_str: each.allowed_type_strs for each in schema.type_constraints}
    for i, value in enumerate(inputs):
        variable = schema.inputs[min(i, len(schema.inputs) - 1)].type_str
        types = [_name(each) for each in allowed.get(variable, [variable])]
        if value is not None and value.dtype != STRING and value.dtype.name not in types:
            return ", ".join(name for name in types if hasattr(np, name))
    return ""


def _name(onnx_name: str) -> str:
    """NumPy's name for a type that ONNX calls `tensor(float)` or the like."""
    name = onnx_name.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(name, name)
