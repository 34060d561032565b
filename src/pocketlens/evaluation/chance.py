"""How far chance reaches: the interval of an accuracy, and whether it is better than guessing."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

__all__ = ["guessing", "guessing_rate", "wilson_interval"]

Z = 1.96  # of a 95 % interval


def wilson_interval(right: float, n: float, *, level: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval `(low, high)` of the share `right / n` at confidence `level`.

    It is valid near 0 and 1, where the textbook interval p ± z·√(p(1−p)/n) is not. An effective
    sample size need not be an integer.
    Source: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
    Journal of the American Statistical Association 22 (1927), 209-212.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = right / n
    center = share + z * z / (2 * n)
    reach = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # For 0 of n the low end is exactly 0, for n of n the high end exactly 1; avoid rounding errors.
    low = 0.0 if right == 0 else (center - reach) / scale
    return low, 1.0 if right == n else (center + reach) / scale


def guessing(
    classes: tuple[str, ...],
    counts: NDArray[np.int64],
    predicted: NDArray[np.int64],
    right: NDArray[np.int64],
) -> str | None:
    """Why predictions are no better than guessing, as text; None if they are better.

    Guessing among K classes is right for 1 / K of the images, and answering always with the largest
    class for its share of the images. On unbalanced images the second is high, so the mean recall
    counts, too: a constant answer has a mean recall of 1 / K.

    Args:
        classes: The `K` class names.
        counts: `(K,)`: images of each class, at least one in all.
        predicted: `(K,)`: images that were predicted as each class.
        right: `(K,)`: images of each class that were predicted as it.
    """
    n, present, said = int(counts.sum()), counts > 0, np.flatnonzero(predicted)
    if len(said) == 1 and present.sum() > 1:
        return f"every one of {n} images gets the same label, '{classes[said[0]]}'"
    kinds = int(present.sum()) if present.sum() > 1 else len(classes)
    if kinds < 2:
        return None
    accuracy, guess = float(right.sum() / n), 1 / kinds
    if text := guessing_rate(accuracy, n, kinds):
        return text
    low, _ = wilson_interval(int(right.sum()), n)
    largest = int(counts.argmax())
    share = float(counts[largest] / n)
    useless = accuracy <= share or _lowest_recall(counts[present], right[present]) <= guess
    if present.sum() > 1 and low <= share and useless:
        name = classes[largest]
        found = f"accuracy {_percent(accuracy)} on {n} images"
        return f"{found} is no better than always answering '{name}' ({_percent(share)})"
    return None


def guessing_rate(accuracy: float, n: int, kinds: int) -> str | None:
    """Why an accuracy on `n` images is no better than guessing among `kinds` classes, or None.

    For a training, of whose images only the accuracy is known; `guessing` sees more.
    """
    guess = 1 / kinds
    low, _ = wilson_interval(round(accuracy * n), n)
    if kinds < 2 or low > guess:
        return None
    found = f"accuracy {_percent(accuracy)} on {n} images"
    return f"{found} is no better than guessing among {kinds} classes ({_percent(guess)})"


def _lowest_recall(counts: NDArray[np.int64], right: NDArray[np.int64]) -> float:
    """The low end of a 95 % interval of the mean recall of classes that have images."""
    rough = (right + 1) / (counts + 2)  # never 0 or 1, where a variance would be 0
    deviation = math.sqrt(float((rough * (1 - rough) / counts).sum())) / len(counts)
    return float((right / counts).mean()) - Z * deviation


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
