"""Pictures of what a check of the files has found."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from pocketlens import check_data
from pocketlens.data.wrong_labels import LabelCheck, WrongLabel
from pocketlens.report.check_figures import draw_findings, draw_suspects


def test_copies_are_shown_and_files_that_are_gone_are_not(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("cup", "spoon"):
        (tmp_path / "p" / name).mkdir(parents=True)
        for index in range(6):
            noise = random.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / "p" / name / f"{index}.png")
    copy = tmp_path / "p" / "cup" / "a $ & <b>.png"
    copy.write_bytes((tmp_path / "p" / "spoon" / "0.png").read_bytes())
    found = check_data(tmp_path / "p")
    assert found.finding("copies_across_classes")
    drawn = draw_findings(found, tmp_path / "p", tmp_path / "found.png")
    assert drawn
    with Image.open(drawn) as image:
        assert min(image.size) > 50
    shutil.rmtree(tmp_path / "p")
    assert draw_findings(found, tmp_path / "p", tmp_path / "again.png") is None


def test_suspects_are_shown_with_both_labels(tmp_path: Path) -> None:
    images = np.zeros((1, 16, 16, 3), np.uint8)
    suspects = (WrongLabel(0, "cup/1.png", "cup", "spoon", 0.9),)
    page = draw_suspects(LabelCheck(10, suspects), images, tmp_path / "s.svg").read_text()
    assert "cup" in page
    assert "spoon" in page
