"""constraints-oldest.txt holds exactly the lowest versions that pyproject.toml allows."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def lowest(requirement: str) -> tuple[str, str]:
    """The name and the lowest version of `numpy>=1.26,<2.4`."""
    found = re.match(r"([\w-]+)>=([\d.]+)", requirement)
    assert found, requirement
    return found[1].lower(), found[2]


def test_the_oldest_versions_are_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    allowed = dict(map(lowest, project["dependencies"]))
    allowed |= dict(map(lowest, project["optional-dependencies"]["convert"]))
    lines = (ROOT / "constraints-oldest.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pinned.keys() == allowed.keys()
    for name, version in allowed.items():
        short = [int(part) for part in version.split(".")]
        assert [int(part) for part in pinned[name].split(".")][: len(short)] == short, name
        rest = pinned[name].split(".")[len(short) :]
        assert all(part == "0" for part in rest), f"{name} {pinned[name]} is not the oldest"
