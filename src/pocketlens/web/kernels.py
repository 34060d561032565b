"""The kernels of the page's engine, as WebAssembly with SIMD.

Addresses and sizes are in bytes; tensors are float32, `(C, H, W)`, padded already. A kernel writes
whole vectors, so it may write past the end of a row: what it overwrites there is written later, or
is the slack that `engine.js` keeps behind every tensor. That is why rows and channels are computed
in ascending order, and the last columns before the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from pocketlens.web.wasm import Function, Instruction, module

__all__ = ["COLUMNS", "ROWS", "kernels"]

ROWS, COLUMNS = 4, 8
"""The part of a matrix product that stays in registers."""

LANES = 4
VECTORS = COLUMNS // LANES

Load: TypeAlias = Callable[[int], list[Instruction]]
"""Instructions that load the inputs of a vector of outputs, by its number, into `values`."""


def kernels() -> bytes:
    """The module: `convolve`, `depthwise` and `limit`."""
    return module([_convolve(), _depthwise(), _limit()])


def _convolve() -> Function:
    """A convolution of one group as a matrix product, weights × columns.

    For each 8 output positions, their inputs are gathered into a panel `(T · C, 8)`, and each 4
    output channels are computed from it. `places` has the address of each position relative to
    `x`, repeated to a multiple of 8; `taps` that of each of the kernel's `T` taps. `weights` are
    `(M / 4, T · C, 4)`, `out` is `(M, positions)`.
    """
    parameters = [
        *("x", "plane", "channels", "taps", "tap_count", "places", "panels"),
        *("weights", "depth", "bias", "groups", "out", "row", "panel"),
    ]
    places = [f"place{i}" for i in range(COLUMNS)]
    scalars = ["target", "source", "left", "tap", "tap_left", "group", "w", "b", "o", "n"]
    sums = [f"sum{r}{v}" for r in range(ROWS) for v in range(VECTORS)]
    columns = [f"column{v}" for v in range(VECTORS)]

    adjacent = [
        ("v128.store", 16 * v, _get("target"), ("v128.load", 16 * v, _add("source", "place0")))
        for v in range(VECTORS)
    ]
    scattered = [
        ("f32.store", 4 * i, _get("target"), ("f32.load", 0, _add("source", place)))
        for i, place in enumerate(places)
    ]
    is_adjacent = (
        "i32.eq",
        ("i32.sub", _get(places[-1]), _get("place0")),
        ("i32.const", 4 * (COLUMNS - 1)),
    )

    def gather(copies: Sequence[Instruction]) -> list[Instruction]:
        channel = [*copies, _step("source", "plane"), _move("target", 4 * COLUMNS)]
        return [
            _set("tap", _get("taps")),
            _set("target", _get("panel")),
            *_repeat(
                "tap_left",
                _get("tap_count"),
                [
                    _set("source", ("i32.add", _get("x"), ("i32.load", 0, _get("tap")))),
                    *_repeat("left", _get("channels"), channel),
                    _move("tap", 4),
                ],
            ),
        ]

    multiply: list[Instruction] = [
        _set(column, ("v128.load", 16 * v, _get("b"))) for v, column in enumerate(columns)
    ]
    for r in range(ROWS):
        weight: Instruction = ("v128.load32_splat", 4 * r, _get("w"))
        for v in range(VECTORS):
            first = v == 0
            factor = ("local.tee", "weight", weight) if first else _get("weight")
            product = ("f32x4.mul", factor, _get(columns[v]))
            multiply.append(_set(f"sum{r}{v}", ("f32x4.add", _get(f"sum{r}{v}"), product)))
    multiply += [_move("w", 4 * ROWS), _move("b", 4 * COLUMNS)]

    group: list[Instruction] = [
        _set(f"sum{r}{v}", ("v128.load32_splat", 4 * r, _get("n")))
        for r in range(ROWS)
        for v in range(VECTORS)
    ]
    group += [_set("b", _get("panel")), *_repeat("left", _get("depth"), multiply)]
    for r in range(ROWS):
        group += [("v128.store", 16 * v, _get("o"), _get(f"sum{r}{v}")) for v in range(VECTORS)]
        group.append(_step("o", "row"))
    group.append(_move("n", 4 * ROWS))

    body: list[Instruction] = [
        # `places` and `out` move backward, from the last panel to the first.
        _set("places", _add("places", ("i32.mul", _get("panels"), ("i32.const", 4 * COLUMNS)))),
        _set("out", _add("out", ("i32.mul", _get("panels"), ("i32.const", 4 * COLUMNS)))),
        *_repeat(
            "panels",
            _get("panels"),
            [
                _move("places", -4 * COLUMNS),
                _move("out", -4 * COLUMNS),
                *(
                    _set(place, ("i32.load", 4 * i, _get("places")))
                    for i, place in enumerate(places)
                ),
                ("if", is_adjacent, gather(adjacent), gather(scattered)),
                _set("w", _get("weights")),
                _set("n", _get("bias")),
                _set("o", _get("out")),
                *_repeat("group", _get("groups"), group),
            ],
        ),
    ]
    return Function(
        "convolve",
        dict.fromkeys(parameters, "i32"),
        dict.fromkeys([*places, *scalars], "i32")
        | dict.fromkeys([*sums, *columns, "weight"], "v128"),
        body,
    )


EVEN = [byte for lane in range(0, 2 * LANES, 2) for byte in range(4 * lane, 4 * lane + 4)]
"""The bytes of every other float32 of two vectors."""

WIDE = 4
"""Vectors of a row that a depthwise convolution computes at once."""


def _depthwise() -> Function:
    """A depthwise convolution of one channel, 16 and then 4 outputs of a row at a time."""
    parameters = ["x", "taps", "tap_count", "weights", "rows", "columns", "row", "stride", "out"]
    scalars = ["tap", "w", "line", "column", "left", "o", "place", "address", "next"]

    def adjacent(vector: int) -> list[Instruction]:
        return [_set("values", ("v128.load", 16 * vector, _get("address")))]

    def every_other(vector: int) -> list[Instruction]:
        halves = [("v128.load", 32 * vector + 16 * half, _get("address")) for half in range(2)]
        return [_set("values", ("i8x16.shuffle", EVEN, *halves))]

    def scattered(_: int) -> list[Instruction]:
        lanes = [
            _set("next", _get("address")),
            _set("values", ("v128.load32_zero", 0, _get("next"))),
        ]
        for lane in range(1, LANES):
            lanes += [
                _step("next", "stride"),
                _set("values", ("v128.load32_lane", 0, lane, _get("next"), _get("values"))),
            ]
        return lanes

    def outputs(load: Load, vectors: int) -> list[Instruction]:
        product = ("f32x4.mul", _get("weight"), _get("values"))
        products = [
            each
            for v in range(vectors)
            for each in (*load(v), _set(f"sum{v}", ("f32x4.add", _get(f"sum{v}"), product)))
        ]
        tap: list[Instruction] = [
            _set("address", ("i32.add", _get("place"), ("i32.load", 0, _get("tap")))),
            _set("weight", ("v128.load32_splat", 0, _get("w"))),
            *products,
            _move("tap", 4),
            _move("w", 4),
        ]
        step = ("i32.mul", _get("stride"), ("i32.const", vectors * LANES))
        return [
            _set("tap", _get("taps")),
            _set("w", _get("weights")),
            *(_set(f"sum{v}", _get("start")) for v in range(vectors)),
            *_repeat("left", _get("tap_count"), tap),
            *(("v128.store", 16 * v, _get("o"), _get(f"sum{v}")) for v in range(vectors)),
            _move("o", 16 * vectors),
            _set("place", _add("place", step)),
        ]

    def image(load: Load, wide: int = WIDE) -> list[Instruction]:
        size = wide * LANES
        many = ("i32.and", _get("columns"), ("i32.const", -size))
        rest = ("i32.and", _get("columns"), ("i32.const", size - 1))
        line = [
            _set("place", _get("x")),
            _set("o", _get("out")),
            *_repeat("column", many, outputs(load, wide), step=size),
            *_repeat("column", rest, outputs(load, 1), step=LANES),
            _step("x", "row"),
            _set("out", _add("out", ("i32.mul", _get("columns"), ("i32.const", 4)))),
        ]
        return _repeat("line", _get("rows"), line)

    def has_stride(count: int) -> Instruction:
        return ("i32.eq", _get("stride"), ("i32.const", 4 * count))

    body: list[Instruction] = [
        _set("start", ("f32x4.splat", _get("bias"))),
        (
            "if",
            has_stride(1),
            image(adjacent),
            [("if", has_stride(2), image(every_other), image(scattered, wide=1))],
        ),
    ]
    return Function(
        "depthwise",
        dict.fromkeys(parameters, "i32") | {"bias": "f32"},
        dict.fromkeys(scalars, "i32")
        | dict.fromkeys(["start", "values", "weight"], "v128")
        | dict.fromkeys([f"sum{v}" for v in range(WIDE)], "v128"),
        body,
    )


def _limit() -> Function:
    """Limit values to [low, high], then round them to float16 if `half` is not 0.

    If it is 1, the limits are float16 numbers, so no result is infinite.
    """
    each: Instruction = ("v128.load", 0, _get("x"))
    # NaN stays NaN: of the two operands, these give the first one if a comparison is false.
    limited = ("f32x4.pmin", ("f32x4.pmax", each, _get("lows")), _get("highs"))

    def values(rounding: Sequence[Instruction]) -> list[Instruction]:
        return _repeat(
            "left",
            _get("count"),
            [
                _set("value", limited),
                *rounding,
                ("v128.store", 0, _get("x"), _get("value")),
                _move("x", 4 * LANES),
            ],
            step=LANES,
        )

    is_bounded = ("i32.eq", _get("half"), ("i32.const", 1))
    rounded: Instruction = (
        "if",
        is_bounded,
        values(_rounding(infinite=False)),
        values(_rounding(infinite=True)),
    )
    body: list[Instruction] = [
        _set("lows", ("f32x4.splat", _get("low"))),
        _set("highs", ("f32x4.splat", _get("high"))),
        ("if", _get("half"), [rounded], values([])),
    ]
    return Function(
        "limit",
        {"x": "i32", "count": "i32", "low": "f32", "high": "f32", "half": "i32"},
        {"left": "i32", **dict.fromkeys(["lows", "highs", "value", "magic", "near"], "v128")},
        body,
    )


def _rounding(*, infinite: bool) -> list[Instruction]:
    """Round `value` to the nearest float16, ties to even, as IEEE 754 says.

    Adding 1.5 · 2**13 times its power of two leaves as many bits of its fraction as float16 has;
    float32 addition rounds ties to even. Below 2**-14, the spacing of float16 is that of 2**-14.
    From 65520 on, the result is infinite. NaN stays NaN.
    """
    power = ("v128.and", _get("value"), ("i32x4.splat", ("i32.const", 0x7F800000)))
    spaced = ("f32x4.pmax", power, ("f32x4.splat", ("f32.const", 2.0**-14)))
    sign = ("v128.and", _get("value"), ("i32x4.splat", ("i32.const", -(2**31))))
    large = ("f32x4.ge", ("f32x4.abs", _get("value")), ("f32x4.splat", ("f32.const", 65520.0)))
    infinity = ("f32x4.splat", ("f32.const", math.inf))
    near = _get("near")
    return [
        _set("magic", ("f32x4.mul", spaced, ("f32x4.splat", ("f32.const", 1.5 * 2**13)))),
        _set("near", ("f32x4.sub", ("f32x4.add", _get("value"), _get("magic")), _get("magic"))),
        _set(
            "value",  # with its sign, also if it is 0 now
            ("v128.or", sign, ("v128.bitselect", infinity, near, large) if infinite else near),
        ),
    ]


def _get(name: str) -> Instruction:
    return ("local.get", name)


def _set(name: str, value: Instruction) -> Instruction:
    return ("local.set", name, value)


def _add(one: str, other: str | Instruction) -> Instruction:
    return ("i32.add", _get(one), _get(other) if isinstance(other, str) else other)


def _move(name: str, by: int) -> Instruction:
    return _set(name, _add(name, ("i32.const", by)))


def _step(name: str, by: str) -> Instruction:
    return _set(name, _add(name, by))


def _repeat(
    counter: str, count: Instruction, body: Sequence[Instruction], *, step: int = 1
) -> list[Instruction]:
    """Repeat the body `count / step` times, rounded up; the counter must be a local of its own."""
    down = ("i32.sub", _get(counter), ("i32.const", step))
    if step > 1:  # rounded up to a multiple of the step, so that the counter ends at 0
        up = ("i32.add", count, ("i32.const", step - 1))
        count = ("i32.and", up, ("i32.const", -step))  # steps are powers of 2
    return [
        _set(counter, count),
        (
            "block",
            f"{counter} end",
            ("br_if", f"{counter} end", ("i32.eqz", _get(counter))),
            (
                "loop",
                counter,
                *body,
                ("br_if", counter, ("local.tee", counter, down)),
            ),
        ),
    ]
