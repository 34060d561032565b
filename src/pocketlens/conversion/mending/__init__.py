"""`mend`: write a Core ML file again that reads its images, or names its classes, in another way.

The network itself is not converted again. Color order and class names are changed where the file
has them, scale and bias become an operation on the pixels before the first one of the file, and ink
and crop are in the metadata.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.conversion.mending import network, program
from pocketlens.conversion.mending.affine import Affine
from pocketlens.conversion.metadata import LABEL_FEATURE, PROBABILITIES_FEATURE
from pocketlens.conversion.package import check_target, write_model
from pocketlens.conversion.probes import noise_images
from pocketlens.coreml import CoreMLModel, load
from pocketlens.coreml.file.features import functions_of
from pocketlens.coreml.file.kinds import KINDS, NETWORKS
from pocketlens.coreml.file.package import ModelFile, open_model
from pocketlens.errors import CheckFailedError, ConversionError, OptionError
from pocketlens.files import temporary_folder
from pocketlens.image import INPUT_SPEC_KEY

__all__ = ["mend"]

COLOR_SPACES = {"rgb": 20, "bgr": 30}  # of the specification's ImageFeatureType

MAX_DIFFERENCE = 0.01
"""The largest difference of a probability between the file and the model that it was made from."""


def mend(model: CoreMLModel, target: Path, *, force: bool = False) -> None:
    """Write a Core ML file that does what a model does which `with_input` changed.

    Args:
        model: The model. Its own file does not change.
        target: The file to write, `.mlmodel` or `.mlpackage`.
        force: Replace an output that exists.

    Raises:
        OptionError: Nothing was changed, or the format cannot hold this kind of model.
        ConversionError: The change cannot be written into a file of this kind; convert the model
            again from its source.
        CheckFailedError: The new file does not compute what the model computes.
        OutputExistsError, OutputError: As in `write_model`.
    """
    check_target(target, force=force)
    if model.kind == KINDS["mlProgram"] and target.suffix == ".mlmodel":
        raise OptionError(
            f"{model.path} is an ML Program, which only an .mlpackage can hold; rename the output "
            f"to {target.stem}.mlpackage"
        )
    original, file = load(model.path), open_model(model.path)
    if not original.interface.image:
        raise ConversionError(
            f"{model.path} does not take an image but an array, whose color order and scale a Core "
            "ML file cannot say; convert it again from its source with an image input"
        )
    spec = type(file.spec)()
    spec.CopyFrom(file.spec)
    before, after = original.input_spec, model.input_spec
    named = model.classes != original.classes
    if before == after and not named:
        raise OptionError(
            f"{model.path}: nothing to change; pass at least one of --color, --scale, --bias, "
            "--crop, --ink and --labels with a value that it does not have"
        )
    if 0 in after.scale:
        raise OptionError("a scale of 0 makes all images alike; expected another number")
    color = after.color if after.color != before.color else None
    affine = Affine.between(before, after)
    if color or named or not affine.is_identity:
        kind = _kind(file)
        if color:
            _set_color(spec, color)
        kind.change_pixels(spec, original.interface.image.name, affine, swapped=color is not None)
        if named and original.classes:
            kind.rename_classes(spec, model.classes)
            _string_classes(spec)
        elif named:
            _name_classes(kind, spec, model)
    spec.description.metadata.userDefined[INPUT_SPEC_KEY] = after.to_json()
    with temporary_folder() as folder:
        trial = folder / target.name
        weights = _weights(file)
        write_model(spec, weights, trial, force=False)
        _check(model, load(trial), target)
        write_model(spec, weights, target, force=force)


def _kind(file: ModelFile) -> Any:
    """The module that changes files of this kind."""
    kind = file.spec.WhichOneof("Type")
    if kind not in ("mlProgram", *NETWORKS) or kind == "neuralNetworkRegressor":
        raise ConversionError(
            f"{file.path}: color, scale, bias and labels can be changed in an ML Program and in a "
            "neural network, not in a file of this kind; convert the model again from its source"
        )
    if len(functions_of(file)) > 1:
        raise ConversionError(
            f"{file.path} has {len(functions_of(file))} functions; only a file with a single one "
            "can be changed; convert the model again from its source"
        )
    return program if kind == "mlProgram" else network


def _descriptions(spec: Any) -> list[Any]:
    return [spec.description, *spec.description.functions]


def _set_color(spec: Any, color: str) -> None:
    for description in _descriptions(spec):
        for feature in description.input:
            feature.type.imageType.colorSpace = COLOR_SPACES[color]


def _string_classes(spec: Any) -> None:
    """Declare label and probabilities by strings; the file may have had numbers."""
    for description in _descriptions(spec):
        for feature in description.output:
            if feature.name == description.predictedFeatureName:
                feature.type.stringType.SetInParent()
            elif feature.type.WhichOneof("Type") == "dictionaryType":
                feature.type.dictionaryType.stringKeyType.SetInParent()


def _name_classes(kind: Any, spec: Any, model: CoreMLModel) -> None:
    """Turn a model with an array of scores into a classifier."""
    if model.head not in ("logits", "probabilities"):
        raise ConversionError(
            f"{model.path} has a single output for two classes; convert it again from its source"
        )
    image = np.zeros(model.input_spec.shape, np.uint8)
    output = np.asarray(model.outputs_for(image)[model.score_output])
    softmax_axis = None
    if model.head == "logits":
        softmax_axis = int(np.argmax(output.shape)) - output.ndim
    kind.add_classes(
        spec,
        model.score_output,
        model.classes,
        softmax_axis=softmax_axis,
        names=(LABEL_FEATURE, PROBABILITIES_FEATURE),
    )
    for description in _descriptions(spec):
        kept = [each for each in description.output if each.name != model.score_output]
        del description.output[:]
        description.output.extend(kept)
        description.output.add(name=LABEL_FEATURE).type.stringType.SetInParent()
        probabilities = description.output.add(name=PROBABILITIES_FEATURE)
        probabilities.type.dictionaryType.stringKeyType.SetInParent()
        description.predictedFeatureName = LABEL_FEATURE
        description.predictedProbabilitiesName = PROBABILITIES_FEATURE


def _weights(file: ModelFile) -> Path | None:
    """The weights file of a package; None if it has none."""
    folder = file.folder / "weights"
    if file.path.is_file() or not folder.is_dir():
        return None
    found = sorted(folder.iterdir())
    if [path.name for path in found] != ["weight.bin"]:
        raise ConversionError(
            f"{file.path} has the weights files {', '.join(path.name for path in found)}; expected "
            "only weight.bin; convert the model again from its source"
        )
    return found[0]


def _check(model: CoreMLModel, written: CoreMLModel, target: Path) -> None:
    images = noise_images(model.input_spec)
    difference = _largest(model.probabilities(images) - written.probabilities(images))
    if written.classes != model.classes or not difference <= MAX_DIFFERENCE:
        raise CheckFailedError(
            f"{target} was not written: its probabilities would differ from those of {model.path} "
            f"by up to {difference:.3g}; convert the model again from its source"
        )


def _largest(differences: NDArray[np.float32]) -> float:
    return float(np.abs(differences).max())
