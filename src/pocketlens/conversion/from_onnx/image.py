"""An ONNX network that classifies images: its input from pixels, its scores to probabilities."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

from pocketlens.conversion.metadata import IMAGE_FEATURE
from pocketlens.errors import ConversionError, OptionError, printable
from pocketlens.heads import Head
from pocketlens.image import InputSpec

__all__ = ["IMAGE", "PROBABILITIES", "Layout", "image_shape", "layout_of", "with_pixels"]

Layout: TypeAlias = Literal["channels-first", "channels-last"]
"""The order of an image's values in the input."""

IMAGE, PROBABILITIES = "the image of Pocketlens", "the probabilities of Pocketlens"
"""The names of the input and the output in the network; no file has them by chance."""

FEATURES = {IMAGE: IMAGE_FEATURE, PROBABILITIES: "probabilities"}
"""The same -> those in the Core ML file; coremltools itself uses `classLabel_probs`."""


def image_shape(entry: Any) -> tuple[int | None, int | None, int]:
    """Height, width and channels of an input that takes one image; None if they are not fixed.

    Raises:
        ConversionError: It is not an image with 1 or 3 channels.
    """
    kind = entry.type.tensor_type
    dims: list[int | None] = [dim.dim_value or None for dim in kind.shape.dim]
    if len(dims) == 3 and 3 in (dims[0], dims[2]):  # without a batch
        dims = [1, *dims]
    if len(dims) == 4 and dims[1] in (1, 3):
        return dims[2], dims[3], dims[1] or 3
    if len(dims) == 4 and dims[3] in (1, 3):
        return dims[1], dims[2], dims[3] or 3
    if len(dims) == 3 and dims[0] in (None, 1):
        return dims[1], dims[2], 1
    if len(dims) == 2 and dims[0] not in (None, 1):
        return dims[0], dims[1], 1
    if len(dims) in (1, 2):  # a flat vector
        return None, None, 1
    shown = ", ".join(str(dim.dim_value or dim.dim_param or "?") for dim in kind.shape.dim)
    raise ConversionError(
        f"the input '{printable(entry.name)}' has the shape ({printable(shown)}); expected one "
        "image with 1 or 3 channels, such as (1, 3, 224, 224); without --labels, the network "
        "becomes a model from arrays to arrays"
    )


def layout_of(entry: Any, spec: InputSpec) -> tuple[Layout, tuple[int, ...]]:
    """The layout of an input that takes images of an InputSpec, and its fixed shape.

    Raises:
        OptionError: The sizes do not fit.
    """
    dims = [dim.dim_value or None for dim in entry.type.tensor_type.shape.dim]
    h, w, c = spec.shape
    layouts: list[tuple[Layout, tuple[int, ...]]] = [
        ("channels-first", (1, c, h, w)),
        ("channels-last", (1, h, w, c)),
        ("channels-first", (c, h, w)),
        ("channels-last", (h, w, c)),
        ("channels-first", (1, c * h * w)),
        ("channels-first", (c * h * w,)),
    ]
    if c == 1:
        layouts += [("channels-first", (1, h, w)), ("channels-first", (h, w))]
    for layout, shape in layouts:
        if len(shape) == len(dims) and all(
            side in (None, given) for side, given in zip(dims, shape, strict=True)
        ):
            return layout, shape
    if len(dims) == 4 and dims[0] not in (None, 1):
        raise ConversionError(
            f"the input '{printable(entry.name)}' takes {dims[0]} images at once; export the "
            "network with a batch of 1, or of any size"
        )
    shown = ", ".join("any" if side is None else str(side) for side in dims)
    raise OptionError(
        f"the input '{printable(entry.name)}' has the shape ({shown}); the InputSpec has "
        f"{spec.shape} (height, width, channels); set its height, width and color to fit"
    )


def with_pixels(model: Any, layout: Layout, spec: InputSpec, head: Head) -> Any:
    """The network from the pixels of an image, `(1, C, H, W)`, to probabilities `(1, K)`.

    Args:
        model: The `ModelProto` with one input and one output.
        layout: That of its input.
        spec: How pixels become the input.
        head: What its output is.
    """
    import onnx

    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    result = type(model)()
    result.CopyFrom(model)
    graph = result.graph
    weights = {each.name for each in graph.initializer}
    entry = next(each for each in graph.input if each.name not in weights)
    code, target = entry.type.tensor_type.elem_type, entry.name
    wanted = [dim.dim_value for dim in entry.type.tensor_type.shape.dim]
    before: list[Any] = []
    values: dict[str, Any] = {}
    last = IMAGE

    def add(
        nodes: list[Any], op: str, inputs: list[str], output: str = "", **attributes: Any
    ) -> str:
        name = output or f"{op} {len(before) + len(nodes)} of Pocketlens"
        nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def constant(name: str, value: Any) -> str:
        values[name] = np.asarray(value)
        return name

    if any(scale != 1 for scale in spec.scale):
        factor = constant(
            "scale of Pocketlens", np.array(spec.scale, np.float32).reshape(1, -1, 1, 1)
        )
        last = add(before, "Mul", [last, factor])
    if any(spec.bias):
        offset = constant(
            "bias of Pocketlens", np.array(spec.bias, np.float32).reshape(1, -1, 1, 1)
        )
        last = add(before, "Add", [last, offset])
    if layout == "channels-last":
        last = add(before, "Transpose", [last], perm=[0, 2, 3, 1])
    if len(wanted) != 4:
        shape = constant("shape of Pocketlens", np.array(wanted, np.int64))
        last = add(before, "Reshape", [last, shape])
    add(before, "Cast", [last], target, to=code)
    after: list[Any] = []
    row = constant("row of Pocketlens", np.array([1, -1], np.int64))
    scores = add(after, "Reshape", [graph.output[0].name, row])
    scores = add(after, "Cast", [scores], to=onnx.TensorProto.FLOAT)
    if head == "logits":
        add(after, "Softmax", [scores], PROBABILITIES, axis=1)
    elif head == "probabilities":
        add(after, "Identity", [scores], PROBABILITIES)
    else:
        if head == "logit":
            scores = add(after, "Sigmoid", [scores])
        one = constant("one of Pocketlens", np.ones((1, 1), np.float32))
        first = add(after, "Sub", [one, scores])
        add(after, "Concat", [first, scores], PROBABILITIES, axis=1)
    nodes = [*before, *graph.node, *after]
    kept = [type(graph.node[0]).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(kept)
    sides = [1, spec.channels, spec.height, spec.width]
    graph.input.append(helper.make_tensor_value_info(IMAGE, onnx.TensorProto.FLOAT, sides))
    graph.output.append(helper.make_tensor_value_info(PROBABILITIES, onnx.TensorProto.FLOAT, None))
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in values.items())
    return result
