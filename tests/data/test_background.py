"""Pictures of the background: any pictures in a folder, without class folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketlens.data import load_background
from pocketlens.errors import DataError, DataNotFoundError
from pocketlens.image import InputSpec

SPEC = InputSpec(8, 8, "rgb")


def test_all_pictures_below_the_folder(tmp_path: Path) -> None:
    (tmp_path / "room" / "left").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    for index, place in enumerate(("a.png", "room/b.jpg", "room/left/c.png", ".hidden/d.png")):
        Image.new("RGB", (16, 16), (60 * index, 0, 0)).save(tmp_path / place)
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    found = load_background(tmp_path, SPEC)
    assert found.shape == (3, 8, 8, 3)
    assert np.abs(found[:, 0, 0, 0].astype(int) - [0, 60, 120]).max() <= 3


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="nowhere is not a folder; expected a folder with"):
        load_background(tmp_path / "nowhere", SPEC)
    with pytest.raises(DataError, match="has no pictures; add pictures of what is in view when"):
        load_background(tmp_path, SPEC)
