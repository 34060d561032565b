"""The runner of coremltools' own tests: the sample, the results, the tables, and a real test."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "conformance"
TEST = "coremltools/converters/mil/mil/ops/tests/iOS14/test_pool.py::TestMaxPool"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    # The folder is no package: its modules can be imported only with it on the path.
    return import_module("run"), import_module("table")


def result(test: str, outcome: str, **more: Any) -> dict[str, Any]:
    return {"id": test, "outcome": outcome, "reason": "", "predictions": 1, "ops": []} | more


def test_sample_depends_only_on_seed_and_test(modules: Any) -> None:
    run, _ = modules
    tests = [f"coremltools/test_{number}" for number in range(5000)]
    first = [test for test in tests if run.in_sample(test, 0.1, 1)]
    assert 400 < len(first) < 600
    assert first == [test for test in reversed(tests) if run.in_sample(test, 0.1, 1)][::-1]
    assert first != [test for test in tests if run.in_sample(test, 0.1, 2)]
    assert all(run.in_sample(test, 1.0, 1) for test in tests)


def test_some_tests_of_each_function(modules: Any) -> None:
    run, _ = modules
    tests = [f"coremltools/x::{name}[{number}]" for name in "abc" for number in range(9)]
    tests += ["coremltools/x::alone"]
    chosen = run.some_of_each(tests, 4, 1)
    assert [test.partition("[")[0][-1] for test in chosen] == [*"aaaabbbbcccce"]
    assert chosen == [test for test in tests if test in chosen]
    assert set(chosen) < set(run.some_of_each(tests, 5, 1))
    assert chosen != run.some_of_each(tests, 4, 2)


def test_only_stars_are_special_in_a_pattern(modules: Any) -> None:
    _, table = modules
    assert table.matches("a[b]*", "a[b]c=(1, 2)")
    assert not table.matches("a[b]*", "ab")
    assert table.matches("a*c", "a\n\nc"), "an array among the parameters may contain line breaks"
    assert not table.matches("a.c", "abc")


def test_the_score(modules: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, table = modules
    (tmp_path / "e.toml").write_text(
        '[[exception]]\ntest = "coremltools/x/b"\ncause = "random"\n'
        '[[exception]]\ntest = "*"\nreason = "TypeError*"\ncause = "NumPy"\n'
    )
    score = table.Score({"x": ("x/",)}, table.Exceptions.read(tmp_path / "e.toml"))
    op = [["mil", "relu"]]
    score.add(result("coremltools/x/a", "passed", ops=op))
    score.add(result("coremltools/x/b", "failed", ops=op))
    score.add(result("coremltools/x/c", "failed", reason="TypeError: old"))
    score.add(result("coremltools/x/d", "passed", predictions=0))
    score.add(result("coremltools/x/e", "skipped", reason="no TensorFlow"))
    score.add(result("coremltools/x/f", "xfailed"))
    assert score.unexpected == 0
    assert score.report() == 0
    score.add(result("coremltools/x/g", "failed", reason="wrong by 1"))
    score.add(result("coremltools/x/b", "passed"))
    assert score.unexpected == 2
    assert score.report() == 1
    said = capsys.readouterr().out
    assert "failed: coremltools/x/g\n        wrong by 1" in said
    assert "passed, but listed in exceptions.toml: coremltools/x/b" in said
    table.write_table(score, tmp_path / "out")
    written = json.loads((tmp_path / "out" / "table.json").read_text())
    suite = written["suites"]["x"]
    assert suite["outcomes"] == {
        "expected": 1, "failed": 1, "listed": 2, "passed": 2, "skipped": 1, "without": 1
    }  # fmt: skip
    assert suite["ops"] == {"mil": {"relu": {"passed": 1, "listed": 1}}}
    assert suite["listed"] == {"random": 1, "NumPy": 1}
    text = (tmp_path / "out" / "TABLE.md").read_text()
    assert "| relu | 1 | 0 | 1 | 0 | 0 | 0 |" in text
    assert "- `coremltools/x/g`: wrong by 1" in text


def test_repeated_suite_replaces_its_own_results(modules: Any, tmp_path: Path) -> None:
    _, table = modules
    suites = {"x": ("x/",), "y": ("y/",)}

    def write(*results: dict[str, Any]) -> dict[str, Any]:
        score = table.Score(suites, table.Exceptions(()))
        score.expect([each["id"] for each in results], {"coremltools/x/z.py": "no TensorFlow"})
        for each in results:
            score.add(each)
        table.write_table(score, tmp_path)
        found: dict[str, Any] = json.loads((tmp_path / "table.json").read_text())["suites"]
        return found

    relu, tanh = [["mil", "relu"]], [["mil", "tanh"]]
    write(
        result("coremltools/x/a", "failed", reason="wrong", ops=relu),
        result("coremltools/y/a", "passed", ops=[*relu, *tanh]),
    )
    found = write(result("coremltools/x/a", "passed", ops=relu))
    assert {name: suite["outcomes"] for name, suite in found.items()} == {
        "x": {"passed": 1},
        "y": {"passed": 1},
    }
    assert (found["x"]["run"], found["x"]["of"]) == (1, 1)
    text = (tmp_path / "TABLE.md").read_text()
    assert "| relu | 2 | 0 |" in text and "| tanh | 1 | 0 |" in text
    assert "`coremltools/x/z.py`: no TensorFlow" in text and "wrong" not in text


def test_exception_without_a_cause_is_rejected(modules: Any, tmp_path: Path) -> None:
    _, table = modules
    (tmp_path / "e.toml").write_text('[[exception]]\ntest = "a"\n')
    with pytest.raises(SystemExit, match="expected test, cause and optionally reason; received"):
        table.Exceptions.read(tmp_path / "e.toml")


def test_the_exceptions_are_well_formed(modules: Any) -> None:
    _, table = modules
    rows = table.Exceptions.read(FOLDER / "exceptions.toml").rows
    assert rows
    assert len({row[:2] for row in rows}) == len(rows)


@pytest.mark.slow  # `.ci/run` runs a sample of them, too
def test_a_coremltools_test_predicts_here(modules: Any) -> None:
    """One test in a separate process; coremltools itself compares the numbers."""
    run, _ = modules
    backend = "BackendConfig(backend='neuralnetwork', precision='fp32', opset_version="
    test = (
        f"{TEST}::test_builder_to_backend_smoke[compute_unit=ComputeUnit.CPU_ONLY-backend="
        f"{backend}<AvailableTarget.iOS14: 5>)-num_dims=2]"
    )
    gone = f"{TEST}::test_that_is_not_there"
    done = {each["id"]: each for each in run.Suite().run([test, gone], limit=120)}
    assert done[test]["outcome"] == "passed"
    assert done[test]["predictions"] >= 1
    assert ["neural_network", "pooling"] in done[test]["ops"]
    assert done[gone]["outcome"] == "failed"
    assert "its process ended with" in done[gone]["reason"]


def test_random_data_set_is_reproducible_and_writable(modules: Any) -> None:
    stand_ins = import_module("stand_ins")

    first, second = stand_ins.boston(), stand_ins.boston()
    assert first["data"].shape == (506, 13) and first["target"].shape == (506,)
    assert len(first["feature_names"]) == 13
    before = second["data"].copy()
    assert (first["data"] == before).all() and (first["target"] == second["target"]).all()
    first["data"][1, 8] = float("nan")
    assert (second["data"] == before).all()
