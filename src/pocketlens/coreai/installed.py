"""Whether Apple's interpreter and converter are installed, and whether they can run here."""

from __future__ import annotations

import importlib.util
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from pocketlens.errors import MissingExtraError, UnsupportedModelError

__all__ = ["installed_version", "require_core_ai"]

OLDEST_GLIBC = (2, 34)


def installed_version() -> str | None:
    """The version of Apple's interpreter that is installed here; None without one."""
    try:
        return version("coreai-core")
    except PackageNotFoundError:
        return None


def require_core_ai(*packages: str, purpose: str) -> None:
    """Check that packages of Core AI are installed, without importing them.

    Args:
        packages: `coreai`, and `coreai_torch` for conversion.
        purpose: What needs them, such as `the format aimodel`.

    Raises:
        MissingExtraError: Some are not; the message says how to install them.
        UnsupportedModelError: They do not exist for this system.
    """
    missing = [each for each in packages if importlib.util.find_spec(each) is None]
    if not missing:
        return
    if not _runs_here():
        raise UnsupportedModelError(
            f"{purpose} needs Apple's package coreai-core, which runs on Linux (x86-64, glibc 2.34 "
            "or later) and on Macs with Apple silicon only; "
            f"this is {platform.system()} {platform.machine()}; use Core ML: --format mlpackage"
        )
    raise MissingExtraError(*missing, purpose=purpose)


def _runs_here() -> bool:
    """Whether there are packages for this system."""
    machine = platform.machine().lower()
    if sys.platform == "darwin":
        return machine == "arm64"
    name, found = platform.libc_ver()
    parts = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    return (
        sys.platform == "linux"
        and machine == "x86_64"
        and name == "glibc"
        and (parts >= OLDEST_GLIBC)
    )
