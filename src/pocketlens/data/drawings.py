"""Loading `doodles` and `quickdraw`."""

from __future__ import annotations

from pathlib import Path

from pocketlens.data.dataset import Dataset
from pocketlens.data.download import Progress
from pocketlens.data.drawn_things import DOODLES, DrawnThings
from pocketlens.data.fit import fit_dataset
from pocketlens.image import InputSpec

__all__ = ["load_drawings"]

SIDES = range(16, 129)
"""Doodles are drawn at the size at which they are used, if it is one of these."""


def load_drawings(
    drawings: DrawnThings,
    folder: Path,
    split: str,
    input_spec: InputSpec | None,
    *,
    seed: int,
    progress: Progress | None = None,
) -> Dataset:
    """Load one split, fitted to `input_spec`.

    Args:
        drawings: What is drawn, and by whom.
        folder: The data folder, for `quickdraw`.
        split: `train` or `test`.
        input_spec: Size and colors of the images; default: 28 × 28, gray.
        seed: Draws the doodles.
        progress: Called during a download.

    Raises:
        DataNotFoundError, DataError, OutputError: As `quickdraw.load_quickdraw`.
    """
    if drawings.kind == DOODLES:
        from pocketlens.data.doodles import draw_doodles
        from pocketlens.data.pen import SIDE

        square = input_spec is not None and input_spec.height == input_spec.width
        side = input_spec.height if input_spec and square else SIDE
        found = draw_doodles(
            split, drawings=drawings, seed=seed, side=side if side in SIDES else SIDE
        )
    else:
        from pocketlens.data.quickdraw import load_quickdraw

        found = load_quickdraw(drawings, folder, split, progress=progress)
    return fit_dataset(found, input_spec)
