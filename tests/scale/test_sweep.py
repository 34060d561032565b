"""Sweeps on a real Ray, started by the test: on this computer, all on the loopback interface."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from command_line import error_of
from pocketlens.errors import CheckFailedError, OutputExistsError
from pocketlens.run_folder import read_run
from pocketlens.scale import read_sweep, sweep
from pocketlens.scale.trials import Trial

if find_spec("ray") is None:
    pytest.skip("Ray is not installed", allow_module_level=True)

SEARCH = ["training.learning_rate=log:0.005..0.1", "network.channels=[4,8],[8,16]"]


@pytest.fixture
def recipe(bars_run: Path, tmp_path: Path) -> Path:
    changed = read_run(bars_run).recipe.replace(training={"epochs": 3})
    path = tmp_path / "bars.toml"
    path.write_text(changed.to_toml())
    return path


@pytest.mark.slow
def test_a_sweep_finds_trains_and_checks_a_recipe(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    ended: list[Trial] = []
    found = sweep(
        recipe, SEARCH, trials=3, out=out, held=0.2, max_bytes=1_000_000,
        watch=lambda trial, end: ended.append(trial) if end else None,
    )  # fmt: skip
    assert sorted(each.number for each in ended) == [1, 2, 3]
    assert found == read_sweep(out)
    assert found.best is not None
    assert found.run is not None
    assert found.run.parity is not None
    assert found.run.parity.passed
    assert found.run.recipe.training.learning_rate == pytest.approx(
        found.best.coordinates["training.learning_rate"]
    )
    page = (out / "report.html").read_text()
    assert "http" not in page.replace('http-equiv="Content', "").replace("http://www.w3.org", "")
    for each in found.trials:
        assert f'<th scope="row">{each.number}' in page
    with pytest.raises(OutputExistsError, match="continue it with --resume, or start again"):
        sweep(recipe, SEARCH, trials=3, out=out, held=0.2, max_bytes=1_000_000)
    # Nothing is left to do: no process is started.
    again = sweep(recipe, SEARCH, trials=3, out=out, held=0.2, max_bytes=1_000_000, resume=True)
    assert again == found


@pytest.mark.slow
@pytest.mark.parametrize("method", ["random", "bayesian"])
def test_more_trials_later(recipe: Path, tmp_path: Path, method: str) -> None:
    options = {"out": tmp_path / "s", "method": method, "train_best": False, "held": 0.2}
    first = sweep(recipe, SEARCH, trials=2, **options)  # type: ignore[arg-type]
    second = sweep(recipe, SEARCH, trials=4, resume=True, **options)  # type: ignore[arg-type]
    assert second.trials[:2] == first.trials
    assert len({each.coordinates["training.learning_rate"] for each in second.trials}) == 4
    with pytest.raises(OutputExistsError, match="another sweep: search differ"):
        sweep(recipe, SEARCH[:1], trials=4, resume=True, **options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_nothing_within_the_budget(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckFailedError, match=r"none of 2 trials is within the budget of 1.0 KB"):
        sweep(recipe, SEARCH, trials=2, out=tmp_path / "s", held=0.2, max_bytes=1000)
    assert "No trial is done and within the budget" in (tmp_path / "s" / "report.html").read_text()


def start(recipe: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    program = Path(sys.executable).with_name("pocketlens")
    words = [word for each in SEARCH for word in ("--search", each)]
    return subprocess.Popen(
        [program, "sweep", recipe, *words, "--held", "0.2", "--trials", "6", "--out", out, *options,
         "--only-search"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )  # fmt: skip


def finished(out: Path) -> list[Path]:
    return sorted((out / "trials").glob("*.json"))


def wait_for_a_trial(out: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(2400):
        if finished(out) or process.poll() is not None:
            break
        time.sleep(0.05)
    assert finished(out), process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_what_was_finished_is_kept(recipe: Path, tmp_path: Path, stop: signal.Signals) -> None:
    out = tmp_path / "s"
    process = start(recipe, out)
    wait_for_a_trial(out, process)
    if stop == signal.SIGINT:
        process.send_signal(stop)
    else:
        os.killpg(process.pid, stop)  # a computer that goes off
    _, err = process.communicate(timeout=120)
    if stop == signal.SIGINT:
        assert process.returncode == 130
        assert "Traceback" not in err
    kept = {path.name: path.read_bytes() for path in finished(out)}
    assert kept
    _, err = start(recipe, out, "--resume").communicate(timeout=300)
    assert len(finished(out)) == 6, err
    assert {name: (out / "trials" / name).read_bytes() for name in kept} == kept


@pytest.mark.slow
def test_a_process_that_dies_is_replaced(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "s"
    process = start(recipe, out)
    wait_for_a_trial(out, process)
    listed = subprocess.run(
        ["ps", "-eo", "pid,sess,args"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    workers = [line.split() for line in listed.splitlines() if "ray::" in line and "_train" in line]
    mine = [int(pid) for pid, *_ in workers]
    if mine:
        os.kill(mine[0], signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    states = [json.loads(path.read_text())["state"] for path in finished(out)]
    assert len(states) == 6
    assert set(states) <= {"done", "stopped"}


@pytest.mark.slow
def test_two_sweeps_in_one_folder(recipe: Path, tmp_path: Path) -> None:
    first = start(recipe, tmp_path / "s")
    for _ in range(600):
        if (tmp_path / "s" / "sweep.json").exists():
            break
        time.sleep(0.05)
    _, err = start(recipe, tmp_path / "s", "--resume").communicate(timeout=60)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    assert "another run is at work" in err


@pytest.mark.slow
def test_ray_listens_on_the_loopback_interface_only(tmp_path: Path) -> None:
    script = (
        "import subprocess\n"
        "from pocketlens.scale.cluster import connected\n"
        "with connected() as ray:\n"
        "    print(ray.get(ray.remote(lambda: 7).remote()))\n"
        "    print(subprocess.run(['ss', '-Hltnp'], capture_output=True, text=True).stdout)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True
    )
    first, *lines = done.stdout.splitlines()
    assert first == "7"
    ray = [line for line in lines if any(name in line for name in ("gcs_", "raylet", "ray::"))]
    assert ray
    assert [line for line in ray if "127.0.0.1" not in line.split()[3]] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--search", "training.lr=0..1"], "unknown key training.lr"),
        (["--search", "seed=1..3", "--on", "ray:/x"], "an address must be local, ray://HOST:PORT"),
        (["--search", "seed=1..3", "--on", "host:99999"], "an address must be local"),
        (["--search", "seed=1..3", "--trials", "0"], "trials must be from 1 to 100000"),
        (["--search", "seed=1..3", "--held", "0.9"], "held must be from 0.01 to 0.5"),
        (["--search", "seed=1..3", "--method", "baysian"], "did you mean 'bayesian'?"),
        (["--search", "seed=1..3", "--max-bytes", "40 apples"], "a size must be such as 40kB"),
        ([], "a sweep needs something to search"),
    ],
)
def test_bad_options(recipe: Path, tmp_path: Path, options: list[str], message: str) -> None:
    assert message in error_of("sweep", recipe, "--out", tmp_path / "s", *options)
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
def test_an_address_that_does_not_answer(recipe: Path, tmp_path: Path) -> None:
    options = ("--search", "seed=1..3", "--out", tmp_path / "s", "--on", "ray://127.0.0.1:9")
    error = error_of("sweep", recipe, *options)
    assert "the Ray cluster ray://127.0.0.1:9 cannot be used" in error
    assert "leave out --on" in error
