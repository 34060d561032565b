"""The documentation site builds without a warning, and its reference lists everything."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from inspect import signature
from pathlib import Path
from typing import get_type_hints
from urllib.parse import unquote, urlsplit

import pytest
import typer.main

import pocketlens
from pocketlens import errors
from pocketlens.cli import main
from pocketlens.recipe import Recipe
from pocketlens.recipe_options import Choice
from pocketlens.registry import AUGMENTATIONS, NETWORKS
from pocketlens.run_contents import CONTENTS

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"

pytest.importorskip("mkdocs", reason="the site needs the extra docs")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with every warning as an error: broken links, anchors, missing pages."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return folder


def codes(page: Path) -> set[str]:
    """What a page shows as inline code."""
    found = re.findall(r"<code>(.*?)</code>", page.read_text(encoding="utf-8"), re.DOTALL)
    return {html.unescape(text) for text in found}


def ids(page: Path) -> set[str]:
    """The anchors of a page."""
    return set(re.findall(r'\bid="([^"]+)"', page.read_text(encoding="utf-8")))


def recipe_keys() -> Iterator[str]:
    """Every key of a recipe, and every option of a built-in network or augmentation."""
    hints = get_type_hints(Recipe)
    for field in fields(Recipe):
        kind = hints[field.name]
        if kind is Choice:
            yield f"{field.name}.name"
        elif is_dataclass(kind):
            yield from (f"{field.name}.{inner.name}" for inner in fields(kind))
        else:
            yield field.name
    for table, registry in (("network", NETWORKS), ("augment", AUGMENTATIONS)):
        for name in set(registry.names()) - {*registry.plugins(), *registry.builtin}:
            for parameter in signature(registry.find(name)).parameters.values():
                if parameter.kind is parameter.KEYWORD_ONLY:
                    yield f"{table}.{parameter.name}"


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    found = set().union(*(ids(page) for page in (site / "reference" / "api").glob("*.html")))
    missing = {f"pocketlens.{name}" for name in pocketlens.__all__} - found
    assert not missing


def test_every_error_is_in_the_reference(site: Path) -> None:
    found = ids(site / "reference" / "errors.html")
    names = [name for name in errors.__all__ if name[0].isupper()]
    assert len(names) > 15
    assert {f"pocketlens.errors.{name}" for name in names} <= found


def test_every_recipe_key_is_in_the_reference(site: Path) -> None:
    keys = set(recipe_keys())
    assert {"seed", "training.epochs", "input.crop", "network.channels"} <= keys
    assert not keys - codes(site / "reference" / "recipe.html")


def test_every_command_and_option_is_in_the_reference(site: Path) -> None:
    page = site / "reference" / "commands.html"
    found = codes(page)
    root = typer.main.get_command(main)
    commands = dict(root.commands)  # type: ignore[attr-defined]  # it is a group
    for name, command in list(commands.items()):
        if hasattr(command, "commands"):
            del commands[name]
            commands |= {f"{name} {inner}": each for inner, each in command.commands.items()}
    assert len(commands) > 15
    for name, command in commands.items():
        assert f"pocketlens {name}" in found
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert set(parameter.opts) <= found, (name, parameter.opts)


def test_every_op_is_in_the_reference(site: Path) -> None:
    assert not {row.op for row in pocketlens.ops()} - codes(site / "reference" / "ops.html")


def test_the_contents_of_a_run_folder_are_in_the_reference(site: Path) -> None:
    assert not {item.path for item in CONTENTS} - codes(site / "reference" / "run_folder.html")


def test_the_site_loads_nothing_from_other_hosts(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        tags = re.findall(r"<(?:script|img|iframe|link)\b[^>]*>", text)
        loaded = [url for tag in tags for url in re.findall(r'\b(?:src|href)="([^"]*)"', tag)]
        assert len(loaded) > 3
        assert [url for url in loaded if urlsplit(html.unescape(url)).netloc] == [], page
    for style in site.rglob("*.css"):
        assert not re.search(
            r"(?:url\(|@import)[\s\"']*(?:https?:)?//", style.read_text("utf-8")
        ), style


def test_every_link_of_the_site_leads_to_a_page_and_an_anchor(site: Path) -> None:
    anchors = {page: ids(page) for page in site.rglob("*.html")}
    checked = 0
    for page in anchors:
        if page.name == "404.html":  # it is served under any address, so its links are absolute
            continue
        for link in re.findall(r'<a\b[^>]*\bhref="([^"]+)"', page.read_text(encoding="utf-8")):
            parts = urlsplit(html.unescape(link))
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{page.relative_to(site)}: {link}"
            if parts.fragment and target in anchors:
                assert unquote(parts.fragment) in {*anchors[target], "__skip"}, f"{page}: {link}"
            checked += 1
    assert checked > 1000


def test_the_notebook_has_no_outputs() -> None:
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="the notebook needs the extra docs")
    import nbformat

    text = NOTEBOOK.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]  # it has no types
    nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    printed = "".join(
        output.get("text", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )
    assert "parity passed on 2000 images" in printed
    assert (tmp_path / "DigitsApp" / "Digits.xcodeproj").is_dir()
