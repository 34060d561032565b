"""The README claims what the benchmarks measured, and names commands that exist."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from pocketlens.cli import main
from pocketlens.recipe import list_recipes

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"^    pocketlens (\w+)", README, re.MULTILINE)))


def table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("table", ROOT / "benchmarks" / "table.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_figures_are_those_measured() -> None:
    assert table().figures() in README, "run: python benchmarks/table.py"


@pytest.mark.parametrize("name", list_recipes())
def test_a_recipes_header_tells_what_was_measured(name: str) -> None:
    text = (ROOT / "src" / "pocketlens" / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    assert f"#     pocketlens run {name} --out runs/{name}\n" in text
    assert f"\n{table().header(name)}\n\n" in text, "run: python benchmarks/table.py"


def test_the_readme_opens_with_the_two_commands() -> None:
    first = re.findall(r"^    make (\w+)", README, re.MULTILINE)[:2]
    assert first == ["demo", "test"]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_readme_exist(command: str) -> None:
    assert CliRunner().invoke(main, [command, "--help"]).exit_code == 0


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
