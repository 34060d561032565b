"""Cropping and resizing. x is [*B, H, W]."""

from __future__ import annotations

import numpy as np

from pocketlens.coreml.graph import Graph, Ints, Value
from pocketlens.coreml.ops.common import cropping, resizing
from pocketlens.coreml.ops.common.arithmetic import modulo
from pocketlens.coreml.ops.common.ordering import arange
from pocketlens.coreml.ops.common.slicing import LAST, slice_by_index
from pocketlens.coreml.ops.registry import IOS16, IOS17, mil
from pocketlens.errors import ModelFileError, UnsupportedOp, UnsupportedParameter


@mil()
def crop(g: Graph, x: Value, crop_height: Ints, crop_width: Ints) -> Value:
    if len(crop_height) != 2 or len(crop_width) != 2:
        raise ModelFileError(
            f"'crop_height' is {list(crop_height)} and 'crop_width' {list(crop_width)}; "
            "expected two numbers each"
        )
    if min(*crop_height, *crop_width) < 0:
        raise ModelFileError(
            f"'crop_height' is {list(crop_height)} and 'crop_width' {list(crop_width)}; "
            "expected 0 or more"
        )
    lead = x.rank - 2
    begin = [0] * lead + [crop_height[0], crop_width[0]]
    end = [LAST] * lead + [-amount or LAST for amount in (crop_height[1], crop_width[1])]
    return slice_by_index(g, x, begin, end)


@mil()
def upsample_nearest_neighbor(
    g: Graph, x: Value, scale_factor_height: float = 1, scale_factor_width: float = 1
) -> Value:
    return resizing.upsample_nearest(g, x, scale_factor_height, scale_factor_width)


@mil()
def resize_nearest_neighbor(
    g: Graph, x: Value, target_size_height: int, target_size_width: int
) -> Value:
    sides = resizing.check_sides(target_size_height, target_size_width)
    return resizing.nearest(g, x, sides, resizing.centers)


@mil()
def upsample_bilinear(
    g: Graph,
    x: Value,
    scale_factor_height: float = 1,
    scale_factor_width: float = 1,
    align_corners: bool = True,
) -> Value:
    mode = "STRICT_ALIGN_CORNERS" if align_corners else "UNALIGN_CORNERS"
    return resizing.upsample_linear(g, x, scale_factor_height, scale_factor_width, mode)


@mil(
    since=IOS16,
    name="upsample_bilinear",
    restrictions="half_pixel_centers and align_corners cannot both be true",
)
def upsample_bilinear_ios16(
    g: Graph,
    x: Value,
    scale_factor_height: float = 1,
    scale_factor_width: float = 1,
    align_corners: bool = True,
    half_pixel_centers: bool | None = None,  # the opposite of align_corners by default
) -> Value:
    if half_pixel_centers is None or half_pixel_centers != align_corners:
        return upsample_bilinear(g, x, scale_factor_height, scale_factor_width, align_corners)
    if align_corners:
        raise UnsupportedParameter(
            "'align_corners' and 'half_pixel_centers' are both true; expected at most one"
        )
    return resizing.upsample_linear(g, x, scale_factor_height, scale_factor_width, "DEFAULT")


@mil()
def resize_bilinear(
    g: Graph,
    x: Value,
    target_size_height: int = 1,
    target_size_width: int = 1,
    sampling_mode: str = "DEFAULT",
) -> Value:
    sides = resizing.check_sides(target_size_height, target_size_width)
    return resizing.linear(g, x, sides, sampling_mode)


@mil(since=IOS17, restrictions="height and width only; NEAREST_NEIGHBOR only with DEFAULT")
def resize(
    g: Graph,
    x: Value,
    shape: Value,  # a 0 keeps the size of x
    resized_dims: int,
    interpolation_mode: str = "LINEAR",
    sampling_mode: str = "DEFAULT",
) -> Value:
    if shape.rank != 1 or not 1 <= resized_dims <= shape.size(0) <= x.rank:
        raise ModelFileError(
            f"'resized_dims' is {resized_dims}, 'shape' is {shape!r} and x has {x.rank} "
            "dimensions; expected each to be at most the next"
        )
    if resized_dims > 2:
        raise UnsupportedParameter(f"'resized_dims' is {resized_dims}; expected 1 or 2")
    nearest = interpolation_mode == "NEAREST_NEIGHBOR"
    if interpolation_mode != "LINEAR" and not (nearest and sampling_mode == "DEFAULT"):
        raise UnsupportedParameter(
            f"the modes are {interpolation_mode!r} and {sampling_mode!r}; expected 'LINEAR', or "
            "'NEAREST_NEIGHBOR' and 'DEFAULT'"
        )
    if x.dtype.kind != "f" and not nearest:
        raise UnsupportedOp(f"LINEAR of {x.dtype}: how it is rounded is not specified")
    if shape.const is None:
        sizes = g.cast(shape, np.int64)
        sides = {x.rank - n: g.Gather(sizes, np.array(-n)) for n in range(resized_dims, 0, -1)}
        return resizing.resize_dynamic(
            g, x, sides, interpolation_mode if nearest else sampling_mode
        )
    old = [x.size(-2), x.size(-1)]
    wanted = [*old[: 2 - resized_dims], *shape.const[-resized_dims:].tolist()]
    given = [size or kept for size, kept in zip(wanted, old, strict=True)]
    height, width = resizing.check_sides(*given)
    if nearest:
        return resizing.nearest(g, x, (height, width), resizing.centers)
    return resizing.linear(g, x, (height, width), sampling_mode)


# padding_mode -> ONNX's name, and the value of align_corners that it requires (None: either)
PADDINGS: dict[str, tuple[str, bool | None]] = {
    "constant": ("zeros", None),
    "border": ("border", None),
    "reflection": ("reflection", True),
    "symmetric": ("reflection", False),
}


@mil(restrictions="reflection only with align_corners true, symmetric only with false")
def resample(
    g: Graph,
    x: Value,  # [B, C, H, W]
    coordinates: Value,  # [B, Hout, Wout, 2], column before row
    sampling_mode: str,
    padding_mode: str,
    padding_value: float,
    coordinates_mode: str,
    align_corners: bool,
) -> Value:
    modes = {"bilinear": "linear", "nearest": "nearest"}
    spaces = ("unnormalized", "normalized_minus_one_to_one", "normalized_zero_to_one")
    if not (sampling_mode in modes and padding_mode in PADDINGS and coordinates_mode in spaces):
        raise UnsupportedParameter(
            f"the modes are {sampling_mode!r}, {padding_mode!r} and {coordinates_mode!r}; expected "
            f"one of {list(modes)}, of {list(PADDINGS)} and of {list(spaces)}"
        )
    padding, implied = PADDINGS[padding_mode]
    pixels = coordinates_mode == "unnormalized"
    corners = bool(implied) if pixels else align_corners
    if implied not in (None, corners):
        raise UnsupportedParameter(
            f"'padding_mode' is {padding_mode!r} and 'align_corners' {align_corners}; "
            f"expected {implied}"
        )
    height, width = x.size(-2), x.size(-1)
    if pixels and corners and 1 in (height, width):
        raise UnsupportedParameter(
            f"'padding_mode' is 'reflection' for {x!r}; expected a height and width above 1"
        )
    border = padding_value if padding == "zeros" else 0.0

    def formula(v: Value, at: Value) -> Value:
        if coordinates_mode == "normalized_zero_to_one":
            at = g.Sub(g.Mul(at, g.like(2, at)), g.like(1, at))
        elif pixels:
            spans = np.array([width, height], at.dtype) - int(corners)
            at = g.Add(g.Mul(at, 2 / spans), (0 if corners else 1) / spans - np.ones_like(spans))
        if padding == "reflection" and sampling_mode == "nearest":
            # ONNX rounds before it reflects, which differs exactly between two elements.
            turns = modulo(g, g.Add(at, g.like(1, at)), g.like(4, at))
            at = g.Sub(g.like(1, at), g.Abs(g.Sub(turns, g.like(2, at))))
        y = g.GridSample(
            g.Sub(v, g.like(border, v)) if border else v,
            at,
            mode=modes[sampling_mode],
            padding_mode=padding,
            align_corners=int(corners),
        )
        return g.Add(y, g.like(border, v)) if border else y

    return g.in_float32(lambda v: formula(v, g.cast(coordinates, v.dtype)), x)


@mil(restrictions="only the specified modes: bilinear, zero padding, align_corners")
def affine(
    g: Graph,
    x: Value,  # [B, C, H, W]
    transform_matrix: Value,  # [B or 1, 6]
    output_height: int,
    output_width: int,
    sampling_mode: str,
    padding_mode: str,
    padding_value: float,
    coordinates_mode: str,
    align_corners: bool,
) -> Value:
    given = (sampling_mode, padding_mode, padding_value, coordinates_mode, align_corners)
    if given != (allowed := ("bilinear", "constant", 0.0, "normalized_minus_one_to_one", True)):
        raise UnsupportedParameter(f"its modes are {given}; expected {allowed}")
    batch, channels = x.sizes[:2]
    height, width = resizing.check_sides(output_height, output_width)
    size = np.array([batch, channels, height, width], np.int64)

    def formula(v: Value, matrix: Value) -> Value:
        theta = g.Expand(g.reshape(matrix, [-1, 2, 3]), np.array([batch, 2, 3], np.int64))
        return g.GridSample(v, g.AffineGrid(theta, size, align_corners=1), align_corners=1)

    return g.in_float32(formula, x, transform_matrix)


REVERSED = "a box with its second corner first: only with STRICT_ALIGN_CORNERS and ALIGN_CORNERS"


@mil(restrictions=REVERSED)
def crop_resize(
    g: Graph,
    x: Value,  # [B, C, H, W]
    roi: Value,  # [N, 1, 4, 1, 1], or [N, 1, 5, 1, 1] with the image index first
    target_height: int = 1,
    target_width: int = 1,
    normalized_coordinates: bool = False,
    spatial_scale: float = 1.0,
    box_coordinate_mode: str = "CORNERS_HEIGHT_FIRST",
    sampling_mode: str = "DEFAULT",
) -> Value:
    return crop_resize_ios16(
        g,
        x,
        roi,
        target_height,
        target_width,
        normalized_coordinates,
        spatial_scale,
        box_coordinate_mode,
        sampling_mode,
    )


@mil(
    since=IOS16,
    name="crop_resize",
    restrictions=REVERSED,
)
def crop_resize_ios16(
    g: Graph,
    x: Value,
    roi: Value,
    target_height: int = 1,
    target_width: int = 1,
    normalized_coordinates: bool = False,
    spatial_scale: float = 1.0,
    box_coordinate_mode: str = "CORNERS_HEIGHT_FIRST",
    sampling_mode: str = "DEFAULT",
    pad_value: float = 0.0,
) -> Value:
    boxes, images = cropping.split_regions(g, roi)
    return cropping.crop_resize(
        g,
        x,
        boxes,
        images,
        resizing.check_sides(target_height, target_width),
        order=box_coordinate_mode,
        normalized=normalized_coordinates,
        scale=spatial_scale,
        sampling=sampling_mode,
        pad_value=pad_value,
    )


@mil(
    since=IOS17,
    name="crop_resize",
    restrictions=REVERSED,
)
def crop_resize_ios17(
    g: Graph,
    x: Value,  # [B, C, H, W]
    boxes: Value,  # [N, 4]
    box_indices: Value | None = None,  # [N]; by default box i is cut from image i
    target_height: int = 1,
    target_width: int = 1,
    normalized_coordinates: bool = False,
    spatial_scale: float = 1.0,
    box_coordinate_mode: str = "CORNERS_HEIGHT_FIRST",
    sampling_mode: str = "DEFAULT",
    pad_value: float = 0.0,
) -> Value:
    if normalized_coordinates and boxes.dtype.kind != "f":
        raise ModelFileError(
            f"the normalized coordinates are {boxes!r}; expected a floating-point type"
        )
    y = cropping.crop_resize(
        g,
        x,
        boxes,
        arange(g, boxes.size(0)) if box_indices is None else box_indices,
        resizing.check_sides(target_height, target_width),
        order=box_coordinate_mode,
        normalized=normalized_coordinates,
        scale=spatial_scale,
        sampling=sampling_mode,
        pad_value=pad_value,
    )
    return g.Squeeze(y, np.array([1], np.int64))
