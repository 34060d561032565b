"""`compress`: what is chosen, what is written, and what is said about bad input."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pocketlens
from command_line import error_of, run_command
from pocketlens.compression import compress
from pocketlens.conversion.compression.measuring import Measured
from pocketlens.conversion.compression.results import Candidate, Compressed, smallest_within
from pocketlens.coreml import inspect, load
from pocketlens.errors import ConversionError, DataError, OutputExistsError
from pocketlens.files import size_on_disk
from pocketlens.recognizer import Recognizer
from pocketlens.run_folder import read_run


@pytest.fixture(scope="module")
def bars_run(bars_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, because the command keeps its result in the run."""
    return shutil.copytree(bars_run, tmp_path_factory.mktemp("compressed") / "bars")


@pytest.fixture(scope="module")
def model(bars_run: Path) -> Path:
    found = read_run(bars_run).model
    assert found
    return found


def test_the_smallest_within_the_budget_is_written(bars_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "Small.mlpackage"
    kinds = ["linear-8", "palette-8", "palette-6", "palette-2"]
    found = compress(bars_run, out, max_loss=2, kinds=kinds)
    assert found.path == out
    within = [each for each in found.candidates if each.within]
    assert found.best == min(within, key=lambda each: each.bytes)
    assert sorted(each.kind for each in found.candidates) == sorted(kinds)
    assert found.best.bytes == size_on_disk(out) < found.original.bytes
    run = read_run(bars_run)
    assert run.model
    original, small = load(run.model), load(out)
    assert (small.classes, small.input_spec) == (original.classes, original.input_spec)
    assert small.thresholds == original.thresholds
    assert inspect(out)["compressed"]
    test = run.load("test")
    for row in (found.original, found.best):
        assert row.reported_on.images == len(test)
        low, high = row.reported_on.interval
        assert low <= row.reported_on.accuracy <= high
    wanted = original.probabilities(test.images)
    got = small.probabilities(test.images)
    assert found.best.reported_on.max_difference == pytest.approx(np.abs(got - wanted).max())
    assert found.best.reported_on.agreement == (got.argmax(1) == wanted.argmax(1)).mean()
    with pytest.raises(OutputExistsError, match="exists; choose another output or pass --force"):
        compress(bars_run, out, kinds=["linear-8"])


def test_learned_palettes_are_in_the_file(bars_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "Small.mlpackage"
    found = compress(bars_run, out, max_loss=100, kinds=["trained-2", "palette-2"])
    trained, plain = (
        next(each for each in found.candidates if each.kind == name)
        for name in ("trained-2", "palette-2")
    )
    assert trained.bytes == pytest.approx(plain.bytes, rel=0.05)
    assert trained.chosen_on.agreement >= plain.chosen_on.agreement
    assert trained.chosen_on.max_difference < plain.chosen_on.max_difference


def test_a_neural_network_beside_its_run(bars_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(bars_run, tmp_path / "run")
    file = pocketlens.convert(Recognizer.load(run), run / "Other.mlmodel")
    found = compress(file, max_loss=100, kinds=["trained-2", "linear-8"])
    assert found.path == run / "Other-small.mlmodel"
    assert [each.kind for each in found.candidates] == ["trained-2", "linear-8"]
    assert {each.ios for each in found.candidates} == {found.original.ios}
    assert inspect(found.path)["compressed"]["palettized"] >= 1
    other = Recognizer.load(run)
    with torch.no_grad():
        for parameter in other.network.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    strange = pocketlens.convert(other, run / "Strange.mlmodel", check=False)
    found = compress(strange, max_loss=100, kinds=["trained-2", "linear-8"])
    assert found.chosen == "linear-8"
    assert found.notes[-1].startswith("trained-2 left out: the run's weights are not those of")


def candidate(kind: str, size: int, loss: float, **changes: Any) -> Candidate:
    measured = Measured(100, 1 - loss / 100, (0.9, 1.0), 0.99, 0.1)
    whole = Candidate(
        kind, "", 16, size, 1000 / size, measured, measured, loss, loss, 1.0, loss <= 0.3
    )
    return replace(whole, **changes)


def test_the_choice() -> None:
    rows = [candidate("a", 100, 5.0), candidate("b", 200, 0.3), candidate("c", 300, 0.0)]
    assert smallest_within(rows) == rows[1]
    larger = candidate("d", 1100, 0.0)
    assert smallest_within([rows[0], larger]) is None
    assert smallest_within([]) is None


def test_nothing_is_written_without_a_candidate(
    bars_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pocketlens.compression.smallest_within", lambda _: None)
    out = tmp_path / "Small.mlpackage"
    words = ["compress", bars_run, "--out", out, "--kinds", "palette-2", "--max-loss", "0"]
    status, text, err = run_command(*words)
    assert status == 1
    assert "palette-2" in text
    assert "no candidate is smaller and loses at most 0 percentage points; nothing was" in err
    assert list(tmp_path.iterdir()) == []


def test_json_and_figure(bars_run: Path, tmp_path: Path) -> None:
    out, figure = tmp_path / "Small.mlpackage", tmp_path / "size.svg"
    words = ["compress", bars_run, "--out", out, "--kinds", "linear-8", "--max-loss", "5"]
    status, text, err = run_command(*words, "--json", "--figure", figure)
    assert status == 0, err
    found = json.loads(text)
    assert (found["path"], found["chosen"], found["max_loss"]) == (str(out), "linear-8", 5.0)
    assert found["candidates"][0]["bytes"] == size_on_disk(out)
    assert figure.read_text().startswith("<?xml")
    assert "a figure must be a .png or .svg file" in error_of(*words, "--figure", "x.pdf")


def test_the_report_shows_what_was_measured(bars_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(bars_run, tmp_path / "run")
    words = ["--kinds", "linear-8,palette-4", "--max-loss", "5", "--force"]
    (run / "figures" / "compression.svg").unlink(missing_ok=True)
    status, text, err = run_command("compress", run, *words)
    assert status == 0, err
    assert text.splitlines()[-1] == f"wrote {run / 'report.html'}"
    page = (run / "report.html").read_text()
    assert "and of smaller versions of it, against their accuracy" in page
    found = json.loads((run / "compression.json").read_text())
    assert {each["kind"] for each in found["candidates"]} == {"linear-8", "palette-4"}
    assert "compression.svg" in read_run(run).figures
    assert not read_run(run).missing
    found["made_from"]["model"] = "of another file"
    (run / "compression.json").write_text(json.dumps(found))
    assert "compression.svg" not in read_run(run).figures


def test_other_images_are_divided(model: Path, picture_folder: Path, tmp_path: Path) -> None:
    alone = shutil.copytree(model, tmp_path / "Alone.mlpackage")
    source = f"folder:{picture_folder}"
    found = compress(alone, data=source, kinds=["linear-8"], max_loss=100)
    assert found.path == tmp_path / "Alone-small.mlpackage"
    assert found.original.chosen_on.images == found.original.reported_on.images == 150


@pytest.mark.parametrize("value", ["-0.1", "nan", "100.1", "inf"])
def test_budgets_that_are_no_percentage_points(value: str, bars_run: Path) -> None:
    text = error_of("compress", bars_run, f"--max-loss={value}")
    assert "--max-loss) is in percentage points of accuracy, from 0 to 100" in text
    assert f"received: {float(value)!r}" in text


def test_bad_input(
    bars_run: Path, model: Path, tmp_path: Path, save_network: Callable[[Path], Path]
) -> None:
    alone = shutil.copytree(model, tmp_path / "Alone.mlpackage")
    assert "contains no images to measure the loss on; add them with --data" in error_of(
        "compress", alone
    )
    rows: list[tuple[list[object], str]] = [
        (["--kinds", "palete-4"], "did you mean 'palette-4'?"),
        (["--kinds", ","], "no kind of compression is named; expected some of: linear-8"),
        (["--kinds", "grouped-4"], "it needs iOS 18, and"),
        (["--ios", "15"], "needs iOS 16 already; leave it out, or pass 18"),
        (["--out", tmp_path / "x.mlmodel"], "must end in .mlpackage"),
        (["--out", model], "is the file to compress"),
        (["--data", "minst"], "minst"),
    ]
    for words, expected in rows:
        assert expected in error_of("compress", bars_run, *words), words
    assert "pass a run folder instead of a file" in error_of(
        "compress", alone, "--data", "strokes", "--kinds", "trained-4"
    )
    (tmp_path / "notes.txt").write_text("a")
    assert "is neither a run folder nor a Core ML file" in error_of(
        "compress", tmp_path / "notes.txt"
    )
    arrays = save_network(tmp_path / "Arrays.mlmodel")
    with pytest.raises(ConversionError, match="not an image classifier, so its accuracy cannot"):
        compress(arrays, data="strokes")


def test_a_run_whose_images_are_gone(bars_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(bars_run, tmp_path / "run")
    for name in ("recipe.toml", "data.json"):
        text = (run / name).read_text()
        source = read_run(bars_run).recipe.data.source
        (run / name).write_text(text.replace(source, f"folder:{tmp_path / 'gone'}"))
    with pytest.raises(DataError, match="gone.*to compress with other images: pocketlens compr"):
        compress(run)


def test_the_table() -> None:
    original = candidate("original", 1000, 0.0)
    found = Compressed(original, (candidate("palette-4", 250, 0.2),), "palette-4", None, 0.3)
    lines = str(found).splitlines()
    assert lines[2].startswith("> palette-4")
    assert "4.00×" in lines[2]
    assert "99.80 % (90.00 % to 100.00 %)" in lines[2]
    assert pocketlens.Compressed is Compressed


@pytest.fixture
def save_network() -> Callable[[Path], Path]:
    """Writes a neural network from arrays to arrays."""

    def save(path: Path) -> Path:
        from coremltools.models import datatypes, utils
        from coremltools.models.neural_network import NeuralNetworkBuilder

        builder = NeuralNetworkBuilder([("x", datatypes.Array(64))], [("y", datatypes.Array(64))])
        weights = np.random.default_rng(0).standard_normal((64, 64))
        builder.add_inner_product("inner", weights, np.zeros(64), 64, 64, True, "x", "y")
        utils.save_spec(builder.spec, str(path))
        return path

    return save
