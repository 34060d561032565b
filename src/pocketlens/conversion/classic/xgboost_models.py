"""Reads XGBoost's models, JSON and UBJSON, without XGBoost."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pocketlens.conversion.classic.boosted import Link, Margins
from pocketlens.conversion.classic.chain import Floats
from pocketlens.conversion.classic.thresholds import less_than
from pocketlens.conversion.classic.tree_ensembles import Piecewise, Tree, check_tree
from pocketlens.conversion.classic.ubjson import read_ubjson
from pocketlens.errors import ConversionError

__all__ = ["XGBoostModel", "read_document", "read_model"]

LINKS: dict[str, Link] = {
    "binary:logistic": "binary",
    "binary:hinge": "sign",
    "multi:softmax": "softmax",
    "multi:softprob": "softmax",
    "reg:logistic": "logistic",
    **dict.fromkeys(
        ("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft"), "exp"
    ),
    **dict.fromkeys(
        (
            *("reg:squarederror", "reg:linear", "reg:squaredlogerror", "reg:pseudohubererror"),
            *("reg:absoluteerror", "reg:quantileerror", "binary:logitraw"),
            *("rank:pairwise", "rank:ndcg", "rank:map"),
        ),
        "identity",
    ),
}
"""The link of each objective."""

LOGIT = ("binary:logistic", "reg:logistic", "binary:logitraw")
"""Objectives whose `base_score` is a probability."""

MOST_CLASSES = 2**16

MAX_CONTAINERS = 2**22
"""The most lists and objects in JSON: an empty list takes two bytes in a file, and 56 in memory."""


@dataclass(frozen=True)
class XGBoostModel:
    """What a file says.

    Attributes:
        margins: The trees; of a linear model without any.
        classes: How many classes; 0 for a regressor.
        width: How many columns.
        names: Of the columns, if the file has them.
        categorical: The columns with categories.
        weights: Of a linear model, [width, dimensions]; else None.
    """

    margins: Margins
    classes: int
    width: int
    names: tuple[str, ...] | None
    categorical: tuple[int, ...]
    weights: Floats | None = None


def read_document(content: bytes, what: str) -> Mapping[str, Any]:
    """The document in a file, JSON or UBJSON.

    Raises:
        ConversionError: It is neither, damaged or cut short; the message calls it `what`.
    """
    if content[:1] == b"{" and content[1:2] in (b"i", b"U", b"I", b"l", b"L", b"$", b"#"):
        document = read_ubjson(content, what)
    else:
        if content.count(b"[") + content.count(b"{") > MAX_CONTAINERS:
            raise ConversionError(f"{what} has more than {MAX_CONTAINERS} lists and objects")
        try:
            document = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ConversionError(
                f"{what} is no JSON: {error}; it is damaged or cut short, or not a model of "
                "XGBoost; save it with Booster.save_model('model.json')"
            ) from error
    if not isinstance(document, dict) or "learner" not in document:
        raise ConversionError(
            f"{what} is not a model of XGBoost, which has a 'learner'; save it with "
            "Booster.save_model('model.json')"
        )
    return document


def read_model(document: Mapping[str, Any], rounds: int | None = None) -> XGBoostModel:
    """What a document says.

    Args:
        document: See `read_document`.
        rounds: How many rounds of boosting to use; None: those that XGBoost uses.

    Raises:
        ConversionError: Core ML cannot express it.
        ConversionError: It is damaged.
    """
    learner = document["learner"]
    parameters = learner["learner_model_param"]
    objective = str(learner["objective"]["name"])
    if objective not in LINKS:
        raise ConversionError(
            f"the XGBoost objective {objective!r} cannot be converted; expected one of: "
            f"{', '.join(sorted(LINKS))}"
        )
    if int(parameters.get("num_target", 1)) > 1:
        raise ConversionError(
            f"the XGBoost model predicts {parameters['num_target']} outputs; a Core ML tree "
            "ensemble here has one; train and convert a model for each"
        )
    classes, width = int(parameters.get("num_class", 0)), int(parameters["num_feature"])
    if not 0 <= classes <= MOST_CLASSES:
        raise ConversionError(
            f"the XGBoost model has {classes} classes; it is damaged; save the model again"
        )
    groups = max(classes, 1)
    link = LINKS[objective]
    base = _base(parameters, objective, groups)
    names = tuple(map(str, learner.get("feature_names") or ())) or None
    types = list(learner.get("feature_types") or ())
    categorical = tuple(number for number, kind in enumerate(types) if kind == "c")
    booster = learner["gradient_booster"]
    known = 2 if link in ("binary", "sign") else classes if link == "softmax" else 0
    if booster["name"] == "gblinear":
        return _linear(booster, width, groups, base, link, known, names)
    drops: Sequence[float] | None = None
    if booster["name"] == "dart":
        drops, booster = np.asarray(booster["weight_drop"], np.float32).tolist(), booster["gbtree"]
    model = booster["model"]
    count = _tree_count(learner, model, rounds)
    trees = [
        _tree(model["trees"][number], width, int(model["tree_info"][number]), groups, number)
        for number in range(count)
    ]
    if drops is not None:
        trees = [_weighted(tree, weight) for tree, weight in zip(trees, drops, strict=False)]
        if len(drops) < count:
            raise ConversionError(
                "the XGBoost model has fewer weights than trees; it is damaged; save the "
                "model again"
            )
    margins = Margins(trees, base, "BranchOnValueLessThan", link)
    return XGBoostModel(margins, known, width, names, categorical)


def _base(parameters: Mapping[str, Any], objective: str, groups: int) -> Floats:
    """The margin that trees are added to, [groups]; float32, as XGBoost computes it."""
    text = parameters.get("base_score", "0.5")
    listed = json.loads(text) if isinstance(text, str) else text
    score = np.atleast_1d(np.asarray(listed, np.float32))
    if score.size not in (1, groups) or not np.isfinite(score).all():
        raise ConversionError(
            f"the XGBoost model has the base_score {text!r}; it is damaged; save the model again"
        )
    with np.errstate(divide="ignore"):
        if objective in LOGIT:
            score = -np.log(np.float32(1) / score - np.float32(1))
        elif LINKS[objective] == "exp":
            score = np.log(score)
    return np.broadcast_to(score.astype(np.float64), groups).copy()


def _tree_count(learner: Mapping[str, Any], model: Mapping[str, Any], rounds: int | None) -> int:
    """How many trees count: a model of XGBClassifier stops at its best iteration."""
    attributes = learner.get("attributes") or {}
    if rounds is None and "scikit_learn" in attributes and "best_iteration" in attributes:
        rounds = int(attributes["best_iteration"]) + 1
    trees = len(model["trees"])
    if len(model["tree_info"]) != trees:
        raise ConversionError(
            "the XGBoost model lists other trees than it has; it is damaged; save the model again"
        )
    if rounds is None:
        return trees
    ends = model.get("iteration_indptr")
    if ends is None:
        raise ConversionError(
            "the XGBoost model was saved by an old version, which does not say the trees of its "
            "best iteration; save it again with a current one"
        )
    return min(int(ends[min(rounds, len(ends) - 1)]), trees)


def _tree(tree: Mapping[str, Any], width: int, group: int, groups: int, number: int) -> Tree:
    what = f"tree {number} of the XGBoost model"
    if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise ConversionError(
            "the XGBoost model has trees with several outputs (multi_strategy="
            "'multi_output_tree'); train it with multi_strategy='one_output_per_tree'"
        )
    if not 0 <= group < groups:
        raise ConversionError(
            f"{what} belongs to class {group} of {groups}; it is damaged; save the model again"
        )
    left, right = (np.asarray(tree[f"{side}_children"], np.int64) for side in ("left", "right"))
    condition = np.asarray(tree["split_conditions"], np.float32)
    leaf = left < 0
    kept = _reachable(left, right, leaf, what)
    place = np.full(len(left), -1, np.int64)
    place[kept] = np.arange(len(kept))
    tests = _tests(tree, condition)
    missing = np.asarray(tree["default_left"], bool)
    made = Tree(
        np.where(leaf, -1, np.asarray(tree["split_indices"], np.int64))[kept],
        less_than(condition)[kept],
        np.where(leaf, -1, place[left])[kept],
        np.where(leaf, -1, place[right])[kept],
        missing[kept],
        condition.astype(np.float64)[kept],
        group,
        {
            int(place[node]): Piecewise(test.breaks, test.left, bool(missing[node]))
            for node, test in tests.items()
            if place[node] >= 0
        },
    )
    return check_tree(made, width, what)


def _reachable(left: Any, right: Any, leaf: Any, what: str) -> Any:
    """The nodes below the root, in the order of the file: pruned ones are still in it."""
    seen = np.zeros(len(left), bool)
    level = np.zeros(1 if len(left) else 0, np.int64)
    while level.size:
        if seen[level].any():
            raise ConversionError(
                f"{what} is damaged: its nodes are not a tree; save the model again"
            )
        seen[level] = True
        inner = level[~leaf[level]]
        level = np.concatenate([left[inner], right[inner]])
        if level.size and not 0 < level.min() <= level.max() < len(left):
            raise ConversionError(
                f"{what} is damaged: its nodes are not a tree; save the model again"
            )
    return np.flatnonzero(seen)


def _tests(tree: Mapping[str, Any], condition: Any) -> dict[int, Piecewise]:
    """The tests of categories: those in the node's set go right."""
    found: dict[int, Piecewise] = {}
    types = np.asarray(tree.get("split_type", ()), np.int64)
    nodes = [int(each) for each in tree.get("categories_nodes", ())]
    if sorted(nodes) != np.flatnonzero(types == 1).tolist():
        raise ConversionError(
            "the XGBoost model lacks the categories of a node; it is damaged; save the model again"
        )
    everything = np.asarray(tree.get("categories", ()), np.int64)
    for node, start, size in zip(
        nodes, tree["categories_segments"], tree["categories_sizes"], strict=True
    ):
        chosen = np.unique(everything[int(start) : int(start) + int(size)])
        if len(chosen) != int(size) or not 0 <= node < len(condition) or chosen.min(initial=0) < 0:
            raise ConversionError("the XGBoost model has damaged categories")
        found[node] = category_test(chosen.tolist(), inside_left=False)
    return found


def category_test(categories: Sequence[int], *, inside_left: bool) -> Piecewise:
    """The test of a category, a float32 number whose fraction is cut off."""
    breaks: list[float] = []
    left: list[bool] = [not inside_left]
    for category in categories:
        low, high = less_than(np.array([category, category + 1], np.float32)).tolist()
        if breaks and breaks[-1] == low:
            breaks[-1] = high
        else:
            breaks += [low, high]
            left += [inside_left, not inside_left]
    return Piecewise(tuple(breaks), tuple(left), missing=False)


def _weighted(tree: Tree, weight: float) -> Tree:
    if not math.isfinite(weight):
        raise ConversionError(
            "the XGBoost model has a weight that is not finite; it is damaged; save the model again"
        )
    return replace(tree, value=tree.value * weight)


def _linear(
    booster: Mapping[str, Any],
    width: int,
    groups: int,
    base: Floats,
    link: Link,
    classes: int,
    names: tuple[str, ...] | None,
) -> XGBoostModel:
    weights = np.asarray(booster["model"]["weights"], np.float32).astype(np.float64)
    if weights.size != (width + 1) * groups or not np.isfinite(weights).all():
        raise ConversionError(
            f"the XGBoost model has {weights.size} weights; expected {(width + 1) * groups} finite "
            "ones; it is damaged; save the model again"
        )
    rows = weights.reshape(width + 1, groups)
    # XGBoost 3 adds the first class's base_score to every class of a linear model.
    margins = Margins((), base[0] + rows[-1], "BranchOnValueLessThan", link)
    return XGBoostModel(margins, classes, width, names, (), rows[:-1])
