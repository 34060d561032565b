"""`camera`: clean digits as a phone's camera would see them, and frames that show none.

A frame is made in the order of nature: the ink is put somewhere into the frame (`placing`), drawn
with some pen (`pen`), laid on some paper among other things (`paper`), lit (`light`), and taken by
a sensor (`sensor`). Frames of the class `nothing` take the same way with other ink (`shapes`), or
with none.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pocketlens.augment._planes import Random
from pocketlens.augment.camera.light import lighting
from pocketlens.augment.camera.paper import edges, marks, rulings, texture
from pocketlens.augment.camera.pen import draw, ridges
from pocketlens.augment.camera.placing import inside, outside
from pocketlens.augment.camera.sensor import expose
from pocketlens.augment.camera.shapes import shapes
from pocketlens.errors import OptionError

__all__ = ["camera"]

LARGEST = 1.4
"""At 1.4 times its size, MNIST's box of 20 of 28 pixels fills the frame."""

FAINTEST = 0.3
"""Least difference between pen and paper, of 1 between black and white."""

SHARED = 4
"""Frames of a batch that share one scenery."""

NEIGHBORS = 0.25
"""Share of frames with a part of another digit at the border."""


def camera(
    images: Tensor,
    generator: torch.Generator,
    empty: int = 0,
    *,
    turn: float = 25.0,
    smallest: float = 0.45,
    largest: float = 1.35,
    clean: float = 0.1,
) -> Tensor:
    """Photograph each image, every frame in a scene of its own, and some scenes without a digit.

    Args:
        images: `(N, 1, S, S)` uint8: ink on a plain ground.
        generator: Source of all randomness, on the images' device.
        empty: How many frames of nothing to add.
        turn: Largest angle in degrees, either way.
        smallest: Least size of the digit, as a share of its size in the image.
        largest: Greatest size.
        clean: Share of the images that stay as they are.

    Returns:
        `(N + empty, 1, S, S)` uint8.

    Raises:
        OptionError: An option out of range, or images that are not square and gray.
    """
    _check(images, turn, smallest, largest, clean)
    count, _, side, _ = images.shape
    random = Random(generator, count, side)
    field = ridges(images[:, 0])
    ink = draw(inside(field, random, turn=turn, smallest=smallest, largest=largest), random)
    _add_neighbors(ink, field, random)
    if empty:
        source = torch.arange(empty, device=images.device) % count
        ink = torch.cat([ink, shapes(images[source, 0], random.part(empty))])
    frames = _photograph(ink, random.part(count + empty))[:, None]
    kept = random.some(clean)
    frames[kept] = images[kept]
    return frames


def _add_neighbors(ink: Tensor, field: Tensor, random: Random) -> None:
    """Draw another image's ink at the border of some frames."""
    some = random.some(NEIGHBORS)
    if not len(some):
        return
    part = random.part(len(some))
    other = field.roll(1, 0)[some]
    other = outside(other, part, smallest=0.5, largest=1.0, nearest=1.15, furthest=1.5)
    ink[some] = torch.maximum(ink[some], draw(other, part))


def _photograph(ink: Tensor, random: Random) -> Tensor:
    """Frames `(N, S, S)` uint8 of planes of ink `(N, S, S)`: paper, light, sensor.

    The scenery is drawn for a quarter of the frames, and each serves four of them; what is written,
    the pen, the paper's shade and the exposure are a frame's own. It saves a third of all work.
    """
    count = random.count
    scenes = random.part(-(-count // SHARED))
    one = random.part(SHARED * scenes.count)
    written = one.uniform(0.3, 1) * marks(scenes).repeat(SHARED, 1, 1)
    torch.maximum(written[:count], ink, out=written[:count])
    light_paper = one.chance(0.6)
    dark_paper = 1 - light_paper
    paper = light_paper * one.uniform(0.5, 1) + dark_paper * one.uniform(0, 0.45)
    room = light_paper * paper + dark_paper * (1 - paper)
    contrast = FAINTEST + (room - FAINTEST).clamp(min=0) * one.uniform(0, 1).sqrt_()
    pen = (dark_paper - light_paper) * contrast
    # (SHARED * scenes, S, S) and what each scene lends to (scenes, S, S) of them.
    shape = (SHARED, scenes.count)
    frame = written.mul_(pen).add_(paper).unflatten(0, shape)
    frame.add_(texture(scenes))
    frame.addcmul_(rulings(scenes), (pen * one.uniform(-0.2, 0.75)).unflatten(0, shape))
    frame.addcmul_(edges(scenes), (one.uniform(0, 1) - paper).unflatten(0, shape))
    bright, glare = lighting(scenes)
    frame.mul_(bright).add_(glare)
    return expose(frame.flatten(0, 1)[:count], random)


def _check(images: Tensor, turn: float, smallest: float, largest: float, clean: float) -> None:
    _, channels, height, width = images.shape
    if channels != 1 or height != width or height < 16:
        raise OptionError(
            "augment 'camera' takes square gray images of at least 16 × 16; "
            f"received: {height} × {width}, {channels} channel(s)"
        )
    if not 0 <= turn <= 180:
        raise OptionError(f"augment.turn is from 0 to 180 degrees; received: {turn!r}")
    if not 0.2 <= smallest <= largest <= LARGEST:
        raise OptionError(
            "augment.smallest and augment.largest are in that order from 0.2 to "
            f"{LARGEST}; received: {smallest!r} and {largest!r}"
        )
    if not 0 <= clean <= 1:
        raise OptionError(f"augment.clean is a share from 0 to 1; received: {clean!r}")
