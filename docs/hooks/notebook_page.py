"""A notebook as a page: its texts, and its code in blocks."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["text"]


def text(notebook: Path) -> str:
    """The page of a notebook; a link to the file itself follows the title."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    parts = [_cell(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    parts.insert(1, f"This page is the notebook [{notebook.name}]({notebook.name}).")
    return "\n\n".join(parts) + "\n"


def _cell(kind: str, source: str) -> str:
    return source if kind == "markdown" else f"```python\n{source}\n```"
