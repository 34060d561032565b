"""The images with which a network is tried out."""

from __future__ import annotations

import numpy as np
import pytest

from pocketlens.conversion.probes import noise_images, probe_images
from pocketlens.image import InputSpec


@pytest.mark.parametrize("spec", [InputSpec(9, 7, "rgb"), InputSpec(28, 28), InputSpec(1, 1)])
def test_probe_images_are_repeatable_and_use_the_whole_range(spec: InputSpec) -> None:
    images, names = probe_images(spec)
    assert images.shape == (len(names), *spec.shape)
    assert images.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 255)
    np.testing.assert_array_equal(images, probe_images(spec)[0])
    assert noise_images(spec).shape == (4, *spec.shape)


def test_probe_images_differ_in_kind() -> None:
    images, names = probe_images(InputSpec(28, 28, "rgb"))
    by_name = dict(zip(names, images, strict=True))
    assert {"a black image", "a bright spot", "a horizontal gradient", "noise", "a scene"} <= {
        *by_name
    }
    spot = by_name["a bright spot"]
    assert (spot == 255).sum() == 1 and (spot == 0).sum() == spot.size - 1
    assert len({image.tobytes() for image in images}) == len(images)
    # Of all brightnesses and contrasts.
    assert np.ptp(images.mean((1, 2, 3))) > 200
    assert np.ptp(images.std((1, 2, 3))) > 90
