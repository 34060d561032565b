"""Every file of an app, in memory: templates, model, and the pictures that its tests show it.

Templates mark what changes from app to app by « and », which neither Swift, Make nor XML uses.
Nothing of the model (no class name, no description) goes through a template: it goes into JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeAlias

from pocketlens.app.artwork import fixture_pictures, icon, png
from pocketlens.app.project import build_project
from pocketlens.app.spec import MODEL_NAME, SYSTEMS, AppSpec, RecognizerSpec
from pocketlens.errors import AppError
from pocketlens.prediction import Predictor

__all__ = ["Content", "app_contents"]

Content: TypeAlias = bytes | Path
"""What a file holds: its bytes, or the file it is a copy of."""

TOP_CLASSES = 5

# How far a device's probabilities may lie from those computed here. Chosen, not measured: half
# precision moves a probability by about 1e-3, and each system rounds pixels in its own way. A
# wrong crop, color order or scale moves it far more.
HALF_PRECISION_TOLERANCE = 0.05
SINGLE_PRECISION_TOLERANCE = 0.02


def app_contents(
    spec: AppSpec, model: Predictor, file: Path, *, half_precision: bool
) -> dict[str, Content]:
    """The files of the app, by their path in its folder, with `/` between the parts.

    Args:
        spec: The app's names and identifiers.
        model: The Core ML file, loaded: asked for its classes, its input and a few answers.
        file: The Core ML file or package itself.
        half_precision: Whether a device may compute it in float16.

    Raises:
        AppError: A class name twice, or a package with links in it.
    """
    recognizer = RecognizerSpec.of(spec.name, model)
    copies = _model_files(file)
    contents: dict[str, Content] = {
        f"{spec.name}/{path}": source for path, source in copies.items()
    }
    contents[f"{spec.name}/recognizer.json"] = recognizer.to_json().encode()
    contents[f"{spec.name}/Assets.xcassets/AppIcon.appiconset/AppIcon.png"] = png(
        icon(spec.name[0].upper())
    )
    for path, content in _fixtures(model, half_precision).items():
        contents[f"{spec.tests}/{path}"] = content
    project = build_project(spec)
    contents[f"{spec.name}.xcodeproj/project.pbxproj"] = project.text.encode()
    values = {
        "name": spec.name,
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
        "xcode": SYSTEMS[spec.ios].xcode,
        "runner": SYSTEMS[spec.ios].runner,
    }
    for path, text in _templates(values).items():
        contents[_place(path, spec)] = text.encode()
    return dict(sorted(contents.items()))


def _place(path: str, spec: AppSpec) -> str:
    """Where the template `path` goes in the app's folder."""
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

    environment = Environment(  # noqa: S701  (no HTML here; the values are checked identifiers)
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
    """The model's files, by their path in the target's folder: one, or those of a package."""
    if not file.is_dir():
        return {f"{MODEL_NAME}.mlmodel": file}
    found: dict[str, Path] = {}
    for path in sorted(file.rglob("*")):
        if path.is_symlink():
            raise AppError(
                f"{path} is a link; expected a package of plain files only; make the package anew"
            )
        if path.is_file() and path.name != ".DS_Store":
            found[f"{MODEL_NAME}.mlpackage/{path.relative_to(file).as_posix()}"] = path
    return found


def _fixtures(model: Predictor, half_precision: bool) -> dict[str, bytes]:
    pictures = fixture_pictures(model.input_spec)
    answers = model.predict(list(pictures.values()))
    listing = {
        "tolerance": HALF_PRECISION_TOLERANCE if half_precision else SINGLE_PRECISION_TOLERANCE,
        "pictures": [
            {
                "file": name,
                "top": [
                    {"label": label, "probability": round(probability, 4)}
                    for label, probability in answer.top(TOP_CLASSES)
                ],
            }
            for name, answer in zip(pictures, answers, strict=True)
        ],
    }
    contents = {name: png(picture) for name, picture in pictures.items()}
    contents["fixtures.json"] = (json.dumps(listing, indent=2, ensure_ascii=False) + "\n").encode()
    return contents
