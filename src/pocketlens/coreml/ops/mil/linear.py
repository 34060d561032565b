"""Matrix products."""

from __future__ import annotations

from pocketlens.coreml.graph import Graph, Value, Values
from pocketlens.coreml.ops.common.arithmetic import keep_type
from pocketlens.coreml.ops.common.matrix import linear as linear_
from pocketlens.coreml.ops.common.matrix import swap_last_axes
from pocketlens.coreml.ops.registry import IOS17, mil
from pocketlens.errors import UnsupportedParameter


@mil()
def linear(
    g: Graph,
    x: Value,  # [*D, Din]
    weight: Value,  # [Dout, Din]
    bias: Value | None = None,  # [Dout]
) -> Value:
    return linear_(g, x, weight, bias)


@mil(since=IOS17, name="linear")
def linear_ios17(g: Graph, x: Value, weight: Value, bias: Value | None = None) -> Value:
    return keep_type(g, lambda *operands: linear_(g, *operands), x, weight, bias)


@mil()
def matmul(
    g: Graph, x: Value, y: Value, transpose_x: bool = False, transpose_y: bool = False
) -> Value:
    if y.const is not None and y.rank == 2 and transpose_y and not transpose_x:
        return linear_(g, x, y, None)  # this does not transpose the weights
    left = swap_last_axes(g, x) if transpose_x else x
    right = swap_last_axes(g, y) if transpose_y else y
    return g.MatMul(left, right)


@mil(since=IOS17, name="matmul")
def matmul_ios17(
    g: Graph, x: Value, y: Value, transpose_x: bool = False, transpose_y: bool = False
) -> Value:
    if x.const is not None:  # the result has the type of the operand that is not a constant
        return keep_type(g, lambda b, a: matmul(g, a, b, transpose_x, transpose_y), y, x)
    return keep_type(g, lambda a, b: matmul(g, a, b, transpose_x, transpose_y), x, y)


# The specification's two equations, with the letters renamed to a, b, … in order of appearance.
EQUATIONS = ("abcd,adce->abce", "abc,cbd->abd")


@mil()
def einsum(
    g: Graph,
    values: Values,  # [*B, C, H, W] and [*B, W, H, U]; B and H broadcast
    equation: str,
) -> Value:  # [*B, C, H, U]
    letters = dict.fromkeys(filter(str.isalpha, equation))
    names = {letter: chr(ord("a") + number) for number, letter in enumerate(letters)}
    plain = "".join(names.get(each, each) for each in equation if each != " ")
    if plain not in EQUATIONS or len(values) != 2:
        raise UnsupportedParameter(
            f"'equation' is {equation!r} for {len(values)} tensors; "
            "expected nchw,nwhu->nchu or chw,whu->chu, with any letters, for two tensors"
        )
    x, y = (_rows_outside(g, value) for value in values)
    return _rows_outside(g, g.MatMul(x, y))


def _rows_outside(g: Graph, x: Value) -> Value:
    """`x` with its third-last and second-last dimensions swap_last_axes."""
    axes = list(range(x.rank))
    return g.transpose(x, [*axes[:-3], axes[-2], axes[-3], axes[-1]])
