"""The page of a sweep: all trials, what they cost, and what each key does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pocketlens.files import size_text, temporary_folder, write_aside
from pocketlens.recipe import Recipe
from pocketlens.report.page import duration_text, page_environment
from pocketlens.report.page_figures import data_uri
from pocketlens.run_folder import Run
from pocketlens.scale.figures import draw_costs, draw_curves, draw_keys
from pocketlens.scale.search import Dimension, value_text
from pocketlens.scale.trial import Budget
from pocketlens.scale.trials import Trial, best_of, run_best

__all__ = ["write_page"]

MOST_ROWS = 200
"""The most trials in the table; beyond it, the best ones."""


def write_page(
    path: Path,
    recipe: Recipe,
    space: Sequence[Dimension],
    trials: Sequence[Trial],
    budget: Budget,
    run: Run | None,
) -> None:
    """Write the page of a sweep.

    Args:
        path: The page to write.
        recipe: The recipe that was varied.
        space: What was searched.
        trials: All trials that ended.
        budget: What the Core ML file may cost.
        run: The run of the best recipe; None if it was not trained.

    Raises:
        OutputError: It cannot be written.
    """
    found = list(trials)
    best = best_of(found)
    done = [each for each in found if each.state == "done"]
    pictures: dict[str, str | None] = {"costs": None, "curves": None, "keys": None}
    with temporary_folder() as folder:
        if done:
            pictures["costs"] = data_uri(draw_costs(found, folder / "costs.svg"))
            pictures["keys"] = data_uri(draw_keys(found, space, folder / "keys.svg"))
        if any(len(each.epochs) > 1 for each in found):
            pictures["curves"] = data_uri(draw_curves(found, folder / "curves.svg"))
    order = sorted(found, key=lambda each: (each is not best, each.state != "done",
                                            -(each.accuracy or 0), each.number))  # fmt: skip
    text = (
        page_environment()
        .get_template("sweep.html")
        .render(
            recipe=recipe,
            space=[str(each).split(": ", 1) for each in space],
            trials=[_row(each, space) for each in order[:MOST_ROWS]],
            left_out=max(0, len(found) - MOST_ROWS),
            keys=[each.key for each in space],
            best=best,
            counts={
                state: sum(each.state == state for each in found)
                for state in ("done", "stopped", "over budget", "failed")
            },
            seconds=duration_text(sum(each.processor_seconds for each in found)),
            budget=_budget(budget),
            pictures=pictures,
            run=run,
            again=run_best(path.parent),
        )
    )
    write_aside(path, text)


def _row(trial: Trial, space: Sequence[Dimension]) -> dict[str, Any]:
    return {
        "trial": trial,
        "values": [value_text(each.value(trial.coordinates[each.key])) for each in space],
    }


def _budget(budget: Budget) -> str:
    limits = []
    if budget.bytes is not None:
        limits.append(f"at most {size_text(budget.bytes)}")
    if budget.milliseconds is not None:
        limits.append(f"at most {budget.milliseconds:g} ms an image")
    return " and ".join(limits)
