"""The search space of a sweep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pocketlens.errors import OptionError, RecipeError
from pocketlens.recipe import load_recipe
from pocketlens.scale.search import Dimension, check_space, parse_space


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=log:0.001..0.1", Dimension("a.b", low=0.001, high=0.1, log=True)),
        ("a.b=0..0.5", Dimension("a.b", low=0, high=0.5)),
        ("a.b = 2 .. 8", Dimension("a.b", low=2, high=8, whole=True)),
        ("a.b=2..8.0", Dimension("a.b", low=2, high=8)),
        ("a.b=-1..1", Dimension("a.b", low=-1, high=1, whole=True)),
        ("a.b=log:8..512", Dimension("a.b", low=8, high=512, log=True, whole=True)),
        ("a.b=1e-4..1", Dimension("a.b", low=1e-4, high=1)),
        ("a.b=adamw,muon", Dimension("a.b", ("adamw", "muon"))),
        ('a.b="a,b","c"', Dimension("a.b", ("a,b", "c"))),
        ("a.b=[16,32],[32,64]", Dimension("a.b", ([16, 32], [32, 64]))),
        ("a.b=[[8, 10], [14]], [[2]]", Dimension("a.b", ([[8, 10], [14]], [[2]]))),
        ("a.b=true,false", Dimension("a.b", (True, False))),
        ("a.b=1,2.5", Dimension("a.b", (1, 2.5))),
        ("model.version=1.10,2.0", Dimension("model.version", ("1.10", "2.0"))),
    ],
)
def test_texts(text: str, expected: Dimension) -> None:
    (found,) = parse_space([text])
    assert found == expected
    assert parse_space([found.text]) == (found,)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "a sweep needs something to search, such as --search training.learning_rate="),
        (
            ["a.b"],
            "a search must be KEY=LOW..HIGH, KEY=log:LOW..HIGH or KEY=A,B,C.*received: 'a.b'",
        ),
        (["=1..2"], "a search must be KEY="),
        (["a.b="], "a search must be KEY="),
        (["a.b=2..1"], "the range of a.b must rise.*received: '2..1'"),
        (["a.b=1..1"], "the range of a.b must rise"),
        (["a.b=1..x"], "a.b must have a range of numbers, such as 0.001..0.1; received: '1..x'"),
        (["a.b=1..inf"], "a.b must have a range of numbers"),
        (["a.b=nan..1"], "a.b must have a range of numbers"),
        (["a.b=log:3"], "a.b must have a range of numbers"),
        (["a.b=log:0..1"], "a range on the logarithm starts above 0; received for a.b"),
        (["a.b=3"], "a.b has only one value, '3'; expected several.*--set a.b=3"),
        (["a.b=x,x"], "a.b has a value twice"),
        (["a.b=x,,y"], "a.b must have values such as A,B,C"),
        (
            ["a.b=" + ",".join(map(str, range(1001)))],
            "a.b has 1,001 values; expected at most 1,000",
        ),
        (["a.b=1,2", "a.b=3..4"], "--search names a.b twice"),
    ],
)
def test_texts_that_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_space(texts)


@pytest.mark.parametrize(
    "dimension",
    [
        Dimension("k", low=0.001, high=0.1, log=True),
        Dimension("k", low=-2, high=3, whole=True),
        Dimension("k", low=1, high=4, log=True, whole=True),
        Dimension("k", ("a", [1])),
    ],
)
def test_random_places(dimension: Dimension) -> None:
    random = np.random.default_rng(0)
    drawn = [dimension.value(dimension.draw(random)) for _ in range(400)]
    if dimension.values:
        assert [drawn.count(value) > 150 for value in dimension.values] == [True, True]
        return
    assert min(drawn) >= dimension.low
    assert max(drawn) <= dimension.high
    if dimension.whole:
        assert sorted(set(drawn)) == list(range(int(dimension.low), int(dimension.high) + 1))
    else:  # half of them in each decade
        assert 150 < sum(value < 0.01 for value in drawn) < 250


def test_every_wrong_key_and_value_is_told() -> None:
    space = parse_space([
        "training.lr=0..1", "network.channels=[0],[1]", "training.epochs=0..4",
        "app.name=a,b", "training.optimizer=adamw,adam", "seed=1..3",
    ])  # fmt: skip
    with pytest.raises(RecipeError) as caught:
        check_space(load_recipe("quick", {"data.source": "strokes"}), space)
    text = str(caught.value)
    assert text.startswith("the search has 5 errors")
    for part in (
        "unknown key training.lr",
        "network.channels must be a list of integers from 1 to 4096",
        "training.epochs must be from 1 to 100000; received: 0 (with training.epochs=0)",
        "app.name changes neither accuracy nor size nor speed",
        "(with training.optimizer=adam)",
    ):
        assert part in text


def test_a_search_that_is_fine() -> None:
    space: Any = {"training.learning_rate": "log:0.001..0.1", "network.margin": "0,3"}
    check_space(load_recipe("quick", {"data.source": "strokes"}), parse_space(space))
