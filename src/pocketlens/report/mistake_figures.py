"""Figures of misread images: which parts mislead the model, and which training images are similar.

Both are drawn after the conversion, as they use the Core ML file, and features of the images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.evaluation.accuracy import Evaluation, Mistake, percent
from pocketlens.explanation import METHODS, explain
from pocketlens.explanation.heat import heat_picture
from pocketlens.prediction import Predictor
from pocketlens.report.canvas import (
    INK,
    MUTED,
    ORANGE,
    gallery,
    new_figure,
    plural,
    save,
    short,
    style,
)

__all__ = ["draw_confusions", "draw_explained"]

EXPLAINED = 6
"""The most mistakes that are explained."""

BLOCK = 4096
"""Training images that are compared at a time: of many, there is no second copy of the features."""

PAIRS = 6
"""The most confusions that are shown with similar images."""

Features = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@style()
def draw_explained(
    model: Predictor, dataset: Dataset, evaluation: Evaluation, path: str | Path
) -> Path:
    """Draw the most confident mistakes with the parts that speak for the wrong and the true class.

    Args:
        model: The model, such as a Core ML file.
        dataset: The data set that was evaluated.
        evaluation: Its evaluation; without mistakes, the figure has only a title.
        path: The output file, `.png` or `.svg`.
    """
    title, mistakes = "Why are they misread?", evaluation.mistakes[:EXPLAINED]
    if not mistakes:
        return _empty(title, evaluation, path)
    images, captions, methods = [], [], Counter[str]()
    for one in mistakes:
        image = dataset.images[one.index]
        images.append(np.broadcast_to(image, (*image.shape[:2], 3)))
        captions.append([("the image", MUTED), (f"is {short(one.label, 18)}", INK)])
        for label, color in ((one.predicted, ORANGE), (one.label, INK)):
            found = explain(model, image, label=label)
            methods[found.method] += 1
            images.append(heat_picture(image, found))
            name = short(label, 18)
            captions.append([(f"for {name}", color), (percent(found.confidence), color)])
    how = ", ".join(METHODS[method] for method in methods)
    subtitle = f"orange: for the class, blue: against it ({how})"
    return gallery(images, captions, 6, title, subtitle, path)


@style()
def draw_confusions(
    test: Dataset, train: Dataset, evaluation: Evaluation, features: Features, path: str | Path
) -> Path:
    """Draw misread test images beside the most similar training images of both classes.

    One mistake of each confusion, the most frequent confusions first.

    Args:
        test: The data set that was evaluated.
        train: The training images.
        evaluation: The evaluation; without mistakes, the figure has only a title.
        features: Computes features `(N, F)` of images; similar images have similar features.
        path: The output file, `.png` or `.svg`.
    """
    title, chosen = "Confusions, and what is similar", _chosen(evaluation, train)
    if not chosen:
        return _empty(title, evaluation, path)
    known = features(train.images)
    wanted = features(test.images[[one.index for one in chosen]])
    similarity = _similarity(wanted, known)
    images, captions = [], []
    for one, row in zip(chosen, similarity, strict=True):
        name, wrong = short(one.label, 18), short(one.predicted, 18)
        images.append(test.images[one.index])
        captions.append([("test image", MUTED), (f"{name} → {wrong}", ORANGE)])
        for label in (one.predicted, one.label):
            own = np.flatnonzero(train.labels == train.classes.index(label))
            best = own[row[own].argmax()]
            images.append(train.images[best])
            captions.append([("training image", MUTED), (f"is {short(label, 18)}", INK)])
    subtitle = "the most similar training images of the wrong class and of the right class"
    return gallery(images, captions, 6, title, subtitle, path)


def _chosen(evaluation: Evaluation, train: Dataset) -> list[Mistake]:
    """The most confident mistake of each frequent confusion between classes with images."""
    present = {train.classes[label] for label in np.unique(train.labels)}
    classes = {name: at for at, name in enumerate(evaluation.classes)}
    first: dict[tuple[str, str], Mistake] = {}
    for one in evaluation.mistakes:
        if {one.label, one.predicted} <= present:
            first.setdefault((one.label, one.predicted), one)

    def times(one: Mistake) -> int:
        return evaluation.confusion[classes[one.label]][classes[one.predicted]]

    return sorted(first.values(), key=times, reverse=True)[:PAIRS]


def _similarity(features: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosines `(M, N)` of the directions of features from the mean of those that are known."""
    center: NDArray[np.float32] = known.mean(0)
    own = _unit(features - center)
    blocks = (known[start : start + BLOCK] for start in range(0, len(known), BLOCK))
    return np.concatenate([own @ _unit(block - center).T for block in blocks], axis=1)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = rows / np.maximum(
        np.linalg.norm(rows, axis=1, keepdims=True), 1e-9
    )
    return found


def _empty(title: str, evaluation: Evaluation, path: str | Path) -> Path:
    figure = new_figure(6, 0.1, title, f"no mistakes in {plural(evaluation.n, 'image')}")
    return save(figure, path)
