"""The figures of a sweep: accuracy against cost, curves, and what each key does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pocketlens.report.canvas import BLUE, INK, LINE, MUTED, ORANGE, new_figure, plural, save, style
from pocketlens.scale.search import Dimension, value_text
from pocketlens.scale.trials import Trial, best_of, front
from pocketlens.scale.tuning import distributions, score_of

__all__ = ["draw_costs", "draw_curves", "draw_keys", "importances"]

LEAST_TRIALS = 8
"""Fewer trials than this say nothing about the keys."""

MOST_KEYS = 12


@style()
def draw_costs(trials: Sequence[Trial], path: str | Path) -> Path:
    """Draw accuracy against the size of the Core ML file, and against its time per image.

    The line is the Pareto front: no other trial is both better and smaller (or faster).
    """
    found = list(trials)
    over = sum(each.state == "over budget" for each in found)
    subtitle = "each dot is a trial that is done; bars: 95 % confidence; orange: the best one" + (
        f"; {plural(over, 'trial')} over the budget are not drawn" if over else ""
    )
    figure = new_figure(9, 3.6, "What accuracy costs", subtitle)
    left, right = figure.subplots(1, 2, sharey=True)
    _draw_front(left, found, "bytes", "size of the Core ML file, KB", 1e-3)
    _draw_front(right, found, "milliseconds", "milliseconds per image", 1.0)
    left.set(ylabel="accuracy, %")
    return save(figure, path)


def _draw_front(
    axes: Any,
    trials: list[Trial],
    measure: Literal["bytes", "milliseconds"],
    label: str,
    unit: float,
) -> None:
    best = best_of(trials)
    for each in trials:
        cost = getattr(each, measure)
        if each.state != "done" or each.accuracy is None or cost is None or each.interval is None:
            continue
        low, high = each.interval
        axes.plot([cost * unit] * 2, [100 * low, 100 * high], color=LINE, linewidth=1, zorder=1)
        color = ORANGE if each is best else BLUE
        axes.plot(cost * unit, 100 * each.accuracy, "o", color=color, markersize=5, zorder=3)
    line = front(trials, measure)
    axes.plot(
        [getattr(each, measure) * unit for each in line],
        [100 * (each.accuracy or 0) for each in line],
        color=MUTED,
        linewidth=1,
        drawstyle="steps-post",
        zorder=2,
    )
    axes.set(xlabel=label)
    axes.set_xlim(left=0)


@style()
def draw_curves(trials: Sequence[Trial], path: str | Path) -> Path:
    """Draw the validation accuracy of each trial after each epoch."""
    from matplotlib.ticker import MaxNLocator

    shown = [each for each in trials if each.epochs]
    best = best_of(list(trials))
    stopped = sum(each.state == "stopped" for each in shown)
    subtitle = (
        f"{plural(len(shown), 'trial')}; {stopped} stopped early (gray); orange: the best one"
    )
    figure = new_figure(9, 3.4, "Accuracy on the validation images, epoch by epoch", subtitle)
    axes = figure.subplots()
    for each in sorted(shown, key=lambda each: (each is best, each.state == "done")):
        color = ORANGE if each is best else BLUE if each.state == "done" else MUTED
        epochs = range(1, len(each.epochs) + 1)
        axes.plot(
            epochs,
            [100 * accuracy for accuracy in each.epochs],
            color=color,
            linewidth=2 if each is best else 1,
            alpha=1 if each is best else 0.6,
            marker="o",
            markersize=3,
        )
    axes.set(xlabel="epoch", ylabel="validation accuracy, %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return save(figure, path)


@style()
def draw_keys(trials: Sequence[Trial], space: Sequence[Dimension], path: str | Path) -> Path:
    """Draw the accuracy against each key's value; the most important key first."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    shown = [each for each in trials if each.state in ("done", "stopped")]
    weights = importances(trials, space)
    keys = sorted(space, key=lambda each: -weights.get(each.key, 0.0))[:MOST_KEYS]
    columns = min(3, len(keys))
    rows = -(-len(keys) // columns)
    subtitle = "accuracy in %, of trials that are done (blue) or stopped early (gray)" + (
        "; in %: how much of the difference between good and other trials the key explains"
        if weights
        else ""
    )
    figure = new_figure(9, 2.5 * rows, "What each key does", subtitle)
    grid = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for axes, each in zip(grid, keys, strict=False):
        weight = f" ({100 * weights[each.key]:.0f} %)" if each.key in weights else ""
        axes.set_title(f"{each.key}{weight}", color=INK, size=9)
        for trial in shown:
            color = BLUE if trial.state == "done" else MUTED
            place = trial.coordinates[each.key]
            axes.plot(place, 100 * score_of(trial), "o", color=color, markersize=4, alpha=0.7)
        if each.values:
            texts = [value_text(value)[:24] for value in each.values]
            axes.set_xticks(range(len(texts)), texts, rotation=20 if len(texts) > 2 else 0)
            axes.set_xlim(-0.5, len(texts) - 0.5)
        elif each.log:
            axes.set_xscale("log")
            for axis in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
                axis(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    for axes in grid[len(keys) :]:
        axes.remove()
    return save(figure, path)


def importances(trials: Sequence[Trial], space: Sequence[Dimension]) -> dict[str, float]:
    """How much each key matters, in [0, 1], in sum 1; empty with too few trials.

    PED-ANOVA (Watanabe et al., "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in
    Arbitrary Subspaces", 2023), as Optuna computes it: whether the best trials have other values
    of the key than all trials.
    """
    used = [each for each in trials if each.state in ("done", "stopped")]
    if len(used) < LEAST_TRIALS:
        return {}
    import optuna

    study = optuna.create_study(direction="maximize")
    kinds = distributions(space)
    for each in used:
        study.add_trial(
            optuna.trial.create_trial(
                params=dict(each.coordinates), distributions=kinds, value=score_of(each)
            )
        )
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {key: float(value) for key, value in found.items() if np.isfinite(value)}
