"""onnxruntime-web, the page's second engine, from npm's package of one pinned version."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import zlib
from pathlib import Path

from pocketlens.commands import command
from pocketlens.errors import AppError, OutputError
from pocketlens.files import read_limited, temporary_folder, write_aside
from pocketlens.locations import cache_folder

__all__ = ["FILES", "PACKAGE", "VERSION", "engine_files", "unpacked"]

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
ARCHIVE = f"onnxruntime-web-{VERSION}.tgz"
INTEGRITY = (
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8p"
    "ZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
"""Of the archive, as npm writes it."""

FILES = {
    "ort.js": "package/dist/ort.wasm.bundle.min.mjs",
    "ort.wasm": "package/dist/ort-wasm-simd-threaded.wasm",
}
"""The files of the build without WebGPU, and where the archive has them."""

MAX_ARCHIVE = 64_000_000
MAX_FILE = 32_000_000
MAX_UNPACKED = 512_000_000
TIMEOUT = 600.0  # seconds


def engine_files(archive: str | os.PathLike[str] | None = None) -> dict[str, bytes]:
    """The files of onnxruntime-web, by the names of `FILES`.

    Args:
        archive: The package as npm packs it. Default: the one in the cache folder, else npm
            downloads it to there.

    Raises:
        AppError: It cannot be downloaded, or it is another file than the pinned one.
        OutputError: The cache folder cannot be written.
    """
    if archive is not None:
        return unpacked(_read(Path(archive)), str(archive))
    cached = cache_folder() / ARCHIVE
    try:
        return unpacked(_read(cached), str(cached))
    except AppError:  # not there yet, or damaged
        content = _downloaded()
    write_aside(cached, content)
    return unpacked(content, PACKAGE)


def unpacked(content: bytes, what: str) -> dict[str, bytes]:
    """The files of an archive, which are read one by one: nothing else is unpacked.

    Raises:
        AppError: It is damaged, lacks a file, or has a larger one than expected.
    """
    found: dict[str, bytes] = {}
    wanted = {path: name for name, path in FILES.items()}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r|gz") as archive:
            for entry in archive:
                if entry.offset + entry.size > MAX_UNPACKED:
                    raise AppError(f"{what} is larger than expected when it is unpacked")
                name = wanted.get(entry.name)
                if name is None:
                    continue
                stream = archive.extractfile(entry) if entry.isreg() else None
                if stream is None or entry.size > MAX_FILE:
                    raise AppError(f"{what}: {entry.name} is no file of at most {MAX_FILE} bytes")
                found[name] = stream.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise AppError(f"{what} is damaged: {error}; {_ways()}") from error
    if missing := sorted(FILES.keys() - found.keys()):
        raise AppError(f"{what} lacks {', '.join(FILES[name] for name in missing)}; {_ways()}")
    return found


def _ways() -> str:
    """How to get the archive without npm here."""
    options = ("--engine", "onnxruntime", "--engine-files", ARCHIVE)
    return (
        f"to get it by hand, run this on a computer with npm: npm pack {PACKAGE}; then: "
        f"{command('web', 'MODEL', '-o', 'FOLDER', *options)}"
    )


def _read(path: Path) -> bytes:
    """The content of the archive, if it is the pinned one."""
    try:
        content = read_limited(path, MAX_ARCHIVE)
    except OSError as error:
        raise AppError(f"{path} cannot be read: {error.strerror}; {_ways()}") from error
    found = f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"
    if found != INTEGRITY:
        raise AppError(
            f"{path} is not the archive of {PACKAGE}: it has the integrity {found}; expected "
            f"{INTEGRITY}; {_ways()}"
        )
    return content


def _downloaded() -> bytes:
    npm = shutil.which("npm")
    if npm is None:
        raise AppError(f"the engine onnxruntime-web comes from npm, which is not here; {_ways()}")
    try:
        with temporary_folder() as folder:
            done = subprocess.run(
                [npm, "pack", PACKAGE, "--silent", "--ignore-scripts"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=TIMEOUT,
            )
            if done.returncode:
                reason = " ".join((done.stderr or done.stdout).split())[-300:]
                raise AppError(f"npm cannot download {PACKAGE}: {reason}; {_ways()}")
            return _read(folder / ARCHIVE)
    except subprocess.TimeoutExpired as error:
        raise AppError(f"npm did not download {PACKAGE} in {TIMEOUT:.0f} s; {_ways()}") from error
    except OSError as error:
        raise OutputError(f"npm cannot be run in a temporary folder: {error}") from error
