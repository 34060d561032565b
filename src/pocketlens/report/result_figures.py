"""Figures of the results: training history, confusion, mistakes, reliability, parity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketlens.data.dataset import Dataset
from pocketlens.errors import DataError
from pocketlens.evaluation.accuracy import Evaluation, Mistake, percent
from pocketlens.evaluation.parity import Parity
from pocketlens.history import LearningCurve
from pocketlens.report.canvas import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    PAPER,
    columns_of,
    gallery,
    new_figure,
    plural,
    power_of_ten,
    save,
    short,
    small,
    style,
    write_in,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CONFUSED = 30
"""The maximum number of classes in a confusion matrix."""


@style()
def draw_history(history: Sequence[Mapping[str, Any]], path: str | Path) -> Path:
    """Draw loss and accuracy of each epoch, in training and (if measured) in validation.

    Args:
        history: The rows of `history.jsonl`: `epoch` from 1, `train_loss`, `train_accuracy`, and
            `validation_loss`, `validation_accuracy`, which may be null.
        path: The output file, `.png` or `.svg`.

    Raises:
        DataError: No rows, or a row without one of these keys.
    """
    if not history:
        raise DataError("the history is empty; expected at least one epoch")
    keys = ("epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
    missing = sorted({key for row in history for key in keys if key not in row})
    if missing:
        raise DataError(
            f"keys missing in the history: {', '.join(missing)}; expected rows of history.jsonl"
        )
    epochs = [row["epoch"] for row in history]
    figure = new_figure(
        8,
        3,
        "Training history",
        f"{plural(len(history), 'epoch')}; numbers: values after the last epoch",
    )
    for axes, kind, factor in zip(
        figure.subplots(1, 2), ("loss", "accuracy"), (1, 100), strict=True
    ):
        axes.set_title("Loss" if factor == 1 else "Accuracy, %")
        for part, color in (("train", BLUE), ("validation", ORANGE)):
            rows = [(row["epoch"], row[f"{part}_{kind}"]) for row in history]
            points = [(epoch, factor * value) for epoch, value in rows if value is not None]
            if not points:
                continue
            label = "training" if part == "train" else part
            marker = {"marker": "o", "markersize": 5} if len(points) <= 30 else {}
            axes.plot(*zip(*points, strict=True), color=color, label=label, **marker)
            last = points[-1][1]
            other = history[-1][f"{'validation' if part == 'train' else 'train'}_{kind}"]
            above = other is None or last >= factor * other
            axes.annotate(
                f"{last:.4f}" if factor == 1 else f"{last:.2f}",
                points[-1],
                (7, 1 if above else -1),
                textcoords="offset points",
                size=8.5,
                color=color,
                va="bottom" if above else "top",  # so that close values do not overlap
                annotation_clip=False,
            )
        axes.margins(y=0.15)
        span = max(epochs) - min(epochs)
        # Space on the right for the number.
        axes.set_xlim(
            min(epochs) - 0.04 * span - 0.4 * (not span),
            max(epochs) + 0.2 * span + 0.4 * (not span),
        )
        axes.set_xticks(_whole_ticks(min(epochs), max(epochs)))
        axes.set_xlabel("epoch")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=2)
    return save(figure, path)


@style()
def draw_learning_curve(curve: LearningCurve, path: str | Path) -> Path:
    """Draw accuracy against the number of images per class that are trained on.

    Args:
        curve: The learning curve of a training on features.
        path: The output file, `.png` or `.svg`.
    """
    figure = new_figure(8, 3, "Learning curve", curve.advice)
    axes = figure.subplots()
    percents = [100 * value for value in curve.accuracy]
    axes.plot(curve.images, percents, color=BLUE, marker="o", markersize=5)
    for place, value in zip(curve.images, percents, strict=True):
        axes.annotate(
            f"{value:.0f}",
            (place, value),
            (0, 6),
            textcoords="offset points",
            ha="center",
            size=8.5,
            color=BLUE,
        )
    axes.set_xscale("log")
    axes.set_xticks(curve.images, [f"{place:.0f}" for place in curve.images])
    axes.set_xticks([], minor=True)
    axes.margins(y=0.2)
    axes.set(xlabel="training images per class", ylabel="accuracy, %")
    return save(figure, path)


@style()
def draw_confusion(evaluation: Evaluation, path: str | Path) -> Path:
    """Draw the confusion matrix: one row per true class, one column per predicted class.

    Correct predictions are blue, wrong ones orange; the color depth shows the share of the row.
    With more than 30 classes, the 30 that are most often confused are drawn.

    Args:
        evaluation: The evaluation of any predictor.
        path: The output file, `.png` or `.svg`.
    """
    counts = np.array(evaluation.confusion, np.int64)
    wrong = counts - np.diag(counts.diagonal())
    total, mistakes = len(counts), int(wrong.sum())
    chosen = np.arange(total)
    if total > CONFUSED:
        involved = wrong.sum(axis=0) + wrong.sum(axis=1)
        chosen = np.sort(np.argsort(-involved, kind="stable")[:CONFUSED])
    rows = counts.sum(axis=1)[chosen].clip(1)
    counts = counts[np.ix_(chosen, chosen)]
    size = len(chosen)
    names = [short(evaluation.classes[k], 16) for k in chosen]
    longest = 0.075 * max(columns_of(name) for name in names)
    cell = 0.5 if size <= 12 else 0.36
    cut = f"the {size} of {total:,} classes most often confused; " if total > CONFUSED else ""
    figure = new_figure(
        max(cell * size + longest + 1, 6),
        cell * size + (longest if longest > 0.3 else 0.2) + 0.6,
        "Confusion matrix",
        f"{cut}{plural(mistakes, 'mistake')} in {plural(evaluation.n, 'image')}",
    )
    axes = figure.subplots()
    share = counts / rows[:, None]
    # The square root makes small shares visible: 1 in 1000 as well as 1 in 10.
    depth = np.where(np.eye(size, dtype=bool), 0.15 + 0.75 * share, 0.05 + 1.6 * share**0.5)
    depth = np.where(counts > 0, depth.clip(0, 1), 0)
    ends = np.where(np.eye(size, dtype=bool)[..., None], _rgb(BLUE), _rgb(ORANGE))
    axes.imshow(1 - depth[..., None] * (1 - ends), interpolation="nearest")
    for y, x in zip(*np.nonzero(counts), strict=True):
        text = f"{counts[y, x]:,}"
        write_in(
            axes,
            (x, y),
            text,
            size=min(8.5, 72 * cell / (0.72 * len(text) + 0.6)),
            color=PAPER if depth[y, x] > 0.55 else INK,
            weight="bold" if x == y else "normal",
        )
    axes.set_xticks(range(size), names)
    if longest > 0.3:
        for label in axes.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(size), names)
    axes.set_xticks(np.arange(size + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(size + 1) - 0.5, minor=True)
    axes.grid(visible=False)
    axes.grid(visible=True, which="minor")
    axes.tick_params(which="both", length=0, labelcolor=INK)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="predicted class", ylabel="true class")
    return save(figure, path)


@style()
def draw_mistakes(dataset: Dataset, evaluation: Evaluation, path: str | Path) -> Path:
    """Draw the images with the most confident wrong predictions: true → predicted class.

    Args:
        dataset: The data set that was evaluated.
        evaluation: Its evaluation; without mistakes, the figure has only a title.
        path: The output file, `.png` or `.svg`.

    Raises:
        DataError: The image of a mistake is not in the data set, or has another class.
    """
    mistakes = evaluation.mistakes
    for one in mistakes:
        if one.index >= len(dataset) or dataset.classes[dataset.labels[one.index]] != one.label:
            raise DataError(
                f"image {one.index} has the class {one.label!r} in the evaluation, but not in "
                f"{dataset.name}; pass the data set that was evaluated"
            )
    wrong = round(evaluation.n * (1 - evaluation.accuracy))
    title = "Most confident mistakes"
    if not mistakes:
        subtitle = f"none in {plural(evaluation.n, 'image')}"
        figure = new_figure(6, 0.1, title, subtitle)
        return save(figure, path)
    subtitle = (
        f"{len(mistakes):,} of {plural(wrong, 'mistake')} in {plural(evaluation.n, 'image')}: "
        "true class → predicted class, and the confidence"
    )
    wordy = any(len(name) > 3 for one in mistakes for name in (one.label, one.predicted))
    captions = [
        [
            *((text, INK) for text in _caption(one, wordy=wordy)),
            (percent(one.confidence), ORANGE),
        ]
        for one in mistakes
    ]
    images = dataset.images[[one.index for one in mistakes]]
    return gallery(images, captions, 6 if wordy else 9, title, subtitle, path)


@style()
def draw_reliability(evaluation: Evaluation, path: str | Path) -> Path:
    """Draw a reliability diagram: the accuracy in 15 bins of confidence, and the number of images.

    On the dashed line, confidence equals accuracy: of the predictions with 90 % confidence, nine in
    ten are correct.

    Args:
        evaluation: The evaluation of any predictor.
        path: The output file, `.png` or `.svg`.
    """
    bins = evaluation.calibration.bins
    figure = new_figure(
        6,
        4.8,
        "Reliability diagram",
        f"expected calibration error {percent(evaluation.calibration.error)}",
    )
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    width = 1 / len(bins)
    label = "accuracy"
    gap = "difference from the confidence"
    for one in bins:
        if one.confidence is None or one.accuracy is None:
            continue
        middle = (one.low + one.high) / 2
        upper.bar(middle, one.accuracy, 0.9 * width, color=BLUE, label=label)
        upper.bar(
            middle,
            one.confidence - one.accuracy,
            0.9 * width,
            bottom=one.accuracy,
            facecolor="none",
            edgecolor=ORANGE,
            hatch="////",
            linewidth=1,
            label=gap,
        )
        label = gap = "_"
    upper.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (4, 3)))
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    percents = [f"{100 * tick:.0f} %" for tick in ticks]
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    upper.set_yticks(ticks, percents)
    figure.legend(loc="outside lower left", ncols=2)
    filled = [one for one in bins if one.count]
    lower.bar(
        [(one.low + one.high) / 2 for one in filled],
        [one.count for one in filled],
        0.9 * width,
        color=MUTED,
    )
    _count_axis(lower, max(one.count for one in filled))
    lower.set(xlabel="confidence of the prediction", ylabel="images")
    lower.set_xticks(ticks, percents)
    return save(figure, path)


@style()
def draw_parity(parity: Parity, path: str | Path) -> Path:
    """Draw a histogram of |Δp| with logarithmic axes, the mean |Δp| and its limit.

    Args:
        parity: The comparison of any two predictors.
        path: The output file, `.png` or `.svg`.
    """
    verdict = "passed" if parity.passed else "FAILED"
    figure = new_figure(
        8,
        3.4,
        f"Parity on {plural(parity.n, 'image')}: {verdict}",
        f"labels agree on {percent(parity.agreement)} ({parity.differing}); "
        f"mean |Δp| {small(parity.mean_difference)}, largest {small(parity.max_difference)}",
    )
    axes = figure.subplots()
    edges, counts = parity.histogram.edges, parity.histogram.counts
    # The first edge is 0 and has no logarithm; its bin is drawn with the width of the next one.
    places = np.log10(np.maximum(edges, 1e-300))
    places[0] = 2 * places[1] - places[2]
    axes.bar(
        places[:-1], counts, np.diff(places) * 0.92, align="edge", color=BLUE, edgecolor="none"
    )
    for value, name, color in (
        (parity.mean_difference, "mean", ORANGE),
        (parity.tolerance.mean_difference, "limit for the mean", INK),
    ):
        place = max(np.log10(max(value, 1e-300)), (places[0] + places[1]) / 2)
        axes.axvline(place, color=color, linewidth=1.4, linestyle=(0, (4, 3)))
        axes.annotate(
            name,
            (place, 1),
            (3, -3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            size=8.5,
            color=color,
            va="top",
        )
    decades = [k for k, place in enumerate(places) if k and abs(place - round(place)) < 1e-6]
    axes.set_xticks(
        [places[0], *(places[k] for k in decades)],
        ["0", *(power_of_ten(round(places[k])) for k in decades)],
    )
    _count_axis(axes, max(counts), room=6)
    axes.grid(visible=False, axis="x")
    axes.set(xlim=(places[0] - 0.1, places[-1] + 0.1), ylabel="images")
    axes.set_xlabel(
        "|Δp|: the largest difference between the two models' probabilities of any class"
    )
    return save(figure, path)


def _caption(mistake: Mistake, *, wordy: bool) -> list[str]:
    if wordy:
        return [short(mistake.label, 18), f"→ {short(mistake.predicted, 16)}"]
    return [f"{mistake.label} → {mistake.predicted}"]


def _rgb(color: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(color)


def _count_axis(axes: Axes, most: int, *, room: float = 1.6) -> None:
    """A logarithmic axis for counts, linear below 1: a count of 1 has a height, 0 has none."""
    decades = [10**k for k in range(len(str(most)))]
    axes.set_yscale("symlog", linthresh=1, linscale=0.5)
    axes.set_yticks([0, *decades], ["0", *(f"{ten:,}" for ten in decades)])
    axes.set_yticks([], minor=True)
    axes.set_ylim(0, room * most)


def _whole_ticks(first: int, last: int) -> list[int]:
    step = max(1, -(-(last - first) // 8))
    return list(range(first, last + 1, step))
