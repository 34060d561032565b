"""A run that has learned nothing says so, everywhere."""

from __future__ import annotations

import json
from pathlib import Path

from command_line import output_of, run_command


def test_a_run_that_has_learned_nothing(picture_folder: Path, tmp_path: Path) -> None:
    settings = ["input.height=12", "input.width=12", "network.channels=[4, 8]", "name=bars"]
    settings += ["training.epochs=1", "training.batch_size=30", "training.learning_rate=1e-8"]
    words = [word for setting in settings for word in ("--set", setting)]
    folder = tmp_path / "run"
    start = ("quick", "--data", picture_folder, "--out", folder, *words)
    warned = json.loads(output_of("train", *start, "--json"))["warning"]
    assert "is no better than guessing among 3 classes (33.3 %)" in warned
    out = output_of("train", *start, "--force")
    assert out.splitlines()[0].startswith("WARNING: accuracy ")
    status, out, err = run_command("run", *start, "--resume")
    assert status == 0, err
    assert out.split()[0] == "WARNING"
    assert "WARNING: " in err  # as soon as the stage `evaluate` knows
    found = json.loads(output_of("run", *start, "--resume", "--json"))
    assert found["warning"]
    assert found["warning"] in (folder / "report.html").read_text().replace("&#39;", "'")
    assert output_of("evaluate", folder).startswith(f"WARNING: {found['warning']}\n")
    assert f"WARNING: {found['warning']}" in output_of("verify", folder)
    for path, key in (("parity.json", "parity"), ("metrics.json", "recognizer")):
        assert found["warning"] in json.dumps(
            json.loads((folder / path).read_text())[key], ensure_ascii=False
        )


def test_a_run_that_has_learned_says_nothing(bars_run: Path) -> None:
    assert json.loads(output_of("evaluate", bars_run, "--json"))["warning"] is None
    assert "WARNING" not in output_of("verify", bars_run)
