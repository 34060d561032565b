"""Check an app's folder without Xcode, for problems that would stop it from building or working.

Apps can be written on systems without Xcode, and other parsers of its project format do not detect
a dangling id, a second model or an icon with transparency. These rules do.
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
"""The size limit for a scheme, JSON file or property list, in bytes."""

PLACEHOLDER = re.compile(r"%(?:\d+\$)?(?:@|lld|lf)")
CATALOGS = ("InfoPlist.xcstrings", "Localizable.xcstrings")

UNREADABLE = object()


def check_app(folder: str | os.PathLike[str]) -> list[str]:
    """Check an app's folder.

    Checked are the Xcode project (every reference resolves to an object of the expected type, no
    object is unused or duplicated, folders exist, required settings are present), the scheme, that
    there is exactly one model, the asset catalog, the privacy manifest, the translations,
    `recognizer.json` and the fixtures of the tests.

    Args:
        folder: The app's folder, as written by `create_app`.

    Returns:
        One message per problem; an empty list if there are none.

    Raises:
        AppError: The folder does not exist or does not contain exactly one Xcode project.
    """
    folder = Path(folder)
    projects = sorted(folder.glob("*.xcodeproj"))
    if len(projects) != 1:
        found = ", ".join(path.name for path in projects) or "none"
        raise AppError(
            f"expected exactly one .xcodeproj in {folder}; found: {found}; "
            "to write an app: pocketlens app FILE -o FOLDER"
        )
    problems: list[str] = []
    facts = check_project(projects[0], problems)
    if facts is not None:
        _check_scheme(projects[0], facts, problems)
        recognizer = _check_app_folder(folder / facts.app_folder, problems)
        _check_fixtures(folder / facts.tests_folder, recognizer, problems)
        for name in CATALOGS:
            _check_texts(folder / facts.app_folder / name, facts.languages, problems)
        for name in (facts.app_folder, facts.tests_folder, facts.ui_tests_folder):
            problems += [
                f"{path.relative_to(folder)}: an Info.plist in a target's folder would be copied "
                "as a resource; delete it: Xcode generates one from the build settings"
                for path in (folder / name).rglob("Info.plist")
            ]
    return problems


def _check_scheme(project: Path, facts: ProjectFacts, problems: list[str]) -> None:
    path = project / "xcshareddata" / "xcschemes" / f"{project.stem}.xcscheme"
    text = _text(path, problems)
    if text is None:
        return
    try:
        # The file's size is limited, and expat itself limits entity expansion.
        root = ElementTree.fromstring(text)  # noqa: S314
    except ElementTree.ParseError as error:
        problems.append(f"{path.name}: invalid XML: {error}")
        return
    references = list(root.iter("BuildableReference"))
    for reference in references:
        attributes = reference.attrib
        target = facts.targets.get(attributes.get("BlueprintIdentifier", ""))
        if target is None:
            problems.append(
                f"{path.name}: BlueprintIdentifier "
                f"{attributes.get('BlueprintIdentifier')!r} is not the id of a target"
            )
            continue
        expected = {
            "BlueprintName": target.name,
            "BuildableName": target.product,
            "ReferencedContainer": f"container:{project.name}",
        }
        problems += [
            f"{path.name}: {key} is {attributes.get(key)!r}; expected {value!r}"
            for key, value in expected.items()
            if attributes.get(key) != value
        ]
    named = {reference.attrib.get("BlueprintIdentifier") for reference in references}
    problems += [
        f"{path.name}: the target {target.name} is not in the scheme"
        for identifier, target in facts.targets.items()
        if identifier not in named
    ]


def _check_app_folder(folder: Path, problems: list[str]) -> RecognizerSpec | None:
    if not folder.is_dir():
        return None  # already reported by the check of the project
    models = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in (".mlmodel", ".mlpackage") and ".mlpackage" not in _suffixes(path, folder)
    )
    if len(models) != 1:
        names = ", ".join(str(path.relative_to(folder)) for path in models) or "none"
        problems.append(f"{folder.name}: expected exactly one model; found: {names}")
    elif models[0].stem != MODEL_NAME:
        problems.append(
            f"{folder.name}: the model must be called {MODEL_NAME}; found: {models[0].name}"
        )
    _check_assets(folder / "Assets.xcassets", problems)
    _check_privacy(folder / "PrivacyInfo.xcprivacy", problems)
    if (text := _text(folder / "recognizer.json", problems)) is None:
        return None
    try:
        return RecognizerSpec.from_json(text)
    except (AppError, OptionError) as error:
        problems.append(f"recognizer.json: {error}")
        return None


def _suffixes(path: Path, top: Path) -> set[str]:
    return {parent.suffix for parent in path.relative_to(top).parents}


def _check_assets(catalog: Path, problems: list[str]) -> None:
    for name in ("Contents.json", "AccentColor.colorset/Contents.json"):
        _json(catalog / name, problems)
    icons = catalog / "AppIcon.appiconset"
    contents = _json(icons / "Contents.json", problems)
    images = contents.get("images") if isinstance(contents, dict) else None
    expected = {"idiom": "universal", "platform": "ios", "size": f"{ICON_SIZE}x{ICON_SIZE}"}
    if not isinstance(images, list) or len(images) != 1 or not isinstance(images[0], dict):
        problems.append("AppIcon: expected one image in Contents.json")
        return
    problems += [
        f"AppIcon: {key} is {images[0].get(key)!r}; expected {value!r}"
        for key, value in expected.items()
        if images[0].get(key) != value
    ]
    _check_icon(icons / str(images[0].get("filename")), problems)


def _check_icon(path: Path, problems: list[str]) -> None:
    from PIL import Image

    try:
        open_image(path)  # decodes it completely and limits its size
    except ImageError as error:
        problems.append(f"AppIcon: {error}")
        return
    with Image.open(path) as image:
        if image.size != (ICON_SIZE, ICON_SIZE):
            problems.append(
                f"AppIcon: {path.name} is {image.width} × {image.height}; "
                f"expected {ICON_SIZE} × {ICON_SIZE}"
            )
        if image.has_transparency_data:
            problems.append(f"AppIcon: {path.name} has transparency; expected an opaque image")


def _check_privacy(path: Path, problems: list[str]) -> None:
    if (text := _text(path, problems)) is None:
        return
    try:
        values = plistlib.loads(text.encode(), fmt=plistlib.FMT_XML)
    except (ExpatError, ValueError, TypeError, LookupError, AttributeError) as error:
        # plistlib does not convert the exceptions of the modules it uses.
        problems.append(f"{path.name}: invalid property list: {error}")
        return
    expected: dict[str, Any] = {
        "NSPrivacyTracking": bool,
        "NSPrivacyTrackingDomains": list,
        "NSPrivacyCollectedDataTypes": list,
        "NSPrivacyAccessedAPITypes": list,
    }
    problems += [
        f"{path.name}: {key} is missing or not a {kind.__name__}"
        for key, kind in expected.items()
        if not isinstance(values, dict) or not isinstance(values.get(key), kind)
    ]


def _check_texts(path: Path, languages: tuple[str, ...], problems: list[str]) -> None:
    """Check that each text has a translation in every language, with the same placeholders."""
    catalog = _json(path, problems)
    if catalog is UNREADABLE:
        return
    try:
        source, texts = str(catalog["sourceLanguage"]), dict(catalog["strings"])
        for key, entry in texts.items():
            # Without an entry for the source language, the key itself is the text.
            written = {
                language: str(text["stringUnit"]["value"])
                for language, text in entry.get("localizations", {}).items()
            }
            original = written.setdefault(source, key)
            problems += [
                f"{path.name}: {key!r} has no translation in {language}"
                for language in languages
                if language not in written
            ]
            problems += [
                f"{path.name}: {key!r} has different placeholders in {language}"
                for language, text in written.items()
                if sorted(PLACEHOLDER.findall(text)) != sorted(PLACEHOLDER.findall(original))
            ]
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        problems.append(f"{path.name}: a key is missing or has the wrong type: {error!r}")


def _check_fixtures(folder: Path, recognizer: RecognizerSpec | None, problems: list[str]) -> None:
    if not folder.is_dir():
        return
    listing = _json(folder / "fixtures.json", problems)
    if listing is UNREADABLE:
        return
    try:
        tolerance, pictures = float(listing["tolerance"]), listing["pictures"]
        expected = {
            str(picture["file"]): [
                (str(a["label"]), float(a["probability"])) for a in picture["top"]
            ]
            for picture in pictures
        }
    except (TypeError, KeyError, ValueError) as error:
        problems.append(f"fixtures.json: a key is missing or has the wrong type: {error!r}")
        return
    if not 0 < tolerance < 1 or not expected:
        problems.append(
            "fixtures.json: expected a tolerance between 0 and 1, and at least one picture"
        )
    for name, top in expected.items():
        if not top or not all(0 <= probability <= 1 for _, probability in top):
            problems.append(
                f"fixtures.json: the probabilities of {name} are missing or not between 0 and 1"
            )
        if recognizer is not None:
            problems += [
                f"fixtures.json: {name} expects {label!r}, which is not one of the classes"
                for label, _ in top
                if label not in recognizer.classes
            ]
        try:
            open_image(folder / name)
        except ImageError as error:
            problems.append(f"fixtures.json: {error}")


def _text(path: Path, problems: list[str]) -> str | None:
    try:
        if path.stat().st_size > MAX_TEXT:
            problems.append(f"{path.name}: larger than {MAX_TEXT} bytes")
            return None
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        problems.append(f"{path.parent.name}/{path.name} is missing")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{path.name}: cannot be read: {error}")
    return None


def _json(path: Path, problems: list[str]) -> Any:
    """The parsed JSON, or `UNREADABLE` (None would be ambiguous: it is JSON's `null`)."""
    if (text := _text(path, problems)) is None:
        return UNREADABLE
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        problems.append(f"{path.parent.name}/{path.name}: invalid JSON: {error}")
        return UNREADABLE
