# ruff: noqa: N802, N803 (kinds and fields are named as the specification names them)
"""The item similarity recommender.

The score of item k is Σ_i sim(k, i) · (score_i - shift_k) over the items i that are given.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.classic.step import Features, Step, declared
from pocketlens.coreml.file.features import Feature, Interface
from pocketlens.coreml.graph import Message
from pocketlens.coreml.ops.registry import classic
from pocketlens.errors import FeatureError, ModelFileError

LISTS = ("sequence", "array")
MAX_UNNAMED = 2**20
"""The most items of a model that does not list them: all of them are recommended by default."""


@classic(
    restrictions="an item without a score of its own counts 1, one that the model does not know "
    "has no similarity to any; of equal scores the item listed first comes first"
)
def itemSimilarityRecommender(
    model: Interface,
    *,
    itemItemSimilarities: tuple[Message, ...] = (),
    itemStringIds: Message | None = None,
    itemInt64Ids: Message | None = None,
    itemInputFeatureName: str = "",
    numRecommendationsInputFeatureName: str = "",
    itemRestrictionInputFeatureName: str = "",
    itemExclusionInputFeatureName: str = "",
    recommendedItemListOutputFeatureName: str = "",
    recommendedItemScoreOutputFeatureName: str = "",
) -> Step:
    items = _Items(itemItemSimilarities, itemStringIds, itemInt64Ids)
    name = itemInputFeatureName or (model.inputs[0].name if len(model.inputs) == 1 else "")
    taken = items.check(declared(model.inputs, name, "items", "dictionary", *LISTS))
    lists = [
        items.check(declared(model.inputs, each, "list of items", *LISTS)) if each else None
        for each in (itemRestrictionInputFeatureName, itemExclusionInputFeatureName)
    ]
    if numRecommendationsInputFeatureName:
        declared(
            model.inputs, numRecommendationsInputFeatureName, "number of recommendations", "int64"
        )
    ranked, scored = recommendedItemListOutputFeatureName, recommendedItemScoreOutputFeatureName
    if ranked:
        items.check(declared(model.outputs, ranked, "list of recommendations", "sequence"))
    if scored:
        items.check(declared(model.outputs, scored, "scores", "dictionary"))

    def run(given: Features) -> dict[str, Any]:
        if taken.name not in given:
            raise FeatureError(f"the input '{taken.name}' is left out; this model needs it")
        observed = given[taken.name]
        if not isinstance(observed, dict):
            observed = dict.fromkeys(_list(observed), 1.0)
        scores = items.scores(observed)
        restricted, excluded = (
            None if each is None or each.name not in given else _list(given[each.name])
            for each in lists
        )
        allowed = np.zeros(items.count, bool)
        allowed[items.known(items.names() if restricted is None else restricted)] = True
        allowed[items.known(observed if excluded is None else excluded)] = False
        places = np.flatnonzero(allowed)
        best = places[np.argsort(-scores[places], kind="stable")]
        best = best[: _wanted(given, numRecommendationsInputFeatureName, items.count)]
        found = [(items.name(place), float(scores[place])) for place in best.tolist()]
        answers: dict[str, Any] = {}
        if ranked:
            answers[ranked] = [item for item, _ in found]
        if scored:
            answers[scored] = dict(found)
        return answers

    return Step(run, tuple(each for each in (ranked, scored) if each))


def _wanted(given: Features, name: str, all_items: int) -> int:
    count: int = given.get(name, all_items)
    if count < 0:
        raise FeatureError(f"the input '{name}' is {count}; expected at least 0")
    return count


def _list(given: Any) -> list[Any]:
    if isinstance(given, np.ndarray):
        if not np.array_equal(given, given.astype(np.int64)):
            raise FeatureError("a list of items holds numbers that are not whole")
        return list(given.astype(np.int64).reshape(-1).tolist())
    return list(given)


class _Items:
    """The items by their place 0 ... count - 1, and how similar they are."""

    def __init__(
        self, similarities: tuple[Message, ...], strings: Message | None, numbers: Message | None
    ):
        named = [list(each.vector) for each in (strings, numbers) if each and each.vector]
        if len(named) > 1:
            raise ModelFileError("it names its items by strings and by numbers; expected one")
        self._kind = "string" if strings and strings.vector else "int64"
        self._names: list[Any] | None = named[0] if named else None
        highest = -1
        self._similar: dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
        shifts: dict[int, float] = {}
        for each in similarities:
            item = each.itemId
            near = each.similarItemList
            others = [other.itemId for other in near]
            if item in self._similar or len(set(others)) != len(others):
                raise ModelFileError(f"the similarities of item {item} are listed twice")
            highest = max(highest, item, *others)
            if highest >= MAX_UNNAMED:
                break
            values = np.array([other.similarityScore for other in near], np.float64)
            self._similar[item] = (np.array(others, np.int64), values)
            shifts[item] = each.itemScoreAdjustment
        self.count = highest + 1 if self._names is None else len(self._names)
        if highest >= min(self.count, MAX_UNNAMED):
            raise ModelFileError(
                f"it has an item number {highest}; expected numbers below "
                f"{MAX_UNNAMED if self._names is None else self.count}"
            )
        self._places = {name: place for place, name in enumerate(self._names or ())}
        if self._names is not None and len(self._places) != self.count:
            raise ModelFileError("two of its items have the same name")
        self._shift = np.zeros(self.count)
        self._shift[list(shifts)] = list(shifts.values())

    def check(self, feature: Feature) -> Feature:
        """A feature whose items or keys are of the items' type."""
        kind = "int64" if feature.kind == "array" else feature.dtype
        if kind != self._kind:
            raise ModelFileError(
                f"the feature '{feature.name}' holds items as {kind}; the model's are {self._kind}"
            )
        return feature

    def names(self) -> Iterable[Any]:
        """Every item as the caller calls it."""
        return range(self.count) if self._names is None else self._names

    def name(self, place: int) -> Any:
        return place if self._names is None else self._names[place]

    def known(self, names: Iterable[Any]) -> list[int]:
        """The places of those items that the model knows."""
        if self._names is None:
            return [name for name in names if 0 <= name < self.count]
        return [self._places[name] for name in names if name in self._places]

    def scores(self, observed: dict[Any, float]) -> NDArray[np.float64]:
        """The score of every item, [count]."""
        scores = np.zeros(self.count)
        for name, score in observed.items():
            for place in self.known([name]):
                if place in self._similar:
                    others, similarity = self._similar[place]
                    scores[others] += similarity * (score - self._shift[others])
        return scores
