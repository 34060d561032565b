"""Core AI models (`.aimodel`): read, and run in Apple's own interpreter. Experimental.

The interpreter is the package `coreai-core` (extra `coreai`), which runs on Linux, too. It ends the
process that calls it if a file is damaged, so it has a process of its own (`child`), with limits on
memory and time: whatever a file does there is a `CoreAIError` here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketlens.coreai.asset import Asset as Asset
    from pocketlens.coreai.asset import open_asset as open_asset
    from pocketlens.coreai.model import CoreAIModel as CoreAIModel
    from pocketlens.coreai.model import inspect as inspect
    from pocketlens.coreai.model import load as load

__all__ = ["Asset", "CoreAIModel", "inspect", "load", "open_asset"]

_MODULES = {
    "Asset": "asset",
    "CoreAIModel": "model",
    "inspect": "model",
    "load": "model",
    "open_asset": "asset",
}


def __getattr__(name: str) -> Any:
    # Imported on first use, so that the child process does not import what it does not use.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
