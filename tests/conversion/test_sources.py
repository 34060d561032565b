"""Which files and objects can be converted, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import error_of
from pocketlens.conversion import convert
from pocketlens.conversion.sources import KINDS, REFUSED
from pocketlens.errors import ConversionError

FILES = [ending for row in REFUSED for ending in row.endings]


@pytest.mark.parametrize("ending", FILES)
def test_what_cannot_be_converted_names_the_way_round(ending: str, tmp_path: Path) -> None:
    file = tmp_path / "saved" / ending[:-1] if ending.endswith("/") else tmp_path / f"m{ending}"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"cos\nsystem\n(S'exit 7'\ntR.")
    model = file.parent if ending.endswith("/") else file
    row = next(row for row in REFUSED if ending in row.endings)
    with pytest.raises(ConversionError) as caught:
        convert(model, tmp_path / "out")
    assert str(caught.value) == f"{model} is {row.what}; {row.way}"
    assert any(way in row.way for way in ("pocketlens.convert", "model.pt2", "ONNX", "again"))


def test_the_command_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "m.PKL").touch()
    assert "skops.io.dump" in error_of("convert", tmp_path / "m.PKL")
    assert "skops.io.dump" in error_of("verify", tmp_path / "m.PKL", tmp_path / "m.mlmodel")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    assert "tf2onnx" in error_of("convert", tmp_path / "saved")


def test_no_file_is_of_two_kinds() -> None:
    endings = [ending for kind in KINDS for ending in kind.endings] + FILES
    endings.remove(".keras")  # an older one is HDF5, which shows what it is
    assert len(endings) == len(set(endings))


def test_another_file_lists_what_can_be_converted(tmp_path: Path) -> None:
    (tmp_path / "m.docx").touch()
    with pytest.raises(ConversionError, match=r"m\.docx is not a file that can .*\.keras"):
        convert(tmp_path / "m.docx", tmp_path / "out")
    with pytest.raises(ConversionError, match=r"none\.keras does not exist; expected a Keras"):
        convert(tmp_path / "none.keras", tmp_path / "out")
