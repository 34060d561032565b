"""Create an iPhone app from a Core ML file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pocketlens.app.contents import app_contents
from pocketlens.app.spec import AppSpec, oldest_ios, suggest_name
from pocketlens.app.writer import earlier_options, refuse_existing, write_app
from pocketlens.errors import AppError, with_article

__all__ = ["create_app"]


def create_app(
    file: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    bundle_id: str | None = None,
    team: str | None = None,
    force: bool = False,
) -> Path:
    """Write a complete Xcode project of an iPhone and iPad app around a Core ML image classifier.

    Everything comes from the Core ML file: its classes, its input and how images are cropped. The
    model is also run here on a few fixture images, so that the app's tests can compare the results
    on a device with the results on this computer.

    Args:
        file: A `.mlpackage` or `.mlmodel` with one image input and a class label as output.
        folder: The folder to write.
        name: The app's name: ASCII letters, digits and `_`. Default: derived from the file name.
        bundle_id: For example `org.example.Digits`. Default: `com.example.` + name + team.
        team: The id of an Apple developer team, 10 letters and digits. It can also be chosen in
            Xcode later.
        force: Overwrite an app that was written to this folder before. Options that are None keep
            their earlier values. Files that the user has changed are kept; if the new app has
            different contents for them, a `UserWarning` lists them.

    Returns:
        The folder.

    Raises:
        OptionError: An invalid name, bundle id or team; the message lists all problems.
        AppError: The file is not an image classifier.
        OutputExistsError: The folder exists, and `force` is False or the folder does not contain
            an app written by Pocketlens.
        OutputError: The folder cannot be written.
        ModelFileError: The file is damaged.
        UnsupportedModelError: The model cannot run here.
    """
    from pocketlens.coreml import inspect, load

    file, folder = Path(file), Path(folder)
    given = {"name": name, "bundle_id": bundle_id, "team": team}
    options = {key: value for key, value in given.items() if value is not None}
    if force:
        options = earlier_options(folder) | options
    options.setdefault("name", suggest_name(file.name))
    spec = AppSpec(options["name"], options.get("bundle_id"), options.get("team"))
    if not force:
        refuse_existing(folder)
    description = inspect(file)
    if [feature["type"] for feature in description["inputs"]] != ["image"]:
        raise AppError(_not_a_classifier(file, description))
    model = load(file)
    if not model.classes:
        raise AppError(_not_a_classifier(file, description))
    spec = replace(spec, ios=oldest_ios(description["specification_version"]))
    contents = app_contents(spec, model, file, half_precision=_may_be_half_precision(description))
    kept = write_app(folder, contents, force=force, options=options)
    if kept:
        warnings.warn(
            f"files that you changed were kept, although the new app has different contents: "
            f"{', '.join(kept)}; to get a new version of a file, move yours away and run again",
            stacklevel=2,
        )
    return folder


def _not_a_classifier(file: Path, description: Mapping[str, Any]) -> str:
    def listed(features: Sequence[Mapping[str, Any]]) -> str:
        return ", ".join(f"{feature['name']} ({feature['type']})" for feature in features)

    return (
        f"{file} is not an image classifier: it is {with_article(description['kind'])} with "
        f"inputs: {listed(description['inputs'])}; outputs: {listed(description['outputs'])}; "
        "expected one image input and a class label as output; "
        f"for details: pocketlens inspect {file}"
    )


def _may_be_half_precision(description: Mapping[str, Any]) -> bool:
    # A neural network file does not set a precision: the Neural Engine and the GPU use float16.
    return description["kind"] != "ML Program" or set(description["weights"]) != {"float32"}
