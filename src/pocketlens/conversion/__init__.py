"""Conversion of a Recognizer, a PyTorch module or a Keras 3 model to a Core ML file.

A Core ML file can be written again with another input or other labels.
"""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast, get_args, runtime_checkable

from pocketlens.conversion.from_keras import (
    KerasPredictor,
    image_shape,
    is_keras_model,
    load_keras,
)
from pocketlens.conversion.keras_input import assumed_input, own_scaling, scaling_warning
from pocketlens.conversion.labels import read_labels
from pocketlens.conversion.metadata import ModelMetadata, describe
from pocketlens.conversion.package import Format, check_target, write_model
from pocketlens.conversion.probes import noise_images
from pocketlens.coreml import CoreMLModel
from pocketlens.errors import ConversionError, OptionError, did_you_mean
from pocketlens.files import temporary_folder
from pocketlens.heads import Head, Meaning, check_meaning, find_head
from pocketlens.image import InputSpec
from pocketlens.prediction import Thresholds

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

    from pocketlens.conversion.from_torch import Precision

__all__ = [
    "FORMATS",
    "PRECISIONS",
    "KerasPredictor",
    "ModelMetadata",
    "assumed_input",
    "convert",
    "image_shape",
    "load_keras",
    "own_scaling",
    "read_labels",
]

FORMATS: tuple[Format, ...] = get_args(Format)
PRECISIONS: tuple[Precision, ...] = ("float16", "float32")

Labels = Sequence[str] | str | os.PathLike[str]


@runtime_checkable
class TrainedClassifier(Protocol):
    """The attributes of a Recognizer that `convert` reads; its network returns logits."""

    network: nn.Module
    classes: tuple[str, ...]
    input_spec: InputSpec
    temperature: float
    thresholds: Thresholds


class _Source(NamedTuple):
    network: nn.Module  # on the CPU, in evaluation mode
    head: Head
    temperature: float
    labels: tuple[str, ...]
    input_spec: InputSpec
    thresholds: Thresholds | None = None
    program: ExportedProgram | None = None


def convert(
    model: Any,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002 - the word of the command line
    precision: str = "float16",
    metadata: ModelMetadata | None = None,
    labels: Labels | None = None,
    input_spec: InputSpec | None = None,
    head: str | None = None,
    check: bool = True,
    force: bool = False,
) -> Path:
    """Convert a classifier to a Core ML file.

    Before the file gets its name, it runs here on a few test images and is compared with the model
    that it comes from.

    The Core ML model has one input, the image `image` in the size and colors of the InputSpec,
    which it scales itself, and two outputs, `classLabel` and `classLabel_probs`. The same weights
    always give the same bytes.

    Args:
        model: A `Recognizer` or a `KerasPredictor`; or the path of a `.keras` file, a Keras 3 model
            on the torch backend, or a PyTorch module that takes float32 `(N, C, H, W)`,
            `pixel * scale + bias`. Its outputs may be logits or probabilities, one per class; or,
            for two classes, a single logit or probability of the second one. They are
            probabilities if the network computes them with a softmax or sigmoid. Or a `CoreMLModel`
            that `with_input` changed: its file is written again and reads its images in that way.
        path: The output file. A name without the suffix `.mlpackage` or `.mlmodel` gets that of the
            format.
        format: `mlpackage` (ML Program, iOS 16 and later) or `mlmodel` (NeuralNetwork, iOS 13 and
            later). None: according to the suffix of `path`, `mlpackage` without one.
        precision: `float16` or `float32`: of the arithmetic in an ML Program, of the stored weights
            in a NeuralNetwork. A `CoreMLModel` keeps its own, and its metadata.
        metadata: Author, license, version and description in the file.
        labels: Class names in the order of the outputs, or the path of a text file with one name
            per line. Required, except for a `Recognizer` or a `KerasPredictor`.
        input_spec: How an image becomes the network's input. Required, except for a `Recognizer` or
            a `KerasPredictor`.
        head: `logits` or `probabilities`: what the outputs are, if the network does not show it.
            Not for a `Recognizer` or a `KerasPredictor`.
        check: Compare the file with its source. If false, do so later, with `evaluation.verify`.
        force: Replace an output that exists.

    Returns:
        The path of the file that was written.

    Raises:
        OptionError: An invalid argument, or one that is missing for this kind of model.
        OutputExistsError: The output exists and `force` is not set.
        OutputError: The output cannot be written.
        ConversionError: The model cannot be converted; the message names the op, if one failed.
        CheckFailedError: The file would differ from its source by more than rounding explains; the
            message names the first op that differs, and its layer. Or it cannot run here.
        MissingExtraError: PyTorch or Keras is not installed.
    """
    target, kind = _target(Path(path), format)
    if isinstance(model, CoreMLModel):
        _reject_own(labels, input_spec, check_meaning(head), "a CoreMLModel")
        if precision != "float16" or metadata is not None or not check:
            raise OptionError(
                "the network of a Core ML file is not converted again: leave out precision, "
                "metadata and check"
            )
        from pocketlens.conversion.mending import mend

        mend(model, target, force=force)
        return target
    arithmetic = cast("Precision", _checked("precision", precision, PRECISIONS))
    check_target(target, force=force)
    source = _source(model, labels, input_spec, check_meaning(head))
    from pocketlens.conversion.exporting import append, core_ops, export, undefined_order
    from pocketlens.conversion.from_torch import classified, to_core_ml

    program = source.program or export(source.network, source.input_spec)
    program = append(core_ops(program), classified(source.head, source.temperature))
    if warning := undefined_order(program):
        warnings.warn(warning, stacklevel=2)

    def model_in(precision: Precision, folder: Path) -> tuple[Any, Path | None]:
        folder.mkdir()
        spec, weights = to_core_ml(
            program,
            labels=source.labels,
            input_spec=source.input_spec,
            format=kind,
            precision=precision,
            folder=folder,
        )
        about = metadata or ModelMetadata()
        describe(spec, about, source.labels, source.input_spec, source.thresholds)
        return spec, weights

    with temporary_folder() as folder:
        spec, weights = model_in(arithmetic, folder / "given")
        if check:
            _check(spec, weights, source, program, arithmetic, model_in, folder / target.name)
        write_model(spec, weights, target, force=force)
    return target


def _check(
    spec: Any,
    weights: Path | None,
    source: _Source,
    program: ExportedProgram,
    precision: Precision,
    model_in: Callable[[Precision, Path], tuple[Any, Path | None]],
    file: Path,
) -> None:
    from pocketlens.conversion.checking import Reference, check_file

    def in_float32() -> Path:
        exact = file.with_name(f"exact.{file.name}")
        write_model(*model_in("float32", file.with_name("exact")), exact, force=False)
        return exact

    write_model(spec, weights, file, force=False)
    reference = Reference(
        source.network,
        program,
        source.head,
        source.temperature,
        source.input_spec,
        source.labels,
    )
    half = precision == "float16"
    for note in check_file(file, reference, half=half, in_float32=in_float32):
        warnings.warn(note, stacklevel=3)


def _target(path: Path, format: str | None) -> tuple[Path, Format]:  # noqa: A002
    ending = path.suffix.lower().removeprefix(".")
    if format is not None:
        _checked("format", format, FORMATS)
    if not path.name:
        raise OptionError(
            f"the output {str(path)!r} has no file name; expected a path such as Name.mlpackage"
        )
    if ending not in FORMATS:
        kind = cast("Format", format or "mlpackage")
        return path.with_name(f"{path.name}.{kind}"), kind
    if format not in (None, ending):
        raise OptionError(
            f"the output {path.name} ends in .{ending}, but the format is {format}; "
            f"rename it to {path.stem}.{format}, or leave out the format"
        )
    return path.with_suffix(f".{ending}"), ending


def _checked(option: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise OptionError(f"{option} {value!r} is not known; {did_you_mean(str(value), known)}")
    return value


def _source(
    model: Any, labels: Labels | None, input_spec: InputSpec | None, head: Meaning | None
) -> _Source:
    if isinstance(model, TrainedClassifier):
        _reject_own(labels, input_spec, head, "a Recognizer")
        return _from_recognizer(model)
    if isinstance(model, KerasPredictor):
        _reject_own(labels, input_spec, head, "a KerasPredictor")
        return _from_keras(model)
    if isinstance(model, (str, os.PathLike)) or is_keras_model(model):
        names, spec = _required(labels, input_spec, "a Keras model")
        return _from_keras(KerasPredictor(model, names, spec, head=head))
    if _is_torch_module(model):
        names, spec = _required(labels, input_spec, "a PyTorch module")
        return _from_module(model, names, spec, head)
    raise OptionError(
        f"an object of type {type(model).__module__}.{type(model).__qualname__} cannot be "
        "converted; expected a Recognizer, a PyTorch module, a Keras 3 model or the path of a "
        ".keras file"
    )


def _from_module(
    model: nn.Module, labels: tuple[str, ...], input_spec: InputSpec, said: Meaning | None
) -> _Source:
    from pocketlens.conversion.endings import ending_of
    from pocketlens.conversion.exporting import export, frozen_copy
    from pocketlens.conversion.from_torch import outputs_of
    from pocketlens.conversion.torch_input import torch_scaling_warning

    network = frozen_copy(model)
    outputs = outputs_of(network, noise_images(input_spec), input_spec)
    program = export(network, input_spec)
    if warning := torch_scaling_warning(program, input_spec):
        warnings.warn(warning, stacklevel=4)
    head = find_head(outputs, ending_of(program), labels, "the network", said)
    return _Source(network, head, 1.0, labels, input_spec, program=program)


def _from_keras(model: KerasPredictor) -> _Source:
    if warning := scaling_warning(model.model, model.input_spec):
        warnings.warn(warning, stacklevel=4)
    return _Source(model.network(), model.head, 1.0, model.classes, model.input_spec)


def _from_recognizer(model: TrainedClassifier) -> _Source:
    from pocketlens.conversion.exporting import frozen_copy
    from pocketlens.conversion.from_torch import outputs_of

    temperature = model.temperature
    if not (
        isinstance(temperature, (int, float)) and math.isfinite(temperature) and temperature > 0
    ):
        raise ConversionError(
            f"the temperature of the Recognizer is {temperature!r}; expected a number above 0"
        )
    names = read_labels(model.classes)
    network = frozen_copy(model.network)
    outputs = outputs_of(network, noise_images(model.input_spec), model.input_spec)
    head = find_head(outputs, "linear", names, "the network")
    return _Source(network, head, float(temperature), names, model.input_spec, model.thresholds)


def _reject_own(
    labels: Labels | None, input_spec: InputSpec | None, head: Meaning | None, what: str
) -> None:
    if labels is not None or input_spec is not None:
        raise OptionError(
            f"{what} has its own labels and InputSpec; leave out labels and input_spec"
        )
    if head is not None:
        raise OptionError(f"it is known what the outputs of {what} are; leave out head")


def _required(
    labels: Labels | None, input_spec: InputSpec | None, what: str
) -> tuple[tuple[str, ...], InputSpec]:
    if labels is None:
        raise OptionError(
            f"{what} does not contain class names; pass labels: a list of names, or a text file "
            "with one name per line (--labels FILE)"
        )
    if input_spec is None:
        raise OptionError(
            f"{what} does not say how pixels become its input; pass input_spec, such as "
            "InputSpec(28, 28, 'gray', scale=1 / 255)"
        )
    return read_labels(labels), input_spec


def _is_torch_module(model: Any) -> bool:
    torch = sys.modules.get("torch")  # without it, no object can be a PyTorch module
    return torch is not None and isinstance(model, torch.nn.Module)
