"""The recommender, compared with its formula: Σ_i sim(k, i) · (score_i - shift_k)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pocketlens.coreml import CoreMLModel
from pocketlens.errors import FeatureError, ModelFileError

Open = Callable[[Any], CoreMLModel]

# SIMILAR[i][k] is the similarity of item k to the input item i; SHIFT[k] the shift of item k.
SIMILAR = {0: {1: 0.5, 2: 0.25}, 1: {0: 0.5, 3: 1.0}, 2: {0: 0.25, 4: 0.125}, 4: {2: 2.0}}
SHIFT = {0: 0.0, 1: 0.5, 2: -1.0, 4: 0.25}
NAMES = ["tea", "milk", "sugar", "cake", "jam"]


def recommender(spec_of: Callable[..., Any], inputs: dict[str, Any], named: bool) -> Any:
    key = "string" if named else "int64"
    outputs = {"list": f"sequence {key}", "scores": f"dictionary {key}"}
    spec = spec_of("itemSimilarityRecommender", inputs, outputs)
    message = spec.itemSimilarityRecommender
    for item, others in SIMILAR.items():
        made = message.itemItemSimilarities.add(itemId=item, itemScoreAdjustment=SHIFT[item])
        for other, similarity in others.items():
            made.similarItemList.add(itemId=other, similarityScore=similarity)
    if named:
        message.itemStringIds.vector.extend(NAMES)
    message.itemInputFeatureName = "items"
    for name, field in (("k", "numRecommendations"), ("in", "itemRestriction")):
        if name in inputs:
            setattr(message, f"{field}InputFeatureName", name)
    if "out" in inputs:
        message.itemExclusionInputFeatureName = "out"
    message.recommendedItemListOutputFeatureName = "list"
    message.recommendedItemScoreOutputFeatureName = "scores"
    return spec


def expected(observed: dict[int, float], allowed: list[int]) -> dict[int, float]:
    scores = {
        k: sum(SIMILAR.get(i, {}).get(k, 0) * (s - SHIFT.get(k, 0)) for i, s in observed.items())
        for k in allowed
    }
    return dict(sorted(scores.items(), key=lambda pair: -pair[1]))


def test_scores_of_items_not_in_the_input(spec_of: Callable[..., Any], open_spec: Open) -> None:
    model = open_spec(recommender(spec_of, {"items": "dictionary int64"}, False))
    answer = model.run({"items": {0: 3.0, 4: -1.0}})
    ranking = expected({0: 3.0, 4: -1.0}, [1, 2, 3])
    assert answer["list"] == list(ranking)
    assert answer["scores"] == pytest.approx(ranking)
    # An item that the model does not know is ignored.
    assert model.run({"items": {0: 3.0, 4: -1.0, 99: 5.0}}) == answer


def test_names_restriction_exclusion_and_number(
    spec_of: Callable[..., Any], open_spec: Open
) -> None:
    inputs = {
        "items": "dictionary string",
        "k": "int64?",
        "in": "sequence string?",
        "out": "sequence string?",
    }
    model = open_spec(recommender(spec_of, inputs, True))
    items = {"items": {"tea": 2.0, "milk": 1.0}}
    observed = {0: 2.0, 1: 1.0}
    everything = expected(observed, [0, 1, 2, 3, 4])

    def run(**more: Any) -> list[str]:
        answer = model.run(items | more)
        numbers = {NAMES.index(name): score for name, score in answer["scores"].items()}
        assert numbers == pytest.approx({k: everything[k] for k in numbers})
        assert list(answer["scores"]) == answer["list"]
        return list(answer["list"])

    def names(*allowed: int) -> list[str]:
        return [NAMES[k] for k in expected(observed, list(allowed))]

    assert run() == names(2, 3, 4)
    assert run(k=2) == names(2, 3, 4)[:2]
    assert run(k=0) == []
    assert run(out=["cake", "unknown"]) == names(0, 1, 2, 4)
    assert run(**{"in": ["tea", "jam", "cake"]}) == names(3, 4)
    assert run(**{"in": ["tea", "jam"], "out": ["jam"]}) == ["tea"]
    with pytest.raises(FeatureError, match="the input 'k' is -1; expected at least 0"):
        run(k=-1)


LEFT_OUT = [
    {},
    {"k": None, "in": None, "out": None},
    {"in": [], "out": []},
    {"in": [], "out": None},
    {"in": (), "out": np.array([], np.int64)},
]


@pytest.mark.parametrize("left_out", LEFT_OUT)
@pytest.mark.parametrize("mark", ["?", ""], ids=["optional", "required"])
def test_an_empty_list_is_left_out(
    left_out: dict[str, Any], mark: str, spec_of: Callable[..., Any], open_spec: Open
) -> None:
    """As every app that uses a recommender of Create ML expects, whatever its file declares."""
    inputs = {"items": "dictionary int64", "k": f"int64{mark}"}
    inputs |= dict.fromkeys(("in", "out"), f"sequence int64{mark}")
    spec = recommender(spec_of, inputs, False)
    for feature in spec.description.input:
        if feature.name in ("in", "out"):
            feature.type.sequenceType.sizeRange.lowerBound = 1
    ranking = expected({0: 3.0, 4: -1.0}, [1, 2, 3])
    answer = open_spec(spec).run({"items": {0: 3.0, 4: -1.0}} | left_out)
    assert answer["scores"] == pytest.approx(ranking)
    assert answer["list"] == list(ranking)


def test_an_empty_array_is_left_out(spec_of: Callable[..., Any], open_spec: Open) -> None:
    spec = recommender(spec_of, {"items": "dictionary int64", "in": ("int32?",)}, False)
    model = open_spec(spec)
    items = {"items": {0: 3.0}}
    assert model.run(items | {"in": np.zeros(0, np.int32)}) == model.run(items)
    assert model.run(items | {"in": [2]})["list"] == [2]


def test_without_observed_items_all_scores_are_0(
    spec_of: Callable[..., Any], open_spec: Open
) -> None:
    model = open_spec(recommender(spec_of, {"items": "dictionary int64"}, False))
    assert model.run({"items": {}})["scores"] == dict.fromkeys(range(5), 0.0)
    with pytest.raises(FeatureError, match="a dictionary of numbers with int64 keys"):
        model.run({"items": None})


@pytest.mark.parametrize("kind", ["sequence int64", ("int32", 2)])
def test_items_without_scores_have_score_one(
    kind: Any, spec_of: Callable[..., Any], open_spec: Open
) -> None:
    model = open_spec(recommender(spec_of, {"items": kind}, False))
    answer = model.run({"items": np.array([1, 2])})
    assert answer["scores"] == pytest.approx(expected({1: 1.0, 2: 1.0}, [0, 3, 4]))


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        ("number", "it has the item number 1000000000000; expected numbers below 1048576"),
        ("names", "it has the item number 4; expected numbers below 3"),
        ("both", "it identifies its items by strings and by numbers; expected one of them"),
        ("twice", "two of its items have the same name"),
        ("again", "the similarities of item 0 are listed twice"),
        ("keys", "the feature 'items' has int64 items; the model has string items"),
        ("missing", "its items should be 'gone'; the description has: items"),
    ],
)
def test_invalid_files(
    damage: str, error: str, spec_of: Callable[..., Any], open_spec: Open
) -> None:
    spec = recommender(spec_of, {"items": "dictionary int64"}, False)
    message = spec.itemSimilarityRecommender
    match damage:
        case "number":
            message.itemItemSimilarities[0].similarItemList[0].itemId = 10**12
        case "names":
            message.itemInt64Ids.vector.extend([7, 8, 9])
        case "both":
            message.itemInt64Ids.vector.extend(range(5))
            message.itemStringIds.vector.extend(NAMES)
        case "twice":
            message.itemInt64Ids.vector.extend([1, 2, 3, 4, 4])
        case "again":
            message.itemItemSimilarities.add(itemId=0)
        case "keys":
            message.itemStringIds.vector.extend(NAMES)
        case "missing":
            message.itemInputFeatureName = "gone"
    with pytest.raises(ModelFileError) as caught:
        open_spec(spec)
    assert error in str(caught.value)
