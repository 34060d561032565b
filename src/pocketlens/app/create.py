"""Core ML file in, iPhone app out."""

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
from pocketlens.errors import AppError

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

    The app is made from the file alone: classes, input and crop are read from it, and a few
    pictures are put through it here, so that the app's tests can check the answers on a device.

    Args:
        file: A `.mlpackage` or `.mlmodel` that takes an image and names a class.
        folder: The new folder.
        name: The app's name: ASCII letters, digits and `_`; by default made from the file's name.
        bundle_id: Such as `org.example.Digits`; by default `com.example.` with the name and team.
        team: The 10 letters and digits of an Apple developer team; may be chosen in Xcode later.
        force: Write over an app written here before; options left out are those of then. Files
            that the user has changed are kept, with a `UserWarning` that names those for which
            there was something new.

    Returns:
        The folder.

    Raises:
        OptionError: A name, bundle id or team of the wrong form; all faults in one message.
        AppError: The file is not an image classifier.
        OutputExistsError: The folder exists and `force` is not given, or it is not ours.
        OutputError: The folder cannot be written.
        ModelFileError, UnsupportedModelError: The file is damaged or cannot run here.
    """
    from pocketlens.coreml import describe, load

    file, folder = Path(file), Path(folder)
    given = {"name": name, "bundle_id": bundle_id, "team": team}
    options = {key: value for key, value in given.items() if value is not None}
    if force:
        options = earlier_options(folder) | options
    options.setdefault("name", suggest_name(file.name))
    spec = AppSpec(options["name"], options.get("bundle_id"), options.get("team"))
    if not force:
        refuse_existing(folder)
    description = describe(file)
    if [feature["type"] for feature in description["inputs"]] != ["image"]:
        raise AppError(_no_image_classifier(file, description))
    model = load(file)
    if not model.classes:
        raise AppError(_no_image_classifier(file, description))
    spec = replace(spec, ios=oldest_ios(description["specification_version"]))
    contents = app_contents(spec, model, file, half_precision=_may_be_half_precision(description))
    kept = write_app(folder, contents, force=force, options=options)
    if kept:
        warnings.warn(
            f"kept as you changed them, though the new app has other contents for them: "
            f"{', '.join(kept)}; move one away and run again to have it written anew",
            stacklevel=2,
        )
    return folder


def _no_image_classifier(file: Path, description: Mapping[str, Any]) -> str:
    def listed(features: Sequence[Mapping[str, Any]]) -> str:
        return ", ".join(f"{feature['name']} ({feature['type']})" for feature in features)

    return (
        f"{file} is no image classifier: it is a {description['kind']} that takes "
        f"{listed(description['inputs'])} and gives {listed(description['outputs'])}; expected one "
        f"image in and a class label out; see: pocketlens inspect {file}"
    )


def _may_be_half_precision(description: Mapping[str, Any]) -> bool:
    # A neural network states no precision of its own: the Neural Engine and the GPU take half.
    return description["kind"] != "ML Program" or set(description["weights"]) != {"float32"}
