"""All files of an app, in memory: rendered templates, the model, and the fixtures of its tests.

Placeholders in templates are written between « and », which Swift, Make and XML do not use. No text
from the model (class name, description) is inserted into a template; it is written to JSON files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pocketlens.app.artwork import ICONS, fixture_images, icon, png
from pocketlens.app.names import IOS_VERSIONS, AppSpec
from pocketlens.app.project import build_project
from pocketlens.app.spec import MODEL_NAME, Described, RecognizerSpec
from pocketlens.errors import AppError
from pocketlens.prediction import Predictor

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Content", "app_contents"]

Content: TypeAlias = bytes | Path
"""The contents of a file: its bytes, or the path of a file to copy."""

TOP_CLASSES = 5

# The largest accepted difference between a device's probabilities and those computed here. Chosen,
# not measured: float16 changes a probability by about 1e-3, and systems round pixels differently.
# A wrong crop, color order or scale causes much larger differences.
HALF_PRECISION_TOLERANCE = 0.05
SINGLE_PRECISION_TOLERANCE = 0.02


def app_contents(
    spec: AppSpec,
    model: Described,
    file: Path,
    *,
    half_precision: bool,
    pictures: Sequence[Image.Image] = (),
) -> dict[str, Content]:
    """The files of the app, by their path in its folder, with `/` as the separator.

    Args:
        spec: The app's names and identifiers.
        model: The Core ML file, loaded or only described. If it is a `Predictor`, its predictions
            on the fixture images become part of the app's tests.
        file: The Core ML file or package, which is copied.
        half_precision: Whether a device may compute the model in float16; it sets the tolerance of
            the app's tests.
        pictures: For the icon.

    Raises:
        AppError: A duplicate class name, or a package that contains symbolic links.
    """
    recognizer = RecognizerSpec.of(spec.title, model)
    copies = _model_files(file)
    contents: dict[str, Content] = {
        f"{spec.name}/{path}": source for path, source in copies.items()
    }
    contents[f"{spec.name}/recognizer.json"] = recognizer.to_json().encode()
    for appearance, icon_name in ICONS.items():
        contents[f"{spec.name}/Assets.xcassets/AppIcon.appiconset/{icon_name}"] = png(
            icon(spec.name[0].upper(), appearance, pictures)
        )
    for path, content in _fixtures(model, half_precision).items():
        contents[f"{spec.tests}/{path}"] = content
    project = build_project(spec)
    contents[f"{spec.name}.xcodeproj/project.pbxproj"] = project.text.encode()
    values = {
        "name": spec.name,
        "title": spec.title,
        "checked": isinstance(model, Predictor),
        "tests": spec.tests,
        "ui_tests": spec.ui_tests,
        "bundle_id": spec.bundle_id_setting,
        "team": spec.team or "",
        "app_id": project.app_id,
        "tests_id": project.tests_id,
        "ui_tests_id": project.ui_tests_id,
        "model": next(iter(copies)).split("/")[0],
        "class_count": len(recognizer.classes),
        "ios": spec.ios,
        "xcode": IOS_VERSIONS[spec.ios].xcode,
        "runner": IOS_VERSIONS[spec.ios].runner,
    }
    for path, text in _templates(values).items():
        contents[_target_path(path, spec)] = text.encode()
    return dict(sorted(contents.items()))


def _target_path(path: str, spec: AppSpec) -> str:
    """The path in the app's folder of the file rendered from the template `path`."""
    project = f"{spec.name}.xcodeproj"
    moved = {
        "App.xcscheme": f"{project}/xcshareddata/xcschemes/{spec.name}.xcscheme",
        "contents.xcworkspacedata": f"{project}/project.xcworkspace/contents.xcworkspacedata",
        "gitignore": ".gitignore",
    }
    folders = {
        "App": spec.name,
        "AppTests": spec.tests,
        "AppUITests": spec.ui_tests,
        "github": ".github",
    }
    if path in moved:
        return moved[path]
    first, slash, rest = path.partition("/")
    return folders.get(first, first) + slash + rest if slash else path


def _templates(values: Mapping[str, object]) -> dict[str, str]:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(  # noqa: S701  (not HTML; the values are validated identifiers)
        variable_start_string="«",
        variable_end_string="»",
        block_start_string="«%",
        block_end_string="%»",
        comment_start_string="«#",
        comment_end_string="#»",
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    root = files("pocketlens.app") / "templates"
    return {
        path: environment.from_string(template.read_text("utf-8")).render(values)
        for path, template in _walk(root, "")
    }


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, Traversable]]:
    found: list[tuple[str, Traversable]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            if entry.name != "__pycache__":
                found += _walk(entry, f"{prefix}{entry.name}/")
        else:
            found.append((prefix + entry.name, entry))
    return found


def _model_files(file: Path) -> dict[str, Path]:
    """The model's files (one, or all of a package), by their path in the app target's folder."""
    if not file.is_dir():
        return {f"{MODEL_NAME}.mlmodel": file}
    found: dict[str, Path] = {}
    for path in sorted(file.rglob("*")):
        if path.is_symlink():
            raise AppError(
                f"{path} is a symbolic link; expected a package of regular files only; "
                "convert the model again"
            )
        if path.is_file() and path.name != ".DS_Store":
            found[f"{MODEL_NAME}.mlpackage/{path.relative_to(file).as_posix()}"] = path
    return found


def _fixtures(model: Described, half_precision: bool) -> dict[str, bytes]:
    images = fixture_images(model.input_spec)
    tops: list[list[tuple[str, float]]] = [[] for _ in images]  # as of a model not run here
    if isinstance(model, Predictor):
        tops = [found.top(TOP_CLASSES) for found in model.predict(list(images.values()))]
    listing = {
        "tolerance": HALF_PRECISION_TOLERANCE if half_precision else SINGLE_PRECISION_TOLERANCE,
        "pictures": [
            {
                "file": name,
                "top": [
                    {"label": label, "probability": round(probability, 4)}
                    for label, probability in top
                ],
            }
            for name, top in zip(images, tops, strict=True)
        ],
    }
    contents = {name: png(image) for name, image in images.items()}
    contents["fixtures.json"] = (json.dumps(listing, indent=2, ensure_ascii=False) + "\n").encode()
    return contents
