"""PyTorch ops that coremltools refuses or gets wrong, in terms of ops that it gets right.

Each lowering is a function of the op's own arguments that computes the same with other ops. It is
traced with the shapes of one node, and its nodes take that node's place. So nothing in coremltools
changes. A lowering returns `NotImplemented` where coremltools is right already.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

__all__ = ["LOWERINGS", "inline", "lower", "trace"]

aten = torch.ops.aten

LOWERINGS: dict[Any, Callable[..., Any]] = {}
"""The lowering of each op."""


def lower(program: torch.export.ExportedProgram) -> None:
    """Replace, in place, the nodes for whose op there is a lowering."""
    module = program.graph_module
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target in LOWERINGS:
            traced = _traced(LOWERINGS[node.target], node)
            if traced is None:
                continue
            result, name = inline(module, traced, node.all_input_nodes, node), node.name
            node.replace_all_uses_with(result)
            module.graph.erase_node(node)
            if result.op == "call_function":
                result.name = name
    module.recompile()


def _traced(lowering: Callable[..., Any], node: fx.Node) -> fx.GraphModule | None:
    """The lowering as a graph whose inputs are the node's tensors; None if it does not apply."""
    applies = True

    def call(*tensors: Tensor) -> Any:
        nonlocal applies
        given = dict(zip(node.all_input_nodes, tensors, strict=True))
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), given.__getitem__)
        result = lowering(*args, **kwargs)
        applies = result is not NotImplemented
        return result if applies else tensors[0]

    result = trace(call, node.all_input_nodes)
    return result if applies else None


def trace(function: Callable[..., Any], inputs: Sequence[fx.Node]) -> fx.GraphModule:
    """The graph of a function of tensors, for inputs like those of the nodes."""
    from torch.fx.experimental.proxy_tensor import make_fx

    values = [node.meta["val"] for node in inputs]
    examples = [torch.ones(value.shape, dtype=value.dtype) for value in values]
    with torch.no_grad():
        traced = make_fx(function, pre_dispatch=True)(*examples)
    traced.graph.eliminate_dead_code()
    return traced


def inline(
    module: fx.GraphModule, traced: fx.GraphModule, inputs: Sequence[fx.Node], before: fx.Node
) -> fx.Node:
    """Insert a traced graph before a node; what depends on no input is computed now.

    Args:
        module: The graph that gets the nodes.
        traced: The graph to insert, made by `make_fx`.
        inputs: The nodes that are its inputs.
        before: The node before which it goes; the new nodes are named after it.

    Returns:
        The node of its output.
    """
    graph = module.graph
    copies = dict(zip(traced.graph.find_nodes(op="placeholder"), inputs, strict=True))
    constants: dict[fx.Node, Any] = {}

    def copy_of(each: fx.Node) -> Any:
        if each not in copies:
            constant = graph.create_node("get_attr", f"{before.name}_{each.name}")
            constant.target = constant.name  # coremltools expects it to be the same
            module.register_buffer(constant.name, constants[each].clone().contiguous())
            constant.meta["val"] = constants[each]
            copies[each] = constant
        return copies[each]

    # So that messages name the layer and line of the network.
    origin = {
        key: before.meta[key]
        for key in ("nn_module_stack", "stack_trace", "custom")
        if key in before.meta
    }
    result: fx.Node = before
    with graph.inserting_before(before):
        for each in traced.graph.nodes:
            if each.op == "get_attr":
                constants[each] = getattr(traced, each.target)
            elif each.op == "call_function" and constants.keys() >= set(each.all_input_nodes):
                args, kwargs = fx.node.map_arg((each.args, each.kwargs), constants.__getitem__)
                constants[each] = each.target(*args, **kwargs)
            elif each.op == "call_function":
                copies[each] = graph.node_copy(each, copy_of)
                copies[each].meta |= origin
            elif each.op == "output":
                result = copy_of(each.args[0])
    return result


def _lowers(*ops: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(lowering: Callable[..., Any]) -> Callable[..., Any]:
        LOWERINGS.update(dict.fromkeys(ops, lowering))
        return lowering

    return register


# --- activations


@_lowers(aten.gelu.default)
def gelu(x: Tensor, *, approximate: str = "none") -> Any:
    if approximate == "none":
        return NotImplemented
    # coremltools 9 ignores keyword arguments of this op.
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


@_lowers(aten.softplus.default)
def softplus(x: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Any:
    if threshold >= 20:  # beyond it, the two branches differ by less than 3e-9
        return NotImplemented
    y = x * beta
    return torch.where(y > threshold, x, _softplus(y) / beta)


@_lowers(aten.log_sigmoid.default)
def log_sigmoid(x: Tensor) -> Tensor:
    return -_softplus(-x)


def _softplus(x: Tensor) -> Tensor:
    """Does not overflow."""
    return torch.relu(x) + torch.log(1 + torch.exp(-torch.abs(x)))


@_lowers(aten.log_softmax.int, aten._log_softmax.default)
def log_softmax(x: Tensor, dim: int, *_: Any) -> Tensor:
    # coremltools computes log(softmax(x)), where small probabilities become 0.
    less = x - x.amax(dim, keepdim=True)
    return less - torch.log(torch.exp(less).sum(dim, keepdim=True))


@_lowers(aten.where.ScalarSelf)
def where_number_first(condition: Tensor, number: float, other: Tensor) -> Tensor:
    # Core ML wants both of one type.
    return torch.where(condition, torch.full_like(other, number), other)


@_lowers(aten.where.ScalarOther)
def where_number_last(condition: Tensor, x: Tensor, number: float) -> Tensor:
    return torch.where(condition, x, torch.full_like(x, number))


@_lowers(aten.prelu.default)
def prelu(x: Tensor, weight: Tensor) -> Any:
    if x.ndim == 4 or weight.numel() == 1:
        return NotImplemented
    slope = weight.reshape(-1, *(1,) * (x.ndim - 2))
    return torch.relu(x) - slope * torch.relu(-x)


# --- normalization, statistics


@_lowers(aten.rms_norm.default)
def rms_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    squares = (x * x).mean(list(range(-len(shape), 0)), keepdim=True)
    y = x * torch.rsqrt(squares + eps)
    return y if weight is None else y * weight


@_lowers(aten.instance_norm.default)
def instance_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    use_input_stats: bool,
    _momentum: float,
    eps: float,
    *_: Any,
) -> Any:
    if use_input_stats or mean is None or variance is None:
        return NotImplemented
    # coremltools takes the statistics of the input in any case.
    sides = (-1, *(1,) * (x.ndim - 2))
    factor = torch.rsqrt(variance + eps) * (1 if weight is None else weight)
    offset = -mean * factor + (0 if bias is None else bias)
    return x * factor.reshape(sides) + offset.reshape(sides)


@_lowers(aten.var.correction)
def var(
    x: Tensor,
    dim: Sequence[int] | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
) -> Tensor:
    # Without `dim`, coremltools divides by the number of elements whatever the correction is.
    dims = list(range(x.ndim)) if not dim else list(dim)
    off = x - x.mean(dims, keepdim=True)
    count = math.prod(x.shape[each] for each in dims)
    squares: Tensor = (off * off).sum(dims, keepdim=keepdim)
    return squares / (count - (1 if correction is None else correction))


@_lowers(aten.std.correction)
def std(x: Tensor, dim: Sequence[int] | None = None, **options: Any) -> Tensor:
    return torch.sqrt(var(x, dim, **options))


# --- arithmetic


# coremltools ignores `alpha`, a keyword argument.


@_lowers(aten.add.Tensor, aten.add.Scalar)
def add(x: Tensor, y: Any, *, alpha: float = 1) -> Any:
    return NotImplemented if alpha == 1 else x + alpha * y


@_lowers(aten.sub.Tensor, aten.sub.Scalar)
def sub(x: Tensor, y: Any, *, alpha: float = 1) -> Any:
    return NotImplemented if alpha == 1 else x - alpha * y


@_lowers(aten.rsub.Tensor, aten.rsub.Scalar)
def rsub(x: Tensor, y: Any, alpha: float = 1) -> Any:
    return NotImplemented if alpha == 1 else y - alpha * x


@_lowers(aten.clamp.Tensor)
def clamp(x: Tensor, least: Tensor | None = None, most: Tensor | None = None) -> Tensor:
    x = x if least is None else torch.maximum(x, least)
    return x if most is None else torch.minimum(x, most)


@_lowers(aten.cosine_similarity.default)
def cosine_similarity(x: Tensor, y: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    # coremltools ignores `eps`.
    lengths = [torch.sqrt((each * each).sum(dim, keepdim=True)).clamp(min=eps) for each in (x, y)]
    return (x / lengths[0] * (y / lengths[1])).sum(dim)


@_lowers(aten.trunc.default)
def trunc(x: Tensor) -> Tensor:
    return torch.sign(x) * torch.floor(torch.abs(x))


@_lowers(aten.fmod.Scalar, aten.fmod.Tensor)
def fmod(x: Tensor, y: Tensor | float) -> Any:
    if not x.is_floating_point():
        return NotImplemented
    return x - trunc(x / y) * y


@_lowers(aten.reciprocal.default)
def reciprocal(x: Tensor) -> Tensor:
    # Core ML's `inverse` adds 1e-4 to the divisor.
    return torch.full_like(x, 1.0) / x


# --- padding, convolution


@_lowers(aten.pad.default, aten.constant_pad_nd.default)
def pad(x: Tensor, sides: Sequence[int], mode: Any = "constant", value: Any = None) -> Any:
    if mode == "circular":
        return pad_circular(x, sides)
    if min(sides) >= 0 or mode in ("reflect", "replicate"):
        return NotImplemented
    if not isinstance(mode, str):  # constant_pad_nd
        value = mode
    for pair in range(len(sides) // 2):
        dim, cut = x.ndim - 1 - pair, [max(0, -side) for side in sides[2 * pair : 2 * pair + 2]]
        x = x.narrow(dim, cut[0], x.shape[dim] - sum(cut))
    return F.pad(x, [max(0, side) for side in sides], value=value or 0.0)


@_lowers(aten._pad_circular.default)
def pad_circular(x: Tensor, sides: Sequence[int]) -> Tensor:
    for pair in range(len(sides) // 2):
        dim, (before, after) = x.ndim - 1 - pair, sides[2 * pair : 2 * pair + 2]
        size = x.shape[dim]
        inner = x.narrow(dim, max(0, -before), size - max(0, -before) - max(0, -after))
        parts = [inner]
        if before > 0:
            parts.insert(0, x.narrow(dim, size - before, before))
        if after > 0:
            parts.append(x.narrow(dim, 0, after))
        x = torch.cat(parts, dim) if len(parts) > 1 else inner
    return x


@_lowers(aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input)
def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] = (0,),
    output_padding: Sequence[int] = (0,),
    groups: int = 1,
    dilation: Sequence[int] = (1,),
) -> Any:
    if not any(output_padding):
        return NotImplemented
    count = x.ndim - 2
    stride, padding, output_padding, dilation = (
        [*each] * count if len(each) == 1 else each
        for each in (stride, padding, output_padding, dilation)
    )
    make = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[count]
    y: Tensor = make(x, weight, None, stride, 0, 0, groups, dilation)
    for index in range(count):
        dim, more = 2 + index, max(0, output_padding[index] - padding[index])
        if more:  # beyond what the kernel reaches
            y = F.pad(y, [*(0, 0) * (count - 1 - index), 0, more])
        size = y.shape[dim] - padding[index]
        size -= max(0, padding[index] - output_padding[index])
        y = y.narrow(dim, padding[index], size)
    return y if bias is None else y + bias.reshape(-1, *(1,) * count)


@_lowers(aten._trilinear.default)
def trilinear(
    a: Tensor,
    b: Tensor,
    c: Tensor,
    expand_a: Sequence[int],
    expand_b: Sequence[int],
    expand_c: Sequence[int],
    summed: Sequence[int],
    *_: Any,
) -> Tensor:
    for dims, which in ((expand_a, 0), (expand_b, 1), (expand_c, 2)):
        for dim in sorted(dims):
            a = a.unsqueeze(dim) if which == 0 else a
            b = b.unsqueeze(dim) if which == 1 else b
            c = c.unsqueeze(dim) if which == 2 else c
    return (a * b * c).sum(list(summed))


# --- pooling


@_lowers(aten.avg_pool1d.default, aten.avg_pool2d.default, aten.avg_pool3d.default)
def avg_pool(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    if not ceil_mode and divisor_override is None:
        return NotImplemented
    # The mean over whole windows of a zero-padded image, times a constant map: window size divided
    # by PyTorch's divisor.
    count = x.ndim - 2
    kernel, padding = _full(kernel, count), _full(padding, count)
    stride = _full(stride, count) if stride else kernel
    pool = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[count]
    options: dict[str, Any] = {} if count == 1 else {"divisor_override": divisor_override}
    ones = torch.ones(1, 1, *x.shape[2:])
    kept = pool(ones, kernel, stride, padding, ceil_mode, count_include_pad, **options)
    sides: list[int] = []
    for size, k, s, p, out in zip(
        x.shape[2:], kernel, stride, padding, kept.shape[2:], strict=True
    ):
        sides = [p, max(0, (out - 1) * s + k - size - p), *sides]
    covered = pool(F.pad(ones, sides), kernel, stride)  # the share of each window that is image
    for dim, side in enumerate(kept.shape[2:], start=2):
        covered = covered.narrow(dim, 0, side)
    whole = pool(F.pad(x, sides), kernel, stride)
    for dim, side in enumerate(kept.shape[2:], start=2):
        whole = whole.narrow(dim, 0, side)
    return whole * (kept / covered)


@_lowers(
    aten.adaptive_avg_pool1d.default,
    aten.adaptive_avg_pool2d.default,
    aten._adaptive_avg_pool2d.default,
    aten.adaptive_avg_pool3d.default,
    aten._adaptive_avg_pool3d.default,
)
def adaptive_avg_pool(x: Tensor, size: Sequence[int]) -> Any:
    sides = list(zip(x.shape[2:], size, strict=True))
    if x.ndim < 5 and all(side % out == 0 for side, out in sides):
        return NotImplemented
    # Windows of different sizes; coremltools has an op for each of them, or none.
    return _linear_maps(x, [_adaptive_matrix(*each) for each in sides])


def _adaptive_matrix(side: int, out: int) -> Tensor:
    return F.adaptive_avg_pool1d(torch.eye(side)[:, None], out)[:, 0].T


@_lowers(aten.max_pool1d.default, aten.max_pool2d.default)
def max_pool(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> Any:
    count = x.ndim - 2
    kernel, dilation = _full(kernel, count), _full(dilation, count)
    if all(each == 1 for each in dilation):
        return NotImplemented
    stride = _full(stride, count) if stride else kernel
    padding = _full(padding, count)
    pool = F.max_pool1d if count == 1 else F.max_pool2d
    outs = pool(x, kernel, stride, padding, dilation, ceil_mode).shape[2:]
    for index, out in enumerate(outs):
        dim, k, d = 2 + index, kernel[index], dilation[index]
        s, p, size = stride[index], padding[index], x.shape[2 + index]
        last = (out - 1) * s + (k - 1) * d + 1
        sides = [*(0, 0) * (count - 1 - index), p, max(0, last - size - p)]
        padded = F.pad(x, sides, value=float("-inf")) if any(sides) else x
        parts = [
            padded[(slice(None),) * dim + (slice(i * d, i * d + (out - 1) * s + 1, s),)]
            for i in range(k)
        ]
        x = parts[0]
        for part in parts[1:]:
            x = torch.maximum(x, part)
    return x


def _full(values: Sequence[int] | int, count: int) -> list[int]:
    given = [values] if isinstance(values, int) else list(values)
    return given * count if len(given) == 1 else given


# --- resizing: along each axis a constant linear map, or a choice of rows


@_lowers(aten.upsample_nearest1d.vec, aten.upsample_nearest2d.vec, aten.upsample_nearest3d.vec)
def upsample_nearest(x: Tensor, size: Sequence[int] | None, scales: Sequence[float] | None) -> Any:
    axes = _axes(x, size, scales)
    if all(float(scale).is_integer() for _, _, scale in axes) and x.ndim == 4:
        return NotImplemented
    return _chosen_rows(x, axes, "nearest")


@_lowers(
    aten._upsample_nearest_exact1d.vec,
    aten._upsample_nearest_exact2d.vec,
    aten._upsample_nearest_exact3d.vec,
)
def upsample_nearest_exact(
    x: Tensor, size: Sequence[int] | None, scales: Sequence[float] | None
) -> Tensor:
    return _chosen_rows(x, _axes(x, size, scales), "nearest-exact")


def _chosen_rows(x: Tensor, axes: Sequence[tuple[int, dict[str, Any], float]], mode: str) -> Tensor:
    for dim, options, _ in axes:
        numbers = torch.arange(float(x.shape[dim])).reshape(1, 1, -1)
        rows = F.interpolate(numbers, mode=mode, **options).reshape(-1).long()
        x = x.index_select(dim, rows)
    return x


def _axes(
    x: Tensor, size: Sequence[int] | None, scales: Sequence[float] | None
) -> list[tuple[int, dict[str, Any], float]]:
    """Each axis that changes: its number, its options for `F.interpolate`, its factor."""
    axes: list[tuple[int, dict[str, Any], float]] = []
    for index in range(x.ndim - 2):
        if scales is not None:
            axes.append((2 + index, {"scale_factor": scales[index]}, scales[index]))
        elif size is not None:
            side = x.shape[2 + index]
            axes.append((2 + index, {"size": size[index]}, size[index] / side))
    return axes


@_lowers(aten.upsample_linear1d.vec, aten.upsample_trilinear3d.vec)
def upsample_linear(
    x: Tensor, size: Sequence[int] | None, corners: bool, scales: Sequence[float] | None
) -> Tensor:
    return _resized(x, size, scales, mode="linear", align_corners=corners)


@_lowers(aten.upsample_bilinear2d.vec)
def upsample_bilinear(
    x: Tensor, size: Sequence[int] | None, corners: bool, scales: Sequence[float] | None
) -> Any:
    if corners or scales is None or all(float(scale).is_integer() for scale in scales):
        return NotImplemented
    return _resized(x, size, scales, mode="linear", align_corners=corners)


@_lowers(aten._upsample_bilinear2d_aa.vec)
def upsample_bilinear_aa(
    x: Tensor, size: Sequence[int] | None, corners: bool, scales: Sequence[float] | None
) -> Tensor:
    return _resized(x, size, scales, mode="bilinear", align_corners=corners, antialias=True)


@_lowers(aten._upsample_bicubic2d_aa.vec)
def upsample_bicubic_aa(
    x: Tensor, size: Sequence[int] | None, corners: bool, scales: Sequence[float] | None
) -> Tensor:
    return _resized(x, size, scales, mode="bicubic", align_corners=corners, antialias=True)


def _resized(
    x: Tensor, size: Sequence[int] | None, scales: Sequence[float] | None, **options: Any
) -> Tensor:
    matrices = []
    for dim, axis, _ in _axes(x, size, scales):
        unit = torch.eye(x.shape[dim])[None]  # what each row contributes
        if options["mode"] == "linear":
            matrices.append(F.interpolate(unit, **axis, **options)[0].T)
        else:  # PyTorch has these modes for planes only, so the other axis keeps its size
            ((key, value),) = axis.items()
            both: dict[str, Any] = {key: (value, x.shape[dim] if key == "size" else 1.0)}
            matrices.append(F.interpolate(unit[None], **both, **options)[0, 0])
    return _linear_maps(x, matrices)


def _linear_maps(x: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Each axis after the channels, multiplied by its matrix `(out, side)`."""
    for dim, matrix in enumerate(matrices, start=2):
        if dim == x.ndim - 1:
            x = x @ matrix.T
        elif dim == x.ndim - 2:
            x = matrix @ x
        else:
            x = (x.transpose(dim, -1) @ matrix.T).transpose(dim, -1)
    return x
