"""The whole numbers in a photo, for the tab with photos: their digits and where they are."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import Any

from pocketlens.errors import OptionError
from pocketlens.numbers import LONGEST, Number, check_digits, read_number
from pocketlens.prediction import Predictor
from pocketlens.preview.inference import InferencePool
from pocketlens.preview.turns import Turns

__all__ = ["NumberReader"]


class NumberReader:
    """Reads numbers with those models of a pool whose classes are digits.

    Args:
        pool: The models.
    """

    def __init__(self, pool: InferencePool) -> None:
        self.pool = pool
        self.models = {name: model for name, model in pool.models.items() if _reads_digits(model)}
        self._turns = Turns("numbers are being read")

    async def read(self, content: bytes) -> dict[str, Any]:
        """The number in an image file, as JSON.

        Raises:
            OptionError: No model reads digits, or too many photos wait.
            ImageError: `content` is not a readable image, or it is too large.
        """
        if not self.models:
            raise OptionError("to read numbers, the preview needs a model with the classes 0 to 9")
        async with self._turns.one():
            png = await self.pool.run_decoder(partial(self.pool.decoders.to_png, content, LONGEST))
            return await self.pool.run(partial(_answer, self.models, png))


def _reads_digits(model: Predictor) -> bool:
    try:
        check_digits(model.classes)
    except OptionError:
        return False
    return True


def _answer(models: dict[str, Predictor], png: bytes) -> dict[str, Any]:
    from PIL import Image

    with Image.open(BytesIO(png), formats=["PNG"]) as image:
        return {
            "width": image.width,
            "height": image.height,
            "models": [
                {"name": name, **_number(read_number(model, image))}
                for name, model in models.items()
            ],
        }


def _number(number: Number) -> dict[str, Any]:
    return {
        "number": number.text,
        "sure": number.sure,
        "digits": [
            {
                "label": digit.label,
                "confidence": digit.confidence,
                "sure": digit.sure,
                "line": line,
                "box": list(digit.box),
            }
            for line, digits in enumerate(number.lines, start=1)
            for digit in digits
        ],
    }
