"""Parameters of the simulated photos, all in one table.

A pair is the lowest and highest value. As in real photos, most frames are typical and few are
extreme: values follow a triangular distribution with its peak in the middle, or at 0 if the pair
starts at 0. A *probability* is the share of frames that have the effect at all. Lengths are in
`heights` (height of the digit), `units` (a twentieth of it), `frames` (side of the frame) or
pixels. Reflectance, light and opacity are from 0 to 1 as the eye sees them (not linear light).

The photos are a fixed set: the same drawings and seed give the same photos in every version of
Pocketlens with the same `VERSION`, so accuracies can be compared. The numbers are the suite's own.
They were not taken from the augmentation, and are not changed when it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["RANGES", "SIDE", "SURFACES", "VERSION", "Interval", "Ranges", "Surface"]

Interval: TypeAlias = tuple[float, float]

VERSION = 1
"""Raised with every change to this file, or to the code, that changes a photo."""

SIDE = 160
"""Height and width of a frame in pixels: 3.3 times a network's input of 48, 5.7 times one of 28."""


@dataclass(frozen=True)
class Ranges:
    """The range of each parameter."""

    # Position of the digit.
    height: Interval = (0.35, 0.95)  # frames; a wide digit is scaled down until it fits
    margin: float = 0.02  # frames; the whole digit keeps this distance from the border
    turn: Interval = (-25, 25)  # degrees
    shear: Interval = (-0.15, 0.15)  # of x by y
    stretch: Interval = (0.82, 1.2)  # of the width
    tilt: Interval = (0, 0.35)  # change of scale across half a frame, from perspective

    # The pen.
    redrawn: float = 0.75  # probability of redrawing the center line; else the outline is kept
    radius: Interval = (0.35, 1.9)  # units, logarithmic; from ballpoint to marker
    thicker: float = 0.35  # units; the most that a pen may be thicker than the original one
    outline: Interval = (-0.3, 0.4)  # units; offset of a kept outline, positive is outward
    least_stroke: float = 2.0  # pixels; minimum width of a stroke
    pressure: Interval = (0, 0.22)  # variation of the radius along the stroke
    opacity: Interval = (0.8, 1)  # of the ink
    fading: Interval = (0, 0.3)  # variation of the opacity
    broken: float = 0.15  # probability of small gaps
    double: float = 0.12  # probability of a second, shifted stroke
    double_shift: Interval = (0.5, 1.4)  # units
    grain: float = 0.15  # probability of grainy ink on surfaces without chalk
    contrast: float = 0.3  # smallest difference between ink and paper

    # The sheet.
    ruling: Interval = (0.06, 0.4)  # how much darker printed lines are than the paper, as a share
    squares: Interval = (0.28, 1.1)  # heights; distance of the lines on squared paper
    lines: Interval = (0.75, 1.8)  # heights; distance of the lines on lined paper
    askew: Interval = (-6, 6)  # degrees; angle between the digit and the lines
    texture: Interval = (0.005, 0.03)  # roughness of the paper

    # Other things in the frame.
    neighbor: float = 0.5  # probability of a part of another digit at a border
    neighbor_depth: Interval = (0.03, 0.12)  # frames; how far it reaches into the frame
    gap: float = 0.04  # frames; minimum distance of other things from the digit
    edge: float = 0.2  # probability of the sheet's edge
    faint_lines: float = 0.2  # probability of faint lines, folds or crosses across the frame
    show_through: float = 0.12  # probability of mirrored writing that shows through from the back
    faint: Interval = (0.04, 0.15)  # how much darker or lighter faint things are, as a share

    # Light.
    gradient: Interval = (0, 0.45)  # darkening from one side to the other
    unevenness: Interval = (0, 0.12)  # slow variation of the light
    shadow: float = 0.3  # probability of a shadow
    shadow_depth: Interval = (0.15, 0.5)
    shadow_edge: Interval = (0.005, 0.25)  # frames; from hard to soft
    vignette: Interval = (0, 0.3)  # darkening of the corners
    glare: float = 0.15  # probability of a bright spot
    glare_strength: Interval = (0.15, 0.5)
    glare_size: Interval = (0.08, 0.3)  # frames

    # The sensor.
    exposure: Interval = (0.65, 1.35)  # logarithmic
    gamma: Interval = (0.8, 1.3)
    defocus: Interval = (0, 1.0)  # standard deviation, in radii of the pen
    most_defocus: float = 2.4  # pixels
    motion: float = 0.3  # probability of motion blur
    motion_length: Interval = (0.4, 2.2)  # radii of the pen
    most_motion: float = 7  # pixels
    read_noise: Interval = (0.004, 0.022)
    shot_noise: Interval = (0.01, 0.045)  # at full light
    jpeg: tuple[int, int] = (25, 92)  # quality


@dataclass(frozen=True)
class Surface:
    """A surface to write on and the ink on it.

    Args:
        name: Its name in tables.
        paper: Reflectance of the surface.
        ink: Reflectance of the ink.
        ruling: Printed lines: `squared`, `lined`, or empty for none.
        rough: Roughness relative to paper.
        chalk: Whether the ink is grainy and the surface smeared, as with chalk.
    """

    name: str
    paper: Interval
    ink: Interval
    ruling: str = ""
    rough: float = 1
    chalk: bool = False


RANGES = Ranges()

SURFACES = (
    Surface("white paper", (0.72, 0.96), (0.02, 0.48)),
    Surface("squared paper", (0.75, 0.96), (0.02, 0.4), ruling="squared"),
    Surface("lined paper", (0.75, 0.96), (0.02, 0.4), ruling="lined"),
    Surface("cardboard", (0.42, 0.68), (0.02, 0.2), rough=3),
    Surface("blackboard", (0.06, 0.24), (0.6, 0.95), rough=1.5, chalk=True),
    Surface("colored paper", (0.35, 0.8), (0.02, 0.3)),
    Surface("whiteboard", (0.82, 0.98), (0.03, 0.42), rough=0.2),
    Surface("dark paper", (0.04, 0.32), (0.68, 0.98)),
)
"""The photo of image i is on surface number `i % len(SURFACES)`."""
