"""Read an ONNX file that nobody vouches for: sizes are checked before anything is allocated."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pocketlens.coreml.file.budget import Budget
from pocketlens.coreml.file.messages import MESSAGE_BYTES, messages_in
from pocketlens.errors import ConversionError, ModelFileError, instead_of_file, printable
from pocketlens.files import open_nofollow, read_limited

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_NODES",
    "ONNX_DOMAINS",
    "charge",
    "graphs_of",
    "node_text",
    "read_onnx",
]

MAX_FILE_BYTES = 2**31 - 1
"""Of the file and of all its external data: protobuf's own limit for one message."""

MAX_PORTS = 1_000
"""How many inputs and outputs a network may have."""

MAX_NODES = 20_000
"""How many nodes a network may have, with all its functions expanded."""

ONNX_DOMAINS = ("", "ai.onnx")


def read_onnx(path: str | Path, budget: Budget) -> Any:
    """The `ModelProto` in a file, complete with its external data, its functions expanded.

    Args:
        path: The file. External data must lie in its folder or below, in regular files.
        budget: How much memory the model may need.

    Raises:
        ConversionError: The file cannot be read, is damaged, cut short or unsafe, or has something
            that no Core ML file can have; the message names the tensor or node.
    """
    import onnx.checker
    import onnx.inliner
    from google.protobuf.message import DecodeError

    path = Path(path)
    try:
        data = read_limited(path, MAX_FILE_BYTES)
    except OSError as error:
        raise ConversionError(
            f"{path} cannot be read: {error.strerror}; expected an ONNX file"
        ) from error
    if (instead := instead_of_file(data[:100])) is not None:
        raise ConversionError(f"{path} {instead}")
    if not data:
        raise ConversionError(f"{path} is empty; expected an ONNX file")
    most = budget.limit // MESSAGE_BYTES
    needed = len(data) + MESSAGE_BYTES * messages_in(data, most, onnx.ModelProto.DESCRIPTOR)
    charge(budget, needed, f"{path}: its {len(data)} bytes")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, ValueError) as error:
        raise ConversionError(
            f"{path} is damaged, cut short or not an ONNX file; export or copy it again"
        ) from error
    if not model.HasField("graph") or not model.graph.node:
        raise ConversionError(
            f"{path} has no network: it is cut short or not an ONNX file; export or copy it again"
        )
    _check_opset(model, path)
    _check_kinds(model.graph, path)
    for tensor in _tensors(model):
        _fill(tensor, path, budget)
    _check_functions(model, path)
    for graph in (model.graph, *inner_graphs(model.graph)):
        _sort(graph, path)
    try:
        _check(model)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        raise ConversionError(
            f"{path} is not valid ONNX: {_line(error)}; export it again"
        ) from error
    return onnx.inliner.inline_local_functions(model) if model.functions else model


def _check(model: Any) -> None:
    """Check a network by ONNX's own rules, but for shapes that are left out or wrong.

    ONNX Runtime does without the shapes of outputs, and they are inferred here.
    """
    import onnx.checker

    ports = [each.type.tensor_type for each in (*model.graph.input, *model.graph.output)]
    bare = [each for each in ports if not each.HasField("shape")]
    for each in bare:
        each.shape.SetInParent()
    try:
        onnx.checker.check_model(model)
    finally:
        for each in (*bare, *(each.type.tensor_type for each in model.graph.output)):
            each.ClearField("shape")
        del model.graph.value_info[:]


def charge(budget: Budget, size: int, what: str) -> None:
    """Charge `size` bytes.

    Raises:
        ConversionError: That is more than the model may need.
    """
    try:
        budget.charge(size, what)
    except ModelFileError as error:
        reason, _, _ = str(error).partition("; if you trust")
        raise ConversionError(
            f"{reason}; if you trust the file, raise the limit: set "
            f"POCKETLENS_MAX_MEMORY={2 * (budget.used + size)}"
        ) from error


def node_text(node: Any) -> str:
    """A node in words, such as `the node '/conv1/Conv' (op Conv)`."""
    op = node.op_type if node.domain in ONNX_DOMAINS else f"{node.domain}.{node.op_type}"
    name = node.name or next((f"of '{each}'" for each in node.output if each), "")
    shown = f"'{name}'" if node.name else name
    return printable(f"the node {shown} (op {op})")


def inner_graphs(graph: Any) -> Iterator[Any]:
    """The graphs inside of the nodes of a graph or function, such as the branches of an If.

    At any depth.
    """
    for node in graph.node:
        for attribute in node.attribute:
            yield from inner_graphs_of(attribute)


def _check_opset(model: Any, path: Path) -> None:
    import onnx

    if not any(each.domain in ONNX_DOMAINS and each.version > 0 for each in model.opset_import):
        raise ConversionError(
            f"{path} does not say which version of ONNX's ops it uses (opset_import); "
            "export it again"
        )
    newest = onnx.defs.onnx_opset_version()
    for each in model.opset_import:
        if each.domain in ONNX_DOMAINS and each.version > newest:
            raise ConversionError(
                f"{path} uses version {each.version} of ONNX's ops; the installed package onnx "
                f"knows them up to {newest}; type: pip install --upgrade onnx, or export it with "
                f"opset {newest}"
            )


def _check_kinds(graph: Any, path: Path) -> None:
    """Refuse what is not an ordinary tensor."""
    weights = {each.name for each in graph.initializer}
    ports = sum(each.name not in weights for each in graph.input) + len(graph.output)
    if ports > MAX_PORTS:
        raise ConversionError(
            f"{path} has {ports} inputs and outputs; expected at most {MAX_PORTS}"
        )
    for what, count in (("inputs", ports - len(graph.output)), ("outputs", len(graph.output))):
        if not count:
            raise ConversionError(f"{path} has no {what}; expected at least one; export it again")
    for each in (*graph.input, *graph.output):
        kind = each.type.WhichOneof("value")
        if kind != "tensor_type":
            said = {"sparse_tensor_type": "a sparse tensor"}.get(
                str(kind), f"a {str(kind).partition('_')[0]}" if kind else "of no known type"
            )
            raise ConversionError(
                f"{path}: '{printable(each.name)}' is {said}; Core ML has tensors and images only; "
                "export the network without it"
            )
    if graph.sparse_initializer:
        name = graph.sparse_initializer[0].values.name
        raise ConversionError(
            f"{path}: the weight '{printable(name)}' is a sparse tensor; export it as a dense one"
        )


def _tensors(model: Any) -> Iterator[Any]:
    """Every tensor in the file: weights, and attributes of nodes."""
    for outer in (model.graph, *model.functions):
        for graph in (outer, *inner_graphs(outer)):
            yield from getattr(graph, "initializer", ())  # a function has none
            for node in graph.node:
                for attribute in node.attribute:
                    if attribute.HasField("t"):
                        yield attribute.t
                    yield from attribute.tensors


def inner_graphs_of(attribute: Any) -> Iterator[Any]:
    """The graphs inside of an attribute, at any depth."""
    for each in graphs_of(attribute):
        yield each
        yield from inner_graphs(each)


def graphs_of(attribute: Any) -> list[Any]:
    """The graphs of an attribute itself."""
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _fill(tensor: Any, path: Path, budget: Budget) -> None:
    """Check that a tensor has its content, and read external data."""
    import onnx

    name = printable(tensor.name) or "a constant"
    if tensor.data_type == onnx.TensorProto.STRING:
        return
    try:
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        field = onnx.helper.tensor_dtype_to_field(tensor.data_type)
    except KeyError as error:
        raise ConversionError(
            f"{path}: the tensor '{name}' has an unknown type ({tensor.data_type})"
        ) from error
    if any(side < 0 for side in tensor.dims):
        raise ConversionError(f"{path}: the tensor '{name}' has a negative size")
    count = math.prod(tensor.dims)
    bits = {"int4": 4, "uint4": 4, "int2": 2, "uint2": 2, "float4_e2m1fn": 4}.get(
        kind.name, 8 * kind.itemsize
    )
    size = -(-count * bits // 8)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        charge(budget, size, f"{path}: the weight '{name}' of {size} bytes")
        tensor.raw_data = _external(tensor, name, path, size)
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
        return
    given = len(tensor.raw_data)
    if given or not count:
        right = given == size or not count
    else:
        parts = 2 if kind.name.startswith("complex") else 1
        values = len(getattr(tensor, field))
        right = values == parts * count or (bits < 8 and values >= -(-size // 4))
    if not right:
        raise ConversionError(
            f"{path}: the tensor '{name}' of shape {tuple(tensor.dims)} does not have {count} "
            "values; the file is damaged; export or copy it again"
        )


def _external(tensor: Any, name: str, path: Path, size: int) -> bytes:
    """The bytes of a tensor in another file, which must lie in the folder of the ONNX file."""
    said = {each.key: each.value for each in tensor.external_data}
    location = said.get("location", "")
    shown = printable(location)
    folder = path.resolve().parent
    try:
        place = (folder / location).resolve()
        offset, length = int(said.get("offset", 0)), int(said.get("length", size))
    except (ValueError, OSError, RuntimeError) as error:
        raise ConversionError(
            f"{path}: the weight '{name}' has an invalid place: {shown!r}"
        ) from error
    if not location or Path(location).is_absolute() or not place.is_relative_to(folder):
        raise ConversionError(
            f"{path}: the weight '{name}' is in {shown!r}, outside of the folder of the file; "
            "expected a file beside it; export the network again, with its weights in one file"
        )
    if length != size or offset < 0:
        raise ConversionError(
            f"{path}: the weight '{name}' needs {size} bytes, but {length} bytes at {offset} are "
            f"given for it in {shown!r}; the file is damaged"
        )
    try:
        with open_nofollow(folder / location) as stream:
            stream.seek(offset)
            content = stream.read(size)
    except (OSError, OverflowError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its place is invalid"
        raise ConversionError(
            f"{path}: the weight '{name}' is in {shown!r}, which cannot be read: {reason}; copy "
            "all files of the network into one folder"
        ) from error
    if len(content) != size:
        raise ConversionError(
            f"{path}: {shown!r} ends before the weight '{name}'; the file is cut short; copy it "
            "again"
        )
    return content


def _check_functions(model: Any, path: Path) -> None:
    """Refuse functions that call themselves, or make too many nodes when they are expanded."""
    bodies = {(each.domain, each.name): each for each in model.functions}
    sizes: dict[tuple[str, str], int] = {}
    running: set[tuple[str, str]] = set()

    def nodes(of: Iterable[Any]) -> int:
        total = 0
        for node in of:
            key = (node.domain, node.op_type)
            total += size(key) if key in bodies else 1
            for attribute in node.attribute:
                total += sum(nodes(each.node) for each in graphs_of(attribute))
        return total

    def size(key: tuple[str, str]) -> int:
        if key in running or len(running) > 100:
            raise ConversionError(
                f"{path}: the function '{printable('.'.join(key))}' calls itself; ONNX does not "
                "allow that"
            )
        if key not in sizes:
            running.add(key)
            sizes[key] = nodes(bodies[key].node)
            running.discard(key)
        return sizes[key]

    count = nodes(model.graph.node)
    if count > MAX_NODES:
        raise ConversionError(
            f"{path} has {count} nodes, with its functions expanded; expected at most {MAX_NODES}"
        )


def _sort(graph: Any, path: Path) -> None:
    """Put the nodes in the order in which they run."""
    makers: dict[str, int] = {}
    for index, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in makers:
                raise ConversionError(f"{path}: two nodes make the tensor '{printable(name)}'")
            makers[name] = index
    before = [{makers[name] for name in _read_by(node) if name in makers} for node in graph.node]
    if all(index > max(needed, default=-1) for index, needed in enumerate(before)):
        return
    after: dict[int, list[int]] = {}
    waiting = Counter({index: len(needed) for index, needed in enumerate(before)})
    for index, needed in enumerate(before):
        for each in needed:
            after.setdefault(each, []).append(index)
    ready = [index for index in range(len(before)) if not waiting[index]]
    order: list[int] = []
    while ready:
        index = ready.pop()
        order.append(index)
        for each in after.get(index, ()):
            waiting[each] -= 1
            if not waiting[each]:
                ready.append(each)
    if len(order) < len(before):
        first = next(index for index in range(len(before)) if waiting[index] > 0)
        raise ConversionError(
            f"{path}: {node_text(graph.node[first])} needs its own result: the network has a "
            "circle, which ONNX does not allow"
        )
    nodes = []
    for index in order:
        copy = type(graph.node[index])()
        copy.CopyFrom(graph.node[index])
        nodes.append(copy)
    del graph.node[:]
    graph.node.extend(nodes)


def _read_by(node: Any) -> set[str]:
    """The tensors that a node needs, also inside of its branches."""
    names = set(node.input)
    for attribute in node.attribute:
        for graph in inner_graphs_of(attribute):
            own = {name for each in graph.node for name in each.output}
            own |= {each.name for each in (*graph.input, *graph.initializer)}
            names |= {name for each in graph.node for name in each.input} - own
            names |= {each.name for each in graph.output} - own
    return names - {""}


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable(lines[0].rstrip(".") if lines else type(error).__name__)[:300]
