"""The pages of the Python API: every name of `pocketlens.__all__`, grouped by its module."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import griffe

import pocketlens
from markdown_text import first_line, table

SOURCE = Path(__file__).parents[2] / "src"

GROUPS: dict[str, tuple[str, ...]] = {
    "Whole runs": (
        "pipeline",
        "run_folder",
        "run_contents",
        "run_comparison",
        "finetuning",
        "scale",
    ),
    "Data and images": ("data", "image", "augment"),
    "Recipes": ("recipe", "recipe_options"),
    "Training": ("training", "recognizer", "callbacks", "history", "networks"),
    "Predictions": ("prediction", "numbers", "explanation"),
    "Evaluation": ("evaluation",),
    "Core ML and Core AI": ("model_files", "conversion", "coreml", "coreai", "compression"),
    "App, web, preview, report": ("app", "web", "preview", "report"),
    "Errors and plug-ins": ("errors", "registry"),
}

INTRODUCTION = """\
# Python API

<!-- Generated from `pocketlens.__all__`; do not edit. -->

Everything here is imported from `pocketlens`. Importing the package is fast: a name loads its
module, and PyTorch or coremltools, when it is first used. Each [command](../commands.md) calls one
of these functions.
"""


def texts() -> dict[str, str]:
    """Every page, by its path in the site."""
    package = griffe.load(
        "pocketlens", search_paths=[SOURCE], resolve_aliases=True, resolve_external=False
    )
    grouped: dict[str, list[str]] = defaultdict(list)
    for name in sorted(pocketlens.__all__, key=lambda name: (name[0].isupper(), name.lower())):
        grouped[_group(name, package[name].target_path)].append(name)
    pages = {"reference/api/index.md": INTRODUCTION}
    for group in GROUPS:
        if names := grouped[group]:
            page = _file(group)
            lines = [f"# {group}\n", *(f"::: pocketlens.{name}\n" for name in names)]
            pages[f"reference/api/{page}"] = "\n".join(lines)
            rows = [
                (f"[`{name}`]({page}#pocketlens.{name})", _summary(package[name])) for name in names
            ]
            pages["reference/api/index.md"] += f"\n## {group}\n\n" + table(
                ("Name", "What it is"), rows
            )
    return pages


def _group(name: str, path: str) -> str:
    room = path.split(".")[1]
    for group, rooms in GROUPS.items():
        if room in rooms:
            return group
    raise ValueError(
        f"pocketlens.{name} is from the module '{room}', which is in no group of the API "
        "reference; add the module to GROUPS in docs/hooks/api_pages.py"
    )


def _file(group: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in group.lower()).replace("__", "_") + ".md"


def _summary(found: griffe.Object | griffe.Alias) -> str:
    return first_line(found.docstring.value if found.docstring else "")
