"""Models of Keras 2 and tf.keras (`.h5`) and of TensorFlow.js (`model.json`), as Keras 3 models.

The configuration is mapped onto layers of Keras 3, layer by layer; Keras itself never reads the
file. A layer that contains Python code is refused.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pocketlens.conversion.from_keras import _import_keras, image_shape
from pocketlens.conversion.keras_arrays import KerasArrays
from pocketlens.conversion.keras_legacy.building import build
from pocketlens.conversion.keras_legacy.stored import read_h5, read_tfjs
from pocketlens.conversion.keras_legacy.teachable import (
    BIAS,
    SCALE,
    labels_beside,
    unpacked,
)
from pocketlens.conversion.keras_source import KerasImages, KerasSource, source_of
from pocketlens.conversion.source_kinds import SourceOptions
from pocketlens.errors import ConversionError
from pocketlens.image import InputSpec

__all__ = ["load_legacy", "open_legacy"]


def load_legacy(path: Path) -> Any:
    """The Keras 3 model of an `.h5` file or a `model.json`.

    Raises:
        ConversionError: It cannot be read or built; the message names the layer.
        MissingExtraError: Keras or h5py is not installed.
    """
    keras = _import_keras()
    stored = read_tfjs(path) if path.suffix.lower() == ".json" else read_h5(path)
    return build(keras, stored)


def open_legacy(path: Path, options: SourceOptions) -> KerasSource | KerasArrays | KerasImages:
    """A model of Keras 2, tf.keras, TensorFlow.js or Teachable Machine as a source.

    A folder or a zip archive is an export of Teachable Machine. So is a file with such an export's
    name and its class names beside it; then nothing else has to be said.
    """
    if path.is_dir() or path.suffix.lower() == ".zip":
        with unpacked(path) as model:
            return open_legacy(model, options)
    network = load_legacy(path)
    labels = labels_beside(path)
    said = options.input_spec or options.inputs or options.takes
    if labels is None or said is not None:
        return source_of(network, options, str(path))
    if options.labels is None:
        options = replace(options, labels=labels)
    try:
        height, width, channels = image_shape(network)
    except ConversionError:  # a project of sounds or poses, whose input is no image
        return source_of(network, replace(options, assume=True), str(path))
    if height is None or width is None:
        return source_of(network, replace(options, assume=True), str(path))
    spec = InputSpec(
        height,
        width,
        options.values.get("color", "gray" if channels == 1 else "rgb"),
        scale=options.values.get("scale", SCALE),
        bias=options.values.get("bias", BIAS),
    )
    others = {key: options.values[key] for key in ("crop", "ink") if key in options.values}
    spec = spec.with_values(**others) if others else spec
    return source_of(network, replace(options, input_spec=spec), str(path))
