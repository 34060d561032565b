"""Every exception Pocketlens raises on purpose.

    PocketlensError
    ├── OptionError              an argument, option or command that cannot be
    ├── OutputExistsError        the output is there already and --force was not given
    ├── OutputError              the output cannot be written (no permission, full disk)
    ├── MissingExtraError        an optional dependency is not installed
    ├── ImageError               a picture that cannot be read or is too large
    ├── DataError                a data set that is damaged or inconsistent
    │   └── DataNotFoundError    a data set that is not on this computer
    ├── RecipeError              a recipe with faults (all of them, listed at once)
    ├── RunError                 a run folder that is missing, foreign or incomplete
    ├── TrainingError            training cannot go on (loss not finite, device missing)
    ├── ConversionError          a model that cannot be converted to Core ML
    ├── ModelFileError           a Core ML file that is damaged, cut short or unsafe
    ├── UnsupportedModelError    a Core ML model of a kind that cannot run here
    │   ├── UnsupportedOp        an op or layer that has no lowering
    │   └── UnsupportedParameter a field that the op's lowering does not take
    ├── FeatureError             an input that does not fit the model's declared feature
    ├── AppError                 an app that cannot be made from this file or these options
    └── CheckFailedError         a check was carried out and failed

A message says what was wrong, what was received, what is expected, and the next command.
The command line prints it as one line and exits with 2 (1 for CheckFailedError).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = [
    "AppError",
    "CheckFailedError",
    "ConversionError",
    "DataError",
    "DataNotFoundError",
    "FeatureError",
    "ImageError",
    "MissingExtraError",
    "ModelFileError",
    "OptionError",
    "OutputError",
    "OutputExistsError",
    "PocketlensError",
    "RecipeError",
    "RunError",
    "TrainingError",
    "UnsupportedModelError",
    "UnsupportedOp",
    "UnsupportedParameter",
    "did_you_mean",
]


class PocketlensError(Exception):
    """The base of every error that Pocketlens raises on purpose."""


class OptionError(PocketlensError):
    """An argument, option or command that cannot be."""


class OutputExistsError(PocketlensError):
    """The output is there already and overwriting was not asked for."""


class OutputError(PocketlensError):
    """The output cannot be written."""


class MissingExtraError(PocketlensError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed; "
            f"install it with: pip install 'pocketlens[{extra}]'"
        )


class ImageError(PocketlensError):
    """A picture that cannot be read or is too large."""


class DataError(PocketlensError):
    """A data set that is damaged or inconsistent."""


class DataNotFoundError(DataError):
    """A data set that is not on this computer."""


class RecipeError(PocketlensError):
    """A recipe with faults; the message lists them all.

    Args:
        faults: Every fault, in words.
        source: What has them.
        sound: The recipe's keys and tables that have none, so that these can be looked at further.
    """

    def __init__(
        self,
        faults: Iterable[str],
        *,
        source: str = "the recipe",
        sound: Mapping[str, Any] | None = None,
    ) -> None:
        self.faults = tuple(faults)
        self.source = source
        self.sound = dict(sound or {})
        listed = "; ".join(self.faults)
        count = "a fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__(f"{source} has {count}: {listed}")


class RunError(PocketlensError):
    """A run folder that is missing, foreign or incomplete."""


class TrainingError(PocketlensError):
    """Training cannot go on."""


class ConversionError(PocketlensError):
    """A model that cannot be converted to Core ML."""


class ModelFileError(PocketlensError):
    """A Core ML file that is damaged, cut short or unsafe."""


class UnsupportedModelError(PocketlensError):
    """A Core ML model of a kind that cannot run here."""


class UnsupportedOp(UnsupportedModelError):
    """An op or layer that has no lowering."""


class UnsupportedParameter(UnsupportedModelError):
    """A field set in the file that the op's lowering does not take."""


class FeatureError(PocketlensError):
    """An input that does not fit the model's declared feature."""


class AppError(PocketlensError):
    """An app that cannot be made from this file or these options."""


class CheckFailedError(PocketlensError):
    """A check was carried out and failed."""


def did_you_mean(received: str, known: Iterable[str]) -> str:
    """The end of an error message: the closest known name, or all of them.

    Examples:
        >>> did_you_mean("epoch", ["epochs", "seed"])
        "did you mean 'epochs'?"
        >>> did_you_mean("zzz", ["epochs", "seed"])
        'expected one of: epochs, seed'
    """
    names = list(known)
    close = difflib.get_close_matches(received, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"expected one of: {', '.join(names)}"
