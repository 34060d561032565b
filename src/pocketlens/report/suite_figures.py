"""Figures of the evaluation suite, one per table, and the folder with the suite's results.

As in `figures`, every `draw_` function draws one figure, writes it to `path` as PNG or SVG (by its
suffix) and returns that path.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pocketlens.errors import OutputExistsError
from pocketlens.evaluation.accuracy import percent
from pocketlens.evaluation.robustness import Rejection, Share, SuiteResult, Table
from pocketlens.files import aside, write_aside
from pocketlens.report.canvas import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    PAPER,
    new_figure,
    save,
    short,
    style,
    write_in,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["RESULT", "check_folder", "draw_rejection", "draw_table", "write_suite"]

RESULT = "suite.json"

TICKS = (0, 20, 40, 60, 80, 100)

MOST_BARS = 30
"""The maximum number of bars; beyond it, only those with the lowest accuracy are drawn."""


def write_suite(result: SuiteResult, folder: str | Path, *, force: bool = False) -> list[Path]:
    """Write `suite.json` and a figure for each table into a folder, completely or not at all.

    Args:
        result: The suite's result.
        folder: The output folder.
        force: Replace the folder of an earlier suite.

    Returns:
        The paths of the files: the JSON, then the figures in the order of the tables.

    Raises:
        OutputExistsError: The folder exists, and `force` is False or the folder does not contain
            the results of a suite.
        OutputError: The folder cannot be written.
    """
    folder = Path(folder)
    check_folder(folder, force=force)
    with aside(folder, force=force) as new:
        new.mkdir()
        write_aside(new / RESULT, json.dumps(result.to_dict(), indent=1) + "\n")
        written = [new / RESULT]
        written += [draw_table(table, new / f"{table.name}.svg") for table in result.tables]
        written.append(draw_rejection(result.rejection, new / "rejection.svg"))
    return [folder / path.name for path in written]


def check_folder(folder: Path, *, force: bool = False) -> None:
    """Raise the error that `write_suite` would raise for this folder, before the suite is run.

    Raises:
        OutputExistsError: The folder exists, and `force` is False or the folder does not contain
            the results of a suite.
    """
    if not folder.exists():
        return
    if not force:
        raise OutputExistsError(f"{folder} exists; choose another output or pass --force")
    empty = folder.is_dir() and not any(folder.iterdir())
    if not empty and not (folder / RESULT).is_file():
        raise OutputExistsError(
            f"{folder} does not contain the results of a suite, so it is not replaced; choose "
            "another output"
        )


@style()
def draw_table(table: Table, path: str | Path) -> Path:
    """Draw the accuracies in one table.

    A table with several rows becomes a heat map. A single row becomes a curve if the column names
    are increasing numbers, and bars otherwise.

    Args:
        table: A table of the suite.
        path: The output file, `.png` or `.svg`.
    """
    if len(table.rows) > 1:
        return _heat_map(table, path)
    numbers = _numbers(table.columns)
    return _curve(table, numbers, path) if numbers else _bars(table, path)


@style()
def draw_rejection(rejection: Rejection, path: str | Path) -> Path:
    """Draw the score distributions of digits and empty scenes, and the labeled share of each kind.

    Args:
        rejection: The suite's result for digits and empty scenes.
        path: The output file, `.png` or `.svg`.
    """
    kinds = [*rejection.kept_by_kind, *rejection.false_by_kind]
    figure = new_figure(
        8,
        2.6 + 0.2 * len(kinds) + 0.5,
        "Rejection of empty scenes",
        f"AUROC {rejection.auroc:.4f}; a label is shown for {percent(rejection.kept.share)} of "
        f"images with a class and {percent(rejection.false.share)} of empty scenes",
    )
    upper, lower = figure.subplots(2, 1, height_ratios=[2.2, max(0.2 * len(kinds), 0.4)])
    edges = np.linspace(0, 1, len(rejection.digits) + 1)
    for counts, name, color in (
        (rejection.digits, "a class in view", BLUE),
        (rejection.nothing, "nothing in view", ORANGE),
    ):
        shares = 100 * np.array(counts) / max(sum(counts), 1)
        upper.stairs(shares, edges, color=color, label=name, fill=True, alpha=0.35)
        upper.stairs(shares, edges, color=color, linewidth=1.6)
    there = rejection.present is not None
    line = rejection.present if there else rejection.threshold
    upper.axvline(line, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
    upper.set(xlim=(0, 1), ylim=(0, 105), ylabel="% of images")
    score = "1 - probability of nothing" if there else "largest probability"
    upper.set_xlabel(f"{score}; dashed line: the threshold for showing a label")
    upper.legend(loc="upper center", borderaxespad=0.2)
    _share_bars(lower, rejection.kept_by_kind, rejection.false_by_kind)
    return save(figure, path)


def _share_bars(axes: Axes, kept: Sequence[Share], false: Sequence[Share]) -> None:
    groups = [(one, BLUE) for one in kept] + [(one, ORANGE) for one in false]
    _horizontal(
        axes,
        [one.name for one, _ in groups],
        [one.share for one, _ in groups],
        [one.interval for one, _ in groups],
        [color for _, color in groups],
    )
    axes.set_xlabel("% of images with a label; blue: a class in view; orange: nothing, only …")


def _bars(table: Table, path: str | Path) -> Path:
    rows = list(zip(table.columns, table.scores[0], strict=True))
    left_out = len(rows) - MOST_BARS
    if left_out > 0:  # the first row is the total of all images
        worst = sorted(rows[1:], key=lambda row: row[1].accuracy)[: MOST_BARS - 1]
        rows = [rows[0], *worst]
    note = f"{table.note}; the {MOST_BARS - 1} lowest" if left_out > 0 else table.note
    figure = new_figure(8, 0.24 * len(rows) + 0.6, table.title, note)
    axes = figure.subplots()
    _horizontal(
        axes,
        [name for name, _ in rows],
        [score.accuracy for _, score in rows],
        [score.interval for _, score in rows],
        [BLUE] * len(rows),
    )
    axes.set_xlabel("accuracy, %; black lines: 95 % confidence intervals")
    return save(figure, path)


def _horizontal(
    axes: Axes,
    names: Sequence[str],
    shares: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    colors: Sequence[str],
) -> None:
    places = np.arange(len(names))
    axes.barh(places, [100 * share for share in shares], 0.7, color=colors, alpha=0.8)
    for place, (low, high) in zip(places, intervals, strict=True):
        axes.plot([100 * low, 100 * high], [place, place], color=INK, linewidth=1)
    for place, share in zip(places, shares, strict=True):
        axes.annotate(
            percent(share),
            (1, place),
            (4, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            size=8,
            color=MUTED,
            annotation_clip=False,
        )
    axes.set_yticks(places, [short(name) for name in names])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set(ylim=(len(names) - 0.4, -0.6), xlim=(0, 100))
    axes.set_xticks(TICKS)
    axes.grid(visible=False, axis="y")


def _curve(table: Table, places: Sequence[float], path: str | Path) -> Path:
    scores = table.scores[0]
    figure = new_figure(8, 3, table.title, table.note)
    axes = figure.subplots()
    low, high = np.array([score.interval for score in scores]).T
    axes.fill_between(places, 100 * low, 100 * high, color=BLUE, alpha=0.18, linewidth=0)
    axes.plot(places, [100 * score.accuracy for score in scores], color=BLUE, marker="o", ms=4)
    errors = [(x, s.calibration) for x, s in zip(places, scores, strict=True)]
    known = [(x, 100 * error) for x, error in errors if error is not None]
    if known:
        axes.plot(*zip(*known, strict=True), color=ORANGE, linewidth=1.4)
    axes.set_xticks(places, table.columns)
    axes.set(ylim=(0, 101), ylabel="%")
    axes.set_yticks(TICKS)
    axes.set_xlabel("blue: accuracy with 95 % confidence interval; orange: calibration error")
    return save(figure, path)


def _heat_map(table: Table, path: str | Path) -> Path:
    shares = np.array([[score.accuracy for score in row] for row in table.scores])
    tall, wide = shares.shape
    figure = new_figure(8, 0.3 * tall + 0.6, table.title, f"accuracy in %; {table.note}")
    axes = figure.subplots()
    # The square root makes small error rates visible: 98 % and 99 % have different colors.
    depth = np.sqrt(1 - shares)
    rgb = np.array([0xD5, 0x5E, 0x00]) / 255  # ORANGE
    axes.imshow(1 - depth[..., None] * (1 - rgb), aspect="auto", interpolation="nearest")
    for y, x in np.ndindex(tall, wide):
        color = PAPER if depth[y, x] > 0.75 else INK
        write_in(axes, (x, y), f"{100 * shares[y, x]:.1f}", size=8.5, color=color)
    axes.set_xticks(range(wide), table.columns)
    axes.set_yticks(range(tall), table.rows)
    axes.tick_params(length=0, labelcolor=INK)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return save(figure, path)


def _numbers(names: Sequence[str]) -> list[float] | None:
    """The names as numbers (`+5°`, `0.3`); None if they are not increasing numbers."""
    try:
        places = [float(name.removesuffix("°")) for name in names]
    except ValueError:
        return None
    return places if places == sorted(places) else None
