"""Folders like Core AI models, whose program is not one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

__all__ = ["custom", "written"]

PROGRAM = b"ML\xefR and so on"


def written(folder: Path, metadata: object = None, name: str = "m.aimodel") -> Path:
    """A folder like a model, whose program is not one."""
    path = folder / name
    path.mkdir()
    (path / "main.mlirb").write_bytes(PROGRAM)
    (path / "main.hash").write_bytes(hashlib.sha256(PROGRAM).digest())
    if metadata is not None:
        (path / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    return path


def custom(**values: object) -> dict[str, object]:
    return {"creatorDefinedMetadata": {f"org.pocketlens.{key}": v for key, v in values.items()}}
