"""`find_readings`: would a model do better if it read its images in another way?

Parity compares two predictors that read images alike, so it cannot see that both read them wrongly:
swapped color channels, pixels scaled twice or not at all, labels in another order, images that are
turned. Labeled images can: with the right reading, more of them are classified correctly.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pocketlens.data.dataset import Dataset
from pocketlens.errors import OptionError
from pocketlens.evaluation.accuracy import percent, shared_classes
from pocketlens.evaluation.chance import guessing
from pocketlens.evaluation.reading_changes import drawn_ink, option_text
from pocketlens.evaluation.reading_search import (
    GAINS,
    LEVEL,
    Found,
    Right,
    Search,
    State,
    mcnemar,
)
from pocketlens.prediction import Predictor

__all__ = ["Reading", "Readings", "find_readings"]

LIMIT = 500


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
    helps is kept, and the others are tried again on top of it. If fewer than 60 % were right as
    given, the changes are also tried in combination, because two errors may hide each other.

    A reading counts as better only if an exact paired test says so, corrected for the number of
    readings, and if it gains more than a sound model may gain by it. From 97 % accuracy on, nothing
    is tried. A predictor without `with_input` is only tried on turned images and other labels.

    The first 100 images are classified in every reading, all of them only in the best six. With
    500 images, a model that reads them rightly classifies about 3,000, one that is no better than
    guessing about 12,000.

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
    search = Search(predictor, dataset.subset(order))
    given = search.found(State(), search.scores(State()))
    found = search.best(given)
    right, drawings, best = given.right, None, None
    if found.state.kinds:
        best = _reading(search, found.state, right[found.rows], found.right[found.rows])
    else:
        drawings = _drawings(search, right)
    assumed = "ink" in predictor.input_spec.assumed
    return Readings(
        len(order),
        float(right.mean()),
        search.tried,
        best,
        drawings,
        assumed,
        _warning(search, given),
    )


def _warning(search: Search, given: Found) -> str | None:
    """Why the model, as given, is no better than guessing."""
    classes = search.predictor.classes
    place = {name: at for at, name in enumerate(classes)}
    true = np.array([place[name] for name in search.names])
    counts, hits = (np.bincount(each, minlength=len(classes)) for each in (true, true[given.right]))
    predicted = np.bincount(given.scores.argmax(axis=1), minlength=len(classes))
    return guessing(classes, counts, predicted, hits)


def _reading(search: Search, state: State, before: Right, after: Right) -> Reading:
    """The result for a state, with what it changes only."""
    spec = search.predictor.input_spec
    other = spec.with_values(**state.values)
    values = {name: v for name, v in state.values.items() if getattr(spec, name) != v}
    inverted = any(a * b < 0 for a, b in zip(spec.scale, other.scale, strict=True))
    if inverted and (ink := drawn_ink(search.data.images)) not in (None, spec.ink):
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


def _drawings(search: Search, given: Right) -> Reading | None:
    """Whether drawings should be made in the other ink, if the images are drawings."""
    spec = search.predictor.input_spec
    ink = drawn_ink(search.data.images)
    if ink is None or ink == spec.ink:
        return None
    # The model's drawings look like these images, inverted.
    scores = search.scores_of(search.predictor, 255 - search.data.images)
    drawn = search.right(State(), scores)
    gain = float(given.mean() - drawn.mean())
    if gain < GAINS["scale"] or mcnemar(drawn, given) > LEVEL:
        return None
    return _reading(search, State({"ink": ink}, names=(f"ink {ink}",)), drawn, given)
