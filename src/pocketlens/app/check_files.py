"""Check every file of an app's folder: it exists, it can be read, it is valid for its type."""

from __future__ import annotations

import ast
import json
import os
import plistlib
import re
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.parsers.expat import ExpatError

from pocketlens.app import swift
from pocketlens.app.writer import written_files
from pocketlens.commands import command
from pocketlens.errors import AppError, ImageError, printable
from pocketlens.image import open_image

__all__ = ["UNREADABLE", "check_files", "check_privacy", "read_json", "read_text"]

MAX_TEXT = 16_000_000
"""The size limit for a text file, in bytes."""

UNREADABLE = object()

# Written by Xcode, Swift and git, not part of the app.
SKIPPED = frozenset({".build", ".git", ".swiftpm", "build", "xcuserdata"})
MAX_ERRORS = 3  # reported for one Swift file: the first error often causes the others

# Apple's "required reason APIs", as they appear in Swift, for which the manifest names a reason.
REQUIRED_REASONS = {
    "NSPrivacyAccessedAPICategoryUserDefaults": ("AppStorage", "SceneStorage", "UserDefaults"),
    "NSPrivacyAccessedAPICategoryFileTimestamp": (
        "contentModificationDateKey",
        "creationDateKey",
        "attributesOfItem",
    ),
    "NSPrivacyAccessedAPICategorySystemBootTime": ("systemUptime", "mach_absolute_time"),
    "NSPrivacyAccessedAPICategoryDiskSpace": (
        "volumeAvailableCapacityKey",
        "volumeAvailableCapacityForImportantUsageKey",
        "systemFreeSize",
    ),
    "NSPrivacyAccessedAPICategoryActiveKeyboards": ("activeInputModes",),
}
SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\[[^]]*\])*\s*=.*")


def check_files(folder: Path, app_folder: Path, problems: list[str]) -> None:
    """Append a message for each file that is missing, unreadable or invalid.

    A file that was written with the app must still be there. Every Swift file, property list, XML,
    JSON, xcconfig and Python file and every image is parsed. A type of the written code that is
    still used must be declared somewhere. What the privacy manifest must declare follows from the
    Swift files.

    Args:
        folder: The folder of the whole app.
        app_folder: The folder of the app target in it.
        problems: The messages so far.
    """
    try:
        written = written_files(folder)
    except AppError as error:
        problems.append(str(error))
        written = []
    missing = [path for path in written if not (folder / path).is_file()]
    again = command("app", "MODEL", "-o", folder, "--force")
    problems += [
        f"{printable(path)} is missing; to write it again: {again}"
        for path in missing
        if not any(Path(path).name in problem for problem in problems)
    ]
    trees: dict[Path, Any] = {}
    for path in _files(folder):
        name = printable(path.relative_to(folder).as_posix())
        if path.suffix == ".swift":
            _parse_swift(path, name, trees, problems)
        elif parse := PARSERS.get(path.suffix):
            problems += [f"{name}: {error}" for error in parse(path)]
    _check_types(folder, trees, problems)
    used = swift.used(trees.values())
    check_privacy(app_folder / "PrivacyInfo.xcprivacy", used, problems)


def _files(folder: Path) -> Iterator[Path]:
    """The files of the app, sorted; links are not followed, and the model's files are left out."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if name not in SKIPPED and not name.endswith(".mlpackage")
        )
        yield from (Path(place, name) for name in sorted(names))


def _parse_swift(path: Path, name: str, trees: dict[Path, Any], problems: list[str]) -> None:
    if read_text(path, problems) is None:
        return
    trees[path] = swift.tree(path)
    if not trees[path].children:
        problems.append(f"{name} is empty")
    problems += [
        f"{name}, line {line}: not valid Swift, at {printable(start)!r}"
        for line, start in swift.errors(trees[path])[:MAX_ERRORS]
    ]


def _check_types(folder: Path, trees: Mapping[Path, Any], problems: list[str]) -> None:
    """Check that the types of the written code that are used are declared.

    Types of Apple's frameworks are not known here, so only names that the templates declare count.
    """
    with as_file(files("pocketlens.app") / "templates") as templates:
        ours = swift.declared_types(swift.tree(path) for path in templates.rglob("*.swift"))
    gone = ours - swift.declared_types(trees.values())
    for path, root in trees.items():
        problems += [
            f"{printable(path.relative_to(folder).as_posix())} uses {name}, which no Swift file "
            "declares"
            for name in sorted(gone & swift.used([root]))
        ]


def check_privacy(path: Path, used: set[str], problems: list[str]) -> None:
    """Check the privacy manifest; `used` are the names in the app's Swift code."""
    if (text := read_text(path, problems)) is None:
        return
    try:
        values = plistlib.loads(text.encode(), fmt=plistlib.FMT_XML)
    except PLIST_ERRORS:
        return  # already reported
    expected: dict[str, Any] = {
        "NSPrivacyTracking": bool,
        "NSPrivacyTrackingDomains": list,
        "NSPrivacyCollectedDataTypes": list,
        "NSPrivacyAccessedAPITypes": list,
    }
    wrong = [
        key
        for key, kind in expected.items()
        if not isinstance(values, dict) or not isinstance(values.get(key), kind)
    ]
    problems += [
        f"{path.name}: {key} is missing or not a {expected[key].__name__}" for key in wrong
    ]
    if wrong:
        return
    declared = {
        entry.get("NSPrivacyAccessedAPIType")
        for entry in values["NSPrivacyAccessedAPITypes"]
        if isinstance(entry, dict) and entry.get("NSPrivacyAccessedAPITypeReasons")
    }
    problems += [
        f"{path.name}: the code uses {', '.join(sorted(used & set(names)))}, so "
        f"NSPrivacyAccessedAPITypes must name {category} with a reason"
        for category, names in REQUIRED_REASONS.items()
        if used & set(names) and category not in declared
    ]


def _image(path: Path) -> list[str]:
    try:
        open_image(path)  # decodes it completely and limits its size
    except ImageError as error:
        return [str(error)]
    return []


# plistlib does not convert the exceptions of the modules it uses.
PLIST_ERRORS = (ExpatError, ValueError, TypeError, LookupError, AttributeError)


def _text_parser(
    kind: str, parse: Callable[[str], object], *expected: type[Exception]
) -> Callable[[Path], list[str]]:
    errors: tuple[type[Exception], ...] = (RecursionError, *expected)

    def check(path: Path) -> list[str]:
        found: list[str] = []
        text = read_text(path, found)
        if text is not None:
            try:
                parse(text)
            except errors as error:
                found.append(f"invalid {kind}: {printable(str(error))}")
        return found

    return check


def _xcconfig(text: str) -> None:
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.split("//")[0].strip()
        if bare and not bare.startswith("#include") and not SETTING.fullmatch(bare):
            raise ValueError(f"line {number} is {line[:60]!r}; expected NAME = VALUE")


def _plist(text: str) -> object:
    return plistlib.loads(text.encode(), fmt=plistlib.FMT_XML)


# The files' sizes are limited, and expat itself limits entity expansion.
_json = _text_parser("JSON", json.loads, ValueError)
_xml = _text_parser("XML", ElementTree.fromstring, ElementTree.ParseError, ValueError)

PARSERS: dict[str, Callable[[Path], list[str]]] = {
    ".json": _json,
    ".png": _image,
    ".py": _text_parser("Python", ast.parse, SyntaxError, ValueError),
    ".xcconfig": _text_parser("xcconfig file", _xcconfig, ValueError),
    ".xcprivacy": _text_parser("property list", _plist, *PLIST_ERRORS),
    ".xcscheme": _xml,
    ".xcstrings": _json,
    ".xcworkspacedata": _xml,
    ".yml": _text_parser("text", str),
}


def read_text(path: Path, problems: list[str]) -> str | None:
    """The text of a file; None, and a message in `problems`, if it cannot be read."""
    name = printable(path.name)
    try:
        if not path.is_file() and path.exists():
            problems.append(f"{name}: not a regular file")
            return None
        if path.stat().st_size > MAX_TEXT:
            problems.append(f"{name}: larger than {MAX_TEXT} bytes")
            return None
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        problems.append(f"{printable(path.parent.name)}/{name} is missing")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{name}: cannot be read: {error}")
    return None


def read_json(path: Path, problems: list[str]) -> Any:
    """The parsed JSON, or `UNREADABLE` (None would be ambiguous: it is JSON's `null`)."""
    if (text := read_text(path, problems)) is None:
        return UNREADABLE
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return UNREADABLE  # reported by `check_files`
