"""Runs the modules of the web page in Node, without a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pocketlens.web.kernels import kernels
from pocketlens.web.site import OWN

TIMEOUT = 300.0  # seconds
DRIVER = Path(__file__).parent / "engine.mjs"


def answers(
    cases: Sequence[Mapping[str, Any]], folder: Path, files: Mapping[str, bytes] | None = None
) -> list[Any]:
    """The answer to each case, see `engine.mjs`; an error is `{"error": ...}`.

    Args:
        cases: Their `kind` and what it needs.
        folder: An empty folder.
        files: What the cases refer to, by name.
    """
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not on the PATH; it is needed to run the page's modules")
    folder.mkdir(exist_ok=True)
    page = folder / "page"
    shutil.copytree(OWN, page)
    (page / "package.json").write_text('{"type": "module"}')
    for name, content in {"kernels.wasm": kernels(), **(files or {})}.items():
        (folder / name).write_bytes(content)
    (folder / "cases.json").write_text(json.dumps(cases))
    done = subprocess.run(
        [node, DRIVER, page, folder], capture_output=True, text=True, timeout=TIMEOUT
    )
    assert done.returncode == 0, done.stderr
    return [each.get("answer", each) for each in json.loads(done.stdout)]
