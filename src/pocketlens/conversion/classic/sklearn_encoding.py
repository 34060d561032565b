"""scikit-learn's encoders of categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pocketlens.compat import sklearn_infrequent
from pocketlens.conversion.classic.chain import Chain, Columns, Value
from pocketlens.conversion.classic.estimators import name_of
from pocketlens.conversion.classic.tree_ensembles import Table, add_tables
from pocketlens.errors import ConversionError

__all__ = ["ENCODING"]

Row = Mapping[int, float]


def one_hot_encoder(chain: Chain, value: Value, model: Any) -> Value:
    """A number for each category: 1 for its own, 0 for the others and for unknown ones."""
    lookups, total = [], 0
    for column in range(value.width):
        positions, unknown, width = _one_hot(model, column)
        lookups.append((positions, {unknown: 1.0} if unknown is not None else {}, total))
        total += width
    rows = [
        (
            {key: {start + at: 1.0} if at >= 0 else {} for key, at in positions.items()},
            {start + at: number for at, number in unknown.items()},
        )
        for positions, unknown, start in lookups
    ]
    return _encoded(chain, value, rows, total, model)


def _one_hot(model: Any, column: int) -> tuple[dict[Any, int], int | None, int]:
    """The position of each category of a column, -1 if it is dropped; that of unknown ones; and
    the number of positions."""
    categories = list(model.categories_[column])
    infrequent = sklearn_infrequent(model)
    mapping = infrequent[column] if infrequent is not None else None
    numbers = list(range(len(categories))) if mapping is None else [int(each) for each in mapping]
    unknown = None
    if mapping is not None and model.handle_unknown in ("infrequent_if_exist", "warn"):
        unknown = max(numbers)
    dropped = model.drop_idx_[column] if model.drop_idx_ is not None else None
    if dropped is not None:
        gone = numbers[int(dropped)]
        numbers = [-1 if each == gone else each - (each > gone) for each in numbers]
        if unknown is not None:
            unknown = None if unknown == gone else unknown - (unknown > gone)
    return dict(zip(categories, numbers, strict=True)), unknown, max(numbers, default=-1) + 1


def ordinal_encoder(chain: Chain, value: Value, model: Any) -> Value:
    """The position of each category; unknown ones as `unknown_value`."""
    rows = []
    unknown: float = -1.0
    if model.handle_unknown == "use_encoded_value":
        unknown = float(model.unknown_value)
    infrequent = sklearn_infrequent(model)
    for column in range(value.width):
        mapping = infrequent[column] if infrequent is not None else None
        table: dict[Any, Row] = {}
        for number, category in enumerate(model.categories_[column]):
            at = float(number if mapping is None else mapping[number])
            if _missing(category):
                at = float(model.encoded_missing_value)
            table[category] = {column: at}
        rows.append((table, {column: unknown}))
    return _encoded(chain, value, rows, value.width, model)


def _encoded(
    chain: Chain,
    value: Value,
    rows: Sequence[tuple[Mapping[Any, Row], Row]],
    width: int,
    model: Any,
) -> Value:
    """What each column adds by its value, or as an unknown value: numbers and texts."""
    if not width:
        raise ConversionError(f"{name_of(model)} has no categories; train it again")
    texts = [
        column
        for column, (table, _) in enumerate(rows)
        if any(isinstance(key, str) for key in table)
    ]
    tables = [
        _text_table(column, *each) if column in texts else _table(chain, value, column, *each)
        for column, each in enumerate(rows)
    ]
    if not texts:
        return add_tables(chain, value, tables, width)
    if not isinstance(value, Columns):
        raise ConversionError(
            f"{name_of(model)} encodes text, which must come directly from a column of its own: "
            "train the model on a DataFrame with column names, and leave out inputs='array'"
        )
    features = []
    for column, index in enumerate(value.indices):
        if column in texts:
            known = [each for each in rows[column][0] if _is_text(each)]
            strict = model.handle_unknown == "error"
            features.append((chain.numbered(index, known, strict=strict), "int64"))
        else:
            features += chain.features(Columns((index,)))
    return add_tables(chain, features, tables, width)


def _table(
    chain: Chain, value: Value, column: int, table: Mapping[Any, Row], unknown: Row
) -> Table:
    """The table of a column of numbers: an interval of one double for each category."""
    breaks: list[float] = []
    values: list[Row] = [unknown]
    missing = next((row for key, row in table.items() if _missing(key)), unknown)
    known = sorted(
        ((float(key), row) for key, row in table.items() if not _missing(key)),
        key=lambda each: each[0],
    )
    for category, row in known:
        if breaks and breaks[-1] == category:
            values[-1] = row
        else:
            breaks.append(category)
            values.append(row)
        breaks.append(float(np.nextafter(category, np.inf)))
        values.append(unknown)
    if value.origin[column] >= 0:
        numbers = [category for category, _ in known]
        chain.categories.setdefault(value.origin[column], []).extend(numbers)
    return Table(column, breaks, values, missing)


def _text_table(column: int, table: Mapping[Any, Row], unknown: Row) -> Table:
    """The table of a column of texts by their numbers; Core ML has no missing text."""
    rows = [row for key, row in table.items() if _is_text(key)]
    return Table(column, [number - 0.5 for number in range(len(rows))], [unknown, *rows], unknown)


def _is_text(category: Any) -> bool:
    return isinstance(category, str)


def _missing(category: Any) -> bool:
    return category is None or (isinstance(category, float) and np.isnan(category))


ENCODING = {"OneHotEncoder": one_hot_encoder, "OrdinalEncoder": ordinal_encoder}
"""The function that converts each class."""
