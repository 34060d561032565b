"""Compare a written app with the reviewed one in `tests/fixtures/app`.

A change to the written app shows up in code review: files that are generated, or rendered from a
template with placeholders, are committed in `Digits/`; files that are exact copies of a template
are listed with their SHA-256 in `copied.sha256`, sorted by path.

After an intended change, update both, then review them with `git diff`:

    POCKETLENS_UPDATE=1 .venv/bin/python -m pytest tests/app/test_golden.py
"""

import difflib
import hashlib
import json
import os
import shutil
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketlens.app.writer import MANIFEST

FIXTURES = Path(__file__).parents[1] / "fixtures" / "app"
GOLDEN = FIXTURES / "Digits"
HASHES = FIXTURES / "copied.sha256"

# The model is converted in each test session, so its bytes and the manifest's hashes vary.
EXCLUDED = (MANIFEST, "Recognizer.mlpackage")

HELP = (
    "if this change is intended: POCKETLENS_UPDATE=1 .venv/bin/python -m pytest "
    "tests/app/test_golden.py, then review it with git diff"
)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def paths_in(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not set(path.relative_to(folder).parts) & set(EXCLUDED)
    )


def template_hashes() -> set[str]:
    with as_file(files("pocketlens.app") / "templates") as folder:
        return {sha256(path) for path in folder.rglob("*") if path.is_file()}


def copied_files(app: Path) -> dict[str, str]:
    """The SHA-256 of each file that is an exact copy of a template, by path."""
    templates = template_hashes()
    hashes = {path: sha256(app / path) for path in paths_in(app)}
    return {path: value for path, value in hashes.items() if value in templates}


def reviewed_hashes() -> dict[str, str]:
    rows = (line.split("  ", 1) for line in HASHES.read_text(encoding="utf-8").splitlines())
    return {path: value for value, path in rows}


@pytest.fixture(scope="module")
def app(digits_app: Path) -> Path:
    """The written app; with POCKETLENS_UPDATE set, the golden files are replaced by it first."""
    if os.environ.get("POCKETLENS_UPDATE"):
        copied = copied_files(digits_app)
        lines = [f"{value}  {path}\n" for path, value in sorted(copied.items())]
        HASHES.write_text("".join(lines), encoding="utf-8")
        shutil.rmtree(GOLDEN, ignore_errors=True)
        for path in paths_in(digits_app):
            if path not in copied:
                (GOLDEN / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(digits_app / path, GOLDEN / path)
    return digits_app


def test_the_app_has_the_reviewed_files(app: Path) -> None:
    reviewed = {*paths_in(GOLDEN), *reviewed_hashes()}
    written = set(paths_in(app))
    assert written == reviewed, (
        f"new files: {sorted(written - reviewed)}; missing files: {sorted(reviewed - written)}; "
        f"{HELP}"
    )


def test_no_reviewed_file_is_committed_twice() -> None:
    hashes = reviewed_hashes()
    assert list(hashes) == sorted(hashes)
    assert hashes.keys() & set(paths_in(GOLDEN)) == set()


def test_copied_templates_have_the_reviewed_hashes(app: Path) -> None:
    different = [path for path, value in reviewed_hashes().items() if sha256(app / path) != value]
    assert different == [], f"these files differ from the reviewed ones: {different}; {HELP}"


def test_rendered_and_generated_files_are_the_reviewed_ones(app: Path) -> None:
    differences = []
    for path in paths_in(GOLDEN):
        written, reviewed = app / path, GOLDEN / path
        if path.endswith(".png"):
            differences += image_difference(written, reviewed)
        elif path.endswith("fixtures.json"):
            differences += prediction_difference(written, reviewed)
        else:
            differences += text_difference(written, reviewed)
    assert differences == [], "\n".join(["The written app differs:", *differences, HELP])


def image_difference(written: Path, reviewed: Path) -> list[str]:
    """Empty if the images are equal up to small differences at edges between Pillow versions."""
    with Image.open(written) as a, Image.open(reviewed) as b:
        same = (a.size, a.mode) == (b.size, b.mode)
        same = same and np.abs(np.asarray(a, int) - np.asarray(b, int)).mean() < 1
    return [] if same else [f"{reviewed} has different pixels"]


def prediction_difference(written: Path, reviewed: Path) -> list[str]:
    """Empty if all values are equal; probabilities may differ by 0.002."""
    a, b = json.loads(written.read_text()), json.loads(reviewed.read_text())
    for picture in b["pictures"]:
        for row in picture["top"]:
            row["probability"] = pytest.approx(row["probability"], abs=2e-3)
    return [] if a == b else [f"{reviewed} has different values: {a} instead of {b}"]


def text_difference(written: Path, reviewed: Path) -> list[str]:
    """A unified diff; empty if the texts are equal."""
    a, b = written.read_text("utf-8"), reviewed.read_text("utf-8")
    names = f"reviewed/{reviewed.name}", f"written/{reviewed.name}"
    lines = [*difflib.unified_diff(b.splitlines(), a.splitlines(), *names, n=1, lineterm="")]
    return lines if lines or a == b else [f"{reviewed} has different line ends"]
