"""Learn from the features of the examples: a recognizer, and how sure to be of it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pocketlens.data.folder import near_groups
from pocketlens.data.members import ALL
from pocketlens.data.survey import survey
from pocketlens.errors import OptionError
from pocketlens.prediction import NOTHING, PlainPredictor
from pocketlens.preview.teaching.features import Features
from pocketlens.preview.teaching.folder import Example, TaughtFolder, burst_of
from pocketlens.preview.teaching.sureness import Sureness, grouped, measure
from pocketlens.recipe import Recipe
from pocketlens.recognizer import Recognizer
from pocketlens.training.cross_validation import (
    choose_head,
    held_out_probabilities,
    validate_all,
)
from pocketlens.training.fitted import build_recognizer, fit
from pocketlens.training.logistic import one_thread_if_small

__all__ = ["Lesson", "LiveRecognizer", "learn"]

COMPARED = 8
"""Frames of a burst that are compared with other bursts: its frames are one group anyway."""

LEAST = 2
"""Examples of a class; with fewer, it can never be tested."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """What was learned.

    Args:
        recognizer: The recognizer.
        sureness: How sure to be of it.
        examples: What it has learned from.
    """

    recognizer: Recognizer
    sureness: Sureness
    examples: frozenset[Example]


class LiveRecognizer(PlainPredictor):
    """A recognizer that is fast: ONNX Runtime computes its features.

    Args:
        recognizer: What was learned.
        features: Computes the features.
    """

    def __init__(self, recognizer: Recognizer, features: Features) -> None:
        super().__init__(recognizer.classes, recognizer.input_spec, recognizer.thresholds)
        self.recognizer = recognizer
        self.features = features

    @torch.inference_mode()
    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities `(N, K)` of images `(N, *input.shape)` uint8."""
        if not len(images):
            return np.zeros((0, len(self.classes)), np.float32)
        network = self.recognizer.network
        logits = network.logits(torch.from_numpy(self.features(images)))  # type: ignore[operator]
        found: NDArray[np.float32] = (logits / self.recognizer.temperature).softmax(1).numpy()
        return found


def learn(recipe: Recipe, folder: TaughtFolder, features: Features) -> Lesson:
    """Learn from all examples.

    Args:
        recipe: A recipe with `training.method = "features"`.
        folder: The examples.
        features: Their features; those that are not known yet are computed.

    Raises:
        OptionError: There are too few classes or examples.
    """
    examples = [*folder]
    features.compute([folder.file(one) for one in examples])
    features.store()
    rows, known = features.rows([folder.file(one) for one in examples])
    examples = [examples[at] for at in known]
    classes = _classes(folder, examples)
    order = np.argsort([classes.index(one.label) for one in examples], kind="stable")
    examples = [examples[at] for at in order.tolist()]
    rows = rows[torch.from_numpy(order)][:, None]
    labels = np.array([classes.index(one.label) for one in examples], np.int64)
    groups = _groups(folder, examples)
    apart, _ = grouped(labels, groups)
    own, learned = torch.from_numpy(labels), [name for name in classes if name != NOTHING]
    with one_thread_if_small(rows):
        best = choose_head(recipe, features.network, rows, own, apart)
        every = validate_all(recipe, features.network, rows, own, apart, best)
        fitted = fit(recipe, features.network, rows, own, features.far, best, len(learned))
    recognizer = build_recognizer(recipe, features.network, (*learned, NOTHING), fitted)
    held_out = held_out_probabilities(every, own, len(classes)).double().numpy()
    validated = every.images.numpy()
    sureness = measure(
        [examples[at] for at in validated.tolist()],
        classes,
        labels[validated],
        groups[validated],
        held_out,
    )
    return Lesson(recognizer, sureness, frozenset(examples))


def _classes(folder: TaughtFolder, examples: Sequence[Example]) -> list[str]:
    """The classes with examples, in the order of the page; the background is the last one."""
    counts = {name: sum(one.label == name for one in examples) for name in folder.classes}
    known = [name for name, count in counts.items() if count and name != NOTHING]
    if len(known) < 2:
        raise OptionError(
            f"a recognizer needs examples of at least two classes besides {NOTHING!r}; it has "
            f"those of: {', '.join(known) or 'none'}"
        )
    if few := [name for name, count in counts.items() if 0 < count < LEAST]:
        raise OptionError(f"add more examples of {few[0]!r}: each class needs at least {LEAST}")
    return [*known, NOTHING] if counts.get(NOTHING) else known


def _groups(folder: TaughtFolder, examples: Sequence[Example]) -> NDArray[np.int64]:
    """The same number for the images of a burst, and for near-duplicates of a class."""
    files = {folder.file(one): one for one in examples}
    by_class: dict[str, list[Path]] = {}
    for one in _compared(examples):
        by_class.setdefault(one.label, []).append(folder.file(one))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cache on disk cannot be written: it is only slower
        looked = survey([file for some in by_class.values() for file in some])
        near = near_groups({ALL: by_class}, looked)
    parents = list(range(len(examples)))

    def root(at: int) -> int:
        while parents[at] != at:
            parents[at] = parents[parents[at]]
            at = parents[at]
        return at

    first: dict[object, int] = {}
    for at, (file, one) in enumerate(files.items()):
        burst = burst_of(one)
        names: list[object] = [(one.label, "near", near[file])] if file in near else []
        names += [(one.label, "burst", burst)] if burst else []
        for name in names:
            low, high = sorted((root(first.setdefault(name, at)), root(at)))
            parents[high] = low
    return np.array([root(at) for at in range(len(parents))], np.int64)


def _compared(examples: Sequence[Example]) -> list[Example]:
    """All photos and drawings, and some frames of each burst, evenly spread."""
    bursts: dict[tuple[str, str], list[Example]] = {}
    found = []
    for one in examples:
        if burst := burst_of(one):
            bursts.setdefault((one.label, burst), []).append(one)
        else:
            found.append(one)
    for frames in bursts.values():
        step = max(1.0, len(frames) / COMPARED)
        found += [frames[int(at * step)] for at in range(min(COMPARED, len(frames)))]
    return found
