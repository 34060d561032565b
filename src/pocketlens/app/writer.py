"""Write an app's files into a folder, completely or not at all, and keep a user's own changes.

A manifest with the SHA-256 of each file is written with them. When an app is written again, the
manifest shows which files are unchanged and can be replaced, which ones the user has changed (they
are kept), and which ones the user has added.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from pocketlens.app.contents import Content
from pocketlens.commands import command
from pocketlens.errors import AppError, OutputError, OutputExistsError
from pocketlens.files import aside, temporary_folder, write_aside

__all__ = [
    "MANIFEST",
    "changed_files",
    "earlier_options",
    "refuse_existing",
    "write_app",
    "written_files",
]

MANIFEST = ".pocketlens-app.json"
MAX_MANIFEST = 4_000_000  # bytes; enough for about twenty thousand files
MAX_NAME_BYTES = 255
CHUNK = 1 << 20


def write_app(
    folder: Path,
    contents: Mapping[str, Content],
    *,
    force: bool,
    options: Mapping[str, str | None] | None = None,
) -> list[str]:
    """Write `contents` into `folder`, and store `options` in its manifest for `earlier_options`.

    A new folder is written completely or not at all. With `force`, files that an earlier call wrote
    are replaced or removed, each one atomically; files that the user changed or added are kept.

    Returns:
        The sorted paths of files that have new contents but were kept because the user has changed
        them.

    Raises:
        OutputExistsError: The folder exists, and `force` is False or it has no manifest.
        OutputError: The folder cannot be written.
        AppError: The manifest of the existing folder is damaged.
    """
    if not force:
        refuse_existing(folder)
    if not (folder.exists() or folder.is_symlink()):
        with aside(folder, force=False) as new:
            hashes = {path: _write(new / path, item) for path, item in contents.items()}
            _write_manifest(new, {path: [value] for path, value in hashes.items()}, options)
        return []
    known = _read_manifest(folder)
    for path in {*contents, *known}:
        _refuse_links(folder, path)
    try:
        with temporary_folder(folder, name="app") as staging:
            hashes = {path: _write(staging / path, item) for path, item in contents.items()}
            return _replace(folder, staging, hashes, known, options)
    except OSError as error:
        raise OutputError(
            f"cannot write the app to {folder}: {error.strerror or error}; "
            "check the folder's permissions and the free disk space"
        ) from error


def refuse_existing(folder: Path) -> None:
    """Raise an error if the folder exists.

    Raises:
        OutputExistsError: The folder exists.
    """
    if folder.exists() or folder.is_symlink():
        raise OutputExistsError(
            f"{folder} already exists; choose another folder, or add --force to write the app "
            "again (files that you changed or added are kept)"
        )


def earlier_options(folder: Path) -> dict[str, str]:
    """The options of the app that was written to `folder` before; empty if there is no app.

    Raises:
        AppError: The manifest is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file() or path.is_symlink():
        return {}
    with _manifest_errors(path):
        options = _load(path)["options"]
        return {name: value for name, value in options.items() if isinstance(value, str)}


def written_files(folder: Path) -> list[str]:
    """The sorted paths of the files of the app that was written to `folder`.

    Raises:
        AppError: The manifest is missing or damaged.
    """
    try:
        return sorted(_read_manifest(folder))
    except OutputExistsError as error:
        raise AppError(
            f"{MANIFEST}, the list of files that were written, is missing; to write the app "
            f"again, in another folder: {command('app', 'MODEL', '-o', 'FOLDER')}"
        ) from error


def changed_files(folder: Path) -> list[str]:
    """The sorted paths of written files whose contents were changed since.

    Raises:
        AppError: The manifest is missing or damaged.
    """
    written = written_files(folder)
    known = _read_manifest(folder)
    return [
        path
        for path in written
        if (folder / path).is_file() and _hash(folder / path) not in known[path]
    ]


def _replace(
    folder: Path,
    staging: Path,
    hashes: Mapping[str, str],
    known: Mapping[str, list[str]],
    options: Mapping[str, str | None] | None,
) -> list[str]:
    """Move the staged files into `folder`; see `write_app` for what is kept and returned."""
    # First write a manifest with the old and the new hashes: if this is interrupted, the next run
    # still recognizes both versions of each file.
    both = {path: [*known.get(path, []), value] for path, value in hashes.items()}
    _write_manifest(folder, {**known, **both}, options)
    recorded: dict[str, list[str]] = {}
    kept = []
    for path, value in hashes.items():
        target, written = folder / path, known.get(path, [])
        if target.exists() and _hash(target) not in [value, *written]:
            recorded[path] = written
            if value not in written:
                kept.append(path)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        (staging / path).replace(target)
        recorded[path] = [value]
    for path in known.keys() - hashes.keys():
        target = folder / path
        if not target.exists():
            continue
        if _hash(target) in known[path]:
            target.unlink()
            _remove_empty(target.parent, folder)
        else:
            kept.append(path)
    _write_manifest(folder, recorded, options)
    return sorted(kept)


def _write(target: Path, content: Content) -> str:
    """Write or copy one file and return its SHA-256."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        target.write_bytes(content)
        return hashlib.sha256(content).hexdigest()
    digest = hashlib.sha256()
    with content.open("rb") as source, target.open("wb") as copy:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    return digest.hexdigest()


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove_empty(directory: Path, top: Path) -> None:
    while directory != top and not any(directory.iterdir()):
        directory.rmdir()
        directory = directory.parent


def _refuse_links(folder: Path, path: str) -> None:
    place = folder / path
    for part in [place, *place.parents]:
        if part == folder:
            return
        if part.is_symlink():
            raise OutputError(
                f"{part} is a symbolic link, and writing through it could change files elsewhere; "
                "replace it with a regular file or folder"
            )


def _write_manifest(
    folder: Path, hashes: Mapping[str, list[str]], options: Mapping[str, str | None] | None
) -> None:
    values = {
        "about": "Written by pocketlens app. --force replaces only files with these hashes.",
        "options": dict(options or {}),
        "files": {path: hashes[path] for path in sorted(hashes) if hashes[path]},
    }
    write_aside(folder / MANIFEST, json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def _read_manifest(folder: Path) -> dict[str, list[str]]:
    """The hashes of earlier versions, by path. Paths are validated: the file is untrusted."""
    path = folder / MANIFEST
    if folder.is_symlink() or not path.is_file() or path.is_symlink():
        raise OutputExistsError(
            f"{folder} was not written by Pocketlens (it has no {MANIFEST}), so --force does not "
            "change it; choose another folder"
        )
    with _manifest_errors(path):
        entries = _load(path)["files"]
        return {name: [str(value) for value in entries[name]] for name in map(_inside, entries)}


def _load(path: Path) -> Any:
    if path.stat().st_size > MAX_MANIFEST:
        raise ValueError(f"more than {MAX_MANIFEST} bytes")
    return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def _manifest_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise AppError(
            f"{path} is damaged ({error}); expected the list of files that Pocketlens wrote; "
            "choose another folder"
        ) from error


def _inside(name: str) -> str:
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise ValueError(f"path outside of the folder: {name!r}")
    if "\0" in name or max(len(part.encode()) for part in parts) > MAX_NAME_BYTES:
        raise ValueError(f"not the name of a file: {name[:80]!r}")
    return name
