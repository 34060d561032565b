"""The specification of an app: its name and identifiers, its classes, input and thresholds.

Each object is validated when it is created, and all problems are reported together.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pocketlens.errors import AppError, OptionError
from pocketlens.image import InputSpec
from pocketlens.prediction import NOTHING, Predictor

__all__ = [
    "MODEL_NAME",
    "AppSpec",
    "Display",
    "RecognizerSpec",
    "check_options",
    "oldest_ios",
    "suggest_name",
]

MODEL_NAME = "Recognizer"
"""The model's file name in every app, so that no Swift file depends on a particular model."""

MAX_NAME = 40
MAX_BUNDLE_ID = 155  # the limit of App Store Connect

# The app's name is also the name of its Swift module. It must not be the name of a module that
# the app imports, of a folder in the project, or a keyword of Swift.
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

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
BUNDLE_ID = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
TEAM = re.compile(r"[A-Z0-9]{10}")


@dataclass(frozen=True)
class Display:
    """When the app shows a label. `show`, `keep`, `present` and `margin` are probabilities.

    Args:
        show: The smoothed probability that a new label must reach.
        keep: Below this smoothed probability, a shown label is hidden again.
        present: A new label is shown only if 1 - p(background) is at least this value.
        margin: The minimum difference between the two largest probabilities for a new label.
        hold: The number of consecutive frames in which a new label must meet all these conditions.
        smoothing: The weight of the newest frame in the exponential average, in (0, 1].

    Raises:
        OptionError: A value is out of range; the message lists all problems.
    """

    show: float = 0.7
    keep: float = 0.5
    present: float = 0.5
    margin: float = 0.2
    hold: int = 3
    smoothing: float = 0.3

    def __post_init__(self) -> None:
        if problems := self.problems():
            raise OptionError("; ".join(problems))

    def problems(self) -> list[str]:
        """One message per value that is out of range; empty if all values are valid."""
        problems = [
            f"thresholds.{name} must be a number from 0 to 1; received: {value!r}"
            for name in ("show", "keep", "present", "margin", "smoothing")
            if type(value := getattr(self, name)) not in (int, float) or not 0 <= value <= 1
        ]
        if not problems and self.keep > self.show:
            problems.append(
                "thresholds.keep must not be larger than thresholds.show; "
                f"received: keep {self.keep}, show {self.show}"
            )
        if not problems and self.smoothing == 0:
            problems.append("thresholds.smoothing must be larger than 0; received: 0")
        if type(self.hold) is not int or self.hold < 1:
            problems.append(
                f"thresholds.hold must be an integer of at least 1; received: {self.hold!r}"
            )
        return problems


@dataclass(frozen=True)
class RecognizerSpec:
    """The contents of `recognizer.json`, which describes the model to the app.

    Args:
        name: The app's name.
        classes: The class names, in the order of the probabilities.
        input: The model's input size and how a frame is cropped to it. Scale, bias and color order
            are applied inside the model file.
        background: The class for which the app shows no label, or None.
        thresholds: When a label is shown.

    Raises:
        AppError: No classes, a duplicate class, or a background that is not one of the classes.
    """

    name: str
    classes: tuple[str, ...]
    input: InputSpec
    background: str | None = None
    thresholds: Display = field(default_factory=Display)

    def __post_init__(self) -> None:
        if not self.classes:
            raise AppError(
                "the model has no classes; expected an image classifier with at least one class"
            )
        # Swift compares strings by canonical equivalence, so these would be equal dictionary keys.
        counts = Counter(unicodedata.normalize("NFC", name) for name in self.classes)
        if twice := [name for name, count in counts.items() if count > 1]:
            raise AppError(
                "class names must be unique after Unicode NFC normalization; "
                f"duplicates: {', '.join(twice[:5])}; rename one and convert the model again"
            )
        if self.background is not None and self.background not in self.classes:
            raise AppError(
                f"the background must be one of the classes; received: {self.background!r}"
            )

    @classmethod
    def of(cls, name: str, model: Predictor) -> RecognizerSpec:
        """Describe a loaded model. The class `nothing`, if there is one, is the background."""
        background = NOTHING if NOTHING in model.classes else None
        shown = Display(**asdict(model.thresholds))
        return cls(name, tuple(model.classes), model.input_spec, background, shown)

    @classmethod
    def from_json(cls, text: str) -> RecognizerSpec:
        """Parse and validate the text of a `recognizer.json`; the inverse of `to_json`.

        Raises:
            AppError: Invalid JSON, or a missing or invalid value.
            OptionError: A threshold is out of range.
        """
        try:
            values = json.loads(text)
            if values["model"] != MODEL_NAME:
                raise AppError(f'"model" must be "{MODEL_NAME}"; received: {values["model"]!r}')
            classes, name = values["classes"], values["name"]
            if not isinstance(name, str) or not name:
                raise AppError(f'"name" must be a non-empty string; received: {name!r}')
            if not isinstance(classes, list) or not all(isinstance(c, str) for c in classes):
                raise AppError('"classes" must be a list of strings')
            spec = cls(
                name,
                tuple(classes),
                InputSpec.from_dict(values["input"]),
                values["background"],
                Display(**values["thresholds"]),
            )
            for part, complete in (("input", spec.input), ("thresholds", spec.thresholds)):
                # The app's decoder has a default for `ink` and does not read `assumed`; any other
                # missing key is an error.
                if missing := asdict(complete).keys() - values[part].keys() - {"ink", "assumed"}:
                    raise AppError(f'keys missing in "{part}": {", ".join(sorted(missing))}')
            return spec
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise AppError(f"invalid recognizer JSON: {error!r}") from error

    def to_json(self) -> str:
        """Indented JSON, one class per line, with non-ASCII characters as they are."""
        values: dict[str, Any] = {
            "name": self.name,
            "model": MODEL_NAME,
            "background": self.background,
            "thresholds": asdict(self.thresholds),
            "input": self.input.to_dict(),
            "classes": list(self.classes),
        }
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class AppSpec:
    """The names and identifiers of an app.

    Args:
        name: A Swift identifier of ASCII letters, digits and `_`, at most 40 characters. It is
            used for the target, its folder and the label on the home screen.
        bundle_id: For example `com.example.Digits`. By default the team id is appended to make it
            unique, because Apple accepts each bundle id from one team only.
        team: The id of an Apple developer team, 10 letters and digits.
        ios: The oldest iOS version that the app runs on, a key of `IOS_VERSIONS`.

    Raises:
        OptionError: An invalid name or identifier; the message lists all problems.
    """

    name: str
    bundle_id: str | None = None
    team: str | None = None
    ios: int = 18

    def __post_init__(self) -> None:
        if problems := check_options(self.name, self.bundle_id, self.team):
            raise OptionError("; ".join(problems))

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
        name is not None and _name_problem(name),
        bundle_id is not None and _bundle_id_problem(bundle_id),
        team is not None and _team_problem(team),
    )
    return [problem for problem in checks if problem]


def suggest_name(text: str) -> str:
    """A valid app name derived from `text`, which may be the name of a model file.

    Examples:
        >>> suggest_name("mnist digits-2.mlpackage")
        'MnistDigits2'
        >>> suggest_name("3d class")
        'App3dClass'
    """
    stem = Path(text).stem if text.endswith((".mlpackage", ".mlmodel")) else text
    words = re.findall(r"[A-Za-z0-9]+", stem)
    name = "".join(word[0].upper() + word[1:] for word in words)
    if name[:1].isdigit():
        name = f"App{name}"
    if not name or name.lower() in RESERVED:
        name = f"{name or 'My'}App"
    return name[:MAX_NAME]


def _name_problem(name: str) -> str | None:
    if not NAME.fullmatch(name) or len(name) > MAX_NAME:
        rule = (
            f"must be at most {MAX_NAME} letters, digits and underscores, and start with a letter"
        )
    elif name.lower() in RESERVED:
        rule = "must not be a Swift keyword or the name of a module or folder that the app uses"
    else:
        return None
    return f"the app's name {rule}; received: {name!r}; try --name {suggest_name(name)}"


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
