"""Figures of the check of a folder of pictures: what was found, and likely wrong labels."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.check import DataCheck, Finding
from pocketlens.data.wrong_labels import LabelCheck
from pocketlens.decoding import open_with_facts
from pocketlens.errors import ImageError, printable
from pocketlens.evaluation.accuracy import percent
from pocketlens.report.canvas import INK, MUTED, ORANGE, gallery, plural, short, style

__all__ = ["PICTURED", "draw_findings", "draw_suspects"]

PICTURED = {
    "copies_across_classes": "identical, two classes",
    "near_duplicates_across_classes": "alike, two classes",
    "copies_across_splits": "identical, train and test",
    "near_duplicates_across_splits": "alike, train and test",
    "near_duplicates": "alike",
    "odd_shape": "very long",
}
"""The kinds of findings that are drawn, and what is written below their pictures."""

SIDE = 144
"""The size of a picture in pixels; a long one keeps its shape, on white."""

MOST, COLUMNS, LONGEST = 12, 6, 22


@style()
def draw_findings(found: DataCheck, root: str | Path, path: str | Path) -> Path | None:
    """Draw pictures that a check has found, at most twelve, some of each kind.

    Args:
        found: The result of `check_data`.
        root: The folder that its files are relative to.
        path: The output file, `.png` or `.svg`.

    Returns:
        The path; None if none of the pictures can be opened any more.
    """
    images: list[NDArray[np.uint8]] = []
    captions, drawn = [], set[str]()
    for finding, group in _in_turns(found):
        try:
            some = [_thumbnail(Path(root) / name) for name in group[:2]]
        except ImageError:  # removed since
            continue
        if len(images) + len(some) > MOST:
            break
        images += some
        drawn.update(group[:2])
        color = ORANGE if finding.problem else MUTED
        captions += [
            [(short(printable(name), LONGEST), INK), (PICTURED[finding.kind], color)]
            for name in group[:2]
        ]
    if not images:
        return None
    total = len({n for each in found.findings if each.kind in PICTURED for n in each.files})
    subtitle = f"{len(drawn)} of {plural(total, 'file')}; each beside the one that it is like"
    return gallery(images, captions, COLUMNS, "Found by the check", subtitle, path)


@style()
def draw_suspects(found: LabelCheck, images: NDArray[np.uint8], path: str | Path) -> Path:
    """Draw images whose label is probably wrong, with both labels.

    Args:
        found: All of them; at least one.
        images: `(M, H, W, C)` uint8, the first of them.
        path: The output file, `.png` or `.svg`.
    """
    captions = [
        [
            (f"labeled {short(each.label, 12)}", INK),
            (f"{short(each.better, 12)}? {percent(each.confidence)}", ORANGE),
        ]
        for each in found.suspects[: len(images)]
    ]
    subtitle = f"{len(images)} of {len(found.suspects):,}, most suspicious first"
    return gallery(images, captions, COLUMNS, "Labels that are probably wrong", subtitle, path)


def _in_turns(found: DataCheck) -> Iterator[tuple[Finding, tuple[str, ...]]]:
    """The groups of files to draw: one of each kind, then the next one of each kind."""
    order = [*PICTURED]
    chosen = [each for each in found.findings if each.kind in PICTURED]
    chosen.sort(key=lambda each: order.index(each.kind))
    columns = ([(each, group) for group in each.groups] for each in chosen)
    return (each for each in chain.from_iterable(zip_longest(*columns)) if each is not None)


def _thumbnail(path: Path) -> NDArray[np.uint8]:
    """The picture, scaled to fit a white square."""
    from PIL import Image

    _, image = open_with_facts(path, side=SIDE)
    small = image.convert("RGB")
    scale = SIDE / max(small.size)
    width, height = (max(1, round(scale * side)) for side in small.size)
    small = small.resize((width, height))
    square = Image.new("RGB", (SIDE, SIDE), "white")
    square.paste(small, ((SIDE - width) // 2, (SIDE - height) // 2))
    return np.asarray(square)
