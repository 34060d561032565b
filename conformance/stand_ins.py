"""Replacements that coremltools' tests of its converters need: a data set, and older library names.

The tests compare predictions of scikit-learn, XGBoost, libsvm and PyTorch with those of Pocketlens
for the converted model. Only torchvision's suppression of boxes, which PyTorch does not contain, is
implemented here.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.metadata
import sys
from types import ModuleType
from typing import Any

import numpy as np

__all__ = ["boston", "box_iou", "import_torchvision", "import_xgboost", "install", "nms"]

COLUMNS = (
    *("CRIM", "ZN", "INDUS", "CHAS", "NOX", "RM", "AGE"),
    *("DIS", "RAD", "TAX", "PTRATIO", "B", "LSTAT"),
)
ROWS = 506


def boston() -> dict[str, Any]:
    """Random numbers in place of the Boston housing prices, which the tests would download.

    The names, sizes and types of the columns are those of that data set: a flag (CHAS), integers
    (RAD, TAX), many zeros (ZN), shares and lengths with two to four decimals, prices with one.

    Returns:
        `data` [506, 13], `target` [506], `feature_names` [13]; new arrays each time, because tests
        write into them.
    """
    draw = np.random.default_rng(506)
    columns = {
        "CRIM": np.round(draw.lognormal(-0.8, 2.0, ROWS), 5),
        "ZN": np.round(draw.uniform(10, 100, ROWS) * (draw.random(ROWS) < 0.25), 1),
        "INDUS": np.round(draw.uniform(0.4, 28, ROWS), 2),
        "CHAS": (draw.random(ROWS) < 0.07).astype(np.float64),
        "NOX": np.round(draw.uniform(0.38, 0.88, ROWS), 4),
        "RM": np.round(draw.normal(6.3, 0.7, ROWS), 3),
        "AGE": np.round(draw.uniform(3, 100, ROWS), 1),
        "DIS": np.round(draw.lognormal(1.2, 0.5, ROWS), 4),
        "RAD": draw.choice([1, 2, 3, 4, 5, 6, 7, 8, 24], ROWS).astype(np.float64),
        "TAX": draw.integers(187, 712, ROWS).astype(np.float64),
        "PTRATIO": np.round(draw.uniform(12.6, 22, ROWS), 1),
        "B": np.round(draw.uniform(0.3, 396.9, ROWS), 2),
        "LSTAT": np.round(draw.lognormal(2.4, 0.5, ROWS), 2),
    }
    price = 22.5 + 7 * (columns["RM"] - 6.3) - 0.6 * (columns["LSTAT"] - 12.6)
    price = price + 3 * columns["CHAS"] - draw.exponential(2, ROWS)
    return {
        "data": np.stack([columns[name] for name in COLUMNS], axis=1),
        "target": np.round(np.clip(price, 5, 50), 1),
        "feature_names": list(COLUMNS),
    }


class _NumPyOf1(ModuleType):
    """NumPy 1 for XGBoost 1.4.2: `copy=False` means to copy only if necessary."""

    cfloat = np.complex128

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def array(data: Any, dtype: Any = None, *, copy: bool = True) -> Any:
        return np.array(data, dtype, copy=True if copy else None)


def import_xgboost() -> None:
    """Import XGBoost 1.4.2, which needs the module `pkg_resources` that Setuptools has removed.

    Call this before coremltools is imported: it imports XGBoost too, and ignores a failure.
    """
    replacement = ModuleType("pkg_resources")
    vars(replacement).update(
        get_distribution=importlib.metadata.distribution,
        DistributionNotFound=importlib.metadata.PackageNotFoundError,
    )
    present = sys.modules.setdefault("pkg_resources", replacement)
    with contextlib.suppress(ImportError):
        vars(importlib.import_module("xgboost.data"))["np"] = _NumPyOf1("numpy")
    if present is replacement:
        del sys.modules["pkg_resources"]


def box_iou(first: Any, second: Any) -> Any:
    """Intersection over union [N, M] of boxes [N, 4] and [M, 4] with corners (x1, y1, x2, y2)."""
    low = first[:, None, :2].maximum(second[:, :2])
    high = first[:, None, 2:].minimum(second[:, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (first, second)]
    return shared / (areas[0][:, None] + areas[1] - shared)


def nms(dets: Any, scores: Any, iou_threshold: float) -> Any:
    """Non-maximum suppression: the indices of the boxes that are kept, highest score first.

    Args:
        dets: Boxes [N, 4], as in `box_iou`.
        scores: [N].
        iou_threshold: The largest allowed overlap of two boxes that are kept.
    """
    left = scores.argsort(descending=True, stable=True)
    kept: list[int] = []
    while len(left):
        kept.append(int(left[0]))
        overlap = box_iou(dets[left[:1]], dets[left[1:]])[0]
        # torchvision compares a float32 overlap with a threshold in double precision.
        left = left[1:][~(overlap.double() > iou_threshold)]
    return left.new_tensor(kept)


def import_torchvision() -> None:
    """Replace torchvision, which does not import with PyTorch's CPU build; only `ops` exists.

    Call this before coremltools is imported, because it imports torchvision.
    """
    with contextlib.suppress(ImportError):
        torch = importlib.import_module("torch")
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.impl("nms", nms, "CPU")
        ops = ModuleType("torchvision.ops")
        vars(ops).update(box_iou=box_iou, nms=torch.ops.torchvision.nms, library=library)
        whole = ModuleType("torchvision")
        vars(whole).update(ops=ops, __spec__=importlib.machinery.ModuleSpec("torchvision", None))
        sys.modules |= {"torchvision": whole, "torchvision.ops": ops}


def install() -> None:
    """Install the other replacements. Call this before a test module is imported.

    Packages that are not installed are skipped, as coremltools skips the tests that need them.
    """
    with contextlib.suppress(ImportError):
        vars(importlib.import_module("coremltools.test.utils"))["load_boston"] = boston
    # libsvm 3.23 uses NumPy's names from SciPy, which has removed them. Its modules exist twice:
    # libsvm.svmutil imports the others as top-level modules.
    for name in ("libsvm.svmutil", "svmutil", "svm", "commonutil"):
        with contextlib.suppress(ImportError):
            vars(importlib.import_module(name))["scipy"] = np
