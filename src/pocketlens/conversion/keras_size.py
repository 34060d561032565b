"""How much memory a `.keras` file needs, found before Keras reads it.

The file is a zip archive of the model's configuration and its weights (HDF5). Both may be small and
ask for a lot: zeros pack well, and a layer's size is one number in the configuration.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

from pocketlens.archives import opened_zip
from pocketlens.errors import ConversionError

__all__ = ["MAX_KERAS_BYTES", "check_keras_size"]

MAX_KERAS_BYTES = 2 * 1024**3
"""The largest model that is read from a `.keras` file: the bytes of all its variables."""

COPIES, FREE = 4, 64 * 1024**2
"""The weights may unpack to four times the variables (an optimizer keeps copies), and 64 MiB."""

CONFIG, WEIGHTS = "config.json", "model.weights.h5"


def check_keras_size(keras: Any, path: Path) -> None:
    """Check that a `.keras` file needs no more memory than its model, and that within limits.

    Raises:
        ConversionError: It is not a zip archive, or is too large.
    """
    try:
        with opened_zip(path) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
            config = sizes.get(CONFIG, 0)
            if config > FREE:
                raise _too_large(path, f"{config} bytes of {CONFIG}", FREE)
            variables = _variable_bytes(keras, archive.read(CONFIG)) if config else None
            if variables is not None and variables > MAX_KERAS_BYTES:
                raise _too_large(path, f"variables of {variables} bytes", MAX_KERAS_BYTES)
            most = MAX_KERAS_BYTES if variables is None else COPIES * variables + FREE
            if sum(sizes.values()) > most:
                raise _too_large(path, f"{sum(sizes.values())} bytes when unpacked", most)
            if WEIGHTS in sizes:
                stored = _stored_bytes(archive.read(WEIGHTS), path)
                if stored > most:
                    raise _too_large(path, f"weights of {stored} bytes", most)
    except (zipfile.BadZipFile, OSError) as error:
        raise ConversionError(
            f"{path} cannot be read as a .keras file: {error}; save or copy it again"
        ) from error


def _too_large(path: Path, received: str, most: int) -> ConversionError:
    return ConversionError(
        f"{path} has {received}; expected at most {most} for this model; if you trust the file, "
        "load it with keras.saving.load_model and call pocketlens.convert(model, …)"
    )


def _variable_bytes(keras: Any, config: bytes) -> int | None:
    """The bytes of all variables of a configuration; None if Keras needs real ones to tell.

    On the device `meta`, variables have shapes and no content.
    """
    try:
        with keras.device("meta"):
            model = keras.saving.deserialize_keras_object(json.loads(config), safe_mode=True)
            # Keras computes with float32 or wider, whatever it stores.
            sizes = (max(4, v.value.element_size()) * math.prod(v.shape) for v in model.variables)
            return int(sum(sizes))
    except Exception:  # Keras raises exceptions of any type; reading the model raises it again
        return None


def _stored_bytes(content: bytes, path: Path) -> int:
    """The bytes of all arrays in the weights, decompressed.

    Raises:
        ConversionError: They are not HDF5, or refer to another file.
    """
    import h5py

    total = 0

    def visit(name: str, item: Any) -> None:
        nonlocal total
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise ConversionError(
                    f"{path}: the weight {name!r} is in another file; "
                    "save the model again with model.save('model.keras')"
                )
            total += (item.size or 0) * item.dtype.itemsize

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            file.visititems(visit)
    except OSError as error:
        raise ConversionError(f"{path}: {WEIGHTS} is not HDF5: {error}; save it again") from error
    return total
