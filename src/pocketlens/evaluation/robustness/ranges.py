"""What the simulated photographs vary, and how far: one table.

A pair is the lowest and highest value. As on a roll of real pictures, most frames are ordinary and
few extreme: what is drawn between the two has the density of a triangle, highest in the middle, or
at 0 where the pair starts there. A *chance* is how many frames of all have the thing at all.
Lengths named `heights` are in heights of the digit, `units` in twentieths of it, `frames` in sides
of the frame; reflectance, light and opacity are shares from 0 to 1 as the eye sees them (not linear
light).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["RANGES", "SIDE", "SURFACES", "Ranges", "Surface"]

Span: TypeAlias = tuple[float, float]

SIDE = 160
"""Height and width of a frame in pixels: 3.3 times a network's 48, 5.7 times its 28."""


@dataclass(frozen=True)
class Ranges:
    """How far each thing goes."""

    # Where the digit stands.
    height: Span = (0.35, 0.95)  # frames; a wide digit is made smaller until it fits
    margin: float = 0.02  # frames; the whole digit keeps this distance from the border
    turn: Span = (-25, 25)  # degrees
    shear: Span = (-0.15, 0.15)  # of x by y
    stretch: Span = (0.82, 1.2)  # of the width
    tilt: Span = (0, 0.35)  # change of scale across half a frame, by perspective

    # The pen.
    redrawn: float = 0.75  # chance: the middle line drawn anew; else the drawing's own outline
    radius: Span = (0.35, 1.9)  # units, drawn in the logarithm; ballpoint to marker
    thicker: float = 0.35  # units, by which a pen may be thicker than the drawing's own
    outline: Span = (-0.3, 0.4)  # units, by which the own outline is moved outwards
    least_stroke: float = 2.0  # pixels; a thinner pen than this is taken as this thick
    pressure: Span = (0, 0.22)  # swing of the radius along the stroke
    opacity: Span = (0.8, 1)  # of the ink
    fading: Span = (0, 0.3)  # swing of the opacity
    broken: float = 0.15  # chance of small gaps
    double: float = 0.12  # chance of a second, shifted stroke
    double_shift: Span = (0.5, 1.4)  # units
    grain: float = 0.15  # chance of dry, grainy ink where the surface does not make it so
    contrast: float = 0.3  # least difference of ink and paper

    # The sheet.
    ruling: Span = (0.06, 0.4)  # share by which printed lines are darker than the paper
    squares: Span = (0.28, 1.1)  # heights, between squared paper's lines
    lines: Span = (0.75, 1.8)  # heights, between lined paper's lines
    askew: Span = (-6, 6)  # degrees, of the digit against the lines
    texture: Span = (0.005, 0.03)  # roughness of the paper

    # What else is in view.
    neighbor: float = 0.5  # chance of a part of another digit at a border
    neighbor_depth: Span = (0.03, 0.12)  # frames, that it reaches in
    gap: float = 0.04  # frames, least distance of such things from the digit
    edge: float = 0.2  # chance of the sheet's edge
    faint_lines: float = 0.2  # chance of faint lines, folds or crosses across the frame
    show_through: float = 0.12  # chance of the back's writing showing through, mirrored
    faint: Span = (0.04, 0.15)  # share by which faint things are darker or lighter

    # Light.
    gradient: Span = (0, 0.45)  # darkening from one side to the other
    unevenness: Span = (0, 0.12)  # slow swing of the light
    shadow: float = 0.3  # chance of a shadow
    shadow_depth: Span = (0.15, 0.5)
    shadow_edge: Span = (0.005, 0.25)  # frames; hard to soft
    vignette: Span = (0, 0.3)  # darkening of the corners
    glare: float = 0.15  # chance of a bright spot
    glare_strength: Span = (0.15, 0.5)
    glare_size: Span = (0.08, 0.3)  # frames

    # The sensor.
    exposure: Span = (0.65, 1.35)  # drawn in the logarithm
    gamma: Span = (0.8, 1.3)
    defocus: Span = (0, 1.0)  # standard deviation, in radii of the pen
    most_defocus: float = 2.4  # pixels
    motion: float = 0.3  # chance of motion blur
    motion_length: Span = (0.4, 2.2)  # radii of the pen
    most_motion: float = 7  # pixels
    read_noise: Span = (0.004, 0.022)
    shot_noise: Span = (0.01, 0.045)  # at full light
    jpeg: tuple[int, int] = (25, 92)  # quality


@dataclass(frozen=True)
class Surface:
    """Something to write on, and what is written with.

    Args:
        name: As the tables call it.
        paper: Its reflectance.
        ink: The ink's reflectance.
        ruling: Its printed lines.
        rough: How many times rougher than paper.
        chalk: The ink is grainy and the surface smeared.
    """

    name: str
    paper: Span
    ink: Span
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
"""The photograph of image i is taken on surface i modulo their number."""
