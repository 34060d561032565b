"""Figures of the data: samples, pixel values, one-hot labels, class balance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pocketlens.data.dataset import Dataset
from pocketlens.errors import DataError, OptionError
from pocketlens.evaluation.accuracy import percent
from pocketlens.report.canvas import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    PALETTE,
    PAPER,
    bare,
    columns_of,
    gallery,
    need_images,
    new_figure,
    plural,
    save,
    short,
    show,
    style,
    write_in,
)

NUMBERED_SIDE = {1: 32, 3: 14}
"""The largest side length at which pixel values are legible, by number of channels."""

BARS = 40
"""The maximum number of classes that are drawn as bars."""

LEGEND = 40
"""A legend with a longer entry has one column."""

ONE_HOT_COLUMNS = 16
"""The maximum number of columns in a one-hot table."""


@style()
def draw_samples(dataset: Dataset, path: str | Path, *, rows: int = 6, columns: int = 12) -> Path:
    """Draw images of a data set with their labels, evenly from all classes.

    Args:
        dataset: At least one image.
        path: The output file, `.png` or `.svg`.
        rows: The maximum number of rows, at least 1.
        columns: The maximum number of columns, at least 1.

    Raises:
        DataError: The data set is empty.
        OptionError: `rows` or `columns` is less than 1.
    """
    need_images(dataset)
    if rows < 1 or columns < 1:
        raise OptionError(f"rows and columns must be at least 1; received: {rows} × {columns}")
    shown = dataset.sample(rows * columns)
    captions = [[(short(dataset.classes[k], 12), INK)] for k in shown.labels]
    title = _some(shown, dataset)
    height, width, channels = dataset.images.shape[1:]
    subtitle = (
        f"{dataset.name}: {plural(len(dataset), 'image')} of {width} × {height} pixels, "
        f"{'gray' if channels == 1 else 'RGB'}, {plural(len(dataset.classes), 'class')}"
    )
    return gallery(shown.images, captions, columns, title, subtitle, path)


@style()
def draw_pixels(dataset: Dataset, index: int, path: str | Path) -> Path:
    """Draw one enlarged image with the value of each pixel.

    If a side is longer than 32 pixels (14 for color images), only the center is enlarged, and the
    whole image is drawn next to it with the center marked. A color pixel shows its red, green and
    blue values below each other.

    Args:
        dataset: The data set with the image.
        index: The image's index, from 0.
        path: The output file, `.png` or `.svg`.

    Raises:
        OptionError: The index is out of range.
    """
    if not 0 <= index < len(dataset):
        raise OptionError(
            f"index must be from 0 to {len(dataset) - 1} for {dataset.name}; received: {index}"
        )
    image = dataset.images[index]
    height, width, channels = image.shape
    side = NUMBERED_SIDE[channels]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    part = image[top : top + side, left : left + side]
    cell = 9 / max(part.shape[:2])
    cut = part.shape != image.shape
    name = short(dataset.classes[dataset.labels[index]], 30)
    figure = new_figure(
        max(part.shape[1] * cell + 0.36 + 2.4 * cut, 6),
        part.shape[0] * cell + 0.2,
        f"Pixel values of image {index} ({name})",
        f"{dataset.name}: {'the center of ' * cut}{width} × {height} pixels"
        + ("; red, green and blue from top to bottom" if channels == 3 else ", 0 (black) to 255"),
    )
    axes = figure.subplots(1, 1 + cut, squeeze=False, width_ratios=[4, 1] if cut else None)[0]
    show(bare(axes[0]), part, (0, 0, part.shape[1], part.shape[0]))
    size = cell * 72 * (0.36 if channels == 1 else 0.24)
    for y, x in np.ndindex(part.shape[:2]):
        values = part[y, x]
        light = float(values.mean()) > 127
        color = INK if light else "#8b93a5" if not values.any() else PAPER
        text = "\n".join(str(int(value)) for value in values)
        write_in(axes[0], (x + 0.5, y + 0.5), text, size=size, color=color)
    if cut:
        show(bare(axes[1]), image, (0, 0, width, height))
        axes[1].plot(
            [left, left + side, left + side, left, left],
            [top, top, top + side, top + side, top],
            color=ORANGE,
        )
    return save(figure, path)


@style()
def draw_one_hot(dataset: Dataset, path: str | Path, *, count: int = 10) -> Path:
    """Draw images of all classes and their one-hot labels: a 1 in the column of the class.

    With more than 16 classes, only 16 columns are drawn, including all columns with a 1.

    Args:
        dataset: At least one image.
        path: The output file, `.png` or `.svg`.
        count: The maximum number of images, at least 1.

    Raises:
        DataError: The data set is empty.
        OptionError: `count` is less than 1.
    """
    need_images(dataset)
    if count < 1:
        raise OptionError(f"count must be at least 1; received: {count}")
    shown = dataset.sample(count)
    table = shown.one_hot()
    # With many classes: first the columns that contain a 1, then others from the left.
    order = np.argsort(-table.max(axis=0), kind="stable")[:ONE_HOT_COLUMNS]
    columns = np.sort(order)
    table = table[:, columns]
    names = [short(dataset.classes[k], 14) for k in columns]
    longest = max(columns_of(name) for name in names)
    lean = longest > 3
    rows, total = len(shown), len(dataset.classes)
    rest = (
        "" if len(columns) == total else f"; {len(columns)} of {total:,} columns, all others are 0"
    )
    head = 0.35 + (0.05 * longest if lean else 0)
    figure = new_figure(
        max(1.2 + 0.44 * len(columns), 5.5),
        0.44 * rows + head + 0.2,
        "One-hot labels",
        f"{dataset.name}: {_some(shown, dataset)}{rest}",
    )
    axes = bare(figure.subplots())
    for y in range(rows):
        show(axes, shown.images[y], (-1.3, y + 0.06, -0.42, y + 0.94))
        for x in range(len(columns)):
            hot = bool(table[y, x])
            write_in(
                axes,
                (x + 0.5, y + 0.5),
                str(int(table[y, x])),
                size=10.5,
                weight="bold" if hot else "normal",
                color=PAPER if hot else "#b4bac6",
                bbox={"boxstyle": "round,pad=0.4", "color": BLUE} if hot else None,
            )
    for x, name in enumerate(names):
        place = {"rotation": 45, "ha": "left"} if lean else {"ha": "center"}
        axes.text(x + 0.5, -0.15, name, size=9, color=MUTED, va="bottom", **place)
    axes.set(xlim=(-1.4, len(columns)), ylim=(rows, -head / 0.44), aspect="equal")
    return save(figure, path)


@style()
def draw_balance(datasets: Dataset | Sequence[Dataset], path: str | Path) -> Path:
    """Draw the class balance: the share of images in each class.

    Several data sets are drawn next to each other. With more than 40 classes, the shares are drawn
    as a curve, sorted from the largest class to the smallest.

    Args:
        datasets: One data set, or several with the same classes; at least one image in each.
        path: The output file, `.png` or `.svg`.

    Raises:
        DataError: An empty data set, or data sets with different classes.
        OptionError: No data set.
    """
    parts = [datasets] if isinstance(datasets, Dataset) else list(datasets)
    if not parts:
        raise OptionError("class balance needs at least one data set; received none")
    for part in parts:
        need_images(part)
        if part.classes != parts[0].classes:
            raise DataError(
                f"{part.name} and {parts[0].name} have different classes; expected parts of the "
                "same data set"
            )
    classes = parts[0].classes
    shares = np.array([list(part.counts.values()) for part in parts], float)
    shares /= shares.sum(axis=1, keepdims=True)
    many = len(classes) > BARS
    lanes = len(parts)
    step = max(0.26, 0.13 * lanes + 0.08)
    low, high = float(shares.min()), float(shares.max())
    between = percent(low) if low == high else f"{percent(low)} to {percent(high)}"
    figure = new_figure(
        6.5,
        3.4 if many else step * len(classes) + 0.9,
        "Class balance",
        f"each class has {between} of the images; "
        f"dashed line: equal shares, {percent(1 / len(classes))}",
    )
    axes = figure.subplots()
    even: dict[str, Any] = {"color": INK, "linewidth": 1, "linestyle": (0, (4, 3)), "zorder": 3}
    labels = [f"{short(part.name, 60)} ({plural(len(part), 'image')})" for part in parts]
    if many:
        for lane in range(lanes):
            curve = np.sort(100 * shares[lane])[::-1]
            axes.plot(
                np.arange(1, len(classes) + 1), curve, color=PALETTE[lane % 6], label=labels[lane]
            )
        axes.axhline(100 / len(classes), **even)
        axes.set(ylim=(0, None), xlim=(1, len(classes)), ylabel="% of images")
        axes.set_xlabel("classes, sorted by size")
    else:
        for lane in range(lanes):
            places = np.arange(len(classes)) + (lane - (lanes - 1) / 2) * 0.8 / lanes
            axes.barh(
                places,
                100 * shares[lane],
                0.72 / lanes,
                color=PALETTE[lane % 6],
                label=labels[lane],
            )
            for k, n in enumerate(parts[lane].counts.values()):
                axes.annotate(
                    f"{n:,}",
                    (100 * shares[lane, k], places[k]),
                    (4, 0),
                    textcoords="offset points",
                    size=7.5 if lanes > 1 else 8.5,
                    color=MUTED,
                    va="center",
                    bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6},
                    zorder=4,
                )
        axes.axvline(100 / len(classes), **even)
        axes.set_yticks(range(len(classes)), [short(name) for name in classes])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.grid(visible=False, axis="y")
        axes.set(ylim=(len(classes) - 0.4, -0.6), xlim=(0, 112 * high))
        axes.set_xlabel("% of images; next to each bar: the number of images")
    wide = max(len(label) for label in labels) > LEGEND
    figure.legend(loc="outside lower left", ncols=1 if wide else min(lanes, 2))
    return save(figure, path)


def _some(shown: Dataset, dataset: Dataset) -> str:
    """How many images of a data set are shown, such as `72 of 60,000 images`."""
    total = plural(len(dataset), "image")
    return total if len(shown) == len(dataset) else f"{len(shown):,} of {total}"
