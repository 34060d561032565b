"""Core ML's message classes, without importing coremltools.

coremltools ships the classes that the protobuf compiler generated from Apple's specification;
`compat.coremltools_proto` imports them alone. Protobuf keeps one class per message name, so a real
`import coremltools`, before or after, sees the same classes.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from pocketlens.compat import coremltools_proto
from pocketlens.errors import MissingExtraError

__all__ = ["generated", "repeated"]


def generated(name: str) -> ModuleType:
    """The generated module `name`, such as `Model_pb2`, `MIL_pb2` or `NeuralNetwork_pb2`.

    Raises:
        MissingExtraError: coremltools is not installed.
    """
    module = coremltools_proto(name)
    if module is None:
        raise MissingExtraError("coremltools", purpose="reading a Core ML file")
    return module


def repeated(field: Any) -> bool:
    """Whether a field of a message is repeated.

    Protobuf 7 has only `is_repeated`; older versions, which TensorFlow needs, have only `label`.
    """
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(field.label == field.LABEL_REPEATED)
