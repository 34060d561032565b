"""An app's names and identifiers: its title, its target, its bundle id, its team.

The title is what users see, such as `Über Äpfel`. The target, its folders and its Swift module need
a plain identifier, which is derived from it: `UberApfel`.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from pocketlens.errors import AppError, OptionError

__all__ = ["IOS_VERSIONS", "AppSpec", "check_options", "oldest_ios", "suggest_name"]

MAX_NAME = 40
MAX_BUNDLE_ID = 155  # the limit of App Store Connect

# The Swift module must not be called like a module that the app imports, a folder in the project or
# a keyword of Swift.
RESERVED_WORDS = """
    accessibility any app as async avfoundation await break build case catch class continue
    coregraphics coreimage coreml corevideo default defer deinit do dispatch else enum extension
    fallthrough false fileprivate for foundation func guard if import in init inout internal is
    let makefile nil observation open operator os private protocol public quartzcore recognizerkit
    recognizerkittests repeat rethrows return scripts self static struct subscript super swift
    swiftui switch synchronization testing throw throws true try type typealias uikit var vision
    where while xctest
"""
RESERVED = frozenset(RESERVED_WORDS.split())


@dataclass(frozen=True)
class IosVersion:
    """Build requirements of one iOS version: the oldest Xcode, and the GitHub runner that has it.

    `newest_model` is the newest Core ML specification version that this iOS can read.
    """

    xcode: int
    runner: str
    newest_model: int


IOS_VERSIONS = {18: IosVersion(16, "macos-15", 9), 26: IosVersion(26, "macos-26", 10)}
"""The supported iOS versions, by major version number."""

IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# The title is written into build settings, JSON and Markdown, where quotes, backslashes, dollar
# signs and brackets have a meaning.
MARKS_IN_TITLES = frozenset(" -_.,!?'’&+()")
# Letters that Unicode does not decompose into a letter of ASCII and an accent.
ASCII_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L",
     "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i"}
)  # fmt: skip
BUNDLE_ID = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
TEAM = re.compile(r"[A-Z0-9]{10}")


@dataclass(frozen=True)
class AppSpec:
    """The names and identifiers of an app.

    Args:
        title: The name that users see, on the home screen too: at most 40 letters, digits, spaces
            and common punctuation, in any script.
        bundle_id: For example `com.example.Digits`. By default the team id is appended to make it
            unique, because Apple accepts each bundle id from one team only.
        team: The id of an Apple developer team, 10 letters and digits.
        ios: The oldest iOS version that the app runs on, a key of `IOS_VERSIONS`.

    Raises:
        OptionError: An invalid title or identifier; the message lists all problems.
    """

    title: str
    bundle_id: str | None = None
    team: str | None = None
    ios: int = 18

    def __post_init__(self) -> None:
        if problems := check_options(self.title, self.bundle_id, self.team):
            raise OptionError("; ".join(problems))
        # The same title, typed on different systems, gives the same app.
        object.__setattr__(self, "title", unicodedata.normalize("NFC", self.title))

    @property
    def name(self) -> str:
        """The name of the target, its folder and its Swift module: an ASCII identifier."""
        is_name = IDENTIFIER.fullmatch(self.title) and self.title.lower() not in RESERVED
        return self.title if is_name else suggest_name(self.title)

    @property
    def tests(self) -> str:
        """The name of the unit-test target."""
        return f"{self.name}Tests"

    @property
    def ui_tests(self) -> str:
        """The name of the UI-test target."""
        return f"{self.name}UITests"

    @property
    def bundle_id_setting(self) -> str:
        """The bundle id as the value of a build setting; may contain a build variable."""
        return self.bundle_id or f"com.example.{self.name.replace('_', '-')}$(DEVELOPMENT_TEAM)"


def oldest_ios(specification_version: int) -> int:
    """The oldest supported iOS version that can read this Core ML specification version.

    Raises:
        AppError: The specification version is newer than every known iOS version.
    """
    for ios, version in sorted(IOS_VERSIONS.items()):
        if specification_version <= version.newest_model:
            return ios
    raise AppError(
        f"Core ML specification version {specification_version} is newer than every known iOS "
        f"version; expected at most {max(v.newest_model for v in IOS_VERSIONS.values())}; "
        "convert the model for an older deployment target"
    )


def check_options(
    name: str | None = None, bundle_id: str | None = None, team: str | None = None
) -> list[str]:
    """One message per invalid option of `create_app`; an option that is None is not checked."""
    checks = (
        name is not None and _title_problem(name),
        bundle_id is not None and _bundle_id_problem(bundle_id),
        team is not None and _team_problem(team),
    )
    return [problem for problem in checks if problem]


def suggest_name(text: str) -> str:
    """An identifier derived from `text`, which may be the name of a model file.

    Examples:
        >>> suggest_name("mnist digits-2.mlpackage")
        'MnistDigits2'
        >>> suggest_name("Über Äpfel")
        'UberApfel'
        >>> suggest_name("3d class")
        'App3dClass'
    """
    stem = Path(text).stem if text.endswith((".mlpackage", ".mlmodel")) else text
    plain = unicodedata.normalize("NFKD", stem.translate(ASCII_LETTERS))
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    words = re.findall(r"[A-Za-z0-9]+", plain)
    name = "".join(word[0].upper() + word[1:] for word in words)
    if name[:1].isdigit():
        name = f"App{name}"
    if not name or name.lower() in RESERVED:
        name = f"{name or 'My'}App"
    return name[:MAX_NAME]


def _title_problem(title: str) -> str | None:
    better = _as_title(title)
    if not any(letter.isalnum() for letter in better):
        better = "MyApp"
    if better == unicodedata.normalize("NFC", title):
        return None
    return (
        f"the app's name must be at most {MAX_NAME} letters, digits, spaces and "
        f"{''.join(sorted(MARKS_IN_TITLES - {' '}))}, with at least one letter or digit; "
        f"received: {title!r}; try --name {shlex.quote(better)}"
    )


def _as_title(text: str) -> str:
    """The text with a space in place of each character that a title must not contain."""
    allowed = (
        letter if letter in MARKS_IN_TITLES or unicodedata.category(letter)[0] in "LMN" else " "
        for letter in unicodedata.normalize("NFC", text)
    )
    return " ".join("".join(allowed).split())[:MAX_NAME].rstrip()


def _bundle_id_problem(bundle_id: str) -> str | None:
    if BUNDLE_ID.fullmatch(bundle_id) and len(bundle_id) <= MAX_BUNDLE_ID:
        return None
    words = [w for w in re.split(r"\.+", re.sub(r"[^A-Za-z0-9.-]+", "-", bundle_id)) if w]
    words = ["com", "example", *words][-2:] if len(words) < 2 else words
    better = ".".join(word.strip("-") or "app" for word in words)[:MAX_BUNDLE_ID].rstrip(".-")
    return (
        "a bundle id must be two or more words of letters, digits and hyphens, separated by dots, "
        f"at most {MAX_BUNDLE_ID} characters; received: {bundle_id!r}; try --bundle-id {better}"
    )


def _team_problem(team: str) -> str | None:
    if TEAM.fullmatch(team):
        return None
    return (
        f"a team id must be 10 capital letters and digits, such as A1B2C3D4E5; received: {team!r}; "
        "find it in Xcode > Settings > Accounts, or omit --team and choose the team in Xcode"
    )
