"""Check a website: everything that would fail in the browser and can be seen in the files."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

from pocketlens.app.spec import RecognizerSpec
from pocketlens.errors import AppError, PocketlensError
from pocketlens.files import read_limited
from pocketlens.web.listing import (
    LISTING,
    MODELS,
    NOT_LOADED,
    README,
    WORKER,
    WORKFLOW,
    Listing,
    read_listing,
)

__all__ = ["check_site", "site_sizes"]

MAX_TEXT = 4_000_000
CHUNK = 1 << 20


def check_site(folder: str | os.PathLike[str]) -> list[str]:
    """Check a website that `create_web` has written.

    Every file is there and unchanged, the service worker lists exactly these files, and the page
    can read the description of its model.

    Args:
        folder: The website's folder.

    Returns:
        One message per problem; empty if there is none.

    Raises:
        AppError: The folder is not a website written by Pocketlens.
    """
    folder = Path(folder)
    listing = read_listing(folder)
    problems = [
        problem
        for name, expected in listing.files.items()
        if name not in (README, WORKFLOW)  # yours to change
        and (problem := _file_problem(folder, name, expected))
    ]
    problems += _worker_problems(folder, listing)
    if listing.model is None:
        problems.append(f"the model ({' or '.join(MODELS)}) is missing in {LISTING}")
    try:
        text = read_limited(folder / "recognizer.json", MAX_TEXT).decode()
        RecognizerSpec.from_json(text)
    except (OSError, UnicodeDecodeError, PocketlensError) as error:
        problems.append(f"recognizer.json cannot be read: {error}")
    return problems


def site_sizes(folder: Path) -> dict[str, int]:
    """How many bytes a first visit loads: the model, and all other files."""
    listing = read_listing(folder)
    names = listing.files.keys() - {*NOT_LOADED}
    sizes = {name: (folder / name).stat().st_size for name in names if (folder / name).is_file()}
    model = sizes.pop(listing.model or "", 0)
    return {"model": model, "page": sum(sizes.values())}


def _file_problem(folder: Path, name: str, expected: str) -> str | None:
    path = folder / name
    if not path.is_file():
        return f"{name} is missing; write the website again, with --force"
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
    if digest.hexdigest() == expected:
        return None
    return f"{name} was changed, so browsers do not keep the page offline; write it again"


def _worker_problems(folder: Path, listing: Listing) -> list[str]:
    """Whether the service worker stores exactly the files of this version."""
    try:
        text = read_limited(folder / WORKER, MAX_TEXT).decode()
        found = re.search(r"^const FILES = (\{.*?^\});", text, re.DOTALL | re.MULTILINE)
        if found is None:
            raise AppError("it has no list of files")
        files = json.loads(found[1])
    except FileNotFoundError:
        return [] if WORKER in listing.files else [f"{WORKER} is missing"]
    except (OSError, ValueError, RecursionError, PocketlensError) as error:
        return [f"{WORKER} cannot be read: {error}"]
    expected = {
        name: value for name, value in listing.files.items() if name not in (WORKER, *NOT_LOADED)
    }
    return [] if files == expected else [f"{WORKER} lists other files than {LISTING}"]
