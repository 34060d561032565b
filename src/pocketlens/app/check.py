"""Checks an app's folder without Xcode: what would stop it from opening, building or being right.

Xcode is not at hand where apps are written, and other readers of its project format overlook a
dangling id, a second model or an icon with transparency. These rules do not.
"""

from __future__ import annotations

import json
import os
import plistlib
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.parsers.expat import ExpatError

from pocketlens.app.artwork import ICON_SIZE
from pocketlens.app.check_project import ProjectFacts, check_project
from pocketlens.app.spec import MODEL_NAME, RecognizerSpec
from pocketlens.errors import AppError, ImageError, OptionError
from pocketlens.image import open_image

__all__ = ["check_app"]

MAX_TEXT = 16_000_000
"""The largest project, JSON or property list that is read, in bytes."""

PLACEHOLDER = re.compile(r"%(?:\d+\$)?(?:@|lld|lf)")
CATALOGS = ("InfoPlist.xcstrings", "Localizable.xcstrings")

UNREADABLE = object()


def check_app(folder: str | os.PathLike[str]) -> list[str]:
    """Every fault found in an app's folder, in words; an empty list when all is well.

    Looked at: the Xcode project (every reference leads to an object of the expected kind, no
    object is unused or doubled, folders exist, settings are there), the scheme, the one model, the
    asset catalog, the privacy manifest, the texts in every language, `recognizer.json` and the
    fixtures of the tests.

    Raises:
        AppError: No such folder, or not one Xcode project in it.
    """
    folder = Path(folder)
    projects = sorted(folder.glob("*.xcodeproj"))
    if len(projects) != 1:
        found = ", ".join(path.name for path in projects) or "none"
        raise AppError(
            f"{folder} should hold one .xcodeproj; found: {found}; "
            "write an app with: pocketlens app FILE -o FOLDER"
        )
    faults: list[str] = []
    facts = check_project(projects[0], faults)
    if facts is not None:
        _check_scheme(projects[0], facts, faults)
        recognizer = _check_app_folder(folder / facts.app_folder, faults)
        _check_fixtures(folder / facts.tests_folder, recognizer, faults)
        for name in CATALOGS:
            _check_texts(folder / facts.app_folder / name, facts.languages, faults)
        for name in (facts.app_folder, facts.tests_folder, facts.ui_tests_folder):
            faults += [
                f"{path.relative_to(folder)}: an Info.plist in a target's folder would be copied "
                "as a resource; delete it, Xcode makes one from the build settings"
                for path in (folder / name).rglob("Info.plist")
            ]
    return faults


def _check_scheme(project: Path, facts: ProjectFacts, faults: list[str]) -> None:
    path = project / "xcshareddata" / "xcschemes" / f"{project.stem}.xcscheme"
    text = _text(path, faults)
    if text is None:
        return
    try:
        # The file's size is bounded, and expat itself stops entities that multiply.
        root = ElementTree.fromstring(text)  # noqa: S314
    except ElementTree.ParseError as error:
        faults.append(f"{path.name}: not XML: {error}")
        return
    references = list(root.iter("BuildableReference"))
    for reference in references:
        attributes = reference.attrib
        target = facts.targets.get(attributes.get("BlueprintIdentifier", ""))
        if target is None:
            faults.append(
                f"{path.name}: BlueprintIdentifier "
                f"{attributes.get('BlueprintIdentifier')!r} is the id of no target"
            )
            continue
        expected = {
            "BlueprintName": target.name,
            "BuildableName": target.product,
            "ReferencedContainer": f"container:{project.name}",
        }
        faults += [
            f"{path.name}: {key} is {attributes.get(key)!r}; expected {value!r}"
            for key, value in expected.items()
            if attributes.get(key) != value
        ]
    named = {reference.attrib.get("BlueprintIdentifier") for reference in references}
    faults += [
        f"{path.name}: the target {target.name} is not in the scheme"
        for identifier, target in facts.targets.items()
        if identifier not in named
    ]


def _check_app_folder(folder: Path, faults: list[str]) -> RecognizerSpec | None:
    if not folder.is_dir():
        return None  # told of already: the project names the folder
    models = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in (".mlmodel", ".mlpackage") and ".mlpackage" not in _suffixes(path, folder)
    )
    if len(models) != 1:
        names = ", ".join(str(path.relative_to(folder)) for path in models) or "none"
        faults.append(f"{folder.name}: expected exactly one model; found: {names}")
    elif models[0].stem != MODEL_NAME:
        faults.append(
            f"{folder.name}: recognizer.json names the model {MODEL_NAME}; found: {models[0].name}"
        )
    _check_assets(folder / "Assets.xcassets", faults)
    _check_privacy(folder / "PrivacyInfo.xcprivacy", faults)
    if (text := _text(folder / "recognizer.json", faults)) is None:
        return None
    try:
        return RecognizerSpec.from_json(text)
    except (AppError, OptionError) as error:
        faults.append(f"recognizer.json: {error}")
        return None


def _suffixes(path: Path, top: Path) -> set[str]:
    return {parent.suffix for parent in path.relative_to(top).parents}


def _check_assets(catalog: Path, faults: list[str]) -> None:
    for name in ("Contents.json", "AccentColor.colorset/Contents.json"):
        _json(catalog / name, faults)
    icons = catalog / "AppIcon.appiconset"
    contents = _json(icons / "Contents.json", faults)
    images = contents.get("images") if isinstance(contents, dict) else None
    expected = {"idiom": "universal", "platform": "ios", "size": f"{ICON_SIZE}x{ICON_SIZE}"}
    if not isinstance(images, list) or len(images) != 1 or not isinstance(images[0], dict):
        faults.append("AppIcon: expected one image in Contents.json")
        return
    faults += [
        f"AppIcon: {key} is {images[0].get(key)!r}; expected {value!r}"
        for key, value in expected.items()
        if images[0].get(key) != value
    ]
    _check_icon(icons / str(images[0].get("filename")), faults)


def _check_icon(path: Path, faults: list[str]) -> None:
    from PIL import Image

    try:
        open_image(path)  # whole, and of a bearable size
    except ImageError as error:
        faults.append(f"AppIcon: {error}")
        return
    with Image.open(path) as image:
        if image.size != (ICON_SIZE, ICON_SIZE):
            faults.append(
                f"AppIcon: {path.name} is {image.width} × {image.height}; "
                f"expected {ICON_SIZE} × {ICON_SIZE}"
            )
        if image.has_transparency_data:
            faults.append(f"AppIcon: {path.name} has transparency; expected none")


def _check_privacy(path: Path, faults: list[str]) -> None:
    if (text := _text(path, faults)) is None:
        return
    try:
        values = plistlib.loads(text.encode(), fmt=plistlib.FMT_XML)
    except (ExpatError, ValueError, TypeError, LookupError, AttributeError) as error:
        # plistlib lets through what its parts raise.
        faults.append(f"{path.name}: not a property list: {error}")
        return
    expected: dict[str, Any] = {
        "NSPrivacyTracking": bool,
        "NSPrivacyTrackingDomains": list,
        "NSPrivacyCollectedDataTypes": list,
        "NSPrivacyAccessedAPITypes": list,
    }
    faults += [
        f"{path.name}: {key} is missing or not a {kind.__name__}"
        for key, kind in expected.items()
        if not isinstance(values, dict) or not isinstance(values.get(key), kind)
    ]


def _check_texts(path: Path, languages: tuple[str, ...], faults: list[str]) -> None:
    """A string catalog has each of its texts in every language, with the same placeholders."""
    catalog = _json(path, faults)
    if catalog is UNREADABLE:
        return
    try:
        source, texts = str(catalog["sourceLanguage"]), dict(catalog["strings"])
        for key, entry in texts.items():
            # A key without a text in the source's language is that text itself.
            written = {
                language: str(text["stringUnit"]["value"])
                for language, text in entry.get("localizations", {}).items()
            }
            original = written.setdefault(source, key)
            faults += [
                f"{path.name}: {key!r} is missing in {language}"
                for language in languages
                if language not in written
            ]
            faults += [
                f"{path.name}: {key!r} has other placeholders in {language}"
                for language, text in written.items()
                if sorted(PLACEHOLDER.findall(text)) != sorted(PLACEHOLDER.findall(original))
            ]
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        faults.append(f"{path.name}: a key is missing or of the wrong type: {error!r}")


def _check_fixtures(folder: Path, recognizer: RecognizerSpec | None, faults: list[str]) -> None:
    if not folder.is_dir():
        return
    listing = _json(folder / "fixtures.json", faults)
    if listing is UNREADABLE:
        return
    try:
        tolerance, pictures = float(listing["tolerance"]), listing["pictures"]
        answers = {
            str(picture["file"]): [
                (str(a["label"]), float(a["probability"])) for a in picture["top"]
            ]
            for picture in pictures
        }
    except (TypeError, KeyError, ValueError) as error:
        faults.append(f"fixtures.json: a key is missing or of the wrong type: {error!r}")
        return
    if not 0 < tolerance < 1 or not answers:
        faults.append("fixtures.json: expected a tolerance between 0 and 1, and pictures")
    for name, top in answers.items():
        if not top or not all(0 <= probability <= 1 for _, probability in top):
            faults.append(f"fixtures.json: {name} has no probabilities from 0 to 1")
        if recognizer is not None:
            faults += [
                f"fixtures.json: {name} expects {label!r}, which is none of the classes"
                for label, _ in top
                if label not in recognizer.classes
            ]
        try:
            open_image(folder / name)
        except ImageError as error:
            faults.append(f"fixtures.json: {error}")


def _text(path: Path, faults: list[str]) -> str | None:
    try:
        if path.stat().st_size > MAX_TEXT:
            faults.append(f"{path.name}: has more than {MAX_TEXT} bytes")
            return None
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        faults.append(f"{path.parent.name}/{path.name} is missing")
    except (OSError, UnicodeDecodeError) as error:
        faults.append(f"{path.name}: cannot be read: {error}")
    return None


def _json(path: Path, faults: list[str]) -> Any:
    """The value that the file holds, or `UNREADABLE`: JSON has a `null` of its own."""
    if (text := _text(path, faults)) is None:
        return UNREADABLE
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        faults.append(f"{path.parent.name}/{path.name}: not JSON: {error}")
        return UNREADABLE
