"""`find_readings`: would a model do better if it read its images in another way?

Parity compares two predictors that read images alike, so it cannot see that both read them wrongly:
swapped color channels, pixels scaled twice or not at all, labels in another order, images that are
turned. Labeled images can: with the right reading, more of them are classified correctly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from math import comb
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.dataset import Dataset
from pocketlens.errors import OptionError
from pocketlens.evaluation.accuracy import percent, shared_classes
from pocketlens.evaluation.assignment import best_assignment
from pocketlens.evaluation.chance import guessing
from pocketlens.evaluation.reading_changes import (
    VIEWS,
    drawn_ink,
    input_changes,
    label_orders,
    option_text,
)
from pocketlens.image import prepare
from pocketlens.prediction import Predictor

__all__ = ["Reading", "Readings", "find_readings"]

LIMIT = 500
SCREEN = 100
"""How many images are classified in every reading; only readings that are better go on."""

GOOD = 0.97
"""From this accuracy no other reading is tried: there is hardly anything to gain."""

LEVEL = 0.01
"""The probability that any reading is called better by chance, over all of them (Bonferroni)."""

GAINS = {"color": 0.02, "labels": 0.03, "order": 0.2, "view": 0.05, "scale": 0.1}
"""How much accuracy a change must gain: more than a sound model may gain by it, for example by more
contrast."""
ASSUMED_GAIN = 0.03
"""The same for a scale that is only assumed."""

FITTED = 0.5
"""The accuracy that labels in the order that fits best must reach."""

ROUNDS = 3
"""How many changes may come together, such as another color order and other labels."""

MAX_LABELS = 2000
"""For more classes, the order of labels that fits best is not looked for."""

EVERY = slice(None)

Right: TypeAlias = NDArray[np.bool_]
Scores: TypeAlias = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Reading:
    """Another way to read the images, and what it gains.

    Args:
        name: What is changed, such as `color rgb` or `images turned by 90°`.
        options: The command-line options for it, such as `--color rgb`; empty if there are none,
            as for turned images.
        values: The changed fields of the InputSpec, for `Predictor.with_input`.
        labels: The class names in the order of the outputs; None: unchanged.
        n: Number of images on which it was compared.
        as_given: Accuracy on them as given, in [0, 1].
        accuracy: Accuracy on them with this reading, in [0, 1].
        p_value: The probability that a reading which is no better gains this much, by an exact
            one-sided McNemar test on the same images; not corrected for the number of readings.
    """

    name: str
    options: str
    values: dict[str, Any]
    labels: tuple[str, ...] | None
    n: int
    as_given: float
    accuracy: float
    p_value: float

    def __str__(self) -> str:
        found = f"as given {percent(self.as_given)}; with {self.name} {percent(self.accuracy)}"
        return f"{found}: pass {self.options}" if self.options else found


@dataclass(frozen=True)
class Readings:
    """The answer of `find_readings`.

    Args:
        n: Number of images that were used.
        as_given: Accuracy on them as given, in [0, 1].
        tried: How many other readings were tried; 0 if there is hardly anything to gain.
        better: The best reading that is significantly better than as given, or None.
        drawings: Whether drawings should be made in the other ink: the accuracy as they are made
            for this model, and in the other ink. None if not, or if the images are no drawings.
        drawings_assumed: Whether the model's ink is only assumed.
        warning: Why the model, as given, is no better than guessing; None if it is better.
    """

    n: int
    as_given: float
    tried: int
    better: Reading | None
    drawings: Reading | None
    drawings_assumed: bool
    warning: str | None

    @property
    def passed(self) -> bool:
        """Whether the model reads its images rightly, as far as these images tell.

        Drawings in the wrong ink count only if the ink is not merely assumed.
        """
        return self.better is None and (self.drawings is None or self.drawings_assumed)

    def __str__(self) -> str:
        warning = f"WARNING: {self.warning}\n" if self.warning else ""
        return warning + self._text()

    def _text(self) -> str:
        if self.better is not None:
            first = f"another reading is better on {self.better.n} images: {self.better}"
        elif not self.tried:
            first = f"reading: as given {percent(self.as_given)} on {self.n} images"
        else:
            first = (
                f"reading: as given {percent(self.as_given)} on {self.n} images; none of "
                f"{self.tried} others is better"
            )
        if self.drawings is None:
            return first
        known = "assumed" if self.drawings_assumed else "set"
        ink = self.drawings.values["ink"]
        return (
            f"{first}\ndrawings for this model are made in the wrong ink, which is {known}: "
            f"{percent(self.drawings.as_given)}; with {ink} lines "
            f"{percent(self.drawings.accuracy)}: pass {self.drawings.options}"
        )

    def to_dict(self) -> dict[str, Any]:
        """A dictionary of lists, strings and numbers for JSON."""
        return {"passed": self.passed, **asdict(self)}


def find_readings(
    predictor: Predictor, dataset: Dataset, *, limit: int = LIMIT, seed: int = 0
) -> Readings:
    """Ask whether another reading of the images makes more of a model's predictions right.

    Tried are: the other color order; pixels as they are, times 1/255, from -1 to 1, and by the
    means of MNIST, ImageNet or Caffe; inverted pixels; images turned, mirrored or transposed; and
    the labels reversed, sorted, shifted by one, or in the order that fits best. A change that
    helps is kept, and the others are tried again on top of it.

    A reading counts as better only if an exact paired test says so, corrected for the number of
    readings, and if it gains more than a sound model may gain by it. From 97 % accuracy on, nothing
    is tried. A predictor without `with_input` is only tried on turned images and other labels.

    Args:
        predictor: The model, as given.
        dataset: Labeled images, at least one.
        limit: The most images to use, drawn at random; at least 1.
        seed: Draws the images.

    Raises:
        DataError: The data set is empty, or has a class that the predictor lacks.
        OptionError: `limit` is below 1.
    """
    if limit < 1:
        raise OptionError(f"limit must be at least 1; received: {limit}")
    shared_classes(predictor, dataset)
    order = np.random.default_rng(seed).permutation(len(dataset))[:limit]
    search = _Search(predictor, dataset.subset(order))
    state, best = _State(), None
    scores = search.scores(state)
    right = given = search.right(state, scores)
    for _ in range(ROUNDS):
        found = search.improved(state, right) if right.mean() < GOOD else None
        if found is None:
            break
        state, right, rows = found
        best = search.reading(state, given[rows], right[rows])
    drawings = search.drawings(given) if best is None else None
    assumed = "ink" in predictor.input_spec.assumed
    warning = search.warning(scores, given)
    return Readings(len(order), float(given.mean()), search.tried, best, drawings, assumed, warning)


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
class _State:
    """A reading that is being built up, one change after another."""

    values: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None
    view: str = ""
    names: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def changed(self, name: str, *kinds: str, **fields: Any) -> _State:
        known = {"values": self.values, "labels": self.labels, "view": self.view} | fields
        return _State(**known, names=(*self.names, name), kinds=(*self.kinds, *kinds))


class _Search:
    """Classifies a few images in many ways."""

    def __init__(self, predictor: Predictor, data: Dataset) -> None:
        self.predictor = predictor
        self.data = data
        self.names = np.array([data.classes[label] for label in data.labels], object)
        self.tried = 0

    def scores(self, state: _State, rows: slice = EVERY) -> Scores:
        """The probabilities `(n, K)` for the images, as this reading gives them."""
        model = self.predictor.with_input(**state.values) if state.values else self.predictor
        return self._scores(model, state.view, self.data.images[rows])

    def _scores(self, model: Predictor, view: str, images: NDArray[np.uint8]) -> Scores:
        turned = [prepare(VIEWS[view](image), model.input_spec) for image in images]
        if not turned:
            return np.empty((0, len(model.classes)), np.float32)
        with np.errstate(all="ignore"):
            return np.asarray(model.probabilities(np.stack(turned)))

    def right(self, state: _State, scores: Scores, rows: slice = EVERY) -> Right:
        """Whether each image gets its own label; not if a probability is not finite."""
        names = np.array(state.labels or self.predictor.classes, object)
        right: Right = names[scores.argmax(axis=1)] == self.names[rows]
        return right & np.isfinite(scores).all(axis=1)

    def warning(self, scores: Scores, right: Right) -> str | None:
        """Why the model, as given, is no better than guessing."""
        classes = self.predictor.classes
        place = {name: at for at, name in enumerate(classes)}
        true = np.array([place[name] for name in self.names])
        counts, hits = (np.bincount(each, minlength=len(classes)) for each in (true, true[right]))
        predicted = np.bincount(scores.argmax(axis=1), minlength=len(classes))
        return guessing(classes, counts, predicted, hits)

    def reading(self, state: _State, before: Right, after: Right) -> Reading:
        """The result for a state, with what it changes only."""
        spec = self.predictor.input_spec
        other = spec.with_values(**state.values)
        values = {name: v for name, v in state.values.items() if getattr(spec, name) != v}
        inverted = any(a * b < 0 for a, b in zip(spec.scale, other.scale, strict=True))
        if inverted and (ink := drawn_ink(self.data.images)) not in (None, spec.ink):
            values["ink"] = ink  # drawings look like these images
        return Reading(
            ", ".join(state.names),
            option_text(values, state.labels),
            values,
            state.labels,
            len(before),
            float(before.mean()),
            float(after.mean()),
            mcnemar(before, after),
        )

    def improved(self, state: _State, right: Right) -> tuple[_State, Right, slice] | None:
        """The best change on top of `state`, and the images that it was tested on.

        None if no change is significantly better.
        """
        good = []
        for changed, scores, rows in [
            *self._other_pixels(state, right),
            *self._other_labels(state),
        ]:
            now = self.right(changed, scores)
            before, after = right[rows], now[rows]
            kinds = changed.kinds[len(state.kinds) :]
            enough = after.mean() - before.mean() >= self._least_gain(kinds)
            # A useless model's labels fit best in some order, too.
            enough &= "order" not in kinds or after.mean() >= FITTED
            if enough and mcnemar(before, after) * self.tried <= LEVEL:
                good.append((float(after.mean()), len(kinds), (changed, now, rows)))
        if not good:
            return None
        best = max(accuracy for accuracy, _, _ in good)
        # One change instead of two, if it is as good up to 1 %; then the best, the first of equals.
        fewest = min(count for accuracy, count, _ in good if accuracy >= best - 0.01)
        return max((each for each in good if each[1] == fewest), key=lambda each: each[0])[2]

    def _least_gain(self, kinds: tuple[str, ...]) -> float:
        gains = dict(GAINS)
        if "scale" in self.predictor.input_spec.assumed:
            gains["scale"] = ASSUMED_GAIN
        return max(gains[kind] for kind in kinds)

    def _other_pixels(self, state: _State, right: Right) -> Iterator[tuple[_State, Scores, slice]]:
        """The states with other pixels that are better on the first images."""
        changes: list[_State] = []
        if type(self.predictor).with_input is not Predictor.with_input:
            spec = self.predictor.input_spec.with_values(**state.values)
            changes += [
                state.changed(each.name, *each.kinds, values={**state.values, **each.values})
                for each in input_changes(spec)
                if not set(each.kinds) & set(state.kinds)
            ]
        if "view" not in state.kinds:
            changes += [state.changed(view, "view", view=view) for view in VIEWS if view]
        self.tried += len(changes)
        first, rest = slice(0, SCREEN), slice(SCREEN, None)
        for changed in changes:
            part = self.scores(changed, first)
            if self.right(changed, part, first).sum() > right[first].sum():
                yield changed, np.concatenate([part, self.scores(changed, rest)]), EVERY

    def _other_labels(self, state: _State) -> Iterator[tuple[_State, Scores, slice]]:
        """The states with other labels."""
        classes = self.predictor.classes
        if "labels" in state.kinds:
            return
        scores = self.scores(state)
        named = dict(label_orders(classes))
        for name, order in named.items():
            self.tried += 1
            yield state.changed(name, "labels", labels=order), scores, EVERY
        if len(classes) > MAX_LABELS:
            return
        # What fits best is found on every other image, and tested on those in between.
        self.tried += 1
        learned, tested = slice(0, None, 2), slice(1, None, 2)
        order = self._best_labels(scores[learned], self.names[learned])
        if order not in (classes, *named.values()) and len(self.names) > 1:
            name = "labels in the order that fits best"
            yield state.changed(name, "labels", "order", labels=order), scores, tested

    def _best_labels(self, scores: Scores, names: NDArray[Any]) -> tuple[str, ...]:
        classes = self.predictor.classes
        place = {name: index for index, name in enumerate(classes)}
        counts = np.zeros((len(classes), len(classes)), np.int64)
        np.add.at(counts, (scores.argmax(axis=1), [place[name] for name in names]), 1)
        return tuple(classes[column] for column in best_assignment(counts))

    def drawings(self, given: Right) -> Reading | None:
        """Whether drawings should be made in the other ink, if the images are drawings."""
        spec = self.predictor.input_spec
        ink = drawn_ink(self.data.images)
        if ink is None or ink == spec.ink:
            return None
        # The model's drawings look like these images, inverted.
        scores = self._scores(self.predictor, "", 255 - self.data.images)
        drawn = self.right(_State(), scores)
        gain = float(given.mean() - drawn.mean())
        if gain < GAINS["scale"] or mcnemar(drawn, given) > LEVEL:
            return None
        return self.reading(_State({"ink": ink}, names=(f"ink {ink}",)), drawn, given)
