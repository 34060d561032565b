"""Why a model gives an image its label: the answer to the button "Why?".

An explanation takes as long as many predictions, so there is one at a time, and few may wait.
"""

from __future__ import annotations

import base64
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketlens.errors import OptionError, did_you_mean
from pocketlens.explanation import METHODS, Explanation, explain
from pocketlens.explanation.heat import heat_picture
from pocketlens.image import Ink
from pocketlens.preview.inference import InferencePool
from pocketlens.preview.turns import Turns

__all__ = ["Explainer"]

SHORTEST, LONGEST = 224, 1024
"""Small inputs are enlarged by a whole number, so that the picture has these sides."""


class Explainer:
    """Explains the answers of a pool's models.

    Args:
        pool: The models.
    """

    def __init__(self, pool: InferencePool) -> None:
        self.pool = pool
        self._turns = Turns("explanations are being computed")

    async def explain(
        self, content: bytes, *, name: str | None, label: str | None, ink: Ink | None
    ) -> dict[str, Any]:
        """The explanation of an image file, as JSON.

        Args:
            content: The content of the image file.
            name: The model; None for the first one.
            label: The label to explain; None for the model's answer.
            ink: The lines of a drawing, as for `InferencePool.predict`.

        Raises:
            OptionError: There is no model, no such model or label, or too many explanations wait.
            ImageError: `content` is not a readable image, or it is too large.
            FeatureError: The model fails.
        """
        models = self.pool.models
        if not models:
            raise OptionError("there is no recognizer yet; train it first")
        name = next(iter(models)) if name is None else name
        if name not in models:
            raise OptionError(f"there is no model {name[:80]!r}; {did_you_mean(name, models)}")
        async with self._turns.one():
            (result,) = await self.pool.predict(content, names={name}, ink=ink)
            answer = partial(_answer, models[name], result.pixels, label)
            return {"name": name, **await self.pool.run(answer)}


def _answer(model: Any, pixels: NDArray[np.uint8], label: str | None) -> dict[str, Any]:
    found = explain(model, pixels, label=label)
    return {
        "label": found.label,
        "confidence": found.confidence,
        "method": METHODS[found.method],
        "share": found.share,
        "map": found.map.tolist(),
        "picture": _picture(pixels, found),
    }


def _picture(pixels: NDArray[np.uint8], found: Explanation) -> str:
    """The map over the model's input, as a PNG file in base64."""
    from PIL import Image

    shorter, longer = sorted(pixels.shape[:2])
    factor = max(1, min(-(-SHORTEST // shorter), LONGEST // longer))
    large = pixels.repeat(factor, 0).repeat(factor, 1)
    file = BytesIO()
    Image.fromarray(heat_picture(large, found)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
