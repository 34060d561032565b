"""Near-duplicates: what is found, what is not, and which pictures stay together."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from pocketlens.data import Dataset
from pocketlens.data import near_duplicates as module
from pocketlens.data.fingerprints import Fingerprints
from pocketlens.data.near_duplicates import Pairs, find_near_duplicates, group
from pocketlens.data.splitting import hold_out
from pocketlens.errors import DataError


def scene(seed: int) -> Image.Image:
    """A picture with the frequencies of a photo, and some things in front."""
    random = np.random.default_rng(seed)
    across, down = np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128))
    power = np.hypot(across, down)
    power[0, 0] = 1
    waves = [np.fft.ifft2(np.fft.fft2(random.normal(size=(128, 128))) / power) for _ in range(3)]
    planes = [128 + 50 * wave.real / wave.real.std() for wave in waves]
    image = Image.fromarray(np.stack(planes, -1).clip(0, 255).astype(np.uint8)).resize((320, 240))
    draw = ImageDraw.Draw(image)
    for _ in range(4):
        x, y, a, b = (int(v) for v in random.integers((0, 0, 20, 20), (300, 220, 90, 90)))
        draw.ellipse((x, y, x + a, y + b), fill=tuple(int(v) for v in random.integers(0, 256, 3)))
    return image


def recompressed(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=25)
    return Image.open(stream).convert("RGB")


def mixed(image: Image.Image) -> Image.Image:
    return recompressed(ImageEnhance.Brightness(image.crop((10, 6, 298, 222))).enhance(1.2))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "recompressed": recompressed,
    "scaled": lambda image: image.resize((130, 97)),
    "cropped in the corner": lambda image: image.crop((0, 24, 288, 240)),
    "cropped on one side": lambda image: image.crop((0, 0, 288, 240)),
    "cropped in the middle": lambda image: image.crop((13, 9, 301, 225)),
    "mirrored": ImageOps.mirror,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "turned": lambda image: image.rotate(90, expand=True),
    "gray": lambda image: image.convert("L").convert("RGB"),
    "all at once": mixed,
}
SCENES = [scene(seed) for seed in range(30)]


def pairs(images: list[Image.Image]) -> set[tuple[int, int]]:
    found = find_near_duplicates(Fingerprints.of(images))
    assert (found.first < found.second).all()
    return set(zip(found.first.tolist(), found.second.tolist(), strict=True))


def test_different_pictures_are_no_pairs() -> None:
    flat = [Image.new("RGB", (50, 50), color) for color in ("white", "white", "gray")]
    assert pairs([*SCENES, *flat]) == set()
    assert pairs([]) == pairs(SCENES[:1]) == set()


@pytest.mark.parametrize("change", [name for name in CHANGES if name != "gray"])
def test_changed_copies_are_found(change: str) -> None:
    copies = [CHANGES[change](image) for image in SCENES]
    assert pairs([*SCENES, *copies]) == {(n, 30 + n) for n in range(30)}


def page(seed: int) -> Image.Image:
    """Lines of words on tinted paper."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (300, 400), tuple(int(v) for v in random.integers(225, 256, 3)))
    draw = ImageDraw.Draw(image)
    for y in range(int(random.integers(10, 30)), 380, int(random.integers(14, 22))):
        x = 20
        while x < random.integers(150, 290):
            width = int(random.integers(8, 50))
            draw.rectangle((x, y, x + width, y + 7), fill=(40, 40, 40))
            x += width + 8
    return image


def drawing(seed: int) -> Image.Image:
    """Things of bright colors before a plain background."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (256, 256), tuple(int(v) for v in random.integers(60, 230, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y, a, b = (int(v) for v in random.integers((0, 0, 30, 30), (220, 220, 130, 130)))
        draw.ellipse((x, y, x + a, y + b), fill=tuple(int(v) for v in random.integers(60, 256, 3)))
    return image


def screen(seed: int) -> Image.Image:
    """Panels with lines of text, as on a screen."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (360, 240), tuple(int(v) for v in random.integers(0, 200, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y, a, b = (int(v) for v in random.integers((0, 0, 60, 30), (290, 190, 200, 120)))
        draw.rectangle(
            (x, y, x + a, y + b), fill=tuple(int(v) for v in random.integers(150, 256, 3))
        )
        for line in range(y + 6, y + b - 6, 9):
            end = int(random.integers(x + 20, x + a))
            draw.line((x + 6, line, end, line), fill=(60, 60, 70), width=3)
    return image


def arc(seed: int) -> Image.Image:
    """A single line, as of a rainbow drawn by hand."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (112, 112), "white")
    across = np.linspace(-1, 1, 12)
    bend, lean, wobble = random.uniform(25, 50), random.normal(0, 4), random.normal(0, 1.5, 12)
    down = 35 + bend * np.abs(across) ** random.uniform(1.6, 3.5) + lean * across + wobble
    points = list(zip((56 + 46 * across).tolist(), down.tolist(), strict=True))
    ImageDraw.Draw(image).line(points, fill="black", width=5, joint="curve")
    return image


def exposed_longer(image: Image.Image) -> Image.Image:
    return image.point([round(255 * (value / 255) ** 0.7) for value in range(256)] * 3)


@pytest.mark.parametrize("change", ["recompressed", "scaled", "mirrored", "brighter", "exposed"])
def test_changed_copies_of_drawings_and_screens_are_found(change: str) -> None:
    images = [make(seed) for make in (drawing, screen, arc, page) for seed in range(6)]
    copies = [{**CHANGES, "exposed": exposed_longer}[change](image) for image in images]
    found = pairs([*images, *copies])
    assert len(found) >= 22
    assert all(other - one == len(images) for one, other in found)


def test_different_lines_are_no_pairs() -> None:
    """Some differ in few cells if one of them is made brighter, or exposed longer."""
    assert pairs([arc(seed) for seed in (2, 15, 30, 50, *range(60, 72))]) == set()


@pytest.mark.parametrize("make", [page, drawing])
@pytest.mark.parametrize("box", [(0.06, 0.03, 0.96, 0.93), (0.1, 0, 1, 1), None])
def test_cropped_and_brighter_pages_and_drawings_are_found(
    make: Callable[[int], Image.Image], box: tuple[float, ...] | None
) -> None:
    images = [make(seed) for seed in range(20)]
    copies = []
    for image in images:
        copies.append(CHANGES["brighter"](image))
        if box is not None:
            left, top, right, bottom = (int(v) for v in np.multiply(box, [*image.size] * 2))
            copies[-1] = image.crop((left, top, right, bottom))
    found = pairs([*images, *copies])
    assert len(found) >= 18
    assert all(other - one == 20 for one, other in found)


def face(seed: int) -> Image.Image:
    """A simple drawing of a face: all are very similar."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (256, 256), "white")
    draw = ImageDraw.Draw(image)
    x, y, size, mouth = (int(v) for v in random.integers((110, 110, 70, 20), (146, 146, 105, 50)))
    draw.ellipse((x - size, y - size, x + size, y + size), outline="black", width=4)
    for side in (-1, 1):
        eye, across, up = (int(v) for v in random.integers((5, 20, 10), (12, 40, 40)))
        center = (x + side * across, y - up)
        draw.ellipse((*np.subtract(center, eye), *np.add(center, eye)), fill="black")
    draw.arc((x - mouth, y, x + mouth, y + mouth), 20, 160, fill="black", width=4)
    return image


def mug(seed: int) -> Image.Image:
    """A thing of one color before a white background."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (256, 256), "white")
    draw = ImageDraw.Draw(image)
    x, y, a, b, handle = (
        int(v) for v in random.integers((50, 40, 60, 80, 20), (90, 90, 110, 140, 45))
    )
    color = tuple(int(v) for v in random.integers(0, 256, 3))
    draw.ellipse((x + a - 22, y + b / 4, x + a + handle, y + b * 0.75), outline=color, width=10)
    draw.rounded_rectangle((x, y, x + a, y + b), 12, fill=color)
    return image


@pytest.mark.parametrize("make", [face, mug])
def test_different_drawings_of_one_thing_are_no_pairs_but_copies_are(
    make: Callable[[int], Image.Image],
) -> None:
    images = [make(seed) for seed in range(60)]
    assert len(pairs(images)) <= 1
    for change in (recompressed, ImageOps.mirror, lambda image: image.crop((0, 26, 230, 256))):
        found = pairs([*images[:20], *map(change, images[:20])])
        assert sum(other - one == 20 for one, other in found) >= 19


def test_a_thing_in_another_color_is_another_one() -> None:
    colors = [(220, 30, 30), (240, 220, 30), (40, 160, 60), (30, 60, 200), (60, 60, 60)]
    things = [Image.new("RGB", (128, 128), "white") for _ in colors]
    for image, color in zip(things, colors, strict=True):
        ImageDraw.Draw(image).ellipse((30, 30, 98, 98), fill=color)
    assert pairs(things) == set()


def test_many_pictures_are_compared_with_those_at_the_same_pivots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ALL_PAIRS", 10)
    copies = [mixed(image) for image in SCENES]
    assert len(pairs([*SCENES, *copies])) >= 28


def test_a_burst_is_one_group() -> None:
    """The camera moves: each picture shows most of the one before."""
    burst = [SCENES[0].crop((3 * n, 2 * n, 280 + 3 * n, 210 + 2 * n)) for n in range(12)]
    found = find_near_duplicates(Fingerprints.of([*SCENES[1:], *burst]))
    groups = group(41, found)
    assert set(groups[29:]) == {29}
    assert groups[:29].tolist() == list(range(29))


def test_groups_of_connected_pictures() -> None:
    some = Pairs(np.array([0, 5, 2]), np.array([3, 7, 5]), np.ones(3, np.float32))
    assert group(8, some).tolist() == [0, 1, 2, 0, 4, 2, 6, 2]


@pytest.mark.parametrize(
    ("groups", "count", "expected"),
    [
        ([0, 1, 2, 3], 2, [0, 1]),  # without groups: the first in the order
        ([0, 0, 2, 3], 2, [0, 1]),
        ([0, 0, 0, 3], 2, [3]),  # the first group does not fit
        ([0, 0, 2, 2], 1, [0, 1]),  # none fits: the smallest
        ([0, 0, 0, 0], 2, []),  # never all
        ([0, 1, 2, 3], 0, []),
    ],
)
def test_groups_are_held_out_as_a_whole(groups: list[int], count: int, expected: list[int]) -> None:
    mask = hold_out(np.array(groups), count, np.arange(4))
    assert np.flatnonzero(mask).tolist() == expected


def test_a_dataset_keeps_groups_together() -> None:
    groups = np.repeat(np.arange(10), 4)
    images = np.arange(40, dtype=np.uint8).reshape(-1, 1, 1, 1)
    data = Dataset(images, np.zeros(40, np.int64), ("a",), groups=groups)
    rest, held = data.split(0.3, seed=1)
    assert (len(rest), len(held)) == (28, 12)
    assert held.groups is not None
    assert rest.groups is not None
    assert not set(rest.groups) & set(held.groups)
    both = data.joined(Dataset(images, np.zeros(40, np.int64), ("a",)))
    assert both.groups is not None
    assert len(set(both.groups)) == 50
    with pytest.raises(DataError, match=r"40 labels but groups of shape \(3,\)"):
        Dataset(images, np.zeros(40, np.int64), ("a",), groups=groups[:3])


def test_candidates_that_are_all_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALIGNED", 2.0)
    assert pairs([*SCENES, *SCENES]) == set()
