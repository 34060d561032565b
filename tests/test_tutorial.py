"""Every line of docs/tutorial.md, run in order in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pocketlens.data import resolve

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def script() -> str:
    """The page as one Python program: shell blocks run through bash, each told as it starts."""
    lines = ["import subprocess"]
    for language, code in BLOCK.findall(TUTORIAL.read_text(encoding="utf-8")):
        if language == "sh":
            lines.append(f"subprocess.run(['bash', '-euxc', {code!r}], check=True)")
        else:
            lines.append(code)
    return "\n".join(lines)


@pytest.mark.skipif(resolve("auto").name != "mnist", reason="MNIST is out of reach")
def test_the_tutorial(tmp_path: Path) -> None:
    beside = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{beside}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-c", script()],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    for made in ("looked/samples.png", "runs/mine/weights.safetensors", "Digits.mlpackage",
                 "DigitsApp/Digits.xcodeproj", "runs/quick/report.html", "FromPythonApp",
                 "runs/photos/report.html", "Walk.mlpackage"):  # fmt: skip
        assert (tmp_path / made).exists(), made
    assert done.stdout.count("parity passed") == 2
