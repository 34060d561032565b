"""Networks of the Hugging Face hub that are on this computer: their files, and their input."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pocketlens.errors import OptionError, require
from pocketlens.files import read_limited
from pocketlens.image import InputSpec

__all__ = [
    "CONFIG",
    "HUB",
    "INSTEAD",
    "find_folder",
    "parse_json",
    "quiet",
    "read_input_spec",
    "read_json",
    "short",
]

HUB = "hf:"
"""The start of the name of a backbone from the Hugging Face hub, or of a folder of that form."""

INSTEAD = "use another backbone, such as efficientnet-lite0"
CONFIG = "config.json"
PROCESSOR = ("preprocessor_config.json", "processor_config.json")
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


def read_input_spec(name: str) -> InputSpec | None:
    """The input that a network was trained with, from the description of its image processor.

    Its size is that of the crop, and its scale and bias are those of rescaling and normalizing
    together: `(pixel * rescale_factor - mean) / std`.

    Args:
        name: `hf:NAME` or `hf:./path`.

    Returns:
        The InputSpec; None if the folder has no such description.

    Raises:
        OptionError: The network is not on this computer, or the description cannot be used.
    """
    folder = find_folder(name)
    for file in PROCESSOR:
        if (folder / file).is_file():
            values = read_json(folder / file)
            own = values.get("image_processor", values)
            try:
                if not isinstance(own, dict):
                    raise TypeError(f"expected an object; received: {own!r:.80}")
                return _input_spec(own)
            except (OptionError, ValueError, TypeError, KeyError, ArithmeticError) as error:
                raise OptionError(
                    f"{folder / file} does not say which input the network needs: {error}; set "
                    "input.height, input.width, input.color, input.scale and input.bias"
                ) from error
    return None


def _input_spec(values: Mapping[str, Any]) -> InputSpec:
    crop = values.get("crop_size") if values.get("do_center_crop", True) else None
    height, width = _sides(crop if crop is not None else values["size"])
    rescales = values.get("do_rescale", True)
    factor = float(values.get("rescale_factor", 1 / 255)) if rescales else 1.0
    offset = -1.0 if rescales and values.get("rescale_offset") else 0.0
    means, deviations = [0.0] * 3, [1.0] * 3
    if values.get("do_normalize", "image_mean" in values):
        means, deviations = _three(values["image_mean"]), _three(values["image_std"])
    kind = str(values.get("image_processor_type", values.get("feature_extractor_type", "")))
    divisors = deviations
    if values.get("include_top", kind.startswith("EfficientNet")):
        # EfficientNet's weights expect a second division by the deviations.
        divisors = [each * each for each in _three(values["image_std"])]
    return InputSpec(
        height,
        width,
        "bgr" if values.get("do_flip_channel_order") else "rgb",
        scale=tuple(factor / each for each in divisors),
        bias=tuple((offset - mean) / each for mean, each in zip(means, divisors, strict=True)),
    )


def _sides(size: Any) -> tuple[int, int]:
    """Height and width: of `224`, `{"height": 224, "width": 224}` or `{"shortest_edge": 224}`."""
    if isinstance(size, Mapping):
        if "height" in size and "width" in size:
            return int(size["height"]), int(size["width"])
        size = size["shortest_edge"]
    if isinstance(size, (list, tuple)):
        height, width = size
        return int(height), int(width)
    return int(size), int(size)


def _three(value: Any) -> list[float]:
    numbers = list(value) if isinstance(value, (list, tuple)) else [value] * 3
    if len(numbers) != 3:
        raise ValueError(f"expected three channels; received: {value!r:.80}")
    return [float(each) for each in numbers]
