"""Check an app's folder without Xcode, for problems that would stop it from building or working.

Apps can be written on systems without Xcode, and other parsers of its project format do not detect
a dangling id, a second model or an icon with transparency. These rules do.
"""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from pocketlens.app.artwork import ICON_SIZE, ICONS
from pocketlens.app.check_files import UNREADABLE, check_files, read_json, read_text
from pocketlens.app.check_project import ProjectFacts, check_project
from pocketlens.app.spec import MODEL_NAME, RecognizerSpec
from pocketlens.commands import command
from pocketlens.errors import (
    AppError,
    ImageError,
    OptionError,
    PocketlensError,
    UnsupportedModelError,
    printable,
)
from pocketlens.image import open_image

__all__ = ["check_app"]

PLACEHOLDER = re.compile(r"%(?:\d+\$)?(?:@|lld|lf)")
CATALOGS = ("InfoPlist.xcstrings", "Localizable.xcstrings")


@dataclass(frozen=True)
class Fixtures:
    """`fixtures.json`: the tolerance, and the most probable classes of each picture."""

    tolerance: float
    pictures: dict[str, list[tuple[str, float]]]


def check_app(folder: str | os.PathLike[str]) -> list[str]:
    """Check an app's folder.

    Checked are the Xcode project (every reference resolves to an object of the expected type, no
    object is unused or duplicated, folders exist, required settings are present), the scheme, that
    every file that was written is still there and can be parsed (Swift, property lists, JSON,
    images), the asset catalog, the privacy manifest, the translations, `recognizer.json`, and that
    there is exactly one model, which has these classes and gives the probabilities that the app's
    tests expect. A model that does not run here is not checked; a `UserWarning` says so.

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
            f"to write an app: {command('app', 'FILE', '-o', 'FOLDER')}"
        )
    problems: list[str] = []
    facts = check_project(projects[0], problems)
    if facts is not None:
        _check_scheme(projects[0], facts, problems)
        recognizer = _check_recognizer(folder / facts.app_folder, problems)
        fixtures = _check_fixtures(folder / facts.tests_folder, recognizer, problems)
        _check_assets(folder / facts.app_folder / "Assets.xcassets", problems)
        model = _find_model(folder / facts.app_folder, problems)
        if model and recognizer and fixtures:
            _check_model(model, recognizer, folder / facts.tests_folder, fixtures, problems)
        for name in CATALOGS:
            _check_texts(folder / facts.app_folder / name, facts.languages, problems)
        for name in (facts.app_folder, facts.tests_folder, facts.ui_tests_folder):
            problems += [
                f"{path.relative_to(folder)}: an Info.plist in a target's folder would be copied "
                "as a resource; delete it: Xcode generates one from the build settings"
                for path in (folder / name).rglob("Info.plist")
            ]
        check_files(folder, folder / facts.app_folder, problems)
    return problems


def _check_scheme(project: Path, facts: ProjectFacts, problems: list[str]) -> None:
    path = project / "xcshareddata" / "xcschemes" / f"{project.stem}.xcscheme"
    text = read_text(path, problems)
    if text is None:
        return
    try:
        # The file's size is limited, and expat itself limits entity expansion.
        root = ElementTree.fromstring(text)  # noqa: S314
    except (ElementTree.ParseError, ValueError):
        return  # reported by `check_files`
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


def _find_model(folder: Path, problems: list[str]) -> Path | None:
    """The one model in the app target's folder."""
    models = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in (".mlmodel", ".mlpackage") and ".mlpackage" not in _suffixes(path, folder)
    )
    if len(models) != 1:
        names = ", ".join(printable(str(path.relative_to(folder))) for path in models) or "none"
        problems.append(f"{folder.name}: expected exactly one model; found: {names}")
        return None
    if models[0].stem != MODEL_NAME:
        problems.append(
            f"{folder.name}: the model must be called {MODEL_NAME}; "
            f"found: {printable(models[0].name)}"
        )
    return models[0]


def _check_recognizer(folder: Path, problems: list[str]) -> RecognizerSpec | None:
    if (text := read_text(folder / "recognizer.json", problems)) is None:
        return None
    try:
        return RecognizerSpec.from_json(text)
    except (AppError, OptionError) as error:
        problems.append(f"recognizer.json: {printable(str(error))}")
        return None


def _check_model(
    path: Path, recognizer: RecognizerSpec, folder: Path, fixtures: Fixtures, problems: list[str]
) -> None:
    """Compare the model with `recognizer.json`, and its predictions with the fixtures."""
    from pocketlens.coreml import inspect, load
    from pocketlens.coreml.file.time_limit import default_time_limit

    try:
        description = inspect(path)
        classes = {str(label) for label in description["classes"]}
        if classes != set(recognizer.classes):
            problems.append(
                f"{path.name} has {len(classes)} classes, which are not the "
                f"{len(recognizer.classes)} classes in recognizer.json; {_write_again()}"
            )
            return
        images = {name: folder / name for name in fixtures.pictures if (folder / name).is_file()}
        predictions = load(path, time_limit=default_time_limit()).predict(list(images.values()))
    except UnsupportedModelError as error:
        warnings.warn(f"the model was not checked: {error}", stacklevel=3)
        return
    except ImageError:
        return  # reported by `check_files`
    except PocketlensError as error:
        problems.append(f"{path.name}: {error}")
        return
    if not any(fixtures.pictures.values()):
        problems.append(f"fixtures.json: no probabilities, though the model runs; {_write_again()}")
    for name, prediction in zip(images, predictions, strict=True):
        found = prediction.probabilities
        problems += [
            f"{printable(name)}: the model gives {printable(label)!r} a probability of "
            f"{found.get(label, 0):.3f}, fixtures.json expects {probability:.3f}; {_write_again()}"
            for label, probability in fixtures.pictures[name]
            if not abs(found.get(label, 0) - probability) <= fixtures.tolerance
        ]


def _suffixes(path: Path, top: Path) -> set[str]:
    return {parent.suffix for parent in path.relative_to(top).parents}


def _check_assets(catalog: Path, problems: list[str]) -> None:
    for name in ("Contents.json", "AccentColor.colorset/Contents.json"):
        read_json(catalog / name, problems)
    icons = catalog / "AppIcon.appiconset"
    contents = read_json(icons / "Contents.json", problems)
    images = contents.get("images") if isinstance(contents, dict) else None
    if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
        problems.append("AppIcon: expected a list of images in Contents.json")
        return
    found = {image.get("filename"): image for image in images}
    expected = {"idiom": "universal", "platform": "ios", "size": f"{ICON_SIZE}x{ICON_SIZE}"}
    for appearance, name in ICONS.items():
        if name not in found:
            problems.append(f"AppIcon: Contents.json has no {appearance} icon, {name}")
            continue
        entry = found[name]
        variants = [{"appearance": "luminosity", "value": appearance}]
        wanted = expected | ({} if appearance == "light" else {"appearances": variants})
        problems += [
            f"AppIcon: {key} of {name} is {entry.get(key)!r}; expected {value!r}"
            for key, value in wanted.items()
            if entry.get(key) != value
        ]
        _check_icon(icons / name, appearance, problems)


def _check_icon(path: Path, appearance: str, problems: list[str]) -> None:
    from PIL import Image

    if not path.is_file():
        problems.append(f"AppIcon: {path.name} is missing")
        return
    try:
        open_image(path)  # decodes it completely and limits its size
    except ImageError:
        return  # reported by `check_files`
    with Image.open(path) as image:
        if image.size != (ICON_SIZE, ICON_SIZE):
            problems.append(
                f"AppIcon: {path.name} is {image.width} × {image.height}; "
                f"expected {ICON_SIZE} × {ICON_SIZE}"
            )
        if image.has_transparency_data and appearance != "dark":
            problems.append(f"AppIcon: {path.name} has transparency; expected an opaque image")


def _check_texts(path: Path, languages: tuple[str, ...], problems: list[str]) -> None:
    """Check that each text has a translation in every language, with the same placeholders."""
    catalog = read_json(path, problems)
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


def _check_fixtures(
    folder: Path, recognizer: RecognizerSpec | None, problems: list[str]
) -> Fixtures | None:
    if not folder.is_dir():
        return None
    listing = read_json(folder / "fixtures.json", problems)
    if listing is UNREADABLE:
        return None
    try:
        tolerance = float(listing["tolerance"])
        expected = {
            str(picture["file"]): [
                (str(a["label"]), float(a["probability"])) for a in picture["top"]
            ]
            for picture in listing["pictures"]
        }
    except (TypeError, KeyError, ValueError) as error:
        problems.append(f"fixtures.json: a key is missing or has the wrong type: {error!r}")
        return None
    if not 0 < tolerance < 1 or not expected:
        problems.append(
            "fixtures.json: expected a tolerance between 0 and 1, and at least one picture"
        )
    for name, top in expected.items():
        if not all(0 <= probability <= 1 for _, probability in top):
            problems.append(f"fixtures.json: the probabilities of {name} are not between 0 and 1")
        if recognizer is not None:
            problems += [
                f"fixtures.json: {name} expects {label!r}, which is not one of the classes"
                for label, _ in top
                if label not in recognizer.classes
            ]
        if Path(name).name != name or not (folder / name).is_file():
            problems.append(f"fixtures.json: the image {name!r} is missing")
    return Fixtures(tolerance, expected)


def _write_again() -> str:
    hint = command("app", "MODEL", "-o", "FOLDER", "--force")
    return f"to write the app for another model: {hint}"
