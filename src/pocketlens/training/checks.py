"""Checks of the arguments of `train`."""

from __future__ import annotations

from pocketlens.data import Dataset
from pocketlens.errors import OptionError
from pocketlens.image import InputSpec

__all__ = ["check_data"]


def check_data(data: Dataset, input_spec: InputSpec) -> None:
    """Check that the images have the input's shape, and that every class has at least one image.

    Raises:
        OptionError: They do not.
    """
    if data.images.shape[1:] != input_spec.shape:
        raise OptionError(
            f"the recipe's input is (height, width, channels) {input_spec.shape}; "
            f"received images of {data.images.shape[1:]}; load the images with "
            "load_data(..., input_spec=recipe.input)"
        )
    empty = [name for name, count in data.counts.items() if not count]
    if empty:
        raise OptionError(
            f"classes without a training image: {', '.join(empty[:10])}; "
            "add images or remove the class"
        )
