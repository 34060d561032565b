"""The table of sources, as `pocketlens data list` shows it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CATALOG", "Source"]


@dataclass(frozen=True)
class Source:
    """One source of images.

    Args:
        name: What `load_data` takes.
        title: One line.
        description: What the images are.
        train: Training images; None where the user's folder decides.
        test: Test images; None likewise.
        size: `(height, width, channels)` of an image; None likewise.
        download_bytes: What is downloaded on first use; 0 for nothing.
        license: Under which terms the images may be used.
        citation: What to cite.
    """

    name: str
    title: str
    description: str
    train: int | None
    test: int | None
    size: tuple[int, int, int] | None
    download_bytes: int
    license: str
    citation: str


CATALOG: tuple[Source, ...] = (
    Source(
        name="auto",
        title="mnist if it can be had, else strokes",
        description="Real MNIST from the data folder or the mirrors; offline with neither, the "
        "built-in strokes, and a note that says so.",
        train=None,
        test=None,
        size=(28, 28, 1),
        download_bytes=0,
        license="that of the source used",
        citation="",
    ),
    Source(
        name="mnist",
        title="MNIST handwritten digits",
        description="Digits written by US census workers and high-school students; white ink on "
        "black, fitted into 20 × 20 pixels and centered by mass.",
        train=60_000,
        test=10_000,
        size=(28, 28, 1),
        download_bytes=11_594_722,
        license="CC BY-SA 3.0 (Yann LeCun and Corinna Cortes; derived from NIST Special "
        "Databases 1 and 3)",
        citation='Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to '
        'document recognition", Proceedings of the IEEE 86(11):2278-2324, 1998',
    ),
    Source(
        name="strokes",
        title="built-in drawn digits",
        description="Digits drawn by a simulated pen, ten hands a digit and more, the European 1 "
        "and the crossed 7 among them; drawn anew from the seed, in the form of MNIST.",
        train=36_000,
        test=2_000,
        size=(28, 28, 1),
        download_bytes=0,
        license="MIT, as this program",
        citation="",
    ),
    Source(
        name="folder:PATH",
        title="a folder of your own pictures",
        description="One folder a class; PATH/train and PATH/test if both are there, else a fifth "
        "of every class, chosen by the seed, is the test set.",
        train=None,
        test=None,
        size=None,
        download_bytes=0,
        license="yours",
        citation="",
    ),
)
"""Every source that `load_data` takes."""
