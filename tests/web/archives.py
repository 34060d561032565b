"""Packages of npm, made here: like that of onnxruntime-web, but with other content."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from pocketlens.web import ort_package

CONTENT = {path: f"content of {name}".encode() for name, path in ort_package.FILES.items()}


def archive(
    content: Mapping[str, bytes] = CONTENT, *, links: Mapping[str, str] | None = None
) -> bytes:
    """A package with these files, and links to somewhere."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as written:
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            written.addfile(entry)
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            written.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def expected_archive(patch: pytest.MonkeyPatch, path: Path, content: bytes | None = None) -> Path:
    """Write a package and expect this one from now on."""
    content = archive() if content is None else content
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    patch.setattr(ort_package, "INTEGRITY", f"sha512-{digest}")
    path.write_bytes(content)
    return path
