"""The ends of an ONNX network: pixels as its input, probabilities as its output."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.metadata import IMAGE_FEATURE
from pocketlens.errors import ConversionError, OptionError, printable
from pocketlens.heads import Head
from pocketlens.image import InputSpec

__all__ = [
    "FEATURES",
    "IMAGE",
    "PROBABILITIES",
    "Layout",
    "Picture",
    "image_shape",
    "inputs_of",
    "layout_of",
    "with_ends",
]

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
        "image with 1 or 3 channels, such as (1, 3, 224, 224); for arrays, leave out the image: "
        "inputs='array' (--inputs array)"
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


class Picture(NamedTuple):
    """The only input of a network as an image.

    Args:
        layout: The order of its values.
        spec: How pixels become the input.
    """

    layout: Layout
    spec: InputSpec

    def arrays(self, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """The input for each image of `(N, H, W, C)` uint8."""
        planes = self.spec.network_input(images)
        if self.layout == "channels-last":
            planes = planes.transpose(0, 2, 3, 1)
        return [each[None] for each in planes]


def inputs_of(graph: Any) -> list[Any]:
    """The inputs of a graph; older files list the weights among them."""
    weights = {each.name for each in graph.initializer}
    return [each for each in graph.input if each.name not in weights]


def with_ends(model: Any, picture: Picture | None, head: Head | None) -> Any:
    """The network with pixels `(1, C, H, W)` as input, or probabilities `(1, K)` as output.

    Args:
        model: The `ModelProto`; it is not changed.
        picture: The only input as an image; None: the inputs stay as they are.
        head: What the only output is; None: the outputs stay as they are.
    """
    result = type(model)()
    result.CopyFrom(model)
    if picture is not None:
        _put_pixels(result.graph, picture)
    if head is not None:
        _put_probabilities(result.graph, head)
    return result


class _Added:
    """Nodes and constants that are put into a graph; their names are those of no file."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.nodes: list[Any] = []

    def node(self, op: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        import onnx

        name = output or f"{op} {len(self.graph.node) + len(self.nodes)} of Pocketlens"
        made = onnx.helper.make_node(op, inputs, [name], name=name, **attributes)
        self.nodes.append(made)
        return name

    def constant(self, what: str, value: Any) -> str:
        import onnx

        name = f"{what} of Pocketlens"
        self.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
        return name


def _put_pixels(graph: Any, picture: Picture) -> None:
    import onnx

    spec, added = picture.spec, _Added(graph)
    (entry,) = inputs_of(graph)
    kind = entry.type.tensor_type
    last = IMAGE
    for op, name, values, neutral in (
        ("Mul", "scale", spec.scale, 1),
        ("Add", "bias", spec.bias, 0),
    ):
        if any(each != neutral for each in values):
            array = np.array(values, np.float32).reshape(1, -1, 1, 1)
            last = added.node(op, [last, added.constant(name, array)])
    if picture.layout == "channels-last":
        last = added.node("Transpose", [last], perm=[0, 2, 3, 1])
    sides = [dim.dim_value for dim in kind.shape.dim]
    if len(sides) != 4:
        shape = added.constant("shape", np.array(sides, np.int64))
        last = added.node("Reshape", [last, shape])
    added.node("Cast", [last], entry.name, to=kind.elem_type)
    nodes = [*added.nodes, *graph.node]
    kept = [type(nodes[0]).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
    graph.input.remove(entry)
    sides = [1, spec.channels, spec.height, spec.width]
    graph.input.append(onnx.helper.make_tensor_value_info(IMAGE, onnx.TensorProto.FLOAT, sides))


def _put_probabilities(graph: Any, head: Head) -> None:
    import onnx

    added, code = _Added(graph), onnx.TensorProto.FLOAT
    (output,) = graph.output
    row = added.constant("row", np.array([1, -1], np.int64))
    scores = added.node("Reshape", [output.name, row])
    scores = added.node("Cast", [scores], to=code)
    if head == "logits":
        added.node("Softmax", [scores], PROBABILITIES, axis=1)
    elif head == "probabilities":
        added.node("Identity", [scores], PROBABILITIES)
    else:
        if head == "logit":
            scores = added.node("Sigmoid", [scores])
        one = added.constant("one", np.ones((1, 1), np.float32))
        first = added.node("Sub", [one, scores])
        added.node("Concat", [first, scores], PROBABILITIES, axis=1)
    graph.node.extend(added.nodes)
    graph.output.remove(output)
    graph.output.append(onnx.helper.make_tensor_value_info(PROBABILITIES, code, None))
