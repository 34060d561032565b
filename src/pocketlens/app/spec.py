"""What an app is made of: its name and identifiers, and what its recognizer knows.

Everything here is checked when it is made, and every fault is told at once.
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
"""What the model is called inside every app, so that no Swift file names a particular model."""

MAX_NAME = 40
MAX_BUNDLE_ID = 155  # what App Store Connect accepts

# An app becomes a Swift module of its name. It must not hide a module that the app imports, a
# folder that the project has, or a word of the language.
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
class System:
    """What it takes to build for an iOS: the oldest Xcode, and GitHub's machine that has it."""

    xcode: int
    runner: str
    newest_model: int


SYSTEMS = {18: System(16, "macos-15", 9), 26: System(26, "macos-26", 10)}
"""By iOS. `newest_model` is the newest version of Core ML's file format that it reads."""

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
BUNDLE_ID = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
TEAM = re.compile(r"[A-Z0-9]{10}")


@dataclass(frozen=True)
class Display:
    """When the app shows a label. `show`, `keep`, `present` and `margin` are probabilities.

    Args:
        show: The smoothed probability that a new label must reach.
        keep: The one below which a shown label goes.
        present: For a new label, one less the smoothed probability of the background must reach it.
        margin: How far a new label must lead the second.
        hold: For how many frames in a row it must do so.
        smoothing: The weight of the newest frame in the running average, in (0, 1].
    """

    show: float = 0.7
    keep: float = 0.5
    present: float = 0.5
    margin: float = 0.2
    hold: int = 3
    smoothing: float = 0.3

    def __post_init__(self) -> None:
        if faults := self.faults():
            raise OptionError("; ".join(faults))

    def faults(self) -> list[str]:
        """What is out of range, in words; empty when all is well."""
        faults = [
            f"thresholds.{name} is a number from 0 to 1; received: {value!r}"
            for name in ("show", "keep", "present", "margin", "smoothing")
            if type(value := getattr(self, name)) not in (int, float) or not 0 <= value <= 1
        ]
        if not faults and self.keep > self.show:
            faults.append(
                "thresholds.keep is at most thresholds.show; "
                f"received: {self.keep} over {self.show}"
            )
        if not faults and self.smoothing == 0:
            faults.append("thresholds.smoothing is above 0; received: 0")
        if type(self.hold) is not int or self.hold < 1:
            faults.append(f"thresholds.hold is a count of at least 1; received: {self.hold!r}")
        return faults


@dataclass(frozen=True)
class RecognizerSpec:
    """What `recognizer.json` tells the app about the model beside it.

    Args:
        name: The app's name, shown where the app speaks of itself.
        classes: The class names, in the order of the probabilities.
        input: How a frame is cropped; the model itself holds the scale and the colors.
        background: The class for which the app shows no label, if the model has one.
        thresholds: When a label is shown.

    Raises:
        AppError: No classes, a class twice, or a background that is not among them.
    """

    name: str
    classes: tuple[str, ...]
    input: InputSpec
    background: str | None = None
    thresholds: Display = field(default_factory=Display)

    def __post_init__(self) -> None:
        if not self.classes:
            raise AppError("an app needs a model with classes; received: none")
        # Swift compares strings so, and would take two spellings of one name for the same class.
        counts = Counter(unicodedata.normalize("NFC", name) for name in self.classes)
        if twice := [name for name, count in counts.items() if count > 1]:
            raise AppError(
                "class names are unique, also with accents composed (Unicode NFC); "
                f"received twice: {', '.join(twice[:5])}; rename one and convert the model again"
            )
        if self.background is not None and self.background not in self.classes:
            raise AppError(
                f"the background class is one of the classes; received: {self.background!r}"
            )

    @classmethod
    def of(cls, name: str, model: Predictor) -> RecognizerSpec:
        """Of a model: its own thresholds, and the class `nothing`, if it has it, as background."""
        background = NOTHING if NOTHING in model.classes else None
        shown = Display(**asdict(model.thresholds))
        return cls(name, tuple(model.classes), model.input_spec, background, shown)

    @classmethod
    def from_json(cls, text: str) -> RecognizerSpec:
        """The inverse of `to_json`.

        Raises:
            AppError, OptionError: Text that is not the JSON of a recognizer.
        """
        try:
            values = json.loads(text)
            if values["model"] != MODEL_NAME:
                raise AppError(f'"model" is "{MODEL_NAME}"; received: {values["model"]!r}')
            classes, name = values["classes"], values["name"]
            if not isinstance(name, str) or not name:
                raise AppError(f'"name" is the app\'s name; received: {name!r}')
            if not isinstance(classes, list) or not all(isinstance(c, str) for c in classes):
                raise AppError('"classes" is a list of names')
            spec = cls(
                name,
                tuple(classes),
                InputSpec.from_dict(values["input"]),
                values["background"],
                Display(**values["thresholds"]),
            )
            for part, complete in (("input", spec.input), ("thresholds", spec.thresholds)):
                # But for `ink`, the app has no defaults: to it a missing key is an error.
                if missing := asdict(complete).keys() - values[part].keys() - {"ink"}:
                    raise AppError(f'"{part}" lacks {", ".join(sorted(missing))}')
            return spec
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise AppError(f"not the JSON of a recognizer: {error!r}") from error

    def to_json(self) -> str:
        """Readable JSON, UTF-8, one class a line."""
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
        name: A Swift identifier of ASCII letters, digits and `_`, at most 40 long: it names the
            target, its folder and the app on the home screen.
        bundle_id: Such as `com.example.Digits`. Without one the team's id makes it unique, since
            Apple accepts a bundle id from one team only.
        team: The 10 letters and digits of an Apple developer team.
        ios: The oldest iOS that the app runs on, one of `SYSTEMS`.

    Raises:
        OptionError: Names or identifiers of the wrong form; the message lists every fault.
    """

    name: str
    bundle_id: str | None = None
    team: str | None = None
    ios: int = 18

    def __post_init__(self) -> None:
        if faults := check_options(self.name, self.bundle_id, self.team):
            raise OptionError("; ".join(faults))

    @property
    def tests(self) -> str:
        """The name of the unit-test target."""
        return f"{self.name}Tests"

    @property
    def ui_tests(self) -> str:
        """The name of the target whose tests press the app's buttons."""
        return f"{self.name}UITests"

    @property
    def bundle_id_setting(self) -> str:
        """The bundle id as a build setting."""
        return self.bundle_id or f"com.example.{self.name.replace('_', '-')}$(DEVELOPMENT_TEAM)"


def oldest_ios(specification_version: int) -> int:
    """The oldest iOS of `SYSTEMS` that reads a Core ML file of this version.

    Raises:
        AppError: None does.
    """
    for ios, system in sorted(SYSTEMS.items()):
        if specification_version <= system.newest_model:
            return ios
    raise AppError(
        f"a Core ML file of specification version {specification_version} is newer than any iOS "
        f"known here; expected at most {max(s.newest_model for s in SYSTEMS.values())}; "
        "convert the model for an earlier system"
    )


def check_options(
    name: str | None = None, bundle_id: str | None = None, team: str | None = None
) -> list[str]:
    """What is wrong with an app's options, each fault in words; what is None is not looked at."""
    checks = (
        name is not None and _name_fault(name),
        bundle_id is not None and _bundle_id_fault(bundle_id),
        team is not None and _team_fault(team),
    )
    return [fault for fault in checks if fault]


def suggest_name(text: str) -> str:
    """A usable app name close to `text`.

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


def _name_fault(name: str) -> str | None:
    if not NAME.fullmatch(name) or len(name) > MAX_NAME:
        why = f"is letters, digits and _, starts with a letter, at most {MAX_NAME} of them"
    elif name.lower() in RESERVED:
        why = "is not a word of Swift, a module or a folder that the app already has"
    else:
        return None
    return f"an app's name {why}; received: {name!r}; try --name {suggest_name(name)}"


def _bundle_id_fault(bundle_id: str) -> str | None:
    if BUNDLE_ID.fullmatch(bundle_id) and len(bundle_id) <= MAX_BUNDLE_ID:
        return None
    words = [w for w in re.split(r"\.+", re.sub(r"[^A-Za-z0-9.-]+", "-", bundle_id)) if w]
    words = ["com", "example", *words][-2:] if len(words) < 2 else words
    better = ".".join(word.strip("-") or "app" for word in words)[:MAX_BUNDLE_ID].rstrip(".-")
    return (
        "a bundle id is two or more words of letters, digits and '-', joined by dots, at most "
        f"{MAX_BUNDLE_ID} characters; received: {bundle_id!r}; try --bundle-id {better}"
    )


def _team_fault(team: str) -> str | None:
    if TEAM.fullmatch(team):
        return None
    return (
        f"a team id is 10 capital letters and digits, such as A1B2C3D4E5; received: {team!r}; "
        "find yours in Xcode > Settings > Accounts, or leave --team out and choose it in Xcode"
    )
