"""Whatever the process of a model does, there is one error that says what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from coreai_assets import written
from pocketlens.coreai import load, session
from pocketlens.errors import CoreAIError

FAILURES = {
    "crash": r"interpreter crashed while running it \(SIGSEGV\): invalid index; it was written by "
    r"coreai-core 0.9, and here is coreai-core",
    "hang": r"was stopped: a run took more than 0.5 seconds, the time limit; .*time_limit=1\)",
    "memory": r"needs more than 9.31e-07 GiB of memory; .* load\(path, max_memory=2000\)",
    "error": "interpreter refuses it: not; it was written by coreai-core 0.9",
    "other outputs": "answers with other arrays than the model declares",
    "too few bytes": "answers with other arrays than the model declares",
    "too many bytes": "answers with other arrays than the model declares",
    "objects": "answers with other arrays than the model declares",
    "negative shape": "answers with other arrays than the model declares",
    "no functions": "has no functions; convert or download it again",
    "wrong functions": "its functions cannot be read",
    "huge": "interpreter crashed while reading it",
    "garbage": "interpreter crashed while reading it",
    "a list": "interpreter crashed while reading it",
}


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CHILD", "odd_child")
    monkeypatch.setattr(session, "OVERHEAD", 4 << 30)
    monkeypatch.setattr(session, "require_core_ai", lambda *_, **__: None)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.skipif(sys.platform != "linux", reason="finds its pipe in /proc")
def test_failures_are_one_error(
    name: str, odd: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODD", name)
    path = written(tmp_path, {"producer": "coreai-core 0.9"})
    with pytest.raises(CoreAIError, match=FAILURES[name]) as raised:
        load(path, max_memory=1000, time_limit=0.5).run({"x": np.zeros(2)})
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_the_process_starts_again(
    odd: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODD", "crash")
    model = load(written(tmp_path), max_memory=1000)
    with pytest.raises(CoreAIError, match="crashed"):
        model.run({"x": [1, 2]})
    monkeypatch.setenv("ODD", "")
    np.testing.assert_array_equal(model.run({"x": [1, 2]})["x"], [0, 0])
    folder = model._session._folder
    assert folder.is_dir()
    model.close()
    assert not folder.exists()
    with pytest.raises(CoreAIError, match="has been closed; load it again"):
        model.run({"x": [1, 2]})


def test_a_model_that_is_forgotten_ends_its_process(
    odd: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODD", "")
    model = load(written(tmp_path), max_memory=1000)
    (process,) = model._session._running
    del model
    assert process.child.poll() is not None


def test_a_process_that_cannot_be_started(
    odd: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("subprocess.Popen", fail)
    with pytest.raises(CoreAIError, match="no process can be started: Too many open files; end"):
        load(written(tmp_path), max_memory=1000)
