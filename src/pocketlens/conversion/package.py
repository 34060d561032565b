"""Write a Core ML file, all of it or nothing; the same content gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pocketlens.coreai.asset import PROGRAM, SUFFIX
from pocketlens.errors import OutputExistsError
from pocketlens.files import aside

__all__ = ["Format", "check_target", "write_model"]

Format: TypeAlias = Literal["mlpackage", "mlmodel", "aimodel"]

_AUTHOR = "com.apple.CoreML"
_MANIFEST = "Manifest.json"


def check_target(target: Path, *, force: bool) -> None:
    """Reject an output that already exists, before any work is done.

    Args:
        target: The output.
        force: Allow an existing model to be replaced.

    Raises:
        OutputExistsError: `target` exists and `force` is not set, or it is a folder that is not a
            model package, which is never replaced.
    """
    if not target.exists():
        return
    core_ai = target.suffix == SUFFIX
    kind, part = ("Core AI model", PROGRAM) if core_ai else ("Core ML package", _MANIFEST)
    if target.is_dir() and any(target.iterdir()) and not (target / part).is_file():
        raise OutputExistsError(
            f"{target} is a folder but not a {kind} (it has no {part}); choose another output"
        )
    if not force:
        raise OutputExistsError(f"{target} exists; choose another output or pass --force")


def write_model(model: Any, weights: Path | None, target: Path, *, force: bool) -> None:
    """Write a model as `.mlmodel` or `.mlpackage`, under a temporary name that is then renamed.

    Args:
        model: The `Model` message.
        weights: The weights file of an ML Program, copied into the package; None without one.
        target: The output; its suffix determines the format.
        force: Replace an output that exists.

    Raises:
        OutputExistsError: See `check_target`.
        OutputError: The output cannot be written.
    """
    check_target(target, force=force)
    content = model.SerializeToString(deterministic=True)
    with aside(target, force=force) as new:
        if target.suffix == ".mlmodel":
            new.write_bytes(content)
        else:
            _write_package(new, content, weights)


def _write_package(folder: Path, content: bytes, weights: Path | None) -> None:
    data = folder / "Data" / _AUTHOR
    data.mkdir(parents=True)
    (data / "model.mlmodel").write_bytes(content)
    digests = {"model.mlmodel": hashlib.sha256(content).hexdigest()}
    texts = {"model.mlmodel": "CoreML Model Specification"}
    if weights is not None:
        (data / "weights").mkdir()
        copy = data / "weights" / "weight.bin"
        shutil.copyfile(weights, copy)
        with copy.open("rb") as file:
            digests["weights"] = hashlib.file_digest(file, "sha256").hexdigest()
        texts["weights"] = "CoreML Model Weights"
    # coremltools uses random identifiers; these depend on the content only.
    names = {name: str(uuid.uuid5(uuid.NAMESPACE_OID, name + digests[name])) for name in digests}
    manifest = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": {
            names[name]: {
                "author": _AUTHOR,
                "description": texts[name],
                "name": name,
                "path": f"{_AUTHOR}/{name}",
            }
            for name in digests
        },
        "rootModelIdentifier": names["model.mlmodel"],
    }
    text = json.dumps(manifest, indent=4, sort_keys=True)
    (folder / _MANIFEST).write_text(text + "\n", encoding="utf-8")
