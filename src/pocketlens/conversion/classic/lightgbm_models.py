"""Reads LightGBM's text models, without LightGBM."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.classic.boosted import Link, Margins
from pocketlens.conversion.classic.chain import Floats
from pocketlens.conversion.classic.tree_ensembles import Piecewise, Tree, check_tree
from pocketlens.errors import ConversionError

__all__ = ["LightGBMModel", "read_text"]

LINKS: dict[str, Link] = {
    "binary": "binary",
    "multiclass": "softmax",
    "multiclassova": "one-vs-all",
    "cross_entropy": "logistic",
    **dict.fromkeys(("poisson", "gamma", "tweedie"), "exp"),
    **dict.fromkeys(
        (
            *("regression", "regression_l1", "huber", "fair", "quantile", "mape"),
            *("lambdarank", "rank_xendcg"),
        ),
        "identity",
    ),
}
"""The link of each objective."""

ZERO = float(np.float32(1e-35))
"""LightGBM takes numbers as near to 0 as this for 0."""

MOST_CLASSES = 2**16
MOST_CATEGORIES = 2**20


@dataclass(frozen=True)
class LightGBMModel:
    """What a text says.

    Attributes:
        margins: The trees.
        classes: How many classes; 0 for a regressor.
        width: How many columns.
        names: Of the columns, if the model has them.
        ranges: The smallest and largest number of columns in training, or their categories.
    """

    margins: Margins
    classes: int
    width: int
    names: tuple[str, ...] | None
    ranges: Mapping[int, Sequence[float]]


def read_text(content: bytes, what: str) -> LightGBMModel:
    """What a text model says.

    Raises:
        ConversionError: Core ML cannot express it.
        ConversionError: It is damaged, cut short or no model; the message calls it `what`.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConversionError(f"{what} is no text of LightGBM (byte {error.start})") from error
    lines = text.splitlines()
    if not lines or lines[0].strip() != "tree" or "end of trees" not in lines:
        raise ConversionError(
            f"{what} is no model of LightGBM, or is cut short: it should begin with 'tree' and "
            "have the line 'end of trees'; save it with Booster.save_model('model.txt')"
        )
    end = lines.index("end of trees")
    rest = [line for line in lines[end + 1 :] if line.strip()]
    if rest and "end of parameters" not in rest and not rest[0].startswith("pandas_categorical:"):
        raise ConversionError(f"{what} is cut short: its parameters have no end")
    blocks = _blocks(lines[1:end])
    head = blocks[0]
    width = int(head["max_feature_idx"]) + 1
    listed = tuple(head["feature_names"].split(" "))
    if len(listed) != width:
        raise ConversionError(f"{what} has {len(listed)} names for {width} columns")
    groups = int(head["num_tree_per_iteration"])
    link, factor, classes = _objective(head, groups)
    if len(blocks) - 1 != len(head.get("tree_sizes", "").split()):
        raise ConversionError(
            f"{what} has {len(blocks) - 1} trees, and lists another number of them"
        )
    # Random forests take the mean over iterations.
    share = 1.0
    if "average_output" in head:
        share = groups / max(len(blocks) - 1, 1)
    trees = [
        _tree(block, width, number % groups, share, number)
        for number, block in enumerate(blocks[1:])
    ]
    unnamed = listed == tuple(f"Column_{number}" for number in range(width))
    margins = Margins(trees, np.zeros(groups), "BranchOnValueLessThanEqual", link, factor)
    return LightGBMModel(margins, classes, width, None if unnamed else listed, _ranges(head))


def _blocks(lines: Sequence[str]) -> list[dict[str, str]]:
    """The values by name of the head, and of each tree."""
    blocks: list[dict[str, str]] = [{}]
    for line in lines:
        name, _, value = line.partition("=")
        if name == "Tree":
            blocks.append({})
        elif name:
            blocks[-1][name] = value
    return blocks


def _objective(head: Mapping[str, str], groups: int) -> tuple[Link, float, int]:
    """The link, the factor of a logistic function, and the number of classes."""
    words = head.get("objective", "").split()
    if not words:
        raise ConversionError(
            "the LightGBM model has an objective of its own, so it is not known what its outputs "
            "are; train it with one of: " + ", ".join(sorted(LINKS))
        )
    name = words[0]
    if name not in LINKS or "sqrt" in words:
        raise ConversionError(
            f"the LightGBM objective {' '.join(words)!r} cannot be converted; expected one of: "
            f"{', '.join(sorted(LINKS))}, without reg_sqrt"
        )
    values = dict(word.split(":", 1) for word in words[1:] if ":" in word)
    link, factor = LINKS[name], 1.0
    if link in ("binary", "one-vs-all"):
        factor = float(values.get("sigmoid", 1))
        if not (math.isfinite(factor) and factor > 0):
            raise ConversionError(
                f"the LightGBM model has the sigmoid {factor}; it is damaged; save the model again"
            )
    classes = 2 if link == "binary" else int(head["num_class"])
    if link in ("softmax", "one-vs-all"):
        if not 1 <= classes <= MOST_CLASSES or classes != groups:
            raise ConversionError(
                f"the LightGBM model has {classes} classes and {groups} trees for each; it is "
                "damaged"
            )
        return link, factor, classes
    if groups != 1:
        raise ConversionError(f"the LightGBM model has {groups} outputs; expected one")
    return link, factor, classes if link == "binary" else 0


def _tree(block: Mapping[str, str], width: int, group: int, share: float, number: int) -> Tree:
    what = f"tree {number} of the LightGBM model"
    leaves = int(block["num_leaves"])
    if block.get("is_linear", "0") != "0":
        raise ConversionError(
            "the LightGBM model has linear models in its leaves, which Core ML lacks; train it "
            "with linear_tree=false"
        )
    inner = leaves - 1
    values = _numbers(block, "leaf_value", leaves, what) * share
    if not inner:
        return _assembled(np.zeros(0, np.int64), [np.zeros(0)] * 3, values, group, {}, width, what)
    feature = _numbers(block, "split_feature", inner, what).astype(np.int64)
    threshold = _numbers(block, "threshold", inner, what, finite=False)
    kinds = _numbers(block, "decision_type", inner, what).astype(np.int64)
    sides = [_numbers(block, f"{side}_child", inner, what) for side in ("left", "right")]
    categorical, default_left, kind = kinds & 1 > 0, kinds & 2 > 0, kinds >> 2 & 3
    tests = {
        node: _category_test(block, int(threshold[node]), what)
        for node in np.flatnonzero(categorical).tolist()
    } | {
        node: _zero_test(float(threshold[node]), left=bool(default_left[node]))
        for node in np.flatnonzero(~categorical & (kind == 1)).tolist()
    }
    # Without missing values in training, NaN is 0.
    missing = np.where(kind == 2, default_left, threshold >= 0)
    # LightGBM takes a number as near to 0 as ZERO for 0, and 0 goes left if the threshold is not
    # below it.
    below = np.minimum(threshold, np.nextafter(-ZERO, -np.inf))
    threshold = np.where(threshold < 0, below, np.maximum(threshold, ZERO))
    threshold = np.where(categorical, 0.0, threshold)
    return _assembled(
        feature, [threshold, *sides, missing.astype(float)], values, group, tests, width, what
    )


def _assembled(
    feature: NDArray[np.int64],
    columns: Sequence[Floats],
    values: Floats,
    group: int,
    tests: Mapping[int, Piecewise],
    width: int,
    what: str,
) -> Tree:
    """The branches, followed by the leaves: a child below 0 is the leaf -child - 1."""
    inner, leaves = len(feature), len(values)
    threshold, left, right = columns[:3]
    missing = columns[3] if inner else np.zeros(0)
    zeros = np.zeros(leaves)

    def children(side: Floats) -> NDArray[np.int64]:
        numbers = side.astype(np.int64)
        placed = np.where(numbers < 0, inner - numbers - 1, numbers)
        return np.concatenate([placed, np.full(leaves, -1)])

    made = Tree(
        np.concatenate([feature, np.full(leaves, -1)]),
        np.concatenate([threshold, zeros]),
        children(left),
        children(right),
        np.concatenate([missing, zeros]).astype(bool),
        np.concatenate([np.zeros(inner), values]),
        group,
        dict(tests),
    )
    return check_tree(made, width, what)


def _numbers(
    block: Mapping[str, str], name: str, count: int, what: str, *, finite: bool = True
) -> Floats:
    array = np.array(block[name].split(), np.float64)
    if len(array) != count or np.isnan(array).any() or (finite and np.isinf(array).any()):
        raise ConversionError(f"{what} has {len(array)} numbers in {name}; expected {count}")
    return array


def _category_test(block: Mapping[str, str], number: int, what: str) -> Piecewise:
    """The test of a category, whose fraction is cut off: those in the node's set go left."""
    starts = [int(each) for each in block["cat_boundaries"].split()]
    words = [int(each) for each in block["cat_threshold"].split()]
    if not 0 <= number < len(starts) - 1 or starts[-1] != len(words):
        raise ConversionError(f"{what} has damaged categories")
    chosen = words[starts[number] : starts[number + 1]]
    if 32 * len(chosen) > MOST_CATEGORIES:
        raise ConversionError(f"{what} has categories above {MOST_CATEGORIES}; number them from 0")
    breaks: list[float] = []
    left = [False]
    for category in range(32 * len(chosen)):
        if not chosen[category // 32] >> category % 32 & 1:
            continue
        low = float(category) if category else float(np.nextafter(-1.0, 0.0))
        if breaks and breaks[-1] == low:
            breaks[-1] = category + 1.0
        else:
            breaks += [low, category + 1.0]
            left += [True, False]
    return Piecewise(tuple(breaks), tuple(left), missing=False)


def _zero_test(threshold: float, *, left: bool) -> Piecewise:
    """x ≤ threshold, except that 0 and NaN, which are missing values, go to a side of their own."""
    ends = (-ZERO, float(np.nextafter(ZERO, np.inf)))
    above = float(np.nextafter(threshold, np.inf))
    breaks = sorted({*ends, above})
    goes = [left if ends[0] <= start < ends[1] else start < above for start in (-math.inf, *breaks)]
    return Piecewise(tuple(breaks), tuple(goes), missing=left)


def _ranges(head: Mapping[str, str]) -> dict[int, Sequence[float]]:
    found: dict[int, Sequence[float]] = {}
    for column, text in enumerate(head.get("feature_infos", "").split(" ")):
        if text.startswith("["):
            numbers = [float(each) for each in text.strip("[]").split(":")]
            if all(math.isfinite(each) for each in numbers):
                found[column] = numbers
    return found
