"""Write an ML Program again for iOS 18, which has more kinds of compressed weights."""

from __future__ import annotations

from pathlib import Path

from pocketlens.compat import coremltools_at_version
from pocketlens.conversion.package import write_model
from pocketlens.conversion.quiet import first_line, import_coremltools, quiet
from pocketlens.errors import ConversionError

__all__ = ["IOS18", "upgrade"]

IOS18 = 18
SPECIFICATION = 9
"""The specification version of iOS 18."""


def upgrade(path: Path, folder: Path) -> Path:
    """The same program for iOS 18, in `folder`.

    Raises:
        ConversionError: coremltools cannot write it.
    """
    ct = import_coremltools()
    with quiet():
        try:
            model = ct.models.MLModel(str(path), skip_model_load=True)
            made = coremltools_at_version(model, SPECIFICATION)
        except Exception as error:  # coremltools raises exceptions of any type
            raise ConversionError(
                f"coremltools cannot write {path} for iOS {IOS18}: {first_line(error)}; leave out "
                "--ios"
            ) from error
    spec = made.get_spec()
    spec.description.CopyFrom(model.get_spec().description)
    weights = Path(made.weights_dir) / "weight.bin"
    target = folder / f"ios{IOS18}.mlpackage"
    write_model(spec, weights if weights.is_file() else None, target, force=True)
    return target
