"""Convert a source with Apple's converter, and write the `.aimodel` folder."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from pocketlens.compat import core_ai_ops, core_ai_refusal
from pocketlens.conversion.core_ai.bytecode import with_stable_names
from pocketlens.conversion.core_ai.program import CoreAIProgram, core_ai_program
from pocketlens.conversion.metadata import ModelMetadata, model_text
from pocketlens.conversion.places import op_name, place_of
from pocketlens.conversion.quiet import first_line, quiet
from pocketlens.conversion.source_kinds import ArraySource, ImageSource
from pocketlens.coreai.asset import (
    HASH,
    LABELS_KEY,
    METADATA,
    PROGRAM,
    VERSION_KEY,
)
from pocketlens.coreai.installed import require_core_ai
from pocketlens.errors import ConversionError
from pocketlens.image import INPUT_SPEC_KEY
from pocketlens.prediction import THRESHOLDS_KEY

__all__ = ["write_core_ai"]

VERSION = "version"
"""The key, in the custom metadata, of the version of the model."""


def write_core_ai(
    source: ImageSource | ArraySource, folder: Path, metadata: ModelMetadata, *, half: bool
) -> None:
    """Convert a source and write the folder; the same weights give the same bytes.

    Args:
        source: A PyTorch or Keras network.
        folder: The folder, which does not exist.
        metadata: Author, license, version and description.
        half: Compute in float16.

    Raises:
        ConversionError: Apple's converter cannot convert the network; the message names the op and
            its layer.
        MissingExtraError: The converter is not installed.
    """
    require_core_ai("coreai", "coreai_torch", purpose="the format aimodel")
    made = core_ai_program(source, half=half)
    _check_ops(made.program)
    raw = folder.with_name(f"raw.{folder.name}")
    _converted(made, raw)
    program = with_stable_names((raw / PROGRAM).read_bytes())
    about = json.loads((raw / METADATA).read_bytes())
    folder.mkdir()
    (folder / PROGRAM).write_bytes(program)
    (folder / HASH).write_bytes(hashlib.sha256(program).digest())
    text = json.dumps(_metadata(source, metadata, about), indent=2, sort_keys=True)
    (folder / METADATA).write_text(text + "\n", encoding="utf-8")


def _converted(made: CoreAIProgram, folder: Path) -> None:
    from coreai_torch import TorchConverter

    with _silent():
        try:
            # The mode DEBUG would write the paths of this computer into the file.
            converter = TorchConverter(mode=TorchConverter.Mode.RELEASE)
            converter.add_exported_program(
                made.program, input_names=list(made.inputs), output_names=list(made.outputs)
            )
            converter.to_coreai().save_asset(folder)
        except Exception as error:  # Apple's code raises exceptions of any type
            raise ConversionError(
                f"coreai-torch cannot convert the network: {first_line(error)}; replace that part "
                "of the network with other ops, or use --format mlpackage"
            ) from error


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Within: without the notes and progress bars of the converter."""
    nowhere = io.StringIO()
    with (
        quiet(),
        contextlib.redirect_stderr(nowhere),
        contextlib.redirect_stdout(nowhere),
    ):
        yield


def _check_ops(program: torch.export.ExportedProgram) -> None:
    """Refuse ops that the converter lacks, each with its layer.

    Raises:
        ConversionError: There are some.
    """
    with _silent():
        error, known = core_ai_refusal(program), core_ai_ops()
    if error is None:
        return
    named = [
        f"'{op_name(node)}'{place_of(node)}"
        for node in program.graph.nodes
        if node.op == "call_function"
        and str(node.target).startswith("aten.")
        and str(node.target).removeprefix("aten.") not in known
        and str(node.target) in str(error)
    ]
    raise ConversionError(
        f"Core AI has no op {', '.join(dict.fromkeys(named)) or first_line(error)}; "
        "replace that part of the network with other ops, or use --format mlpackage"
    ) from error


def _metadata(
    source: ImageSource | ArraySource, metadata: ModelMetadata, about: dict[str, Any]
) -> dict[str, Any]:
    """The content of `metadata.json`; the date is left out."""
    custom: dict[str, Any] = {VERSION_KEY: version("pocketlens")}
    if metadata.version:
        custom[VERSION] = metadata.version
    labels = source.classes if isinstance(source, ImageSource) else source.labels
    if labels:
        custom[LABELS_KEY] = json.dumps(list(map(str, labels)), ensure_ascii=False)
    if source.input_spec is not None:
        custom[INPUT_SPEC_KEY] = source.input_spec.to_json()
    if isinstance(source, ImageSource) and (limits := source.said_thresholds) is not None:
        custom[THRESHOLDS_KEY] = limits.to_json()
    if isinstance(source, ImageSource):
        default = model_text(source.classes)
    else:
        names = ", ".join(source.outputs)
        default = f"Computes {names} from {', '.join(each.name for each in source.inputs)}."
    return {
        "assetVersion": about["assetVersion"],
        "producer": about["producer"],
        "author": metadata.author,
        "license": metadata.license,
        "description": metadata.description or default,
        "creatorDefinedMetadata": custom,
    }
