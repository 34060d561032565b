"""`explain` -> `Explanation`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.errors import OptionError, did_you_mean
from pocketlens.explanation.occlusion import occluded
from pocketlens.image import ImageSource, prepare
from pocketlens.prediction import Predictor

__all__ = ["METHODS", "Explanation", "explain"]

METHODS = {
    "activation": "class activation map",
    "first-order": "class activation map, to first order",
    "occlusion": "parts of the image covered in turn",
}
"""The values of `Explanation.method`, and what they mean."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Which parts of an image speak for a label.

    Args:
        map: `(h, w)` float32, over the image as the model sees it, after its crop. A positive
            number: this part speaks for the label; negative: against it.
        label: The label that is explained.
        confidence: The probability of the label, in [0, 1].
        method: `activation`, `first-order` or `occlusion`; see `explain`.
        share: The smallest share of the map, in [0, 1], that makes up half of what speaks for the
            label. Small: the model looks at one spot. 0 if nothing speaks for it.
        rest: What the map leaves out: `map.mean() + rest` is the model's score of the label before
            the softmax. None with `occlusion`.
    """

    map: NDArray[np.float32]
    label: str
    confidence: float
    method: str
    share: float
    rest: float | None

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, as `--json` prints it."""
        return {
            "label": self.label,
            "confidence": self.confidence,
            "method": self.method,
            "share": self.share,
            "rest": self.rest,
            "map": [[float(f"{value:.6g}") for value in row] for row in self.map],
        }


def explain(model: Predictor, image: ImageSource, *, label: str | None = None) -> Explanation:
    """Show which parts of an image speak for a label.

    For a Core ML file that computes its scores from a map of features, as most image classifiers
    do, the map's own values are used. Each place of the map is multiplied by the gradient of the
    label's score and summed over the features. If only a mean (or a flattening) and a linear layer
    follow, this is exact: the mean over the map, plus a constant, is the score (`activation`; a
    class activation map, Zhou et al. 2016, arXiv 1512.04150). If something else follows, it holds
    to first order in the map (`first-order`). The gradient is computed in NumPy, from the weights
    in the file. For every other model, parts of the image are covered, one after another, and the
    map is the loss of log odds (`occlusion`; Zeiler and Fergus 2013, arXiv 1311.2901).

    Args:
        model: A classifier, such as a Core ML model from `load`.
        image: A path, a Pillow image or an array `(H, W)` / `(H, W, 1 or 3)` uint8.
        label: The label to explain; by default the one that the model gives.

    Raises:
        OptionError: The model has no such label.
        FeatureError: The model is not an image classifier.
        ImageError: The image cannot be read.
    """
    pixels = prepare(image, model.input_spec)
    (probabilities,) = model.probabilities(pixels[None])
    if label is None:
        index = int(np.argmax(probabilities))
    elif label in model.classes:
        index = model.classes.index(label)
    else:
        raise OptionError(f"the model has no label {label!r}; {did_you_mean(label, model.classes)}")
    found = _from_features(model, pixels, index)
    values, method, rest = found or (occluded(model, pixels, index), "occlusion", None)
    return Explanation(
        values.astype(np.float32),
        model.classes[index],
        float(probabilities[index]),
        method,
        _share(values),
        rest,
    )


def _from_features(
    model: Predictor, pixels: NDArray[np.uint8], index: int
) -> tuple[NDArray[np.float64], str, float] | None:
    """The map, the method and the rest, from the last feature map; None if there is none."""
    from pocketlens.coreml.runtime.model import CoreMLModel
    from pocketlens.explanation.gradients import NoGradientError
    from pocketlens.explanation.tail import find_tail

    if not isinstance(model, CoreMLModel):
        return None
    within = model._probabilities_in_graph()
    tail = find_tail(*within, len(model.classes)) if within else None
    if tail is None:
        return None
    inputs = {model.interface.inputs[0].name: model._picture(pixels)}
    values = model.run(inputs, intermediate=True)[tail.name]
    features = np.asarray(values, np.float64)
    try:
        slope = tail.slope(features, index)
    except NoGradientError:
        return None
    other = tuple(axis for axis in range(features.ndim) if axis not in tail.axes)
    found = (features * slope.gradient).sum(other) * np.prod([features.shape[k] for k in tail.axes])
    if tail.axes[0] > tail.axes[1]:
        found = found.T
    return found, "activation" if slope.exact else "first-order", slope.score - float(found.mean())


def _share(values: NDArray[np.float64]) -> float:
    """The smallest share of the map that makes up half of its positive values."""
    positive = np.sort(np.maximum(values, 0), axis=None)[::-1]
    if not positive.any():
        return 0.0
    sums = np.cumsum(positive)
    return float((np.searchsorted(sums, sums[-1] / 2) + 1) / values.size)
