"""Create an iPhone app from a Core ML file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pocketlens.app.artwork import ICON_SIZE, MAX_PICTURES
from pocketlens.app.contents import app_contents
from pocketlens.app.names import AppSpec, oldest_ios, suggest_name
from pocketlens.app.spec import Described
from pocketlens.app.writer import earlier_options, refuse_existing, write_app
from pocketlens.commands import command
from pocketlens.errors import AppError, UnsupportedModelError, with_article
from pocketlens.image import ImageSource, InputSpec, prepare
from pocketlens.prediction import THRESHOLDS_KEY, Predictor, Thresholds

__all__ = ["create_app", "not_a_classifier"]

CUSTOM_CODE = {
    "custom": "custom layer",
    "customModel": "custom model",
    "linkedModel": "linked model",
}
"""Layers and models whose code or content is not in the file, by their names in the spec."""

PICTURE = InputSpec(ICON_SIZE, ICON_SIZE, "rgb")
"""A picture of the icon: its square middle."""


def create_app(
    file: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    bundle_id: str | None = None,
    team: str | None = None,
    ink: str | None = None,
    crop: str | None = None,
    pictures: Sequence[ImageSource] = (),
    force: bool = False,
) -> Path:
    """Write a complete Xcode project of an iPhone and iPad app around a Core ML image classifier.

    Everything comes from the Core ML file: its classes, its input and how images are cropped. The
    model is also run here on a few fixture images, so that the app's tests can compare the results
    on a device with the results on this computer. A model that Apple's systems run and Pocketlens
    does not, such as Create ML's on Vision's feature print, gets an app as well; a `UserWarning`
    says that it was not checked.

    Args:
        file: A `.mlpackage` or `.mlmodel` with one image input and a class label as output.
        folder: The folder to write.
        name: The app's name, such as `Digit Lens` or `Über Äpfel`: at most 40 letters, digits,
            spaces and common punctuation. The Xcode target gets an ASCII name derived from it.
            Default: derived from the file name.
        bundle_id: For example `org.example.Digits`. Default: `com.example.` + name + team.
        team: The id of an Apple developer team, 10 letters and digits. It can also be chosen in
            Xcode later.
        ink: The lines of drawings, `dark` or `light`. Default: as the file says.
        crop: How images are cropped: `center-crop`, `fit` or `fill`. Default: as the file says.
            Scale, bias, color order and labels are inside the file, which the app cannot change.
        pictures: Up to four pictures for the app's icon: paths, Pillow images or arrays. Default:
            the icon has the first letter of the name.
        force: Overwrite an app that was written to this folder before. Options that are None keep
            their earlier values. Files that the user has changed are kept; if the new app has
            different contents for them, a `UserWarning` lists them.

    Returns:
        The folder.

    Raises:
        OptionError: An invalid name, bundle id, team, ink or crop.
        ImageError: A picture cannot be read.
        AppError: The file is not an image classifier, or needs code that is not in the file.
        OutputExistsError: The folder exists, and `force` is False or the folder does not contain
            an app written by Pocketlens.
        OutputError: The folder cannot be written.
        ModelFileError: The file is damaged.
        UnsupportedModelError: A compiled model, or a specification version that is too new.
    """
    from PIL import Image

    from pocketlens.coreml import inspect

    file, folder = Path(file), Path(folder)
    given = {"name": name, "bundle_id": bundle_id, "team": team, "ink": ink, "crop": crop}
    options = {key: value for key, value in given.items() if value is not None}
    if force:
        options = earlier_options(folder) | options
    options.setdefault("name", suggest_name(file.name))
    spec = AppSpec(options["name"], options.get("bundle_id"), options.get("team"))
    if not force:
        refuse_existing(folder)
    shown = [Image.fromarray(prepare(each, PICTURE)) for each in pictures[:MAX_PICTURES]]
    description = inspect(file)
    if [feature["type"] for feature in description["inputs"]] != ["image"]:
        raise AppError(not_a_classifier(file, description))
    model = _told(_model(file, description), options)
    spec = replace(spec, ios=oldest_ios(description["specification_version"]))
    contents = app_contents(
        spec,
        model,
        file,
        half_precision=_may_be_half_precision(description),
        pictures=shown,
    )
    kept = write_app(folder, contents, force=force, options=options)
    if kept:
        warnings.warn(
            f"files that you changed were kept, although the new app has different contents: "
            f"{', '.join(kept)}; to get a new version of a file, move yours away and run again",
            stacklevel=2,
        )
    return folder


@dataclass(frozen=True)
class _DescribedModel:
    """A model that does not run here, as its file describes it."""

    classes: tuple[str, ...]
    input_spec: InputSpec
    thresholds: Thresholds


def _model(file: Path, description: Mapping[str, Any]) -> Described:
    """The loaded model, or its description if only Apple's systems run it."""
    from pocketlens.coreml import load
    from pocketlens.coreml.file.time_limit import default_time_limit

    try:
        model: Described = load(file, time_limit=default_time_limit())
    except UnsupportedModelError as error:
        if needed := [CUSTOM_CODE[op] for op in description["ops"] if op in CUSTOM_CODE]:
            raise AppError(
                f"{file} needs something that is not in the file ({', '.join(needed)}); ask its "
                "author for a Core ML file without custom layers, custom models and linked models"
            ) from error
        thresholds = description["metadata"]["user"].get(THRESHOLDS_KEY)
        model = _DescribedModel(
            tuple(str(label) for label in description["classes"]),
            InputSpec.from_dict(description["input_spec"]),
            Thresholds.from_json(thresholds) if thresholds else Thresholds(),
        )
        reason = f"the model was not checked: {error}; the app runs it on the device, untested"
        if model.classes:
            warnings.warn(reason, stacklevel=3)
    if not model.classes:
        raise AppError(not_a_classifier(file, description))
    return model


def _told(model: Described, options: Mapping[str, str]) -> Described:
    """The model, with the ink and crop that are given."""
    values = {name: options[name] for name in ("ink", "crop") if name in options}
    if isinstance(model, _DescribedModel):
        return replace(model, input_spec=model.input_spec.with_values(**values))
    assert isinstance(model, Predictor)
    return model.with_input(**values) if values else model


def not_a_classifier(file: Path, description: Mapping[str, Any]) -> str:
    """Why a file is no image classifier, and what to do."""

    def listed(features: Sequence[Mapping[str, Any]]) -> str:
        return ", ".join(f"{feature['name']} ({feature['type']})" for feature in features)

    named = ""
    kinds = [[feature["type"] for feature in description[key]] for key in ("inputs", "outputs")]
    if kinds[0] == ["image"] and "array" in kinds[1]:
        made = Path(f"{file.stem}-named.mlpackage")
        named = "; if an output has one number per class, name the classes: " + command(
            "convert", file, "--labels", "LABELS", "--out", made
        )
    return (
        f"{file} is not an image classifier: it is {with_article(description['kind'])} with "
        f"inputs: {listed(description['inputs'])}; outputs: {listed(description['outputs'])}; "
        f"expected one image input and a class label as output{named}; "
        f"for details: {command('inspect', file)}"
    )


def _may_be_half_precision(description: Mapping[str, Any]) -> bool:
    # A neural network file does not set a precision: the Neural Engine and the GPU use float16.
    return description["kind"] != "ML Program" or set(description["weights"]) != {"float32"}
