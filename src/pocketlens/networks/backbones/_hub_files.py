"""The files of a network of the Hugging Face hub on this computer, and transformers' output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pocketlens.errors import OptionError, require
from pocketlens.files import read_limited

__all__ = ["CONFIG", "INSTEAD", "find_folder", "parse_json", "quiet", "read_json", "short"]

HUB = "hf:"
INSTEAD = "use another backbone, such as efficientnet-lite0"
CONFIG = "config.json"
MAX_JSON_BYTES = 4 << 20


def find_folder(name: str) -> Path:
    """The folder with the network's files.

    Raises:
        MissingExtraError: The package `transformers` is not installed.
        OptionError: There is no such folder, or the network is not in the hub's cache.
    """
    rest = name.removeprefix(HUB)
    if rest.startswith((".", "~")) or Path(rest).is_absolute():
        folder = Path(rest).expanduser()
        if not (folder / CONFIG).is_file():
            raise OptionError(
                f"the backbone '{name}': {folder} is not a folder with a {CONFIG}; expected a "
                "folder that save_pretrained of transformers has written"
            )
        return folder
    require("transformers", purpose=f"the backbone '{name}'")
    from huggingface_hub import constants, try_to_load_from_cache

    try:
        found = try_to_load_from_cache(rest, CONFIG, cache_dir=constants.HF_HUB_CACHE)
    except ValueError as error:  # HFValidationError
        raise OptionError(
            f"the backbone '{name}' is not a name of the Hugging Face hub, such as "
            f"hf:microsoft/resnet-18, nor a folder, such as hf:./my_network: {error}"
        ) from error
    if not isinstance(found, str):
        raise OptionError(
            f"the backbone '{name}' is not on this computer, and Pocketlens does not download it "
            f"unasked; download it with: hf download {rest}; or {INSTEAD}"
        )
    return Path(found).parent


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object in a file.

    Raises:
        OptionError: It is not one, or cannot be read.
    """
    try:
        return parse_json(read_limited(path, MAX_JSON_BYTES).decode())
    except (OSError, ValueError) as error:
        raise OptionError(f"{path} cannot be read: {error}; download it again") from error


def parse_json(text: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: It is not one.
    """
    try:
        values = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(values, dict):
        raise ValueError(f"expected a JSON object; received: {text[:80]!r}")
    return values


def short(error: Exception) -> str:
    """An error of another package's code, as the part of a sentence."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300].rstrip('.')}"


@contextmanager
def quiet() -> Iterator[None]:
    """Within: transformers prints no warnings and no progress bars."""
    from transformers.utils import logging as module

    logging: Any = module  # without annotations
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
