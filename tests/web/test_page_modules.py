"""The page crops, resizes and decides as Python does: the same rows through both."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from pocketlens.app.spec import Display
from pocketlens.image import InputSpec, prepare
from pocketlens.prediction import NOTHING
from pocketlens.preview.smoothing import Smoother
from web.page_modules import answers

SIZES = [(28, 28), (64, 48), (48, 64), (17, 90), (200, 31), (5, 3), (1, 1), (47, 48), (33, 32)]
INPUTS = [
    InputSpec(90, 17, crop="fill"),
    InputSpec(31, 64, "rgb", crop="fill"),
    InputSpec(28, 28),
    InputSpec(20, 32, "rgb"),
    InputSpec(31, 17, "bgr", crop="fit"),
    InputSpec(24, 24, crop="fit"),
    InputSpec(9, 21, "rgb", crop="fill"),
    InputSpec(48, 48, "rgb", crop="center-crop"),
]


def test_images_are_prepared_as_in_python(tmp_path: Path) -> None:
    """Up to the rounding between two passes, whose order depends on Pillow's version."""
    rng = np.random.default_rng(0)
    cases, wanted = [], []
    for width, height in SIZES:
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        data = np.dstack([image, np.full((height, width), 255, np.uint8)]).ravel().tolist()
        for spec in INPUTS:
            given = {"width": width, "height": height, "data": data, "input": spec.to_dict()}
            cases.append({"kind": "prepare", **given})
            wanted.append((spec, prepare(image, spec)))
    equal = []
    for case, (spec, pixels), found in zip(cases, wanted, answers(cases, tmp_path), strict=True):
        where = f"{case['width']} × {case['height']} for {spec}"
        got = np.array(found["pixels"], int).reshape(pixels.shape)
        assert np.abs(got - pixels).max() <= 1, where
        equal.append((got == pixels).mean())
        one_pass = case["width"] == spec.width or case["height"] == spec.height
        if one_pass and spec.crop == "fill":
            assert equal[-1] == 1, where
        plain = spec.with_values(scale=1.0, bias=0.0)
        planes = plain.network_input(got[None].astype(np.uint8))
        assert found["planes"] == planes.ravel().tolist(), where
    assert min(equal) > 0.6 and np.mean(equal) > 0.9


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    data = [10, 20, 30, 0, 0, 0, 0, 255, 255, 0, 0, 128]
    given = {"width": 3, "height": 1, "data": data, "input": InputSpec(1, 3, "rgb").to_dict()}
    (found,) = answers([{"kind": "prepare", **given}], tmp_path)
    assert found["pixels"] == [255, 255, 255, 0, 0, 0, 255, 127, 127]


def test_labels_are_shown_as_in_the_preview(tmp_path: Path) -> None:
    """Streams that wander from class to class, with and without a class `nothing`."""
    rng = np.random.default_rng(0)
    cases, wanted = [], []
    for classes in (("a", "b", NOTHING), ("a", "b", "c", "d"), ("only",)):
        for display in (Display(), Display(show=0.6, keep=0.3, margin=0.1, hold=2, smoothing=0.7)):
            for still in (False, True):
                walk = np.cumsum(rng.standard_normal((120, len(classes))), axis=0)
                frames = np.exp(walk) / np.exp(walk).sum(1, keepdims=True)
                frames[::17] = 1 / len(classes)  # ties
                given = {"classes": classes, "thresholds": asdict(display), "still": still}
                background = NOTHING if NOTHING in classes else None
                cases.append(
                    {"kind": "decision", **given, "background": background}
                    | {"frames": frames.tolist()}
                )
                if still:
                    display = Display(**{**asdict(display), "hold": 1, "smoothing": 1.0})
                smoother, shown = Smoother(classes, display), []
                for frame in frames:
                    label = smoother.add(frame)
                    shown.append((label, smoother.confidence, smoother.verdict))
                wanted.append(shown)
    labels = set()
    for want, found in zip(wanted, answers(cases, tmp_path), strict=True):
        got = [(each["shown"], each["confidence"], each["verdict"]) for each in found]
        assert got == want
        labels |= {verdict for _, _, verdict in got}
    assert labels == {"a", "b", "c", "d", "only", NOTHING, "not sure"}
