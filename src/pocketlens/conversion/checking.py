"""Compare a Core ML file with the network that it was converted from, on probe images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pocketlens import model_files
from pocketlens.conversion.metadata import IMAGE_FEATURE, PROBABILITIES_FEATURE
from pocketlens.conversion.probes import probe_images
from pocketlens.conversion.source_kinds import ImageSource
from pocketlens.coreml import CoreMLModel, load
from pocketlens.coreml.file.time_limit import default_time_limit
from pocketlens.errors import (
    CheckFailedError,
    FeatureError,
    ModelFileError,
    UnsupportedModelError,
)
from pocketlens.heads import Head

if TYPE_CHECKING:
    from pocketlens.model_files import Model

__all__ = ["FLOAT32", "NO_CHECK", "check_file", "loaded", "opened", "run_error"]

NO_CHECK = "pass check=False (--no-check) to write the file anyway"

FLOAT32 = "precision float32 (--precision float32)"

SHOWN_DRIFT = 0.02
"""From this change of a probability on, rounding to float16 is worth a note."""


def check_file(
    file: Path,
    reference: ImageSource,
    *,
    half: bool,
    in_float32: Callable[[], Path],
    finer: str = FLOAT32,
    data: NDArray[np.uint8] | None = None,
) -> list[str]:
    """Check that a Core ML file computes what its source computes.

    A file in float32 must agree up to its rounding. One in float16 that differs by more than its
    rounding usually does is converted again in float32: if that agrees, only rounding is at work.

    Args:
        file: The Core ML file, not yet under its final name.
        reference: Its source.
        half: Whether the file has float16 arithmetic or weights.
        in_float32: Converts the same network in float32 and returns the path.
        finer: The precisions to advise if rounding to float16 changes much.
        data: Images of the user, in place of the probe images.

    Returns:
        Notes for the user: what rounding to float16 changes, if it is much.

    Raises:
        CheckFailedError: The file differs; the message names the first op that does and its layer.
            Or the file cannot run here.
    """
    for size in reference.sizes:
        _check_size(file, reference, size, half=half)
    images, names = probe_images(reference.input_spec)
    if data is not None:
        images, names = data, tuple(f"image {number}" for number in range(1, len(data) + 1))
    want = reference.probabilities(images)
    # The network itself may fail on a flat image.
    kept = [index for index, row in enumerate(want) if np.isfinite(row).all()]
    images, want, names = images[kept], want[kept], tuple(names[index] for index in kept)
    if not len(images):
        raise CheckFailedError(
            f"the network returns no finite number for any test image, so the Core ML file cannot "
            f"be compared with it; {NO_CHECK}"
        )
    got = _predicted(file, images)
    if half:
        if _close_in_float16(want, got):
            return []
        exact = in_float32()
        _check_exact(exact, reference, images, names, want)
        return _drift(file, reference, images, want, got, finer)
    _check_exact(file, reference, images, names, want)
    return []


def _check_size(file: Path, reference: ImageSource, size: tuple[int, int], *, half: bool) -> None:
    """Check that the file computes the same for images of another size that it takes."""
    other = reference.of_size(size)
    images, names = probe_images(other.input_spec)
    model = loaded(file)
    for image, name in zip(images[-6:], names[-6:], strict=True):
        want = other.probabilities(image[None])[0]
        try:
            scores = model.run({IMAGE_FEATURE: image})[PROBABILITIES_FEATURE]
        except (UnsupportedModelError, ModelFileError, FeatureError) as error:
            raise run_error(file, error) from error
        worst = max(abs(scores[each] - p) for each, p in zip(other.classes, want, strict=True))
        if not worst <= (0.05 if half else 1e-3):
            raise CheckFailedError(
                f"the converted file differs from its source for images of {size[0]}x{size[1]}: "
                f"for {name}, by up to {worst:.2g}; nothing was written; convert it for one size, "
                f"or {NO_CHECK}"
            )


def _check_exact(
    file: Path,
    reference: ImageSource,
    images: NDArray[np.uint8],
    names: tuple[str, ...],
    want: NDArray[np.float32],
) -> None:
    got = _predicted(file, images)
    excess = _exactness(reference.head, want, got)
    if (excess <= 1).all():
        return
    # A network that rounds, sorts or divides by almost nothing amplifies rounding errors.
    wrong = excess > 1
    noise = _noise(reference, images[wrong], want[wrong])
    unexplained = np.zeros(len(images))
    unexplained[wrong] = np.where(excess[wrong] > np.maximum(1, 10 * noise), excess[wrong], 0)
    if not unexplained.any():
        return
    worst = int(unexplained.argmax())
    label = int(np.abs(got[worst] - want[worst]).argmax())
    found = "no single op could be identified"
    if not model_files.is_core_ai(file):
        found = reference.first_difference(loaded(file), images[worst], want[worst])
    raise CheckFailedError(
        f"the converted file differs from its source: for {names[worst]}, the probability of "
        f"{reference.classes[label]!r} is {got[worst, label]:.4g} instead of "
        f"{want[worst, label]:.4g}; {found}; nothing was written; write that part of the network "
        f"with other ops, or {NO_CHECK}"
    )


def loaded(file: Path) -> CoreMLModel:
    """A Core ML file as it runs here."""
    return load(file, time_limit=default_time_limit())


def opened(file: Path) -> Model:
    """A Core ML or Core AI file as it runs here."""
    return model_files.load(file, time_limit=default_time_limit())


def _predicted(file: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    try:
        return opened(file).probabilities(images)
    except (UnsupportedModelError, ModelFileError, FeatureError) as error:
        raise run_error(file, error) from error


def run_error(file: Path, error: Exception) -> CheckFailedError:
    """The error for a file that cannot run here."""
    reason = str(error).removeprefix(f"{file}: ").removeprefix(f"{file} ")
    return CheckFailedError(
        "the converted file cannot run here, so it cannot be compared with its source: "
        f"{reason}; nothing was written; {NO_CHECK}"
    )


def _exactness(
    head: Head, want: NDArray[np.float32], got: NDArray[np.float32]
) -> NDArray[np.float64]:
    # A softmax of logits has small probabilities with all their digits; `1 - p` has not.
    return _distance(want, got, 1e-4, 1e-3, smallest=1e-30 if head == "logits" else 1e-4)


def _distance(
    want: NDArray[np.float32],
    got: NDArray[np.float32],
    difference: float,
    ratio: float,
    *,
    smallest: float,
) -> NDArray[np.float64]:
    """For each image the largest error, in units of what is allowed; infinite if not a number.

    Args:
        difference: The largest difference allowed between two probabilities.
        ratio: The largest difference allowed between the logarithms of those above `smallest`,
            for a logarithm of -10 twice as much; the logits differ as much as these.
    """
    a, b = want.astype(np.float64), got.astype(np.float64)
    error = np.abs(a - b) / difference
    log_a, log_b = np.log(np.maximum(a, smallest)), np.log(np.maximum(b, smallest))
    error = np.maximum(error, np.abs(log_a - log_b) / (ratio * (1 + np.abs(log_a) / 10)))
    largest: NDArray[np.float64] = np.where(np.isfinite(got), error, np.inf).max(axis=1)
    return largest


def _close_in_float16(want: NDArray[np.float32], got: NDArray[np.float32]) -> bool:
    """Whether the outputs differ no more than rounding explains, and say enough about that."""
    informative = (np.sort(want, axis=1)[:, -2] > 0.01).mean() >= 0.5
    return bool(informative) and bool((_distance(want, got, 4e-3, 0.02, smallest=0.01) <= 1).all())


def _noise(
    reference: ImageSource, images: NDArray[np.uint8], want: NDArray[np.float32]
) -> NDArray[np.float64]:
    """How far the source itself moves, in the same units, if its weights are rounded otherwise."""
    moved = np.zeros(len(images))
    for seed in range(3):
        other = reference.moved(images, seed)
        moved = np.maximum(moved, _exactness(reference.head, want, other))
    return moved


def _drift(
    file: Path,
    reference: ImageSource,
    images: NDArray[np.uint8],
    want: NDArray[np.float32],
    got: NDArray[np.float32],
    finer: str,
) -> list[str]:
    """What rounding to float16 changes."""
    finite = np.isfinite(got).all(axis=1)
    if not finite.all():
        found = ""
        if not model_files.is_core_ai(file):
            found = reference.first_overflow(loaded(file), images[int(finite.argmin())])
        raise CheckFailedError(
            "float16 is too small for this network: the converted file returns values that are "
            f"not finite for {int((~finite).sum())} of {len(images)} test images{found}; nothing "
            f"was written; use {finer}, or {NO_CHECK}"
        )
    change = np.abs(got - want).max(axis=1)
    ranked = np.sort(want, axis=1)
    sure = ranked[:, -1] - ranked[:, -2] > 0.2
    others = int((sure & (got.argmax(1) != want.argmax(1))).sum())
    text = (
        f"rounding to float16 changes the probabilities of {int((change > SHOWN_DRIFT).sum())} of "
        f"{len(images)} test images by up to {change.max():.2g}"
        + (f", and the label of {others}" if others else "")
    )
    if others > len(images) / 4:
        raise CheckFailedError(
            f"float16 is too coarse for this network: {text}; nothing was written; "
            f"use {finer}, or {NO_CHECK}"
        )
    if change.max() <= SHOWN_DRIFT:
        return []
    return [f"{text}; in float32 the file agrees with its source: use {finer}"]
