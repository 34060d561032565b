"""`camera`: seeded, each step has its effect, frames of `nothing` show no digit."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pocketlens.augment._planes import Random, blur_matrices
from pocketlens.augment.camera import _scan, camera
from pocketlens.augment.camera.light import lighting
from pocketlens.augment.camera.paper import boxes, edges, marks, rulings, texture
from pocketlens.augment.camera.pen import draw, ridges
from pocketlens.augment.camera.placing import inside, outside
from pocketlens.augment.camera.sensor import _jpeg, expose
from pocketlens.augment.camera.shapes import KINDS, shapes
from pocketlens.augment.camera.signs import ALIKE, likeness, sign_drawings
from pocketlens.data import load_data
from pocketlens.data.strokes import draw_strokes
from pocketlens.errors import OptionError
from pocketlens.image import InputSpec

SIDE = 48


@pytest.fixture(scope="module")
def digits() -> Tensor:
    """64 digits of `strokes`, `(64, 1, 48, 48)`."""
    found = load_data("strokes", input_spec=InputSpec(SIDE, SIDE)).subset(slice(64))
    return torch.from_numpy(found.channels_first().copy())


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(count: int, seed: int = 0) -> Random:
    return Random(seeded(seed), count, SIDE)


def test_same_seed_draws_the_same_frames(digits: Tensor) -> None:
    before = digits.clone()
    first, again, other = (camera(digits, seeded(seed), 9) for seed in (1, 1, 2))
    assert torch.equal(digits, before)
    assert first.shape == (len(digits) + 9, 1, SIDE, SIDE)
    assert first.dtype == torch.uint8
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_batches_of_any_size(count: int, digits: Tensor) -> None:
    assert len(camera(digits[:count], seeded())) == count
    assert len(camera(digits[:count], seeded(), 3)) == count + 3


def test_all_frames_are_different(digits: Tensor) -> None:
    frames = camera(digits, seeded(), 64, clean=0.0).flatten(1).float()
    apart = torch.cdist(frames, frames) + 1e9 * torch.eye(len(frames))
    assert apart.min() > 20


def test_clean_share_is_not_changed(digits: Tensor) -> None:
    assert torch.equal(camera(digits, seeded(), clean=1.0), digits)
    same = (camera(digits, seeded(), clean=0.5) == digits).flatten(1).all(1)
    assert 16 < int(same.sum()) < 48
    assert not (camera(digits, seeded(), clean=0.0) == digits).flatten(1).all(1).any()


def test_paper_is_light_or_dark(digits: Tensor) -> None:
    corner = (
        camera(digits.repeat(4, 1, 1, 1), seeded(), clean=0.0)[:, 0, :6, :6].float().mean((1, 2))
    )
    light = (corner > 127).float().mean()
    assert 0.3 < light < 0.75
    assert corner.std() > 40


def test_lines_of_different_width_have_the_same_ridge() -> None:
    images = torch.zeros(2, SIDE, SIDE, dtype=torch.uint8)
    images[0, 5:43, 23:26] = 255
    images[1, 5:43, 21:28] = 255
    thin, thick = ridges(images)[:, 24]
    assert thin[24] > 0.95
    assert thick[24] > 0.95
    assert thin[10] < 0.05
    assert thick[10] < 0.05
    assert (thick > 0.5).sum() - (thin > 0.5).sum() <= 4  # 7 and 3 pixels of ink


def test_pens_are_thin_and_thick(digits: Tensor) -> None:
    one = ridges(digits[:1, 0]).expand(200, -1, -1)
    inked = draw(one, drawn(200)).mean((1, 2))
    own = digits[0].float().mean() / 255
    assert inked.min() < 0.5 * own
    assert inked.max() > 1.3 * own


def test_without_rotation_the_digit_stays_upright_and_inside(digits: Tensor) -> None:
    dot = torch.zeros(300, SIDE, SIDE)
    dot[:, 23:25, 23:25] = 1
    placed = inside(dot, drawn(300), turn=0, smallest=0.5, largest=0.5)
    middles = [(plane == plane.max()).nonzero().float().mean(0) for plane in placed]
    places = torch.stack(middles) / SIDE * 2 - 1
    assert places.abs().max() <= 1
    assert places.std(0).min() > 0.4


def test_ink_stays_inside_and_reaches_every_border(digits: Tensor) -> None:
    field = (digits[:, 0].float() / 255).repeat(4, 1, 1)
    placed = inside(field, drawn(256), turn=20, smallest=0.6, largest=1.0)
    assert (placed.sum((1, 2)) / field.sum((1, 2))).min() > 0.3  # 0.6 squared, sheared
    for border in (placed[:, 0], placed[:, -1], placed[:, :, 0], placed[:, :, -1]):
        assert (border.amax(1) > 0.1).float().mean() < 0.2
    near = placed[:, :, :4].amax((1, 2)) > 0.5
    assert 0.03 < near.float().mean() < 0.5


def test_size_and_rotation_are_as_requested() -> None:
    bar = torch.zeros(200, SIDE, SIDE)
    bar[:, 10:38, 22:26] = 1
    y = torch.arange(SIDE, dtype=torch.float32)

    def height(planes: Tensor) -> Tensor:
        rows = planes.amax(2) > 0.5
        low = torch.where(rows, y, 99).amin(1)
        return torch.where(rows, y, -1).amax(1) - low + 1

    small = height(inside(bar, drawn(200), turn=0, smallest=0.5, largest=0.5))
    large = height(inside(bar, drawn(200), turn=0, smallest=1.2, largest=1.2))
    assert 10 < small.median() < 18  # 28 pixels, halved
    assert 29 < large.median() < 39
    flat = height(inside(bar, drawn(200), turn=90, smallest=1, largest=1))
    assert flat.min() < 14  # rotated by nearly 90°
    assert flat.max() > 24  # nearly upright


def test_ink_outside_the_frame_is_partly_visible(digits: Tensor) -> None:
    field = digits[:, 0].float() / 255
    seen = outside(field, drawn(64), smallest=1, largest=1, nearest=1.1, furthest=1.4)
    share = seen.sum((1, 2)) / field.sum((1, 2))
    assert share.max() < 0.6
    assert share.median() > 0.05


def test_blur_is_a_gaussian_with_sum_1() -> None:
    matrix = blur_matrices(31, (1.5,), torch.device("cpu"))[0]
    assert torch.allclose(matrix.sum(1), torch.ones(31))
    place = torch.arange(31) - 15
    expected = torch.exp(-(place**2) / (2 * 1.5**2))
    expected = expected / expected.sum()
    assert torch.allclose(matrix[15], expected, atol=1e-4)


def test_jpeg_rounds_like_pillow() -> None:
    photo = load_data("strokes", split="test", input_spec=InputSpec(SIDE, SIDE)).images[0, ..., 0]

    class Fixed(Random):
        def uniform(self, low: float | Tensor, high: float | Tensor) -> Tensor:
            return torch.full((1, 1, 1), 40.0)

    plane = torch.from_numpy(photo.copy())[None].float() / 255
    ours = (_jpeg(plane, Fixed(seeded(), 1, SIDE))[0] * 255).numpy()
    stored = io.BytesIO()
    Image.fromarray(photo).save(stored, "JPEG", quality=40)
    theirs = np.asarray(Image.open(stored), np.float32)
    assert np.abs(ours - theirs).mean() < 1.0
    assert np.abs(photo - theirs).mean() > 1.5  # there was something to round


def test_sizes_that_are_not_whole_blocks_are_rounded_too() -> None:
    planes = torch.rand(3, 30, 30, generator=seeded())
    out = _jpeg(planes, Random(seeded(), 3, 30))
    assert out.shape == planes.shape
    assert 0.005 < (out - planes).abs().mean() < 0.3


def test_sensor_uses_the_full_range_of_gray() -> None:
    frames = expose(torch.rand(50, SIDE, SIDE, generator=seeded()), drawn(50))
    assert frames.dtype == torch.uint8
    assert frames.min() == 0
    assert frames.max() == 255


def test_light_is_uneven_but_never_0() -> None:
    bright, glare = lighting(drawn(200))
    assert (bright.amax((1, 2)) - bright.amin((1, 2))).median() > 0.2
    assert bright.min() > 0.1
    assert glare.min() == 0
    assert 0.05 < (glare.flatten(1).amax(1) > 0.01).float().mean() < 0.25


@pytest.mark.parametrize(("part", "share"), [(rulings, 0.35), (marks, 0.25), (edges, 0.2)])
def test_each_effect_is_in_its_share_of_the_frames(
    part: Callable[[Random], Tensor], share: float
) -> None:
    planes = part(drawn(1000))
    assert planes.min() >= 0
    assert planes.max() <= 1
    present = (planes.flatten(1).amax(1) > 0.02).float().mean()
    assert abs(float(present) - share) < 0.06


def test_marks_stay_at_the_border() -> None:
    middle = marks(drawn(1000))[:, 18:30, 18:30]
    assert (middle.flatten(1).amax(1) > 0.05).float().mean() < 0.03


def test_texture_has_mean_0() -> None:
    planes = texture(drawn(500))
    assert abs(float(planes.mean())) < 0.01
    assert planes.abs().max() < 0.5


def test_only_smooth_noise_is_smooth() -> None:
    def change(planes: Tensor) -> float:
        return float(planes.diff(dim=1).abs().mean() / planes.std())

    random = drawn(100)
    assert change(random.smooth(3)) < 0.15 < change(random.smooth(24)) < change(random.noise())
    assert abs(float(random.noise().std()) - 1) < 0.05


@pytest.mark.parametrize("kind", [kind for kind, _ in KINDS], ids=lambda kind: kind.__name__[1:])
def test_each_kind_of_nothing_differs_from_frame_to_frame(
    kind: Callable[[Tensor, Random], Tensor], digits: Tensor
) -> None:
    ink = kind(digits[:, 0], drawn(64))
    assert ink.shape == (64, SIDE, SIDE)
    assert ink.min() >= 0
    assert ink.max() <= 1
    if kind.__name__ == "_blank":
        assert ink.max() == 0
        return
    assert (ink.flatten(1).amax(1) > 0.2).float().mean() > 0.7
    assert len(set(ink.flatten(1).mean(1).tolist())) > 50


def test_scrambled_digits_have_the_ink_of_the_digits(digits: Tensor) -> None:
    kind = next(kind for kind, _ in KINDS if kind.__name__ == "_scrambled")
    ink = kind(digits[:, 0], drawn(64))
    assert 0.2 < float(ink.mean() / (digits.float() / 255).mean()) < 2


def test_kinds_have_their_shares(digits: Tensor) -> None:
    share = {kind.__name__: share for kind, share in KINDS}["_blank"]
    ink = shapes(digits[:, 0].repeat(16, 1, 1), drawn(1024))
    blank = (ink.flatten(1).amax(1) == 0).float().mean()
    assert abs(float(blank) - share / sum(s for _, s in KINDS)) < 0.08


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((2, 3, 48, 48), {}, "square gray images of at least 16 × 16; received: 48 × 48, 3 chan"),
        ((2, 1, 48, 32), {}, "received: 48 × 32, 1 channel"),
        ((2, 1, 8, 8), {}, "received: 8 × 8"),
        (
            (2, 1, 48, 48),
            {"turn": 200.0},
            "turn must be from 0 to 180 degrees; received: 200.0",
        ),
        (
            (2, 1, 48, 48),
            {"smallest": 2.0},
            "must be from 0.2 to 1.4, smallest first; received: 2.0 and 1.35",
        ),
        (
            (2, 1, 48, 48),
            {"clean": 1.5},
            "clean must be a share from 0 to 1; received: 1.5",
        ),
    ],
)
def test_invalid_arguments_are_rejected(
    shape: tuple[int, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError) as error:
        camera(torch.zeros(shape, dtype=torch.uint8), seeded(), **options)
    assert message in str(error.value)


def test_invented_signs_vary_and_do_not_look_like_digits() -> None:
    drawings = sign_drawings(SIDE)
    assert torch.equal(drawings, sign_drawings.__wrapped__(SIDE))
    assert len(drawings) > 2000
    assert len(set(drawings.flatten(1).float().mean(1).tolist())) > 1000
    drawn = draw_strokes(population="world", count=4000).images[..., 0]
    digits = draw_strokes("test", population="world", count=300, side=SIDE).images[..., 0]
    like = likeness(digits, drawn)
    signs = likeness(drawings[: len(digits)].numpy(), drawn)
    # Most digits that were not compared with are found to be like digits, and no sign is.
    assert (like >= ALIKE).mean() > 0.8
    assert signs.max() < ALIKE


def test_signs_fill_the_box_of_mnist() -> None:
    drawings = sign_drawings(SIDE)
    extent = [(drawings.amax(axis) > 0).sum(1) for axis in (1, 2)]
    high = torch.maximum(*extent)
    assert high.max() <= 36  # 20 of 28 pixels, at 48
    assert high.float().median() >= 33


def test_boxes_go_around_the_ink_and_not_through_it(digits: Tensor) -> None:
    ink = inside(digits[:, 0].float() / 255, drawn(64), turn=0, smallest=0.4, largest=0.6)
    box = boxes(ink, drawn(64))
    assert box.shape == ink.shape
    assert 0 <= box.min() <= box.max() <= 1
    seen = box.flatten(1).amax(1) > 0.5
    assert seen.float().mean() > 0.7
    covered = ((box > 0.5) & (ink > 0.5)).sum((1, 2)) / (ink > 0.5).sum((1, 2))
    assert covered.mean() < 0.05


def test_scans_have_few_pixels_and_keep_the_ink(digits: Tensor) -> None:
    ink = (digits[:, 0].float() / 255).repeat(8, 1, 1)
    before = ink.clone()
    _scan(ink, drawn(len(ink)))
    changed = (ink != before).flatten(1).any(1)
    assert 0.04 < changed.float().mean() < 0.18
    share = ink[changed].sum((1, 2)) / before[changed].sum((1, 2))
    assert 0.6 < share.median() < 1.6
    small = before[:64] * 0
    small[:, 22:26, 22:26] = 1  # too small to be scanned
    left = small.clone()
    _scan(left, drawn(64))
    assert torch.equal(left, small)
