"""Short texts on figures: names, counts, small numbers."""

from __future__ import annotations

import pytest

from pocketlens.report import canvas
from pocketlens.report.canvas import columns_of, plural, short, small


@pytest.mark.parametrize(
    ("name", "most", "cut"),
    [
        ("tulip", 5, "tulip"),
        ("two\n  lines", 20, "two lines"),
        ("ImageNet class number 17", 12, "ImageNe…r 17"),
        ("日本語の長いクラス名", 12, "日本語…ス名"),
    ],
)
def test_long_names_are_shortened_in_the_middle(name: str, most: int, cut: str) -> None:
    assert short(name, most) == cut
    assert columns_of(cut) <= most


def test_plurals() -> None:
    assert plural(1, "image") == "1 image"
    assert plural(10_000, "image") == "10,000 images"
    assert plural(2, "class") == "2 classes"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.5, "0.5"), (2.5e-4, "0.00025"), (1e-4, "0.0001"), (3.14e-6, "3.1 × 10⁻⁶")],
)
def test_small_numbers(value: float, text: str) -> None:
    assert small(value) == text


def test_other_scripts_are_drawn_in_fonts_that_are_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from matplotlib.font_manager import FontEntry, fontManager

    installed = [FontEntry(name=name) for name in ("WenQuanYi Zen Hei", "Comic", "DejaVu Sans")]
    monkeypatch.setattr(fontManager, "ttflist", installed)
    assert canvas._fonts() == ["DejaVu Sans", "WenQuanYi Zen Hei"]
