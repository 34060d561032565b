"""Keras 3 models: read safely, run with Keras, and wrapped as PyTorch networks for export."""

from __future__ import annotations

import json
import os
import re
import sys
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pocketlens.archives import opened_zip
from pocketlens.compat import keras_operation_of
from pocketlens.conversion.keras_size import CONFIG, check_keras_size
from pocketlens.conversion.labels import read_labels
from pocketlens.conversion.probes import noise_images
from pocketlens.conversion.quiet import first_line
from pocketlens.errors import (
    ConversionError,
    OptionError,
    instead_of_file,
    missing_package,
    printable,
)
from pocketlens.files import first_bytes
from pocketlens.heads import (
    Ending,
    Head,
    check_meaning,
    find_head,
    probabilities_of,
)
from pocketlens.image import InputSpec
from pocketlens.prediction import PlainPredictor

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "KerasPredictor",
    "Layout",
    "arranged",
    "image_shape",
    "is_keras_model",
    "layout_of",
    "load_keras",
]

Layout: TypeAlias = Literal["channels-last", "channels-first", "plane", "flat"]
"""Shape of one image in the model's input: `(H, W, C)`, `(C, H, W)`, `(H, W)` or `(H * W * C,)`."""

_BATCH = 256


class KerasPredictor(PlainPredictor):
    """A Keras 3 classifier whose predictions Keras itself computes.

    Args:
        model: The path of a `.keras` file, which is read without running code that it contains; or
            a model in memory, on Keras's torch backend.
        labels: Class names in the order of the outputs, or the path of a text file with one name
            per line.
        input_spec: How an image becomes the model's input. The channels may come first or last in
            the model.
        head: `logits` or `probabilities`: what the outputs are, if the model does not show it.

    Raises:
        ConversionError: The file cannot be read, or the model is not a classifier of such images.
        MissingExtraError: Keras or PyTorch is not installed.
        OptionError: Invalid labels, or an object that is not a Keras model.
    """

    def __init__(
        self,
        model: Any,
        labels: Sequence[str] | str | os.PathLike[str],
        input_spec: InputSpec,
        *,
        head: str | None = None,
    ) -> None:
        said = check_meaning(head)
        super().__init__(read_labels(labels), input_spec)
        keras = _import_keras()
        if isinstance(model, (str, os.PathLike)):
            model = _load(keras, Path(model))
        elif not is_keras_model(model):
            raise OptionError(
                f"an object of type {type(model).__name__} is not a Keras 3 model; expected one, "
                "or the path of a .keras file"
            )
        self.model = model
        self._keras = keras
        _check_device(model)
        if len(outputs := getattr(model, "outputs", None) or ()) > 1:
            raise ConversionError(
                f"the Keras model has {len(outputs)} outputs; expected one score per class"
            )
        self.layout = layout_of(model, input_spec)
        outputs = self._outputs(noise_images(input_spec))
        ending = self._ending() if said is None else "unknown"
        self.head: Head = find_head(outputs, ending, self._classes, "the Keras model", said)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities `(N, K)` of images `(N, H, W, C)` uint8 that already fit `input_spec`."""
        if not len(images):
            return np.empty((0, len(self._classes)), np.float32)
        return probabilities_of(self._outputs(images), self.head)

    def network(self) -> nn.Module:
        """A PyTorch network from `(N, C, H, W)` to the model's outputs; it shares the weights."""
        import torch

        from pocketlens.conversion.keras_network import KerasNetwork

        network = KerasNetwork(_import_keras(), self.model, partial(arranged, layout=self.layout))
        noise = self._input_spec.network_input(noise_images(self._input_spec, 1))
        network.find_inert_layers(torch.from_numpy(noise))
        return network.eval()

    def _ending(self) -> Ending:
        """How the model computes its outputs: from its last layer, else from its graph."""
        if (known := _ending_of_layers(self.model)) is not None:
            return known
        from pocketlens.conversion.endings import ending_of
        from pocketlens.conversion.exporting import export

        return ending_of(export(self.network(), self._input_spec))

    def _outputs(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        planes = torch.from_numpy(self._input_spec.network_input(images))
        inputs = arranged(planes, layout=self.layout).numpy()
        with self._keras.device("cpu"):
            try:
                outputs = self.model.predict(inputs, batch_size=_BATCH, verbose=0)
            except Exception as error:  # the model's own code runs here
                raise ConversionError(
                    f"the Keras model cannot process images of shape {inputs.shape[1:]}: "
                    f"{first_line(error)}; expected an InputSpec that fits the model"
                ) from error
        if not isinstance(outputs, np.ndarray):
            raise ConversionError(
                f"the Keras model returns a {type(outputs).__name__}; "
                "expected one output with one score per class"
            )
        return outputs.astype(np.float32)


def image_shape(model: Any) -> tuple[int | None, int | None, int]:
    """The size of the image that a Keras 3 model takes.

    Args:
        model: The path of a `.keras` file, or a model in memory.

    Returns:
        Height, width and channels. Height and width are None if the model does not fix them, or
        takes a flat vector; a flat vector counts as gray.

    Raises:
        ConversionError: The input is not one image with 1 or 3 channels.
        MissingExtraError: Keras or PyTorch is not installed.
    """
    keras = _import_keras()
    if isinstance(model, (str, os.PathLike)):
        model = _load(keras, Path(model))
    inputs = _inputs(model)
    shape = tuple(inputs[0].shape)[1:] if inputs else (None, None, None)
    if len(shape) == 1:
        return None, None, 1
    if len(shape) == 2:
        return shape[0], shape[1], 1
    if len(shape) == 3 and shape[2] in (1, 3):
        return shape
    if len(shape) == 3 and shape[0] in (1, 3):
        return shape[1], shape[2], shape[0]
    raise ConversionError(
        f"the Keras model takes an input of shape {shape}; expected one image "
        "(height, width, channels) with 1 or 3 channels"
    )


def load_keras(path: str | os.PathLike[str]) -> Any:
    """The model in a `.keras` file, which is read without running code that it contains.

    Raises:
        ConversionError: The file cannot be read.
        MissingExtraError: Keras or PyTorch is not installed.
    """
    path = Path(path)
    _check_path(path)
    return _load(_import_keras(), path)


def is_keras_model(model: Any) -> bool:
    """Whether `model` is a Keras 3 model. Does not import Keras."""
    keras = sys.modules.get("keras")  # without it, no object can be a Keras model
    kind = getattr(keras, "Model", None)
    return kind is not None and isinstance(model, kind)


def _import_keras() -> Any:
    # Keras reads this variable once, when it is first imported; afterwards it is restored.
    before = os.environ.get("KERAS_BACKEND")
    os.environ["KERAS_BACKEND"] = "torch"
    try:
        import keras
    except ModuleNotFoundError as error:
        raise missing_package(error, purpose="reading a Keras model") from error
    finally:
        if before is None:
            del os.environ["KERAS_BACKEND"]
        else:
            os.environ["KERAS_BACKEND"] = before
    if keras.__version__.startswith(("0.", "1.", "2.")):
        raise ConversionError(
            f"Keras {keras.__version__} is installed; expected Keras 3; in the folder of the "
            "Pocketlens clone, type: pip install --upgrade '.[keras]'"
        )
    if keras.config.backend() != "torch":
        raise ConversionError(
            f"Keras uses the backend {keras.config.backend()} in this process; expected torch; "
            "save the model as a .keras file and start Python again with KERAS_BACKEND=torch"
        )
    return keras


def _check_path(path: Path) -> None:
    """Raise ConversionError if this cannot be a `.keras` file."""
    if path.suffix.lower() in (".h5", ".hdf5"):
        raise ConversionError(
            f"{path} is a legacy Keras file, which can run code when it is loaded; if you trust "
            f"it, convert it to a .keras file: keras.saving.load_model('{path.name}')"
            f".save('{path.stem}.keras')"
        )
    if path.suffix.lower() != ".keras":
        raise ConversionError(
            f"{path} does not end in .keras; expected a file saved by Keras 3; or load the model "
            "in Python and call pocketlens.convert(model, …)"
        )
    if not path.is_file():
        raise ConversionError(f"{path} does not exist; expected a .keras file")
    if (instead := instead_of_file(first_bytes(path))) is not None:
        raise ConversionError(f"{path} {instead}")


def _load(keras: Any, path: Path) -> Any:
    _check_path(path)
    check_keras_size(keras, path)
    with keras.device("cpu"):
        try:
            return keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises exceptions of any type
            raise ConversionError(
                f"Keras cannot load {path}: {_reason(error)}{_foreign_layers(path)}; if the model "
                "has layers or functions of your own, load it in Python and call "
                "pocketlens.convert(model, …)"
            ) from error


def _foreign_layers(path: Path) -> str:
    """The layers of a `.keras` file that run code which is not Keras' own, as a part of an error.

    "" if there are none, or they cannot be read.
    """
    found: list[str] = []

    def collect(value: dict[str, Any]) -> dict[str, Any]:
        kind, config = value.get("class_name"), value.get("config")
        own = str(value.get("module") or "keras").startswith("keras")
        foreign = kind == "Lambda" or value.get("registered_name") or not own
        if foreign and isinstance(config, dict) and "name" in config:
            found.append(printable(f"{config.get('name')!r} ({kind})"))
        return value

    try:
        with opened_zip(path) as archive:
            json.loads(archive.read(CONFIG), object_hook=collect)
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, RecursionError):
        return ""
    return f", in the layer {' and '.join(found[:3])}" if found else ""


def _reason(error: Exception) -> str:
    """Why Keras cannot load a model; it repeats the whole configuration around the reason."""
    lines = str(error).rpartition("Exception encountered: ")[2].strip().splitlines() or [""]
    text = re.split(
        r"[.]? (?:This carries a|Make sure|Full object config:|Please (?:ensure|register))",
        lines[0],
    )[0]
    shown = text.strip().rstrip(".") or type(error).__name__
    return printable(shown if len(shown) <= 300 else f"{shown[:300]}…")


def _check_device(model: Any) -> None:
    devices = {str(variable.value.device) for variable in model.variables}
    if devices - {"cpu"}:
        raise ConversionError(
            f"the Keras model is on the device {', '.join(sorted(devices))}; expected cpu; save it "
            "as a .keras file and convert that file"
        )


def _inputs(model: Any) -> Any:
    """The model's inputs, None if they are unknown; several are an error."""
    inputs = getattr(model, "inputs", None)
    if inputs is not None and len(inputs) > 1:
        raise ConversionError(
            f"the Keras model has {len(inputs)} inputs; expected one, an image; without labels, it "
            "becomes a model from arrays to arrays"
        )
    return inputs


def layout_of(model: Any, spec: InputSpec) -> Layout:
    """How the only input of a model holds an image.

    Raises:
        ConversionError: It has several inputs, or one that does not fit the InputSpec.
    """
    inputs = _inputs(model)
    if not inputs:
        # A subclass of keras.Model, or a model not built yet; running it shows whether it fits.
        return "channels-last"
    shape = tuple(inputs[0].shape)[1:]
    layouts: dict[Layout, tuple[int, ...]] = {
        "channels-last": spec.shape,
        "channels-first": (spec.channels, spec.height, spec.width),
        "flat": (spec.height * spec.width * spec.channels,),
    }
    if spec.channels == 1:
        layouts["plane"] = (spec.height, spec.width)
    for layout, offered in layouts.items():
        if len(shape) == len(offered) and all(
            side in (None, given) for side, given in zip(shape, offered, strict=True)
        ):
            return layout
    raise ConversionError(
        f"the Keras model takes images of shape {shape}; the InputSpec has {spec.shape} "
        "(height, width, channels); set its height, width and color to fit the model"
    )


def arranged(planes: Any, *, layout: Layout) -> Any:
    """A tensor of planes `(N, C, H, W)`, in the layout of the model."""
    if layout == "channels-first":
        return planes
    if layout == "plane":
        return planes[:, 0]
    last = planes.permute(0, 2, 3, 1)
    return last.flatten(1) if layout == "flat" else last


def _ending_of_layers(model: Any) -> Ending | None:
    """How a model computes its outputs, if its last layer shows it."""
    outputs = getattr(model, "outputs", None)
    operation = keras_operation_of(outputs[0]) if outputs else None
    if operation is None:
        return None
    if is_keras_model(operation):
        return _ending_of_layers(operation)
    name = getattr(getattr(operation, "activation", None), "__name__", None)
    if name is None:
        name = type(operation).__name__.lower()
        return name if name in ("softmax", "sigmoid") else None  # type: ignore[return-value]
    if name == "linear" and getattr(operation, "kernel", None) is None:
        return None  # an Activation layer, after any other
    return name if name in ("linear", "softmax", "sigmoid", "log_softmax") else "unknown"
