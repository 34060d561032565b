"""Core ML's message classes, without importing coremltools.

coremltools ships the classes that the protobuf compiler generated from Apple's specification.
Importing them by their own name would first import coremltools itself (0.8 s, with PyTorch about
3 s). Here the same files are imported under a package of our own whose search path is coremltools'
`proto` folder (0.1 s). Protobuf keeps one class per message name, so a real `import coremltools`,
before or after, sees the same classes.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

from pocketlens.errors import MissingExtraError

__all__ = ["generated", "repeated"]

PACKAGE = f"{__package__}._generated"


def generated(name: str) -> ModuleType:
    """The generated module `name`, such as `Model_pb2`, `MIL_pb2` or `NeuralNetwork_pb2`.

    Raises:
        MissingExtraError: coremltools is not installed.
    """
    if PACKAGE not in sys.modules:
        found = importlib.util.find_spec("coremltools")
        if found is None or not found.submodule_search_locations:
            raise MissingExtraError("coremltools", "all", "reading a Core ML file")
        package = ModuleType(PACKAGE, "coremltools' generated message classes")
        package.__path__ = [
            os.path.join(folder, "proto")  # noqa: PTH118 (the import system wants strings)
            for folder in found.submodule_search_locations
        ]
        sys.modules[PACKAGE] = package
    return importlib.import_module(f"{PACKAGE}.{name}")


def repeated(field: Any) -> bool:
    """Whether a field of a message is repeated.

    Protobuf 7 has only `is_repeated`; older versions, which TensorFlow needs, have only `label`.
    """
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(field.label == field.LABEL_REPEATED)
