"""All private parts of other packages that Pocketlens uses, each with the reason.

`tests/test_compat.py` checks each with the installed version, so it shows what an upgrade broke.
Not here: `coreml.coremltools_plugin`, whose purpose is to replace private parts of coremltools.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = [
    "COREMLTOOLS_EXPECTED_RECORDS",
    "COREMLTOOLS_FAILED_OP",
    "COREMLTOOLS_UNSUPPORTED_NODE",
    "COREMLTOOLS_WRITE_FAILED",
    "core_ai_ops",
    "core_ai_refusal",
    "coremltools_at_version",
    "coremltools_converts",
    "coremltools_progress_bars",
    "coremltools_proto",
    "coremltools_writes_programs",
    "keras_constants_of",
    "keras_layers_of",
    "keras_operation_of",
    "multiplies_bfloat16",
    "pytorch_decompositions",
    "sklearn_infrequent",
]

# coremltools logs these through the standard logger, without codes to filter by. Apple's runtime
# exists on macOS only, and Pocketlens does not call it. PyTorch, scikit-learn and XGBoost are newer
# than the versions that coremltools was tested with, but conversion is tested with them here. A
# constant that two layers share is stored once, as intended.
COREMLTOOLS_EXPECTED_RECORDS = re.compile(
    r"Failed to load _ML\w+: "
    r"|Torch version \S+ has not been tested with coremltools"
    r"|scikit-learn version \S+ is not supported"
    r"|Const \S+ was already added\."
    r"|XGBoost version \S+ has not been tested with coremltools"
    # The converted file is compared with its source, which shows a loss that matters.
    r"|Output var \S+ of type \w+ in function \w+ is cast to type \w+"
    r"|Saving value type of \w+ into a builtin type of \w+, might lose precision!"
)

COREMLTOOLS_FAILED_OP = re.compile(r"ERROR - converting '([^']+)' op")
"""The log record that names the op which could not be converted; the exception does not."""

COREMLTOOLS_UNSUPPORTED_NODE = re.compile(r"Unsupported fx node \S+, kind (\w+)")
"""The message of the exception for an op that coremltools does not support."""

COREMLTOOLS_WRITE_FAILED = "FileWriter"
"""Part of the message when weights cannot be written, such as on a full disk; a RuntimeError."""

_PROTO = "pocketlens._coremltools_proto"


def coremltools_proto(name: str) -> ModuleType | None:
    """The generated module `name` of `coremltools.proto`, such as `Model_pb2`; None without it.

    It is loaded under another parent package: `import coremltools` takes seconds if PyTorch is
    installed, this takes 0.1 s. A later `import coremltools` still works.
    """
    if _PROTO not in sys.modules:
        found = importlib.util.find_spec("coremltools")
        if found is None or not found.submodule_search_locations:
            return None
        package = ModuleType(_PROTO, "coremltools' generated message classes")
        package.__path__ = [
            os.path.join(folder, "proto")  # noqa: PTH118 (the import system expects strings)
            for folder in found.submodule_search_locations
        ]
        sys.modules[_PROTO] = package
    return importlib.import_module(f"{_PROTO}.{name}")


def coremltools_converts(op: str) -> bool:
    """Whether coremltools' PyTorch converter knows an op, such as `aten::conv2d`.

    It has no public list; ops that it does not know are first expressed in PyTorch's core ops.
    """
    from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY

    return _TORCH_OPS_REGISTRY.get_func(op) is not None


def coremltools_progress_bars() -> list[tuple[ModuleType, str, Any]]:
    """The modules of coremltools that use tqdm, their name for it, and the class tqdm.

    coremltools has no option to turn its progress bars off.
    """
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        return []
    return [
        (module, name, tqdm.tqdm)
        for path, module in list(sys.modules.items())
        if path.startswith("coremltools.")
        for name in ("tqdm", "_tqdm")
        if getattr(module, name, None) is tqdm.tqdm
    ]


def coremltools_writes_programs() -> bool:
    """Whether coremltools has the native library that writes the weights of ML Programs.

    Its Linux and macOS wheels have it. There is no Windows wheel, and the source package lacks it.
    """
    # find_spec of the submodule itself would import coremltools, which is slow and logs messages.
    found = importlib.util.find_spec("coremltools")
    folders = (found.submodule_search_locations or []) if found else []
    return any(list(Path(folder).glob("libmilstoragepython*")) for folder in folders)


def coremltools_at_version(model: Any, version: int) -> Any:
    """An ML Program of coremltools, written again for a newer specification version.

    coremltools does this when it compresses a model; the public API has no other way than to
    convert the source again, which may not be at hand.
    """
    from coremltools.models.utils import _apply_graph_pass

    return _apply_graph_pass(model, [], spec_version=version, skip_model_load=True)


def keras_operation_of(tensor: Any) -> Any:
    """The Keras operation (a layer) that computes a symbolic tensor; None if there is none.

    The public API leads from a model to its tensors, but not from a tensor to its layer.
    """
    history = getattr(tensor, "_keras_history", None)
    return None if history is None else history.operation


def keras_constants_of(operation: Any) -> list[Any]:
    """The constants with which a model calls an operation, such as 255 in `x / 255`.

    The public API has an operation's symbolic inputs, but not its other arguments.
    """
    return [
        argument
        for node in operation._inbound_nodes
        for argument in node.arguments.args
        if not hasattr(argument, "_keras_history")
    ]


def keras_layers_of(model: Any) -> list[Any]:
    """All layers inside a Keras model, also those inside other models and wrappers.

    The public `layers` has only those of the model itself.
    """
    return list(model._flatten_layers(include_self=False, recursive=True))


def multiplies_bfloat16() -> bool:
    """Whether the CPU has instructions that multiply bfloat16 numbers: Intel AMX or AVX-512 BF16.

    PyTorch has no public function for this.
    """
    import torch

    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def sklearn_infrequent(encoder: Any) -> list[Any] | None:
    """For each column of a fitted encoder, the number of each category's position, or None.

    Categories that are infrequent share a position; None for the whole if none is. scikit-learn's
    public `infrequent_categories_` lists them, but not which position each category has.
    """
    found: list[Any] | None = getattr(encoder, "_default_to_infrequent_mappings", None)
    return found


def core_ai_ops() -> frozenset[str]:
    """The ATen ops that Apple's converter to Core AI knows, such as `relu.default`."""
    from coreai_torch._aten_to_core import _aten_to_core_resolver

    return frozenset(map(str, _aten_to_core_resolver))


def core_ai_refusal(program: Any) -> ValueError | None:
    """Why Apple's converter to Core AI refuses an exported program, before it tries; or None."""
    from coreai_torch._validate import validate_exported_program

    try:
        validate_exported_program(program, {})
    except ValueError as error:
        return error
    return None


def pytorch_decompositions() -> dict[Any, Any]:
    """How PyTorch expresses its ops in others, by op; the public tables have fewer of them."""
    from torch._decomp import decomposition_table

    return dict(decomposition_table)
