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


NIST = "public (NIST Special Database 19, a work of the US government)"
EMNIST = (
    'G. Cohen, S. Afshar, J. Tapson, A. van Schaik, "EMNIST: an extension of MNIST to handwritten '
    'letters", arXiv:1702.05373, 2017'
)

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
        name="fashion-mnist",
        title="Fashion-MNIST clothes",
        description="Ten kinds of clothes, shoes and bags, from the photos of a shop, in the "
        "format of MNIST.",
        train=60_000,
        test=10_000,
        size=(28, 28, 1),
        download_bytes=30_878_645,
        license="MIT (Zalando SE)",
        citation='H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for '
        'Benchmarking Machine Learning Algorithms", arXiv:1708.07747, 2017',
    ),
    Source(
        name="kmnist",
        title="Kuzushiji-MNIST, cursive Japanese",
        description="Ten hiragana characters in the cursive script of old Japanese books, in the "
        "format of MNIST.",
        train=60_000,
        test=10_000,
        size=(28, 28, 1),
        download_bytes=21_240_888,
        license="CC BY-SA 4.0 (ROIS-DS Center for Open Data in the Humanities)",
        citation="T. Clanuwat, M. Bober-Irizar, A. Kitamoto, A. Lamb, K. Yamamoto, D. Ha, "
        '"Deep Learning for Classical Japanese Literature", arXiv:1812.01718, 2018',
    ),
    Source(
        name="emnist-digits",
        title="EMNIST handwritten digits",
        description="Digits of the NIST Special Database 19, in the format of MNIST. The download "
        "is shared with emnist-letters.",
        train=240_000,
        test=40_000,
        size=(28, 28, 1),
        download_bytes=561_753_746,
        license=NIST,
        citation=EMNIST,
    ),
    Source(
        name="emnist-letters",
        title="EMNIST handwritten letters",
        description="Letters of the NIST Special Database 19, in the format of MNIST; upper and "
        "lower case are one class, such as A. The download is shared with emnist-digits.",
        train=124_800,
        test=20_800,
        size=(28, 28, 1),
        download_bytes=561_753_746,
        license=NIST,
        citation=EMNIST,
    ),
    Source(
        name="strokes",
        title="built-in drawn digits",
        description="Digits drawn by a simulated pen in the format of MNIST, in many handwriting "
        "styles per digit, as common as among MNIST's writers. strokes:world draws them as people "
        "all over the world write, strokes:REGION as in east-asia, eastern-europe, latin-america, "
        "north-america or western-europe. The seed determines the images.",
        train=36_000,
        test=2_000,
        size=(28, 28, 1),
        download_bytes=0,
        license="MIT, like Pocketlens itself",
        citation="",
    ),
    Source(
        name="doodles",
        title="built-in drawn things",
        description="43 everyday things, from airplane to umbrella, drawn by a simulated pen in "
        "the format of Quick, Draw!, each in several ways. doodles:apple,bee draws some of them, "
        "doodles:all@300 draws 300 of each to train on. The seed determines the images.",
        train=43_000,
        test=2_150,
        size=(28, 28, 1),
        download_bytes=0,
        license="MIT, like Pocketlens itself",
        citation="",
    ),
    Source(
        name="quickdraw:NAMES",
        title="Google's Quick, Draw!",
        description="Doodles of 345 things by players of Quick, Draw!, such as "
        "quickdraw:apple,bee or quickdraw:all; quickdraw:all@500 takes 500 of each instead of "
        "2,000. Every tenth one is for testing. The download is that of each thing.",
        train=None,
        test=None,
        size=(28, 28, 1),
        download_bytes=1_568_128,
        license="CC BY 4.0 (Google)",
        citation='D. Ha, D. Eck, "A Neural Representation of Sketch Drawings", arXiv:1704.03477, '
        "2017",
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
    Source(
        name="csv:PATH",
        title="your own images, listed in a CSV file",
        description="A table with the columns path, label and, optionally, split (train or test). "
        "Paths are relative to its folder and must not leave it; with csv-outside:PATH they may.",
        train=None,
        test=None,
        size=None,
        download_bytes=0,
        license="yours",
        citation="",
    ),
)
"""All sources that `load_data` accepts."""
