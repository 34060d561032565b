"""The ONNX graph builder that lowering functions call, constant folding, and export."""

from pocketlens.coreml.graph.builder import MAX_OPERATIONS, Graph
from pocketlens.coreml.graph.inference import MAX_TENSOR_BYTES
from pocketlens.coreml.graph.nodes import (
    Array,
    Bools,
    Floats,
    Ints,
    Message,
    Node,
    Value,
    Values,
    onnx_type,
)

__all__ = [
    "MAX_OPERATIONS",
    "MAX_TENSOR_BYTES",
    "Array",
    "Bools",
    "Floats",
    "Graph",
    "Ints",
    "Message",
    "Node",
    "Value",
    "Values",
    "onnx_type",
]
