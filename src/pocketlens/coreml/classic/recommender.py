"""The item similarity recommender.

The score of item k is Σ_i sim(k, i) · (score_i - shift_k), summed over the items i in the input.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.coreml.classic.reading import ITEM_BYTES, listed
from pocketlens.coreml.classic.step import Features, Step, as_optional, find_feature
from pocketlens.coreml.file.budget import charge
from pocketlens.coreml.file.features import Feature, FeatureKind, Interface, KeyType
from pocketlens.coreml.graph import Message
from pocketlens.coreml.ops.registry import classic
from pocketlens.errors import FeatureError, ModelFileError

LISTS: tuple[FeatureKind, ...] = ("sequence", "array")
MAX_UNNAMED = 2**20
"""The most items of a model without item names: by default it recommends all of them."""


@classic()
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
    source = items.check(find_feature(model.inputs, name, "items", "dictionary", *LISTS))
    lists = [
        items.check(find_feature(model.inputs, each, "list of items", *LISTS)) if each else None
        for each in (itemRestrictionInputFeatureName, itemExclusionInputFeatureName)
    ]
    optional = [each for each in lists if each]
    if numRecommendationsInputFeatureName:
        name = numRecommendationsInputFeatureName
        optional.append(find_feature(model.inputs, name, "number of recommendations", "int64"))
    ranked, scored = recommendedItemListOutputFeatureName, recommendedItemScoreOutputFeatureName
    if ranked:
        items.check(find_feature(model.outputs, ranked, "list of recommendations", "sequence"))
    if scored:
        items.check(find_feature(model.outputs, scored, "scores", "dictionary"))

    def run(inputs: Features) -> dict[str, Any]:
        if source.name not in inputs:
            raise FeatureError(f"the input '{source.name}' is missing; this model needs it")
        observed = inputs[source.name]
        if not isinstance(observed, dict):
            observed = dict.fromkeys(_list(observed), 1.0)
        scores = items.scores(observed)
        # An empty list is the same as none: apps pass [] for a list that they do not use.
        restricted, excluded = (
            _list(inputs[each.name]) if each and each.name in inputs else [] for each in lists
        )
        allowed = np.zeros(items.count, bool)
        allowed[items.known(restricted or items.names())] = True
        allowed[items.known(excluded or observed)] = False
        positions = np.flatnonzero(allowed)
        best = positions[np.argsort(-scores[positions], kind="stable")]
        best = best[: _limit(inputs, numRecommendationsInputFeatureName, items.count)]
        found = [(items.name(position), float(scores[position])) for position in best.tolist()]
        results: dict[str, Any] = {}
        if ranked:
            results[ranked] = [item for item, _ in found]
        if scored:
            results[scored] = dict(found)
        return results

    names = tuple(each for each in (ranked, scored) if each)
    return Step(run, names, optional_inputs=as_optional(optional))


def _limit(inputs: Features, name: str, all_items: int) -> int:
    count: int = inputs.get(name, all_items)
    if count < 0:
        raise FeatureError(f"the input '{name}' is {count}; expected at least 0")
    return count


def _list(value: Any) -> list[Any]:
    if isinstance(value, np.ndarray):
        if not np.array_equal(value, value.astype(np.int64)):
            raise FeatureError("a list of items has fractions; expected integers")
        return list(value.astype(np.int64).reshape(-1).tolist())
    return list(value)


class _Items:
    """The items, numbered 0 to count - 1, and their similarities."""

    def __init__(
        self, similarities: tuple[Message, ...], strings: Message | None, numbers: Message | None
    ) -> None:
        named = [
            listed(each.vector, "its items") for each in (strings, numbers) if each and each.vector
        ]
        if len(named) > 1:
            raise ModelFileError(
                "it identifies its items by strings and by numbers; expected one of them"
            )
        self._kind: KeyType = "string" if strings and strings.vector else "int64"
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
                f"it has the item number {highest}; expected numbers below "
                f"{MAX_UNNAMED if self._names is None else self.count}"
            )
        charge(ITEM_BYTES * self.count, "a run with all items")
        self._positions = {name: position for position, name in enumerate(self._names or ())}
        if self._names is not None and len(self._positions) != self.count:
            raise ModelFileError("two of its items have the same name")
        self._shift = np.zeros(self.count)
        self._shift[list(shifts)] = list(shifts.values())

    def check(self, feature: Feature) -> Feature:
        """Return the feature if its elements or keys have the type of the items.

        Raises:
            ModelFileError: They have another type.
        """
        kind = "int64" if feature.kind == "array" else feature.dtype
        if kind != self._kind:
            raise ModelFileError(
                f"the feature '{feature.name}' has {kind} items; the model has {self._kind} items"
            )
        return feature

    def names(self) -> Iterable[Any]:
        """The names of all items, or their numbers if they have no names."""
        return range(self.count) if self._names is None else self._names

    def name(self, position: int) -> Any:
        return position if self._names is None else self._names[position]

    def known(self, names: Iterable[Any]) -> list[int]:
        """The positions of the items that the model knows."""
        if self._names is None:
            return [name for name in names if 0 <= name < self.count]
        return [self._positions[name] for name in names if name in self._positions]

    def scores(self, observed: dict[Any, float]) -> NDArray[np.float64]:
        """The score of every item, [count]."""
        scores = np.zeros(self.count)
        for name, score in observed.items():
            for position in self.known([name]):
                if position in self._similar:
                    others, similarity = self._similar[position]
                    scores[others] += similarity * (score - self._shift[others])
        return scores
