"""Write an ML Program again for a newer iOS, which has more kinds of compressed weights."""

from __future__ import annotations

from pathlib import Path

from pocketlens.compat import coremltools_at_version
from pocketlens.conversion.package import write_model
from pocketlens.conversion.quiet import first_line, import_coremltools, quiet
from pocketlens.errors import ConversionError

__all__ = ["upgrade"]

SPECIFICATIONS = {16: 7, 18: 9}
"""The specification version of each iOS version that brought compressed weights."""


def upgrade(path: Path, ios: int, folder: Path) -> Path:
    """The same program for a newer iOS version, 16 or 18, in `folder`.

    Raises:
        ConversionError: coremltools cannot write it.
    """
    ct = import_coremltools()
    with quiet():
        try:
            model = ct.models.MLModel(str(path), skip_model_load=True)
            made = coremltools_at_version(model, SPECIFICATIONS[ios])
        except Exception as error:  # coremltools raises exceptions of any type
            raise ConversionError(
                f"coremltools cannot write {path} for iOS {ios}: {first_line(error)}; leave out "
                "--ios"
            ) from error
    spec = made.get_spec()
    spec.description.CopyFrom(model.get_spec().description)
    weights = Path(made.weights_dir) / "weight.bin"
    target = folder / f"ios{ios}.mlpackage"
    write_model(spec, weights if weights.is_file() else None, target, force=True)
    return target
