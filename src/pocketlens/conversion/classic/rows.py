"""Made-up rows for a classic model: near the numbers at which its answer may change."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.classic.chain import Chain

__all__ = ["Rows", "made_up_rows"]

Rows: TypeAlias = list[NDArray[Any]]
"""The columns of a table: float64, or object arrays of texts; all [N]."""

UNKNOWN = "no such text"


def made_up_rows(
    chain: Chain,
    count: int,
    seed: int,
    *,
    missing: bool = False,
    unknown: bool = False,
    infinite: bool = False,
) -> Rows:
    """Rows for a model.

    Numbers are thresholds, or next to them as doubles or float32 numbers; or between and beyond
    them; or 0, 1, whole numbers and normal ones. Where categories are known, most are these.

    Args:
        chain: The model.
        count: How many rows.
        seed: The same seed gives the same rows.
        missing: Whether some numbers are NaN.
        unknown: Whether some categories are not those of the model.
        infinite: Whether some numbers are infinite.
    """
    random = np.random.default_rng(seed)
    columns: Rows = []
    for column in range(chain.width):
        known = list(dict.fromkeys(chain.categories.get(column, [])))
        if column in chain.strings:
            texts = [*known, UNKNOWN] if unknown else known
            columns.append(np.array(random.choice(texts, count), dtype=object))
            continue
        if known:
            values = random.choice(np.array(known, np.float64), count)
            if unknown:
                other = random.random(count) < 0.2
                values = np.where(other, values + random.choice([0.5, -0.25, 1e6], count), values)
        else:
            values = _numbers(random, chain.interesting.get(column, []), count)
        if infinite:
            ends = random.choice([np.inf, -np.inf], count)
            values = np.where(random.random(count) < 0.05, ends, values)
        if missing:
            values = np.where(random.random(count) < 0.1, np.nan, values)
        columns.append(values)
    return columns


def _numbers(
    random: np.random.Generator, marked: list[NDArray[np.float64]], count: int
) -> NDArray[np.float64]:
    usual = np.concatenate(
        [random.normal(size=count), random.integers(-2, 10, count), np.zeros(count)]
    )
    edges = np.concatenate([*marked, np.zeros(0)])
    edges = np.unique(edges[np.isfinite(edges)])
    if not edges.size:
        return random.choice(usual, count)
    span = max(float(edges[-1] - edges[0]), abs(float(edges[-1])), 1e-3)
    between = random.uniform(edges[0] - span / 4, edges[-1] + span / 4, count)
    chosen = random.choice(edges, count)
    with np.errstate(over="ignore"):
        single = chosen.astype(np.float32)
        near = [
            chosen,
            np.nextafter(chosen, np.inf),
            np.nextafter(chosen, -np.inf),
            single.astype(np.float64),
            np.nextafter(single, np.float32(np.inf)).astype(np.float64),
            np.nextafter(single, np.float32(-np.inf)).astype(np.float64),
        ]
    at_edge = np.choose(random.integers(0, len(near), count), near)
    kind = random.random(count)
    values: NDArray[np.float64] = np.where(
        kind < 0.6, between, np.where(kind < 0.9, at_edge, random.choice(usual, count))
    )
    return np.where(np.isfinite(values), values, 0.0)
