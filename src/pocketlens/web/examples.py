"""`examples.json`: images and the Core ML file's answers, to which `--check` compares the page's.

An image is a small grid of colors, each of which fills a block of the model's input.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.errors import AppError
from pocketlens.files import read_limited
from pocketlens.image import InputSpec
from pocketlens.web.listing import EXAMPLES

if TYPE_CHECKING:
    import onnx

    from pocketlens.coreml import CoreMLModel

__all__ = ["HALF_TOLERANCE", "TOLERANCE", "Examples", "examples", "read_examples"]

GRIDS = (1, 2, 3, 5, 8, 13)
"""The sides of the grids, one per image."""

TOLERANCE, HALF_TOLERANCE = 1e-3, 5e-3
"""By how much a probability may differ, in a model that computes with float16 the latter."""

MAX_BYTES = 4_000_000


@dataclass(frozen=True)
class Examples:
    """Images and answers.

    Args:
        images: `(N, H, W, C)` uint8, prepared for the model.
        probabilities: `(N, classes)`.
        tolerance: By how much a probability may differ.
    """

    images: NDArray[np.uint8]
    probabilities: NDArray[np.float64]
    tolerance: float


def examples(model: CoreMLModel, graph: onnx.ModelProto) -> bytes:
    """The file's content for a model."""
    spec = model.input_spec
    rng = np.random.default_rng(0)
    grids = [rng.integers(0, 256, (side, side, spec.channels)).tolist() for side in GRIDS]
    probabilities = model.probabilities(np.stack([_image(grid, spec) for grid in grids]))
    values: dict[str, Any] = {
        "tolerance": HALF_TOLERANCE if _has_half(graph) else TOLERANCE,
        "grids": grids,
        "probabilities": np.asarray(probabilities, np.float64).round(7).tolist(),
    }
    return json.dumps(values, separators=(",", ":")).encode()


def read_examples(folder: Path, spec: InputSpec, classes: int) -> Examples:
    """Read the file of a site for a model with this input and so many classes.

    Raises:
        AppError: It is missing or damaged.
    """
    path = folder / EXAMPLES
    try:
        values = json.loads(read_limited(path, MAX_BYTES))
        images = np.stack([_image(grid, spec) for grid in values["grids"]])
        probabilities = np.array(values["probabilities"], np.float64)
        if probabilities.shape != (len(images), classes):
            raise ValueError(f"{len(images)} images with answers {probabilities.shape}")
        return Examples(images, probabilities, float(values["tolerance"]))
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise AppError(
            f"{path} cannot be read ({error}); write the website again, with --force"
        ) from error


def _image(grid: list[Any], spec: InputSpec) -> NDArray[np.uint8]:
    colors = np.array(grid, np.uint8)
    if colors.ndim != 3 or colors.shape[2] != spec.channels or not colors.size:
        raise ValueError(f"a grid {colors.shape}")
    rows = np.arange(spec.height) * len(colors) // spec.height
    columns = np.arange(spec.width) * colors.shape[1] // spec.width
    image: NDArray[np.uint8] = colors[rows[:, None], columns]
    return image


def _has_half(graph: onnx.ModelProto) -> bool:
    import onnx

    return any(
        attribute.name == "to" and attribute.i == onnx.TensorProto.FLOAT16
        for node in graph.graph.node
        for attribute in node.attribute
        if node.op_type == "Cast"
    )
