"""README has the measured figures, and its commands, files and packages exist."""

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
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"^    pocketlens (\w+)", README, re.MULTILINE)))


def table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("table", ROOT / "benchmarks" / "table.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_figures_are_up_to_date() -> None:
    assert table().figures() in README, "run: python benchmarks/table.py"


UNMEASURED = {"photos-fine"}
if not (ROOT / "benchmarks" / "doodles.json").exists():
    UNMEASURED.add("doodles")


@pytest.mark.parametrize("name", sorted(set(list_recipes()) - UNMEASURED))
def test_the_header_of_a_recipe_is_up_to_date(name: str) -> None:
    text = (ROOT / "src" / "pocketlens" / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    assert f"\n{table().header(name)}\n\n" in text, "run: python benchmarks/table.py"


def test_the_first_commands_are_targets_of_the_makefile() -> None:
    first = re.findall(r"^    make (\w+)", README, re.MULTILINE)[:3]
    assert first == ["quick", "demo", "test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in {*first, *re.findall(r"`make ([\w-]+)", README + CONTRIBUTING)}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_readme_exist(command: str) -> None:
    assert CliRunner().invoke(main, [command, "--help"]).exit_code == 0


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_lead_to_files(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!http|#)([^)#\s]+)", text):
        assert (ROOT / link).exists(), link


def test_contributing_lists_every_package() -> None:
    package = ROOT / "src" / "pocketlens"
    packages = {path.stem for path in package.glob("*.py")} - {"__init__"}
    packages |= {path.parent.name for path in package.glob("*/__init__.py")}
    packages |= {f"coreml/{path.parent.name}" for path in package.glob("coreml/*/__init__.py")}
    assert "training" in packages
    named = set(re.findall(r"`([\w/]+)`", CONTRIBUTING))
    assert not packages - named
