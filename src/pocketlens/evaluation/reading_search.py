"""The search behind `find_readings`: classify a few images in many ways, and compare."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.evaluation.assignment import best_assignment
from pocketlens.evaluation.reading_changes import VIEWS, input_changes, label_orders
from pocketlens.image import prepare
from pocketlens.prediction import Predictor

__all__ = ["GAINS", "LEVEL", "Found", "Right", "Search", "State", "mcnemar"]

SCREEN = 100
"""How many images are classified in every reading; only the best go on."""

GOOD = 0.97
"""From this accuracy no other reading is tried: there is hardly anything to gain."""

LOST = 0.6
"""Below this accuracy, errors are looked for that hide each other."""

FINALISTS = 6
"""How many readings go on from the first images to all of them."""

VIEWED = 4
"""In how many readings of pixels turned images are tried, too."""

LEVEL = 0.01
"""The probability that any reading is called better by chance, over all of them (Bonferroni)."""

GAINS = {"color": 0.02, "labels": 0.03, "order": 0.2, "view": 0.05, "scale": 0.1, "ink": 0.1}
"""How much accuracy a change must gain: more than a sound model may gain by it, for example by more
contrast."""
ASSUMED_GAIN = 0.03
"""The same for a scale that is only assumed."""

SEVERAL = 0.5
"""The accuracy that other labels, or several changes at once, must reach: of hundreds of such
readings, some suit even an untrained network significantly better than the given one."""

FITTED = 0.7
"""The same for labels in the order that fits best: K groups of images that an untrained network
tells apart get 1 - 1/e = 63 % different labels by chance."""

USEFUL = 0.25
"""How far from guessing (0) to no errors (1) any reading must bring a model."""

ROUNDS = 3
"""How many changes may be found one after another, such as another color order, then labels."""

MAX_LABELS = 2000
"""For more classes, the order of labels that fits best is not looked for."""

EVERY = slice(None)
FIRST, REST = slice(0, SCREEN), slice(SCREEN, None)
LEARNED, TESTED = slice(0, None, 2), slice(1, None, 2)
"""The order of labels that fits best is found on every other image, and tested on the others."""

Right: TypeAlias = NDArray[np.bool_]
Scores: TypeAlias = NDArray[np.floating[Any]]


def mcnemar(before: Right, after: Right) -> float:
    """The p-value of the exact one-sided McNemar test that `after` is more often right.

    Source: Q. McNemar, "Note on the sampling error of the difference between correlated proportions
    or percentages", Psychometrika 12 (1947), 153-157; exact by the binomial distribution.

    Args:
        before: Whether each image was right.
        after: Whether the same image is right now.
    """
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    n = gained + lost
    return float(sum(comb(n, k) for k in range(gained, n + 1)) / 2**n)


@dataclass(frozen=True)
class State:
    """A reading that is being built up, one change after another.

    Args:
        values: The changed fields of the InputSpec.
        labels: The class names in the order of the outputs; None: unchanged.
        view: How the images are turned, a key of `VIEWS`.
        names: The changes, for the user.
        kinds: Their kinds, keys of `GAINS`.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None
    view: str = ""
    names: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def changed(self, name: str, *kinds: str, **fields: Any) -> State:
        """This state with one more change."""
        known = {"values": self.values, "labels": self.labels, "view": self.view} | fields
        return State(**known, names=(*self.names, name), kinds=(*self.kinds, *kinds))


class Found(NamedTuple):
    """A reading of all images.

    Attributes:
        state: The reading.
        scores: What the model says, `(n, K)`.
        right: Whether each image is right.
        rows: The images by which it may be judged; the others have chosen its labels.
    """

    state: State
    scores: Scores
    right: Right
    rows: slice = EVERY

    @property
    def accuracy(self) -> float:
        """The share of the images `rows` that are right."""
        return float(self.right[self.rows].mean())


class Search:
    """Classifies a few images in many ways.

    Args:
        predictor: The model, as given.
        data: The images.
    """

    def __init__(self, predictor: Predictor, data: Dataset) -> None:
        self.predictor = predictor
        self.data = data
        self.names = np.array([data.classes[label] for label in data.labels], object)
        overridden = type(predictor).with_input is not Predictor.with_input
        self.adaptable = overridden and predictor.adaptable
        self.tried = 0

    def best(self, given: Found) -> Found:
        """The best reading that is significantly better; the given one if there is none."""
        found = given
        for _ in range(ROUNDS):
            if found.accuracy >= GOOD:
                return found
            better = self._better(found, [*self._other_pixels(found), *self._other_labels(found)])
            if better is None:
                break
            found = better
        if given.accuracy < LOST and found.accuracy < GOOD:
            found = self._better(found, self._combinations(given)) or found
        return found

    def found(self, state: State, scores: Scores, rows: slice = EVERY) -> Found:
        """A reading with its scores for all images."""
        return Found(state, scores, self.right(state, scores), rows)

    def scores(self, state: State, rows: slice = EVERY) -> Scores:
        """The probabilities `(n, K)` for the images, as this reading gives them."""
        model = self.predictor.with_input(**state.values) if state.values else self.predictor
        return self.scores_of(model, self.data.images[rows], state.view)

    def scores_of(self, model: Predictor, images: NDArray[np.uint8], view: str = "") -> Scores:
        """The same for a model and images."""
        turned = [prepare(VIEWS[view](image), model.input_spec) for image in images]
        if not turned:
            return np.empty((0, len(model.classes)), np.float32)
        with np.errstate(all="ignore"):
            return np.asarray(model.probabilities(np.stack(turned)))

    def right(self, state: State, scores: Scores, rows: slice = EVERY) -> Right:
        """Whether each image gets its own label; not if a probability is not finite."""
        names = np.array(state.labels or self.predictor.classes, object)
        right: Right = names[scores.argmax(axis=1)] == self.names[rows]
        return right & np.isfinite(scores).all(axis=1)

    def _better(self, base: Found, others: Sequence[Found]) -> Found | None:
        """The best of the others; None if none of them is significantly better than `base`."""
        good = []
        for other in others:
            rows = TESTED if TESTED in (base.rows, other.rows) else EVERY
            before, after = base.right[rows], other.right[rows]
            kinds = set(other.state.kinds) - set(base.state.kinds) or set(other.state.kinds)
            enough = after.mean() - before.mean() >= self._least_gain(kinds)
            enough &= after.mean() >= self._least_accuracy(kinds)
            if enough and mcnemar(before, after) * self.tried <= LEVEL:
                good.append((float(after.mean()), len(other.state.kinds), other, rows))
        if not good:
            return None
        best = max(accuracy for accuracy, *_ in good)
        # One change instead of two, if it is as good up to 1 %; then the best, the first of equals.
        fewest = min(count for accuracy, count, *_ in good if accuracy >= best - 0.01)
        *_, chosen, rows = max((each for each in good if each[1] == fewest), key=lambda e: e[0])
        return chosen._replace(rows=rows)

    def _least_gain(self, kinds: Iterable[str]) -> float:
        gains = dict(GAINS)
        if "scale" in self.predictor.input_spec.assumed:
            gains["scale"] = gains["ink"] = ASSUMED_GAIN
        return max(gains[kind] for kind in kinds)

    def _least_accuracy(self, kinds: Collection[str]) -> float:
        guessing = 1 / len(self.predictor.classes)
        useful = guessing + USEFUL * (1 - guessing)
        if "order" in kinds:
            return max(useful, FITTED)
        return max(useful, SEVERAL) if len(kinds) > 1 or "labels" in kinds else useful

    def _other_pixels(self, base: Found) -> Iterator[Found]:
        """The readings with one change of the pixels that are better on the first images."""
        done = set(base.state.kinds)
        changes = []
        for changed in self._inputs(base.state):
            kinds = set(changed.kinds[len(base.state.kinds) :])
            several = "ink" in kinds and len(kinds) > 1 and self.predictor.input_spec.channels > 1
            if not (kinds & done or several or ("scale" in kinds and "ink" in done)):
                changes.append(changed)
        if "view" not in done:
            changes += self._views(base.state)
        self.tried += len(changes)
        better = []
        for changed in changes:
            part = self.scores(changed, FIRST)
            right = int(self.right(changed, part, FIRST).sum())
            if right > base.right[FIRST].sum():
                better.append((right, changed, part))
        better.sort(key=lambda each: each[0], reverse=True)
        for _, changed, part in better[:FINALISTS]:
            yield self.found(changed, self._completed(changed, part))

    def _other_labels(self, base: Found) -> Iterator[Found]:
        """The readings with other labels."""
        if "labels" not in base.state.kinds:
            for changed, rows in self._labelled(base.state, base.scores, self.names):
                yield self.found(changed, base.scores, rows)

    def _combinations(self, given: Found) -> list[Found]:
        """The most promising of all combinations of pixels, turned images and labels.

        With two errors at once, mending one of them need not gain anything. So all readings of
        pixels are tried on the first images, and judged by the labels that fit them best; only the
        best of them are tried on turned images, and only the best of all these on all images.
        """
        tried = [(state, self.scores(state, FIRST)) for state in self._inputs(State())]
        tried = [(given.state, given.scores[FIRST]), *tried]
        tried.sort(key=self._promise, reverse=True)
        for state, _ in tried[:VIEWED]:
            tried += [(view, self.scores(view, FIRST)) for view in self._views(state)]
        self.tried += len(tried) - 1
        tried.sort(key=self._promise, reverse=True)
        found = []
        for state, part in tried[:FINALISTS]:
            plain = self.found(state, self._completed(state, part)) if state.kinds else given
            found += [plain, *self._other_labels(plain)]
        return [each for each in found if each.state.kinds]

    def _promise(self, tried: tuple[State, Scores]) -> tuple[float, int, int]:
        """A sort key: the accuracy on the first images, with the labels that fit best."""
        state, part = tried
        accuracies = [self.right(state, part, FIRST).mean()]
        for changed, rows in self._labelled(state, part, self.names[FIRST]):
            accuracies.append(self.right(changed, part, FIRST)[rows].mean())
        return float(max(accuracies)), len(set(part.argmax(axis=1))), -len(state.kinds)

    def _inputs(self, state: State) -> Iterator[State]:
        """The states with other pixels."""
        if self.adaptable:
            for each in input_changes(self.predictor.input_spec.with_values(**state.values)):
                values = {**state.values, **each.values}
                yield state.changed(each.name, *each.kinds, values=values)

    def _views(self, state: State) -> list[State]:
        """The states with images turned or mirrored."""
        return [state.changed(view, "view", view=view) for view in VIEWS if view]

    def _completed(self, state: State, part: Scores) -> Scores:
        """The scores for all images, from those for the first."""
        return np.concatenate([part, self.scores(state, REST)])

    def _labelled(
        self, state: State, scores: Scores, names: NDArray[Any]
    ) -> Iterator[tuple[State, slice]]:
        """The states with other labels, each with the images by which it may be judged."""
        classes = self.predictor.classes
        named = dict(label_orders(classes))
        for name, order in named.items():
            self.tried += 1
            yield state.changed(name, "labels", labels=order), EVERY
        if len(classes) > MAX_LABELS:
            return
        self.tried += 1
        order = self._best_labels(scores[LEARNED], names[LEARNED])
        if order not in (classes, *named.values()) and len(names) > 1:
            name = "labels in the order that fits best"
            yield state.changed(name, "labels", "order", labels=order), TESTED

    def _best_labels(self, scores: Scores, names: NDArray[Any]) -> tuple[str, ...]:
        classes = self.predictor.classes
        place = {name: index for index, name in enumerate(classes)}
        counts = np.zeros((len(classes), len(classes)), np.int64)
        np.add.at(counts, (scores.argmax(axis=1), [place[name] for name in names]), 1)
        return tuple(classes[column] for column in best_assignment(counts))
