"""The light on a scene and the camera that photographs it: from reflectance to gray values."""

from __future__ import annotations

import io
import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pocketlens.evaluation.robustness.drawing import (
    Array,
    Random,
    X,
    Y,
    bernoulli,
    blend,
    blurred,
    half_plane,
    log_triangular,
    slow_noise,
    streaked,
    triangular,
    uniform,
)
from pocketlens.evaluation.robustness.ranges import RANGES, SIDE

__all__ = ["take"]

MIDDLE = SIDE / 2


@cache
def _noise_strip() -> Array:
    """Gaussian noise `(524288,)`; each frame uses a part of it, at a position drawn by its seed."""
    return np.random.default_rng(160).standard_normal(1 << 19, np.float32)


def take(scene: Array, random: Random, *, sharpness: float) -> NDArray[np.uint8]:
    """Simulate a photo of a scene.

    Args:
        scene: `(SIDE, SIDE)` reflectance.
        random: Draws the light and the camera's settings.
        sharpness: Length in pixels that blur is relative to: the radius of the pen, so that thin
            strokes are not blurred away.

    Returns:
        `(SIDE, SIDE)` uint8.
    """
    lit = _lit(scene, random)
    blurred = _moved_while_open(_defocused(lit, random, sharpness), random, sharpness)
    return _compressed(_sensed(blurred, random), random)


def _lit(scene: Array, random: Random) -> Array:
    angle = uniform(random, (0, 2 * math.pi))
    across = (math.cos(angle) * (X - MIDDLE) + math.sin(angle) * (Y - MIDDLE)) / SIDE
    light = 1 - triangular(random, RANGES.gradient) * (0.5 + across)
    light += triangular(random, RANGES.unevenness) * slow_noise(random, 4)
    if bernoulli(random, RANGES.shadow):
        light *= 1 - triangular(random, RANGES.shadow_depth) * _shadow(random)
    away = ((X - MIDDLE) ** 2 + (Y - MIDDLE) ** 2) / MIDDLE**2  # 2 in the corners
    light *= 1 - triangular(random, RANGES.vignette) / 2 * away
    lit = scene * np.clip(light, 0.15, 1.4)
    if bernoulli(random, RANGES.glare):
        lit = blend(lit, 1.0, triangular(random, RANGES.glare_strength) * _spot(random))
    return np.asarray(lit, np.float32)


def _shadow(random: Random) -> Array:
    """1 in the shadow of something straight, of a strip, or of a hand or head."""
    soft = log_triangular(random, RANGES.shadow_edge) * SIDE
    kind = random.integers(3)
    angle = uniform(random, (0, 2 * math.pi))
    middle = MIDDLE * (math.cos(angle) + math.sin(angle))
    start = middle + uniform(random, (-0.35, 0.35)) * SIDE
    if kind == 0:
        return half_plane(angle, start, soft)
    if kind == 1:
        end = start + uniform(random, (0.1, 0.5)) * SIDE
        return np.asarray(half_plane(angle, start, soft) * (1 - half_plane(angle, end, soft)))
    # A hand or head: its middle is outside the frame, so that no disk looks like a 0.
    wide, tall = uniform(random, (0.3, 0.7)) * SIDE, uniform(random, (0.3, 0.7)) * SIDE
    away = uniform(random, (0.75, 1.0)) * SIDE
    x, y = MIDDLE + away * math.cos(angle), MIDDLE + away * math.sin(angle)
    inside = (1 - np.sqrt(((X - x) / wide) ** 2 + ((Y - y) / tall) ** 2)) * min(wide, tall)
    return np.asarray(np.clip(inside / max(soft, 1) + 0.5, 0, 1))


def _spot(random: Random) -> Array:
    x, y = uniform(random, (0, 1)) * SIDE, uniform(random, (0, 1)) * SIDE
    wide = triangular(random, RANGES.glare_size) * SIDE
    tall = wide * uniform(random, (0.5, 2))
    return np.asarray(np.exp(-((X - x) ** 2) / (2 * wide**2) - (Y - y) ** 2 / (2 * tall**2)))


def _defocused(plane: Array, random: Random, sharpness: float) -> Array:
    deviation = min(triangular(random, RANGES.defocus) * sharpness, RANGES.most_defocus)
    if deviation < 0.3:
        return plane
    return blurred(plane, deviation, (0, 1))


def _moved_while_open(plane: Array, random: Random, sharpness: float) -> Array:
    if not bernoulli(random, RANGES.motion):
        return plane
    length = min(triangular(random, RANGES.motion_length) * sharpness, RANGES.most_motion)
    return streaked(plane, length, uniform(random, (0, math.pi)), (0, 1))


def _sensed(plane: Array, random: Random) -> Array:
    # A phone adjusts its exposure to the scene, but not completely.
    metered = (0.5 / max(float(plane.mean()), 0.05)) ** 0.4
    light = np.clip(plane * (metered * log_triangular(random, RANGES.exposure)), 0, 1)
    light **= triangular(random, RANGES.gamma)
    read, shot = triangular(random, RANGES.read_noise), triangular(random, RANGES.shot_noise)
    strip = _noise_strip()
    start = random.integers(len(strip) - light.size)
    noise = strip[start : start + light.size].reshape(light.shape)
    return np.asarray(light + np.sqrt(read**2 + shot**2 * light) * noise, np.float32)


def _compressed(plane: Array, random: Random) -> NDArray[np.uint8]:
    from PIL import Image

    gray = np.clip(plane * 255 + 0.5, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    quality = int(random.integers(RANGES.jpeg[0], RANGES.jpeg[1] + 1))
    Image.fromarray(gray).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file, formats=("JPEG",)))
