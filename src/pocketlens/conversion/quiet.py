"""What other packages say, cut down to what helps: notes, progress bars, long errors."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from typing import Any
from unittest import mock

__all__ = ["Notes", "first_line", "import_coremltools", "quiet"]

# Apple's runtime is absent off macOS, which is expected: nothing here calls it. The PyTorch
# version is pinned by this package and its conversions are tested against it. A constant that two
# layers share is stored once, as it should be.
_EXPECTED = re.compile(
    r"Failed to load _ML\w+: "
    r"|Torch version \S+ has not been tested with coremltools"
    r"|scikit-learn version \S+ is not supported"
    r"|Const \S+ was already added\."
    r"|XGBoost version \S+ has not been tested with coremltools"
)
_FAILED_OP = re.compile(r"ERROR - converting '([^']+)' op")


class Notes(logging.Filter):
    """Drops the expected log records, and keeps the name of an op that failed (`failed_op`)."""

    failed_op: str | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if failed := _FAILED_OP.search(message):
            # Told by the exception that follows; logged as well it would be said twice.
            self.failed_op = failed[1]
            return False
        return not _EXPECTED.match(message)


@contextmanager
def quiet() -> Iterator[Notes]:
    """Within: no progress bars of coremltools and none of its expected notes; all else speaks."""
    logger = logging.getLogger("coremltools")
    notes = Notes()
    logger.addFilter(notes)
    try:
        with ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            # Each of the two trips over a deprecation of its own.
            warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
            warnings.filterwarnings("ignore", "Function _TORCH_OPS_REGISTRY", DeprecationWarning)
            for module, name, bar in _progress_bars():
                stack.enter_context(mock.patch.object(module, name, partial(bar, disable=True)))
            yield notes
    finally:
        logger.removeFilter(notes)


def import_coremltools() -> Any:
    """The package coremltools, imported without its expected notes.

    Its `optimize.torch`, which imports half of PyTorch again, is imported when it is first used.
    """
    sys.meta_path.insert(0, _Later)
    try:
        with quiet():
            import coremltools
    finally:
        sys.meta_path.remove(_Later)

    return coremltools


class _Later(MetaPathFinder):
    """Finds one module, and has it imported at the first use of a name in it."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None, _target: Any = None
    ) -> ModuleSpec | None:
        if name != "coremltools.optimize.torch":
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def first_line(error: Exception) -> str:
    """The kind of a foreign exception and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__


def _progress_bars() -> list[tuple[Any, str, Any]]:
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        return []
    return [
        (module, attribute, tqdm.tqdm)
        for name, module in list(sys.modules.items())
        if name.startswith("coremltools.")
        for attribute in ("tqdm", "_tqdm")
        if getattr(module, attribute, None) is tqdm.tqdm
    ]
