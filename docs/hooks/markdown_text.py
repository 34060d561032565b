"""Small pieces of Markdown that several generated pages share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["arguments_of", "cell", "code", "first_line", "table"]


def cell(text: str) -> str:
    """Text for a cell of a table: one line, with `|` escaped."""
    return " ".join(text.split()).replace("|", "\\|")


def code(text: str) -> str:
    """Text as inline code; empty if there is none."""
    return f"`{text}`" if text else ""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    lines += [f"| {' | '.join(map(cell, row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def first_line(docstring: str | None) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((docstring or "").strip().split("\n\n")[0].split())


def arguments_of(docstring: str | None) -> dict[str, str]:
    """The descriptions of a docstring's section `Args:` (or `Attributes:`), by name."""
    section = re.search(
        r"^[ ]*(?:Args|Attributes):\n(.*?)(?=^\S|\Z|^[ ]*[A-Z]\w+:\n)",
        docstring or "",
        re.MULTILINE | re.DOTALL,
    )
    if section is None:
        return {}
    lines = [line for line in section[1].splitlines() if line.strip()]
    indent = min(len(line) - len(line.lstrip()) for line in lines)
    found: dict[str, str] = {}
    name = ""
    for line in lines:
        start = re.match(rf"[ ]{{{indent}}}(\w+): (.*)", line)
        if start:
            name = start[1]
            found[name] = start[2]
        else:
            found[name] += " " + line.strip()
    return found
