"""The trials of a sweep: their files, the best one, the Pareto front, and one that is tried."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pocketlens.errors import RunError
from pocketlens.run_folder import read_run
from pocketlens.scale.figures import importances
from pocketlens.scale.search import parse_space
from pocketlens.scale.trial import Budget, try_recipe
from pocketlens.scale.trials import TRIALS, Trial, best_of, front, read_trials, write_trial
from pocketlens.scale.tuning import Plan, score_of

DONE = Trial(1, {"a": 0.5}, "done", (0.8, 0.9), 0.9, 100, 4000, 0.5, 10)


def test_a_file_gives_the_same_trial(tmp_path: Path) -> None:
    (tmp_path / TRIALS).mkdir()
    failed = Trial(12, {"a": 1 / 3}, "failed", reason="no <b>space</b> left")
    for each in (failed, DONE):
        write_trial(tmp_path, each)
    assert read_trials(tmp_path) == [DONE, failed]


@pytest.mark.parametrize("text", ["", "[]", '{"number": 1}', '{"number": "1"}'])
def test_a_damaged_file(tmp_path: Path, text: str) -> None:
    (tmp_path / TRIALS).mkdir()
    write_trial(tmp_path, DONE)
    (tmp_path / TRIALS / "0001.json").write_text(text)
    with pytest.raises(RunError, match=r"0001.json"):
        read_trials(tmp_path)


def test_the_best_trial() -> None:
    small = replace(DONE, number=2, bytes=3000)
    stopped = replace(DONE, number=3, state="stopped", accuracy=None, epochs=(0.99,))
    over = replace(DONE, number=4, state="over budget", accuracy=0.95)
    assert best_of([DONE, small, stopped, over]) == small
    assert best_of([stopped, over]) is None
    assert [score_of(each) for each in (DONE, stopped, over)] == [0.9, 0.99, -1.0]
    assert DONE.interval == pytest.approx((0.8256, 0.9448), abs=1e-4)
    assert stopped.interval is None


def test_the_front() -> None:
    cheap = replace(DONE, number=2, bytes=1000, accuracy=0.7)
    worse = replace(DONE, number=3, bytes=2000, accuracy=0.6)
    equal = replace(DONE, number=4, bytes=5000, accuracy=0.9)
    assert [each.number for each in front([DONE, cheap, worse, equal], "bytes")] == [2, 1]
    assert front([replace(DONE, state="failed")], "milliseconds") == []


def test_what_is_over_the_budget() -> None:
    assert Budget(1000, 2.0).excess(1000, 2.0) == (0.0, "")
    ratio, why = Budget(1000, 2.0).excess(1500, 5.0)
    assert ratio == pytest.approx(1.5)
    assert why == "1.5 KB, over 1.0 KB; 5 ms an image, over 2 ms"
    assert not Budget()


def test_the_key_that_matters() -> None:
    pytest.importorskip("optuna")
    space = parse_space(["a=0.0..1.0", "b=0.0..1.0", "c=x,y"])
    trials = [
        Trial(n, {"a": n / 40, "b": n * 7 % 40 / 40, "c": n % 2}, "done", (), n / 40, 100)
        for n in range(40)
    ]
    found = importances(trials, space)
    assert set(found) == {"a", "b", "c"}
    assert found["a"] > 0.8
    assert importances(trials[:5], space) == {}


def test_the_most_epochs(bars_run: Path) -> None:
    recipe = read_run(bars_run).recipe
    space = parse_space(["training.epochs=2..7", "training.weight_decay=0..0.1"])
    plan = Plan(recipe, space, 1, "random", 0.1, Budget(), 1, 0, 0)
    assert plan.most_epochs == 7
    assert replace(plan, space=space[1:]).most_epochs == recipe.training.epochs


@pytest.fixture
def told() -> list[dict[str, Any]]:
    return []


def test_a_recipe_is_tried(bars_run: Path, told: list[dict[str, Any]]) -> None:
    recipe = read_run(bars_run).recipe.replace(training={"epochs": 2})
    space = parse_space(["network.channels=[4,8],[64,64]", "training.learning_rate=0.01..0.1"])
    options: dict[str, Any] = {"text": recipe.to_toml(), "space": space, "held": 0.2}

    def reported(budget: Budget, channels: int) -> list[dict[str, Any]]:
        told.clear()
        place = {"network.channels": channels, "training.learning_rate": 0.05}
        try_recipe(place, budget=budget, report=told.append, **options)
        return told

    first, last = reported(Budget(bytes=20_000), 0)
    assert first["state"] == "stopped"  # unless there is more to come
    assert first["score"] == first["epochs"][0]
    assert last["state"] == "done"
    assert last["score"] == last["accuracy"] > 0.3
    assert 3000 < last["bytes"] < 20_000
    assert len(last["epochs"]) == 2
    assert last["images"] == 48  # of 240 training images
    assert last["milliseconds"] > 0
    (over,) = reported(Budget(bytes=20_000), 1)
    assert over["state"] == "over budget"
    assert over["score"] == pytest.approx(1 - over["bytes"] / 20_000)
    assert over["epochs"] == []  # it was not trained


def test_a_recipe_that_cannot_be(bars_run: Path, told: list[dict[str, Any]]) -> None:
    recipe = read_run(bars_run).recipe
    space = parse_space(["network.name=strided,plain", "network.channels=[4],[8]"])
    options: dict[str, Any] = {"held": 0.2, "budget": Budget(), "report": told.append}
    place = {"network.name": 1, "network.channels": 0}  # plain has no channels
    try_recipe(place, text=recipe.to_toml(), space=space, **options)
    assert [each["state"] for each in told] == ["failed"]
    assert "channels" in told[0]["reason"]
