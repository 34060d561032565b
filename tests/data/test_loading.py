"""`load_data` and `resolve`: names of sources, the fall-back that is said, the errors."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import pocketlens.data as data
from pocketlens.data import CATALOG, load_data, resolve
from pocketlens.data.strokes import COUNTS
from pocketlens.errors import OptionError
from pocketlens.image import InputSpec


def test_auto_falls_back_to_strokes_and_says_so(
    tiny_mnist: dict[str, bytes], tmp_path: Path
) -> None:
    resolved = resolve("auto", folder=tmp_path)
    assert resolved.name == "strokes"
    assert resolved.note is not None
    assert "nor downloadable: using the built-in strokes digits, so figures" in resolved.note
    assert "type: pocketlens data download mnist" in resolved.note
    assert str(tmp_path / "mnist") in resolved.note
    with pytest.warns(UserWarning, match="using the built-in strokes"):
        dataset = load_data("auto", split="test", folder=tmp_path)
    assert dataset.name == "strokes/test"


def test_explicit_sources_resolve_to_themselves_and_are_silent(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for source in ("mnist", "strokes", "folder:somewhere"):
            assert resolve(source, folder=tmp_path) == data.Resolved(source)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("minst", "data source 'minst' is not known; did you mean 'mnist'?"),
        ("MNIST", "data source 'MNIST' is not known; "),
        ("folder:", "names no folder; expected: folder:PATH"),
        ("", "data source '' is not known; expected one of: auto, mnist, strokes, folder:PATH"),
    ],
)
def test_unknown_sources(source: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        load_data(source)
    assert message in str(caught.value)


def test_a_path_is_not_a_source(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="a data source is a name; received: .*'folder:PATH'"):
        load_data(tmp_path)  # type: ignore[arg-type]


def test_a_wrong_split_or_seed() -> None:
    with pytest.raises(OptionError, match="split 'tset' is not known; did you mean 'test'"):
        load_data("strokes", split="tset")
    with pytest.raises(OptionError, match="a seed is a whole number from 0; received: -1"):
        load_data("strokes", seed=-1)


def test_a_folder_needs_an_input_spec(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="needs an input_spec"):
        load_data(f"folder:{tmp_path}")


def test_images_come_in_the_size_and_colors_asked_for(tiny_mnist: dict[str, bytes]) -> None:
    strokes = load_data("strokes", split="test", input_spec=InputSpec(20, 20, "rgb"))
    assert strokes.images.shape == (2000, 20, 20, 3)
    assert (strokes.images[..., 0] == strokes.images[..., 2]).all()


def test_the_catalog_is_of_what_loads(tiny_mnist: dict[str, bytes]) -> None:
    table = {source.name: source for source in CATALOG}
    assert list(table) == ["auto", "mnist", "strokes", "folder:PATH"]
    assert {"train": table["strokes"].train, "test": table["strokes"].test} == COUNTS
    dataset = load_data("strokes", split="test")
    assert len(dataset) == table["strokes"].test
    assert dataset.images.shape[1:] == table["strokes"].size
    assert "CC BY-SA" in table["mnist"].license
    assert "Proceedings of the IEEE" in table["mnist"].citation
    assert data.__all__ == sorted(data.__all__)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, pocketlens.data;"
        "heavy = {'torch', 'httpx', 'PIL.Image', 'platformdirs', 'onnx', 'coremltools'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
