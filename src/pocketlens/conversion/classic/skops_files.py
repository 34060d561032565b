"""Reads skops files: fitted scikit-learn models without pickle."""

from __future__ import annotations

import importlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from pocketlens.archives import opened_zip
from pocketlens.conversion.classic.estimators import name_of
from pocketlens.errors import ConversionError, printable

__all__ = ["TRUSTED", "read_skops"]

MAX_FILE = 2**29
MAX_CONTENT = 2**30
"""The most bytes of all members together, unpacked."""
MAX_MEMBERS = 100_000
SCHEMA = "schema.json"
MAX_SCHEMA = 2**28

_LOSSES = (
    *("AbsoluteError", "CyHalfGammaLoss", "CyHalfPoissonLoss", "ExponentialLoss", "HalfGammaLoss"),
    *("HalfBinomialLoss", "HalfMultinomialLoss", "HalfPoissonLoss", "HalfSquaredError"),
    *("HalfTweedieLoss", "HalfTweedieLossIdentity", "HuberLoss", "PinballLoss"),
)
_SCORES = ("chi2", "f_classif", "f_oneway", "f_regression", "r_regression")

TRUSTED: tuple[str, ...] = (
    "functools.partial",
    "numpy.dtype",
    *(f"sklearn._loss.loss.{name}" for name in _LOSSES),
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.LogLink",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    *(f"sklearn.feature_selection._univariate_selection.{name}" for name in _SCORES),
    "sklearn.feature_selection._mutual_info.mutual_info_classif",
    "sklearn.feature_selection._mutual_info.mutual_info_regression",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils.validation.check_array",
)
"""The types in a file, besides those that skops trusts itself: data of models and plain functions.

The converters check what a model contains before the model itself computes anything.
"""


def read_skops(path: str | os.PathLike[str]) -> Any:
    """The model in a skops file.

    Raises:
        ConversionError: The file is damaged, too large, or has types besides `TRUSTED`.
        ModuleNotFoundError: skops or scikit-learn is not installed.
    """
    skops = importlib.import_module("skops.io")
    path = Path(path)
    content = _checked(path)
    try:
        unknown = sorted(set(skops.get_untrusted_types(data=content)) - set(TRUSTED))
        if unknown:
            raise ConversionError(
                f"{path} contains {', '.join(map(printable, unknown[:5]))}, which is not a known "
                "type of scikit-learn; convert the model in Python, where you trust its code: "
                "pocketlens.convert(model, …)"
            )
        model = skops.loads(content, trusted=list(TRUSTED))
    except ConversionError:
        raise
    except Exception as error:  # skops raises whatever the constructors of the types raise
        raise ConversionError(
            f"{path} cannot be read by skops: {type(error).__name__}: {printable(str(error))[:300]}"
            "; it is damaged, or was saved by another version of scikit-learn; save it again with "
            "skops.io.dump(model, 'model.skops')"
        ) from error
    _search_without_trees(model)
    return model


def _checked(path: Path) -> bytes:
    """The content of a file whose members have reasonable sizes."""
    from pocketlens.files import read_limited

    try:
        content = read_limited(path, MAX_FILE)
    except OSError as error:
        raise ConversionError(f"{path} cannot be read: {error.strerror}; check the path") from error
    try:
        with opened_zip(io.BytesIO(content)) as file:
            members = file.infolist()
            if SCHEMA not in [each.filename for each in members]:
                raise ConversionError(
                    f"{path} is not a skops file: it has no {SCHEMA}; save the model with "
                    "skops.io.dump(model, 'model.skops')"
                )
            total = sum(each.file_size for each in members)
            if len(members) > MAX_MEMBERS or total > MAX_CONTENT:
                raise ConversionError(
                    f"{path} has {len(members)} members with {total} bytes; expected at most "
                    f"{MAX_MEMBERS} and {MAX_CONTENT}; convert the model in Python: "
                    "pocketlens.convert(model, …)"
                )
            for each in members:
                _check_member(file, each, path)
    except zipfile.BadZipFile as error:
        raise ConversionError(
            f"{path} is not a skops file, or is cut short: {error}; save the model with "
            "skops.io.dump(model, 'model.skops')"
        ) from error
    return content


def _check_member(file: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    """Check that an array is not larger than its member: NumPy allocates what the array says."""
    if member.filename == SCHEMA and member.file_size > MAX_SCHEMA:
        raise _damaged(path, f"its {SCHEMA} has more than {MAX_SCHEMA} bytes")
    if member.filename.endswith(".npy"):
        with file.open(member) as stream:
            _check_array(stream, member.file_size, path)
    elif member.filename.endswith(".npz"):
        with file.open(member) as stream, opened_zip(io.BytesIO(stream.read())) as inside:
            if sum(each.file_size for each in inside.infolist()) > MAX_CONTENT:
                raise _damaged(
                    path, f"{printable(member.filename)} has more than {MAX_CONTENT} bytes"
                )
            for each in inside.infolist():
                with inside.open(each) as array:
                    _check_array(array, each.file_size, path)


def _check_array(stream: Any, size: int, path: Path) -> None:
    try:
        form: Any = np.lib.format
        first = form.read_magic(stream) == (1, 0)
        read = form.read_array_header_1_0 if first else form.read_array_header_2_0
        shape, _, dtype = read(stream)
    except ValueError as error:
        raise _damaged(
            path, f"an array has an unreadable header: {printable(str(error))[:100]}"
        ) from error
    needed = dtype.itemsize
    for length in shape:
        needed *= length
    if dtype.hasobject or not 0 <= needed <= size - stream.tell():
        raise _damaged(path, f"an array says that it is {shape} of {dtype}")


def _damaged(path: Path, what: str) -> ConversionError:
    return ConversionError(
        f"{path} is damaged: {what}; save the model again with skops.io.dump(model, 'model.skops')"
    )


def _search_without_trees(model: Any) -> None:
    """Let nearest neighbors compare all samples: the index in a file may be damaged."""
    steps = [each for _, each in model.steps] if name_of(model) == "Pipeline" else [model]
    for step in steps:
        if name_of(step) == "KNeighborsClassifier" and hasattr(step, "_fit_method"):
            step._fit_method, step._tree = "brute", None
