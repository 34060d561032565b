"""`camera`: clean digits as a phone's camera would see them, and frames without a digit.

The steps follow the physical order: place the ink in the frame (`placing`), draw it with a pen
(`pen`), add paper and other things on it (`paper`), light the scene (`light`), and record it with a
sensor (`sensor`). Frames of the class `nothing` go through the same steps with other ink (`shapes`)
or with none.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pocketlens.augment._planes import Random
from pocketlens.augment.camera.light import lighting
from pocketlens.augment.camera.paper import boxes, edges, marks, rulings, texture
from pocketlens.augment.camera.pen import draw, ridges
from pocketlens.augment.camera.placing import inside, outside
from pocketlens.augment.camera.sensor import expose
from pocketlens.augment.camera.shapes import shapes
from pocketlens.errors import OptionError

__all__ = ["camera"]

LARGEST = 1.4
"""At this scale, MNIST's box of 20 of 28 pixels fills the frame."""

FAINTEST = 0.29
"""Smallest difference in brightness between pen and paper; black to white is 1."""

SHARED = 4
"""Number of frames of a batch that share one scene."""

NEIGHBORS = 0.25
"""Share of frames with a part of another digit at the border."""

BOXED = 0.08
"""Share of frames with a printed box or field around the ink."""

SCANNED = 0.06
"""Share of frames whose ink was scanned in few pixels, mostly in black and white."""

COARSEST, FINEST = 11, 26
"""Pixels along a side of such a scan."""

LEAST_HIGH = 9
"""Pixels that the ink of such a scan is high, at least; with fewer, nobody can read it."""


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
    """Simulate a photo of each image in a random scene, and of scenes without a digit.

    Args:
        images: `(N, 1, S, S)` uint8, bright ink on black, `S` at least 16.
        generator: Source of all randomness, on the images' device.
        empty: Number of frames of the class `nothing` to add.
        turn: Largest rotation in degrees, in both directions, from 0 to 180.
        smallest: Smallest scale factor of a digit, at least 0.2.
        largest: Largest scale factor, at most 1.4.
        clean: Share of the images that are not changed, from 0 to 1.

    Returns:
        `(N + empty, 1, S, S)` uint8.

    Raises:
        OptionError: An option is out of range, or the images are not square and gray.
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
    _scan(ink, random.part(count + empty))
    frames = _photograph(ink, random.part(count + empty))[:, None]
    kept = random.choose(clean)
    frames[kept] = images[kept]
    return frames


def _add_neighbors(ink: Tensor, field: Tensor, random: Random) -> None:
    """Draw ink of another image at the border of some frames."""
    some = random.choose(NEIGHBORS)
    if not len(some):
        return
    part = random.part(len(some))
    other = field.roll(1, 0)[some]
    other = outside(other, part, smallest=0.5, largest=1.0, nearest=1.15, furthest=1.5)
    ink[some] = torch.maximum(ink[some], draw(other, part))


def _scan(ink: Tensor, random: Random) -> None:
    """Reduce the ink of some frames, if it is large enough, to few pixels; then enlarge it again.

    All frames of a batch have the same number of pixels, because a call takes about as long for
    one frame as for many.
    """
    side = random.side
    pixels = round(side / 48 * float(random.part(1).log_uniform(COARSEST, FINEST)))
    some = random.choose(SCANNED)
    high = (ink[some].amax(2) > 0.3).sum(1) * pixels / side
    some = some[high >= LEAST_HIGH]
    if not len(some):
        return
    part = random.part(len(some))
    coarse = F.interpolate(ink[some][:, None], size=(pixels, pixels), mode="area")
    limit = part.uniform(0.25, 0.6)[..., None]
    coarse = torch.where(part.bernoulli(0.6)[..., None] > 0, (coarse > limit).float(), coarse)
    blocky = float(random.part(1).uniform(0, 1)) < 0.25
    mode = {"mode": "nearest"} if blocky else {"mode": "bilinear", "align_corners": False}
    ink[some] = F.interpolate(coarse, size=(side, side), **mode)[:, 0]


def _photograph(ink: Tensor, random: Random) -> Tensor:
    """Photos `(N, S, S)` uint8 of planes of ink `(N, S, S)`: adds paper, light and sensor.

    Four frames share one scene, which saves a third of the time. Each frame has its own writing,
    pen, shade of paper and exposure.
    """
    count = random.count
    scenes = random.part(-(-count // SHARED))
    one = random.part(SHARED * scenes.count)
    written = one.uniform(0.3, 1) * marks(scenes).repeat(SHARED, 1, 1)
    boxed = random.choose(BOXED)
    if len(boxed):
        part = random.part(len(boxed))
        box = boxes(ink[boxed], part).mul_(part.uniform(0.15, 1))
        written[boxed] = torch.maximum(written[boxed], box)
    torch.maximum(written[:count], ink, out=written[:count])
    light_paper = one.bernoulli(0.6)
    dark_paper = 1 - light_paper
    paper = light_paper * one.uniform(0.5, 1) + dark_paper * one.uniform(0, 0.45)
    room = light_paper * paper + dark_paper * (1 - paper)
    contrast = FAINTEST + (room - FAINTEST).clamp(min=0) * one.uniform(0, 1).sqrt_()
    pen = (dark_paper - light_paper) * contrast
    # (SHARED, scenes, S, S): each scene (scenes, S, S) is broadcast to SHARED frames.
    shape = (SHARED, scenes.count)
    frame = written.mul_(pen).add_(paper).view(*shape, random.side, random.side)
    frame.add_(texture(scenes))
    frame.addcmul_(rulings(scenes), (pen * one.uniform(-0.2, 0.75)).view(*shape, 1, 1))
    frame.addcmul_(edges(scenes), (one.uniform(0, 1) - paper).view(*shape, 1, 1))
    bright, glare = lighting(scenes)
    frame.mul_(bright).add_(glare)
    return expose(frame.flatten(0, 1)[:count], random)


def _check(images: Tensor, turn: float, smallest: float, largest: float, clean: float) -> None:
    _, channels, height, width = images.shape
    if channels != 1 or height != width or height < 16:
        raise OptionError(
            "augment 'camera' needs square gray images of at least 16 × 16; "
            f"received: {height} × {width}, {channels} channel(s)"
        )
    if not 0 <= turn <= 180:
        raise OptionError(f"augment.turn must be from 0 to 180 degrees; received: {turn!r}")
    if not 0.2 <= smallest <= largest <= LARGEST:
        raise OptionError(
            "augment.smallest and augment.largest must be from 0.2 to "
            f"{LARGEST}, smallest first; received: {smallest!r} and {largest!r}"
        )
    if not 0 <= clean <= 1:
        raise OptionError(f"augment.clean must be a share from 0 to 1; received: {clean!r}")
