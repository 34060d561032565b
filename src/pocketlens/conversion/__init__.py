"""Conversion of a Recognizer, a PyTorch module or a Keras 3 model to a Core ML file."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast, get_args, runtime_checkable

from pocketlens.conversion.from_keras import KerasPredictor, image_shape, is_keras_model
from pocketlens.conversion.heads import Head
from pocketlens.conversion.labels import read_labels
from pocketlens.conversion.metadata import ModelMetadata, describe
from pocketlens.conversion.package import Format, check_target, write_model
from pocketlens.errors import ConversionError, OptionError, did_you_mean
from pocketlens.files import temporary_folder
from pocketlens.image import InputSpec
from pocketlens.prediction import Thresholds

if TYPE_CHECKING:
    from torch import nn

    from pocketlens.conversion.from_torch import Precision

__all__ = [
    "FORMATS",
    "PRECISIONS",
    "KerasPredictor",
    "ModelMetadata",
    "convert",
    "image_shape",
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


def convert(
    model: Any,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002 - the word of the command line
    precision: str = "float16",
    metadata: ModelMetadata | None = None,
    labels: Labels | None = None,
    input_spec: InputSpec | None = None,
    force: bool = False,
) -> Path:
    """Convert a classifier to a Core ML file.

    The Core ML model has one input, the image `image` in the size and colors of the InputSpec,
    which it scales itself, and two outputs, `classLabel` and `classLabel_probs`. The same weights
    always give the same bytes.

    Args:
        model: A `Recognizer` or a `KerasPredictor`; or the path of a `.keras` file, a Keras 3 model
            on the torch backend, or a PyTorch module that takes float32 `(N, C, H, W)`,
            `pixel * scale + bias`. Its outputs may be logits or probabilities, one per class; or,
            for two classes, a single logit or probability of the second one.
        path: The output file. A name without the suffix `.mlpackage` or `.mlmodel` gets that of the
            format.
        format: `mlpackage` (ML Program, iOS 16 and later) or `mlmodel` (NeuralNetwork, iOS 13 and
            later). None: according to the suffix of `path`, `mlpackage` without one.
        precision: `float16` or `float32`: of the arithmetic in an ML Program, of the stored weights
            in a NeuralNetwork.
        metadata: Author, license, version and description in the file.
        labels: Class names in the order of the outputs, or the path of a text file with one name
            per line. Required, except for a `Recognizer` or a `KerasPredictor`.
        input_spec: How an image becomes the network's input. Required, except for a `Recognizer` or
            a `KerasPredictor`.
        force: Replace an output that exists.

    Returns:
        The path of the file that was written.

    Raises:
        OptionError: An invalid argument, or one that is missing for this kind of model.
        OutputExistsError: The output exists and `force` is not set.
        OutputError: The output cannot be written.
        ConversionError: The model cannot be converted; the message names the op, if one failed.
        MissingExtraError: PyTorch or Keras is not installed.
    """
    target, kind = _target(Path(path), format)
    arithmetic = _checked("precision", precision, PRECISIONS)
    check_target(target, force=force)
    source = _source(model, labels, input_spec)
    from pocketlens.conversion.from_torch import to_core_ml

    with temporary_folder() as folder:
        spec, weights = to_core_ml(
            source.network,
            head=source.head,
            temperature=source.temperature,
            labels=source.labels,
            input_spec=source.input_spec,
            format=kind,
            precision=cast("Precision", arithmetic),
            folder=folder,
        )
        about = metadata or ModelMetadata()
        describe(spec, about, source.labels, source.input_spec, source.thresholds)
        write_model(spec, weights, target, force=force)
    return target


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


def _source(model: Any, labels: Labels | None, input_spec: InputSpec | None) -> _Source:
    if isinstance(model, TrainedClassifier):
        _reject_own(labels, input_spec, "a Recognizer")
        return _from_recognizer(model)
    if isinstance(model, KerasPredictor):
        _reject_own(labels, input_spec, "a KerasPredictor")
        return _from_keras(model)
    if isinstance(model, (str, os.PathLike)) or is_keras_model(model):
        names, spec = _required(labels, input_spec, "a Keras model")
        return _from_keras(KerasPredictor(model, names, spec))
    if _is_torch_module(model):
        from pocketlens.conversion.from_torch import frozen_copy, head_of

        names, spec = _required(labels, input_spec, "a PyTorch module")
        network = frozen_copy(model)
        return _Source(network, head_of(network, names, spec), 1.0, names, spec)
    raise OptionError(
        f"an object of type {type(model).__module__}.{type(model).__qualname__} cannot be "
        "converted; expected a Recognizer, a PyTorch module, a Keras 3 model or the path of a "
        ".keras file"
    )


def _from_keras(model: KerasPredictor) -> _Source:
    return _Source(model.network(), model.head, 1.0, model.classes, model.input_spec)


def _from_recognizer(model: TrainedClassifier) -> _Source:
    from pocketlens.conversion.from_torch import check_logits, frozen_copy

    temperature = model.temperature
    if not (
        isinstance(temperature, (int, float)) and math.isfinite(temperature) and temperature > 0
    ):
        raise ConversionError(
            f"the temperature of the Recognizer is {temperature!r}; expected a number above 0"
        )
    names = read_labels(model.classes)
    network = frozen_copy(model.network)
    check_logits(network, names, model.input_spec)
    return _Source(network, "logits", float(temperature), names, model.input_spec, model.thresholds)


def _reject_own(labels: Labels | None, input_spec: InputSpec | None, what: str) -> None:
    if labels is not None or input_spec is not None:
        raise OptionError(
            f"{what} has its own labels and InputSpec; leave out labels and input_spec"
        )


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
