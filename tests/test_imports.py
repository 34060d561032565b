"""The one-way street of imports, and what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pocketlens

SOURCE = Path(pocketlens.__file__).parent

# A module imports only what stands before it. Rooms and files by their first name.
ORDER = [
    "errors", "files", "stored", "image", "prediction", "recipe", "history", "named", "data",
    "augment", "networks", "recognizer", "training", "evaluation", "suite", "conversion", "coreml",
    "parity", "run_folder", "app", "preview", "report", "pipeline", "correcting",
    "cli",
]  # fmt: skip

# These see less than all that stands before them, see DESIGN: what ships is the Core ML file.
ONLY = {
    "coreml": {"errors", "files", "image", "prediction"},
    "app": {"errors", "files", "image", "prediction", "coreml"},
}


def modules() -> list[Path]:
    return sorted(p for p in SOURCE.rglob("*.py") if "templates" not in p.parts)


def room(dotted: str) -> str:
    return dotted.split(".")[1] if "." in dotted else ""


def imported(path: Path) -> set[str]:
    """Rooms that the file imports anywhere: at its top, in functions, for type checking."""
    package = ["pocketlens", *path.relative_to(SOURCE).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            origin = ".".join(part for part in (base, node.module or "") if part)
            found |= {
                f"{origin}.{a.name}" if origin == "pocketlens" else origin for a in node.names
            }
    rooms = {room(name) for name in found if name.split(".")[0] == "pocketlens"}
    return rooms - {"", "__version__"}


def test_every_room_has_its_place() -> None:
    rooms = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in modules()}
    assert rooms - {"__init__"} == set(ORDER) - ({"recipes"} - rooms)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_run_one_way(path: Path) -> None:
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if own == "__init__":  # the front door opens on every room
        return
    allowed = ONLY.get(own, set(ORDER[: ORDER.index(own)])) | {own}
    assert imported(path) <= allowed, f"{path} imports what stands to its right"


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


HEAVY = {"torch", "coreml" + "tools", "onnx", "onnxruntime", "matplotlib", "numpy", "PIL", "keras"}


def test_importing_pocketlens_imports_nothing_heavy() -> None:
    assert not loaded_by("import pocketlens") & HEAVY


def test_the_command_line_imports_nothing_heavy() -> None:
    assert not loaded_by("import pocketlens.cli") & (HEAVY | {"rich"})


def test_running_a_core_ml_file_needs_no_pytorch() -> None:
    assert "torch" not in loaded_by("import pocketlens.coreml.session, pocketlens.app")


def test_public_names_are_sorted_and_there() -> None:
    assert pocketlens.__all__ == sorted(pocketlens.__all__, key=lambda n: (n.islower(), n))
    assert set(pocketlens.__all__) == set(pocketlens._HOME)
    for name in pocketlens.__all__:
        assert getattr(pocketlens, name).__doc__, f"{name} has no docstring"


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        pocketlens.trian  # noqa: B018
