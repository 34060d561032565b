"""The one-way street of imports, and what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pocketlens

SOURCE = Path(pocketlens.__file__).parent

# A module imports only what stands before it. Packages and files by their first name.
ORDER = [
    "errors", "commands", "qr_code", "compat", "locking", "files", "archives", "processes",
    "locations",
    "json_fields", "image_files",
    "decoding", "image", "heads", "prediction", "numbers", "toml", "recipe_options", "registry",
    "hub", "recipe_input", "shipped_recipes", "recipe", "run_contents", "history", "callbacks",
    "data",
    "augment", "naming",
    "networks", "recognizer", "training", "evaluation",
    "coreml", "coreai", "model_files", "explanation", "conversion", "run_files", "run_folder",
    "run_comparison", "run_state",
    "compression",
    "app", "web",
    "preview", "report", "stages", "pipeline", "finetuning", "scale", "cli",
]  # fmt: skip

# The same inside these packages.
INSIDE = {
    "coreml": ["file", "graph", "ops", "runtime", "classic", "loading", "coremltools_plugin"],
    "coreml.ops": [
        "choice", "graph_choices", "classic_choices", "registry",
        "common", "mil", "neural_network", "lowered", "program", "network",
    ],
    "evaluation": [
        "arrays", "array_cases", "array_files", "chance", "accuracy", "parity", "assignment",
        "reading_changes", "reading_search", "readings", "robustness",
    ],
}  # fmt: skip

# These see less than all that stands before them, see DESIGN: what ships is the Core ML file.
ONLY = {
    "coreml": {"compat", "errors", "files", "heads", "image", "prediction"},
    "coreai": {"commands", "errors", "files", "heads", "image", "prediction", "processes"},
    "app": {"commands", "errors", "files", "image", "locking", "prediction", "coreml"},
    "web": {"commands", "errors", "files", "locations", "image", "prediction", "coreml", "app"},
}


def modules() -> list[Path]:
    return sorted(p for p in SOURCE.rglob("*.py") if "templates" not in p.parts)


def dotted(path: Path) -> str:
    """The module's name inside the package, such as `coreml.ops.registry`; "" for the package."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {dotted(path): path for path in modules()}


def imported(path: Path, *, at_import: bool = False) -> set[str]:
    """The modules of the package that the file imports.

    Args:
        path: The file.
        at_import: Only those that its own import executes; else also those imported in functions
            and for type checking.
    """
    package = ["pocketlens", *path.relative_to(SOURCE).parts[:-1]]
    found = set()
    for node in _statements(ast.parse(path.read_text(encoding="utf-8")), at_import=at_import):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            origin = ".".join(part for part in (base, node.module or "") if part)
            for alias in node.names:
                whole = f"{origin}.{alias.name}"
                is_module = whole.removeprefix("pocketlens.") in NAMES
                found.add(whole if is_module else origin)
    ours = {name.removeprefix("pocketlens.") for name in found if name.startswith("pocketlens.")}
    return ours - {dotted(path)}


def _statements(tree: ast.AST, *, at_import: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if at_import and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if at_import and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _statements(node, at_import=at_import)


def first(name: str) -> str:
    return name.split(".")[0]


def test_every_package_has_its_place() -> None:
    assert {first(name) for name in NAMES} - {""} == set(ORDER)
    for package, order in INSIDE.items():
        prefix = f"{package}."
        inside = {first(name.removeprefix(prefix)) for name in NAMES if name.startswith(prefix)}
        assert inside == set(order), package


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_run_one_way(path: Path) -> None:
    own = dotted(path)
    if own == "":  # the top-level package imports from all of them
        return
    package = first(own)
    allowed = ONLY.get(package, set(ORDER[: ORDER.index(package)])) | {package}
    assert {first(name) for name in imported(path)} <= allowed, f"{own} imports a later package"


@pytest.mark.parametrize("package", INSIDE)
def test_imports_run_one_way_inside_a_package(package: str) -> None:
    order, prefix = INSIDE[package], f"{package}."
    for name, path in NAMES.items():
        if not name.startswith(prefix):
            continue
        place = first(name.removeprefix(prefix))
        allowed = set(order[: order.index(place) + 1])
        inside = {each for each in imported(path) if each.startswith(prefix)}
        found = {first(each.removeprefix(prefix)) for each in inside}
        assert found <= allowed, f"{name} imports a later part of {package}: {found - allowed}"


def test_no_imports_run_in_a_circle() -> None:
    """Not even through imports in functions: a circle means that two modules are one."""
    edges = {name: imported(path) & set(NAMES) for name, path in NAMES.items() if name}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for each in sorted(edges.get(name, ())):
                visit(each, (*trail, name))
            done.add(name)

    for name in edges:
        visit(name, ())


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
    assert "torch" not in loaded_by("import pocketlens.coreml.loading, pocketlens.app")
