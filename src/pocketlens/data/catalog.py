"""The table of data sources, shown by `pocketlens data list`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CATALOG", "Source"]


@dataclass(frozen=True)
class Source:
    """One source of images.

    Args:
        name: The name to pass to `load_data`.
        title: A one-line summary.
        description: What the images show and how they are split.
        train: Number of training images; None if it depends on the user's folder.
        test: Number of test images; None if it depends on the user's folder.
        size: `(height, width, channels)` of an image; None if it depends on the user's folder.
        download_bytes: Bytes downloaded on first use; 0 if nothing is.
        license: The license of the images.
        citation: The publication to cite; empty if there is none.
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
        title="mnist if available, else strokes",
        description="Real MNIST from the data folder or, if it is not there, from the web. If "
        "neither works, the built-in strokes with a warning.",
        train=None,
        test=None,
        size=(28, 28, 1),
        download_bytes=0,
        license="the license of the source that is used",
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
        description="Digits drawn by a simulated pen in the format of MNIST, in ten or more "
        "handwriting styles per digit, including the European 1 and the crossed 7. The seed "
        "determines the images.",
        train=36_000,
        test=2_000,
        size=(28, 28, 1),
        download_bytes=0,
        license="MIT, like Pocketlens itself",
        citation="",
    ),
    Source(
        name="folder:PATH",
        title="a folder of your own images",
        description="One folder per class. If PATH has both train and test folders, they are the "
        "two splits; otherwise the seed chooses a fifth of each class as the test set.",
        train=None,
        test=None,
        size=None,
        download_bytes=0,
        license="yours",
        citation="",
    ),
)
"""All sources that `load_data` accepts."""
