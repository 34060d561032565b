"""A written app, kept in the repository, so that a change of what is written shows in review.

After a change that is meant: POCKETLENS_UPDATE=1 pytest tests/app/test_golden.py
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketlens.app.writer import MANIFEST

GOLDEN = Path(__file__).parents[1] / "fixtures" / "app" / "Digits"

# The model is made anew in each run, and with it the manifest's hashes.
LEFT_OUT = (MANIFEST, "Recognizer.mlpackage")


def listed(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not set(path.relative_to(folder).parts) & set(LEFT_OUT)
    )


def test_the_written_app_is_the_one_that_was_reviewed(digits_app: Path) -> None:
    if os.environ.get("POCKETLENS_UPDATE"):
        shutil.rmtree(GOLDEN, ignore_errors=True)
        shutil.copytree(digits_app, GOLDEN, ignore=shutil.ignore_patterns(*LEFT_OUT))
    assert listed(digits_app) == listed(GOLDEN)
    for name in listed(GOLDEN):
        ours, reviewed = digits_app / name, GOLDEN / name
        if name.endswith(".png"):
            # Another Pillow may draw a letter's edge a little differently.
            with Image.open(ours) as a, Image.open(reviewed) as b:
                assert (a.size, a.mode) == (b.size, b.mode), name
                assert np.abs(np.asarray(a, int) - np.asarray(b, int)).mean() < 1, name
        elif name.endswith("fixtures.json"):
            a, b = json.loads(ours.read_text()), json.loads(reviewed.read_text())
            assert a["tolerance"] == b["tolerance"]
            for mine, theirs in zip(a["pictures"], b["pictures"], strict=True):
                assert mine["file"] == theirs["file"]
                for row, expected in zip(mine["top"], theirs["top"], strict=True):
                    assert row["label"] == expected["label"]
                    assert row["probability"] == pytest.approx(expected["probability"], abs=2e-3)
        else:
            assert ours.read_text("utf-8") == reviewed.read_text("utf-8"), name
