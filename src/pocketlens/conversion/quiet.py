"""Silence the expected log records, warnings and progress bars of other packages."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from pocketlens.compat import (
    COREMLTOOLS_EXPECTED_RECORDS,
    COREMLTOOLS_FAILED_OP,
    coremltools_progress_bars,
)

__all__ = ["Notes", "first_line", "import_coremltools", "quiet"]


class Notes(logging.Filter):
    """Drops expected log records.

    Attributes:
        failed_op: The name of the op that could not be converted; None if there is none.
    """

    failed_op: str | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if failed := COREMLTOOLS_FAILED_OP.search(message):
            # The exception that follows reports it.
            self.failed_op = failed[1]
            return False
        return not COREMLTOOLS_EXPECTED_RECORDS.match(message)


@contextmanager
def quiet() -> Iterator[Notes]:
    """Within: suppress progress bars, and the expected log records and warnings, of coremltools."""
    logger = logging.getLogger("coremltools")
    notes = Notes()
    logger.addFilter(notes)
    try:
        with ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            # PyTorch and coremltools each use something of their own that is deprecated.
            warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
            warnings.filterwarnings("ignore", "Function _TORCH_OPS_REGISTRY", DeprecationWarning)
            # The flattened weights of recurrent layers; they are constants at inference.
            warnings.filterwarnings("ignore", r"The tensor attributes? self\.", UserWarning)
            # It bounds a repeated op by infinities, which float16 does not have.
            warnings.filterwarnings("ignore", "overflow encountered in cast", RuntimeWarning)
            for module, name, bar in coremltools_progress_bars():
                stack.enter_context(_replaced(module, name, partial(bar, disable=True)))
            yield notes
    finally:
        logger.removeFilter(notes)


def import_coremltools() -> Any:
    """Import the package coremltools, without the log records that are expected."""
    with quiet():
        import coremltools

    return coremltools


def first_line(error: Exception) -> str:
    """The type of another package's exception, and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__


@contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, original)
