"""`pocketlens evaluate --suite`, of a run and of its Core ML file."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import pytest

from command_line import error_of, output_of, run_command
from pocketlens.evaluation.robustness import SuiteResult


@pytest.fixture(scope="module")
def source(bars_run: Path) -> str:
    return str(json.loads((bars_run / "data.json").read_text())["source"])


def test_the_suite_of_a_run_is_in_its_folder(bars_run: Path) -> None:
    (bars_run / "suite").mkdir()
    for name in ("suite.json", "earlier.svg"):  # what an earlier call wrote is replaced
        (bars_run / "suite" / name).touch()
    status, text, said = run_command("evaluate", bars_run, "--suite", "--limit", 8)
    assert status == 0
    assert [line for line in said.splitlines() if line.endswith("…")] == [
        f"{name} …"
        for name in ("clean", "corruptions", "turns", "scale", "position", "polarity", "rejection")
    ]
    for words in ("Clean images", "zigzag", "Turned images", "AUROC", "Left out: camera"):
        assert words in text
    assert f"wrote {bars_run / 'suite'} (8 files)" in text
    kept = SuiteResult.from_dict(json.loads((bars_run / "suite" / "suite.json").read_text()))
    assert kept.limit == 8
    assert kept.classes == ("lies", "slants", "stands")
    clean = kept.table("clean")
    assert clean is not None
    assert clean.scores[0][0].n == 60
    assert (bars_run / "suite" / "corruptions.svg").stat().st_size > 1000
    assert not (bars_run / "suite" / "earlier.svg").exists()


def test_a_core_ml_file_gives_the_same(bars_run: Path, source: str, tmp_path: Path) -> None:
    of_run = json.loads(output_of("evaluate", bars_run, "--suite", "--limit", 4, "--json"))
    model = bars_run / "Bars.mlpackage"
    words = ["evaluate", model, "--data", source, "--suite", "--limit", 4]
    of_file = json.loads(output_of(*words, "--json", "--out", tmp_path / "out"))
    assert [Path(f).name for f in of_file["files"]][:2] == ["suite.json", "clean.svg"]
    assert all(Path(f).is_file() for f in of_file["files"])
    for one, other in zip(of_run["tables"], of_file["tables"], strict=True):
        for a, b in zip(chain(*one["scores"]), chain(*other["scores"]), strict=True):
            assert (a["n"], a["accuracy"]) == (b["n"], b["accuracy"])
    assert of_file["rejection"]["auroc"] == pytest.approx(of_run["rejection"]["auroc"], abs=0.07)
    # Without --out, a file's tables are only printed.
    before = sorted(bars_run.iterdir())
    assert json.loads(output_of(*words, "--json"))["files"] == []
    assert sorted(bars_run.iterdir()) == before


def test_invalid_options_are_rejected_before_the_suite_starts(
    bars_run: Path, source: str, tmp_path: Path
) -> None:
    assert (
        "--limit, --out cannot be used here: only --suite uses them; add --suite, or"
        in error_of("evaluate", bars_run, "--limit", 3, "--out", tmp_path / "out")
    )
    assert "contains no images; add --data SOURCE, such as --data mnist" in error_of(
        "evaluate", bars_run / "Bars.mlpackage", "--suite"
    )
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").touch()
    words = ["evaluate", bars_run, "--suite", "--out", taken]
    assert "taken exists; choose another output or pass --force" in error_of(*words)
    assert "does not contain the results of a suite" in error_of(*words, "--force")
    assert run_command("evaluate", bars_run, "--suite", "--limit", 0)[0] == 2
    assert run_command("evaluate", bars_run, "--suite", "--threshold", 1.2)[0] == 2


def test_an_interrupted_suite_leaves_nothing(
    bars_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pocketlens.evaluation.robustness.examination.empty_scenes", interrupt)
    out = tmp_path / "out"
    status, _, _ = run_command("evaluate", bars_run, "--suite", "--limit", 1, "--out", out)
    assert status == 130
    assert list(tmp_path.iterdir()) == []
