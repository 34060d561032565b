"""A source as a Core ML model, with what the source itself answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from pocketlens.conversion.classic.answers import Answer
from pocketlens.conversion.classic.chain import Chain
from pocketlens.errors import ConversionError, OptionError

MOST_COLUMNS = 100_000
"""How many columns a model may take; a damaged file may name any number."""

__all__ = ["Built", "Task", "columns_for", "damaged", "labels_for"]

Task: TypeAlias = Literal["classifier", "regressor", "transformer"]

INPUTS = ("array", "columns")


@dataclass(frozen=True)
class Built:
    """A converted model.

    Attributes:
        spec: The `Model` message.
        chain: How it was built.
        task: What it does.
        answer: What the source answers.
        tolerance: How far a probability may differ, or another number as a share of the largest.
    """

    spec: Any
    chain: Chain
    task: Task
    answer: Answer
    tolerance: float = 1e-6


def labels_for(classes: Sequence[Any], given: Sequence[str] | None, what: str) -> tuple[Any, ...]:
    """The labels of a classifier: those that are given, else the classes of the model.

    Texts stay texts. Whole numbers and booleans become int64: True is 1.

    Raises:
        OptionError: Another number of labels than classes.
        ConversionError: There is only one class, or the classes are fractions.
    """
    listed = np.asarray(classes).tolist()
    if len(listed) < 2:
        raise ConversionError(
            f"{what} knows a single class, {listed[0] if listed else 'none'!r}, and gives it to "
            "every input; a Core ML classifier needs two; train it on rows of at least two classes"
        )
    if given is not None:
        if len(given) != len(listed):
            raise OptionError(
                f"there are {len(given)} labels for the {len(listed)} classes of {what}; pass one "
                f"label for each of: {', '.join(map(str, listed[:10]))}"
                f"{', …' if len(listed) > 10 else ''}"
            )
        return tuple(given)
    if all(isinstance(each, str) for each in listed):
        return tuple(listed)
    if all(isinstance(each, (bool, int, float)) and each == int(each) for each in listed):
        return tuple(int(each) for each in listed)
    raise ConversionError(
        f"the classes of {what} are {', '.join(map(repr, listed[:5]))}; Core ML has texts or whole "
        "numbers; pass a label for each class (--labels)"
    )


def columns_for(names: Sequence[str] | None, width: int, inputs: Any) -> tuple[str, ...] | None:
    """The names of the model's inputs, one for each column; None for one array.

    Args:
        names: The columns, if the model knows their names.
        width: How many columns there are.
        inputs: `array`, `columns`, or None: columns if the model knows their names.

    Raises:
        OptionError: An unknown value, or columns that have no names.
    """
    if inputs not in (None, *INPUTS):
        raise OptionError(f"inputs is {inputs!r}; expected one of: {', '.join(INPUTS)}")
    if not 0 < width <= MOST_COLUMNS:
        raise ConversionError(
            f"the model takes {width} columns; expected 1 to {MOST_COLUMNS}; train it on fewer"
        )
    if names is not None and len(names) != width:
        raise ConversionError(
            f"the model has {len(names)} names for {width} columns; it is damaged; "
            "save the model again"
        )
    if inputs == "columns" and names is None:
        raise OptionError(
            "the model does not know the names of its columns; leave out inputs='columns', or "
            "train it on a DataFrame"
        )
    return None if names is None or inputs == "array" else tuple(str(each) for each in names)


def damaged(build: Callable[[], Built], what: str) -> Built:
    """Call a function that reads attributes of a model, which may be missing or of other types.

    Raises:
        ConversionError: They are; the message calls the model `what`.
    """
    try:
        return build()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ConversionError(
            f"{what} is damaged, or was made by another version: "
            f"{type(error).__name__}: {error}; train it again"
        ) from error
