"""`site.json`: the files of a website that Pocketlens has written, and their hashes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pocketlens.commands import command
from pocketlens.errors import AppError
from pocketlens.files import read_limited

__all__ = [
    "EXAMPLES",
    "LISTING",
    "MODELS",
    "NOT_LOADED",
    "README",
    "WORKER",
    "WORKFLOW",
    "Listing",
    "read_listing",
]

LISTING = "site.json"
MODELS = ("model.bin", "model.onnx")
"""The model, in the format of the site's engine."""
WORKER = "sw.js"
WORKFLOW = ".github/workflows/pages.yml"
"""Publishes the folder to GitHub Pages."""
EXAMPLES = "examples.json"
"""Images and the model's answers, for `--check`."""
README = "README.md"
"""How to publish the folder."""
NOT_LOADED = (WORKFLOW, EXAMPLES, README)
"""What is no part of the page."""

MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class Listing:
    """The files of a website.

    Args:
        version: Changes with every file.
        files: The SHA-256 of each file, by its path.
        options: The options of `create_web` that were given, by name.
        engine: What runs the model, with its version.
        reason: Why it is not the page's own; empty if it is, or was not asked for.
    """

    version: str
    files: dict[str, str]
    options: dict[str, str]
    engine: str = "pocketlens"
    reason: str = ""

    @property
    def model(self) -> str | None:
        """The path of the model; None if it is not listed."""
        return next((name for name in MODELS if name in self.files), None)


def read_listing(folder: Path) -> Listing:
    """Read the `site.json` of a website. Paths are checked: the file is untrusted.

    Raises:
        AppError: It is missing or damaged.
    """
    path = folder / LISTING
    try:
        values = json.loads(read_limited(path, MAX_BYTES))
        files = {_inside(name): str(value) for name, value in values["files"].items()}
        options = {k: v for k, v in values.get("options", {}).items() if isinstance(v, str)}
        engine, reason = str(values.get("engine", "pocketlens")), str(values.get("reason", ""))
        return Listing(str(values["version"]), files, options, engine, reason)
    except FileNotFoundError as error:
        raise AppError(
            f"{folder} is not a website written by Pocketlens: it has no {LISTING}; to write one, "
            f"in another folder: {command('web', 'MODEL', '-o', 'FOLDER')}"
        ) from error
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise AppError(
            f"{path} is damaged ({error}); expected the list of files that Pocketlens wrote; write "
            "the website again, to another folder"
        ) from error


def _inside(name: str) -> str:
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts or "\0" in name:
        raise ValueError(f"path outside of the folder: {name[:80]!r}")
    return name
