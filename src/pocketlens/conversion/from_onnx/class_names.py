"""The class names in an ONNX network that returns a label, a text, beside its scores."""

from __future__ import annotations

from typing import Any

from pocketlens.errors import ConversionError, printable

__all__ = ["drop_texts"]


def drop_texts(model: Any) -> tuple[tuple[str, ...] | None, list[str]]:
    """Remove the outputs that are texts, in place: Core ML has texts only as labels of classes.

    Returns:
        The class names, if a label is chosen from constant ones; and what was left out, in words.

    Raises:
        ConversionError: All outputs are texts.
    """
    import onnx

    graph = model.graph
    texts = [
        each for each in graph.output if each.type.tensor_type.elem_type == onnx.TensorProto.STRING
    ]
    if not texts:
        return None, []
    if len(texts) == len(graph.output):
        raise ConversionError(
            f"the output '{printable(texts[0].name)}' is a text; expected the scores of the "
            "classes, or other numbers, among the outputs; export the network with them"
        )
    names = _constant_texts(graph)
    makers = {name: node for node in graph.node for name in node.output}
    found = {names.get(_table_of(makers.get(each.name))) for each in texts} - {None}
    for each in texts:
        graph.output.remove(each)
    notes = [f"the output '{printable(each.name)}' is a text and is left out" for each in texts]
    return (found.pop() if len(found) == 1 else None), notes


def _table_of(node: Any) -> str:
    """The tensor from which a node chooses its output; empty if it does not."""
    return str(node.input[0]) if node is not None and node.op_type == "Gather" else ""


def _constant_texts(graph: Any) -> dict[str, tuple[str, ...]]:
    """The constant texts of a graph, by the name of the tensor."""
    tensors = {each.name: each for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            values = [each.t for each in node.attribute if each.HasField("t")]
            tensors |= dict(zip(node.output, values, strict=False))
    return {
        name: tuple(text.decode("utf-8", errors="replace") for text in tensor.string_data)
        for name, tensor in tensors.items()
        if tensor.string_data
    }
