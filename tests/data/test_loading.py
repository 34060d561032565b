"""`load_data`, `load_folder` and `resolve`: source names, the reported fallback, errors."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

import pocketlens.data as data
from pocketlens.data import CATALOG, load_data, load_folder, resolve
from pocketlens.data.idx_sets import SETS
from pocketlens.data.sketches import things
from pocketlens.data.strokes import COUNTS
from pocketlens.errors import DataNotFoundError, OptionError, PocketlensError
from pocketlens.image import InputSpec
from pocketlens.registry import SOURCES


def test_auto_falls_back_to_strokes_with_a_warning(
    tiny_mnist: dict[str, bytes], tmp_path: Path
) -> None:
    resolved = resolve("auto", folder=tmp_path)
    assert resolved.name == "strokes"
    assert resolved.note is not None
    assert "cannot be downloaded: using the built-in strokes digits instead" in resolved.note
    assert "download MNIST with: pocketlens data download mnist" in resolved.note
    assert str(tmp_path / "mnist") in resolved.note
    with pytest.warns(UserWarning, match="using the built-in strokes") as caught:
        dataset = load_data("auto", split="test", folder=tmp_path)
    assert caught[0].filename == __file__  # the warning points at the caller's line
    assert dataset.name == "strokes/test"


def test_explicit_sources_resolve_to_themselves_without_a_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for source in ("mnist", "strokes", "folder:somewhere"):
            assert resolve(source, folder=tmp_path) == data.Resolved(source)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("minst", "data source 'minst' is not known; did you mean 'mnist'?"),
        ("MNIST", "data source 'MNIST' is not known; "),
        ("folder:", "data source 'folder:' has no path; expected: folder:PATH"),
        ("csv:", "data source 'csv:' has no path; expected: csv:PATH"),
        ("csv:PATHS", "PATHS does not exist; expected a CSV file with path,label"),
        (
            "",
            "data source '' is not known; expected one of: auto, mnist, fashion-mnist, kmnist, "
            "emnist-digits, emnist-letters, strokes, doodles, quickdraw:NAMES, folder:PATH, "
            "csv:PATH",
        ),
    ],
)
def test_unknown_sources(source: str, message: str) -> None:
    with pytest.raises(PocketlensError) as caught:
        load_data(source, input_spec=SPEC if source == "csv:PATHS" else None)
    assert message in str(caught.value)


def test_path_is_not_a_source(tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match="must be a string; received: .*'folder:PATH' or load_folder"
    ):
        load_data(tmp_path)  # type: ignore[arg-type]


def test_invalid_split_or_seed() -> None:
    with pytest.raises(OptionError, match="split 'tset' is not known; did you mean 'test'"):
        load_data("strokes", split="tset")
    with pytest.raises(OptionError, match="a seed must be an integer of at least 0; received: -1"):
        load_data("strokes", seed=-1)


def test_folder_needs_an_input_spec(tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match="needs the size to which its images are scaled; add --size"
    ):
        load_data(f"folder:{tmp_path}")


SPEC = InputSpec(12, 12)


@pytest.mark.parametrize("split", ["train", "test", "all"])
def test_load_folder_is_the_same_as_load_data(picture_folder: Path, split: str) -> None:
    by_name = load_data(f"folder:{picture_folder}", split=split, input_spec=SPEC, seed=3)
    for path in (picture_folder, str(picture_folder)):
        by_path = load_folder(path, split=split, input_spec=SPEC, seed=3)
        assert (by_path.images == by_name.images).all()
        assert (by_path.labels == by_name.labels).all()
        assert (by_path.classes, by_path.name) == (by_name.classes, by_name.name)
    assert len(by_name) == {"train": 240, "test": 60, "all": 300}[split]


def test_load_folder_expands_the_home_folder(
    picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(picture_folder.parent))
    monkeypatch.setenv("USERPROFILE", str(picture_folder.parent))
    assert len(load_folder("~/pictures", split="all", input_spec=SPEC)) == 300


@pytest.mark.parametrize(
    ("path", "options", "kind"),
    [
        ("", {"input_spec": SPEC}, OptionError),
        ("nowhere", {"input_spec": SPEC}, DataNotFoundError),
        ("nowhere", {}, OptionError),
        ("nowhere", {"input_spec": SPEC, "split": "tset"}, OptionError),
        ("nowhere", {"input_spec": SPEC, "seed": -1}, OptionError),
    ],
)
def test_load_folder_raises_the_same_errors_as_load_data(
    path: str, options: dict[str, Any], kind: type[PocketlensError]
) -> None:
    with pytest.raises(kind) as by_path:
        load_folder(path, **options)
    with pytest.raises(kind) as by_name:
        load_data(f"folder:{path}", **options)
    assert str(by_path.value) == str(by_name.value)


def test_load_folder_takes_only_paths() -> None:
    with pytest.raises(OptionError, match="must be a string or a Path; received: 7; expected, for"):
        load_folder(7, input_spec=SPEC)  # type: ignore[arg-type]


def test_images_have_the_requested_size_and_colors(tiny_mnist: dict[str, bytes]) -> None:
    strokes = load_data("strokes", split="test", input_spec=InputSpec(20, 20, "rgb"))
    assert strokes.images.shape == (2000, 20, 20, 3)
    assert (strokes.images[..., 0] == strokes.images[..., 2]).all()


def test_catalog_matches_the_sources(tiny_mnist: dict[str, bytes]) -> None:
    table = {source.name: source for source in CATALOG}
    names = ["auto", *SETS, "strokes", "doodles", "quickdraw:NAMES", "folder:PATH", "csv:PATH"]
    assert list(table) == names
    assert {name.partition(":")[0] for name in names} == set(SOURCES.builtin)
    for name, idx_set in SETS.items():
        counts = [file.size - 8 for file in (idx_set.train[1], idx_set.test[1])]
        assert counts == [table[name].train, table[name].test] or name == "mnist"
    assert {"train": table["strokes"].train, "test": table["strokes"].test} == COUNTS
    count = len(things())
    assert (table["doodles"].train, table["doodles"].test) == (1000 * count, 50 * count)
    assert (
        f"{count} everyday things, from {things()[0]} to {things()[-1]},"
        in table["doodles"].description
    )
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
