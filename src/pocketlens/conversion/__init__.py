"""Conversion of trained models to Core ML or Core AI files: Recognizers, PyTorch, Keras and others.

`sources` lists what can be converted. A Core ML file can be written again with another input or
other labels.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from pocketlens.conversion.from_keras import KerasPredictor, image_shape, load_keras
from pocketlens.conversion.keras_input import assumed_input, own_scaling
from pocketlens.conversion.labels import read_labels
from pocketlens.conversion.metadata import ModelMetadata
from pocketlens.conversion.package import Format, check_target, write_model
from pocketlens.conversion.precision.mixed import Mixed, Precision
from pocketlens.conversion.source_kinds import ArraySource, ImageSource, SourceOptions
from pocketlens.conversion.sources import open_source
from pocketlens.conversion.verifying import verify_arrays
from pocketlens.coreai import CoreAIModel
from pocketlens.coreml import CoreMLModel
from pocketlens.errors import OptionError, did_you_mean
from pocketlens.files import temporary_folder
from pocketlens.heads import check_meaning
from pocketlens.image import InputSpec

__all__ = [
    "FORMATS",
    "PRECISIONS",
    "ArraySource",
    "ImageSource",
    "KerasPredictor",
    "ModelMetadata",
    "SourceOptions",
    "assumed_input",
    "convert",
    "image_shape",
    "load_keras",
    "open_source",
    "own_scaling",
    "read_labels",
    "verify_arrays",
]

FORMATS: tuple[Format, ...] = get_args(Format)
PRECISIONS = ("float16", "float32", "mixed")

Labels = Sequence[str] | str | os.PathLike[str]


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
    inputs: Any = None,
    sizes: Sequence[tuple[int, int]] = (),
    data: Any = None,
    check: bool = True,
    force: bool = False,
) -> Path:
    """Convert a trained model to a Core ML file.

    Before the file gets its name, it runs here on test images or made-up arrays and is compared
    with the model that it comes from. The same weights always give the same bytes.

    A classifier of images has one input, the image `image` in the size and colors of the InputSpec,
    which it scales itself, and two outputs, `classLabel` and `classLabel_probs`. Any other model
    has arrays as inputs and outputs, with the names of the source; or, with `inputs="image"`, the
    image `image` as its input.

    Args:
        model: A file: `.pt2` of `torch.export`, `.keras`, `.h5` of Keras 2, an export of Teachable
            Machine, `.onnx`, `.skops`, or a model of XGBoost or LightGBM. Or a model in memory: a
            `Recognizer`, a `KerasPredictor`, a Keras 3 model on the torch backend, a PyTorch module
            that takes float32 `(N, C, H, W)`, `pixel * scale + bias`, or arrays; a model of
            scikit-learn, XGBoost or LightGBM. The outputs of a classifier may be logits or
            probabilities, one per class; or, for two classes, a single logit or probability of the
            second one. They are probabilities if the network computes them with a softmax or
            sigmoid. Or a `CoreMLModel` that `with_input` changed: its file is written again and
            reads its images in that way.
        path: The output file. A name without the suffix `.mlpackage`, `.mlmodel` or `.aimodel`
            gets that of the format.
        format: `mlpackage` (ML Program, iOS 16 and later), `mlmodel` (NeuralNetwork, iOS 13 and
            later) or, experimental, `aimodel` (Core AI, iOS 27 and later; PyTorch and Keras
            networks only, see the guide). None: according to the suffix of `path`, `mlpackage`
            without one.
        precision: `float16` or `float32`: of the arithmetic in an ML Program, of the stored weights
            in a NeuralNetwork. `mixed`, for an ML Program only: float16, except for the ops that
            need float32 on `data`; `inspect` lists them, under `org.pocketlens.float32_ops`. A
            `CoreMLModel` keeps its own, and its metadata.
        metadata: Author, license, version and description in the file.
        labels: Class names in the order of the outputs, or the path of a text file with one name
            per line. A classifier of images needs them, except for a `Recognizer`, a
            `KerasPredictor`, an export of Teachable Machine or of `pocketlens onnx`.
        input_spec: How an image becomes the network's input. A model that takes an image needs it,
            with the same exceptions.
        head: `logits` or `probabilities`: what the outputs are, if the network does not show it.
            Not for a `Recognizer` or a `KerasPredictor`.
        inputs: What a PyTorch module takes that works with arrays, in the order of `forward` or by
            the names of its parameters: an example of each, or an `ArrayInput` whose sizes may be
            open. Of a Keras model, if it takes other sizes than it says. Of an ONNX file, shapes by
            name. `image`: the only input is an image although there are no labels, as for depth or
            an embedding. `array`: it is an array although it has the shape of an image, or although
            a table has names of columns.
        sizes: Several sizes of the image, (height, width), that the file takes, if the network
            takes any; that of the InputSpec, which is the usual one, among them.
        data: On what the need for float32 is found, as in `check_float16`: images that fit the
            InputSpec, or arrays. None: made-up ones.
        check: Compare the file with its source. If false, do so later, with `verify` or, for
            arrays, `verify_arrays`.
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
        MissingExtraError: The package of the model is not installed.
    """
    target, kind = _target(Path(path), format)
    if isinstance(model, CoreAIModel) or (kind == "aimodel" and isinstance(model, CoreMLModel)):
        raise OptionError(
            f"the network of {model.path} is not converted again; expected the model that it was "
            "made from"
        )
    if isinstance(model, CoreMLModel):
        if sizes or any(each is not None for each in (labels, input_spec, head, inputs)):
            raise OptionError(
                "a CoreMLModel has its own labels and InputSpec; leave out labels, input_spec, "
                "head, inputs and sizes"
            )
        if precision != "float16" or metadata is not None or not check:
            raise OptionError(
                "the network of a Core ML file is not converted again: leave out precision, "
                "metadata and check"
            )
        from pocketlens.conversion.mending import mend

        mend(model, target, force=force)
        return target
    _checked("precision", precision, PRECISIONS)
    if precision == "mixed" and kind == "mlmodel":
        raise OptionError(
            "precision mixed is for an ML Program: in a NeuralNetwork (.mlmodel), the device "
            "decides in which precision each layer computes; use --format mlpackage, or "
            "--precision float32"
        )
    check_target(target, force=force)
    if kind == "aimodel":
        from pocketlens.coreai.installed import require_core_ai

        require_core_ai("coreai", "coreai_torch", purpose="the format aimodel")
    source = model
    if not isinstance(model, (ArraySource, ImageSource)):
        names = None if labels is None else read_labels(labels)
        source = open_source(
            model,
            SourceOptions(
                inputs=inputs,
                labels=names,
                input_spec=input_spec,
                sizes=tuple(sizes),
                head=check_meaning(head),
            ),
        )

    if kind == "aimodel":
        from pocketlens.conversion.core_ai.converting import convert_to_core_ai

        return convert_to_core_ai(
            source,
            target,
            precision=precision,
            metadata=metadata or ModelMetadata(),
            data=data,
            check=check,
            force=force,
        )
    if precision == "mixed" and not source.halves:
        raise OptionError(
            "precision mixed is for networks: this model computes with float64 in any case; leave "
            "out the precision"
        )

    def model_in(precision: Precision, folder: Path) -> tuple[Any, Path | None]:
        folder.mkdir()
        spec, weights = source.to_core_ml(format=kind, precision=precision, folder=folder)
        source.describe(spec, metadata or ModelMetadata())
        if isinstance(precision, Mixed):
            precision.describe(spec)
        return spec, weights

    with temporary_folder() as folder:
        file = folder / target.name
        chosen: Precision = "float32" if precision == "float32" else "float16"
        samples = None
        if precision == "mixed":
            from pocketlens.conversion.precision.choosing import chosen_ops, samples_of

            exact = folder / f"float32.{target.name}"
            write_model(*model_in("float32", folder / "float32"), exact, force=False)
            if check:
                _check(exact, source, False, model_in)
            chosen = chosen_ops(exact, source, data)
            samples = None if data is None else samples_of(source, data)
        spec, weights = model_in(chosen, folder / "given")
        for warning in source.warnings:
            warnings.warn(warning, stacklevel=2)
        if check or precision == "mixed":
            write_model(spec, weights, file, force=False)
        if check:
            half = chosen != "float32" and source.halves
            finer = "precision mixed or float32 (--precision mixed)"
            if precision == "mixed" or kind == "mlmodel":
                finer = "precision float32 (--precision float32)"
            for note in _check(file, source, half, model_in, finer, samples):
                warnings.warn(note, stacklevel=2)
        may_round = source.halves and (chosen != "float32" or kind == "mlmodel")
        if may_round and (check or precision == "mixed"):
            from pocketlens.conversion.precision.choosing import check_half

            for note in check_half(file, source, data, chosen):
                warnings.warn(note, stacklevel=2)
        write_model(spec, weights, target, force=force)
    return target


def _check(
    file: Path,
    source: ImageSource | ArraySource,
    half: bool,
    model_in: Callable[[Precision, Path], tuple[Any, Path | None]],
    finer: str = "",
    data: Any = None,
) -> list[str]:
    def in_float32() -> Path:
        exact = file.with_name(f"exact.{file.name}")
        write_model(*model_in("float32", file.with_name("exact")), exact, force=False)
        return exact

    if isinstance(source, ImageSource):
        from pocketlens.conversion.checking import check_file

        return check_file(file, source, half=half, in_float32=in_float32, finer=finer, data=data)
    from pocketlens.conversion.array_checking import check_array_file

    return check_array_file(
        file, source, half=half, in_float32=in_float32, finer=finer, data=data or ()
    )


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
