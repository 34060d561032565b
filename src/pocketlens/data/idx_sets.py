"""The table of published IDX sets, 28 × 28 gray images: MNIST, Fashion-MNIST, KMNIST, EMNIST.

Sources of the files and their checksums:
MNIST: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Proceedings of the IEEE 86(11), 1998; checksums
of the decompressed files, computed here.
Fashion-MNIST and KMNIST: the sha256 of the `.gz` files as in TensorFlow Datasets
(`url_checksums/fashion_mnist.txt` and `kmnist.txt`).
EMNIST: the md5 of the `.gz` files inside the published `gzip.zip` as in the package `mnists` 0.3.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.idx import read_idx
from pocketlens.errors import DataError

__all__ = ["SETS", "IdxFile", "IdxSet"]

GZIP_OVERHEAD = 1024
"""Bytes by which a gzipped file may be larger than its content (names, poor compression)."""


@dataclass(frozen=True)
class IdxFile:
    """One published file.

    Args:
        name: Its name, without `.gz`.
        dimensions: 3 for images, 1 for labels.
        size: The size in bytes of its decompressed content.
        checksum: `sha256:` or `md5:` and the hexadecimal digest.
        of_gzip: Whether that is the checksum of the `.gz` file, not of its decompressed content.
            Such a file is only used as it was published, not decompressed.
    """

    name: str
    dimensions: int
    size: int
    checksum: str
    of_gzip: bool = False

    @property
    def limit(self) -> int:
        """The largest size in bytes of the `.gz` file."""
        return self.size + GZIP_OVERHEAD

    def find(self, folder: Path) -> Path | None:
        """The path of the file in `folder`, plain or gzipped; None if it is missing."""
        plain, zipped = folder / self.name, folder / f"{self.name}.gz"
        if plain.is_file() and not self.of_gzip:
            return plain
        return zipped if zipped.is_file() else None

    def read(self, path: Path) -> tuple[NDArray[np.uint8], str]:
        """The values and the checksum of the file at `path`; decompresses at most `size` bytes."""
        if not self.of_gzip:
            values, digest = read_idx(path, dimensions=self.dimensions, limit=self.size)
            return values, f"sha256:{digest}"
        # The checksum comes first: only the published file is decompressed.
        self.check(path)
        values, _ = read_idx(path, dimensions=self.dimensions, limit=self.size)
        return values, self.checksum

    def check(self, path: Path, received: str | None = None) -> None:
        """Check that the file at `path` has the published content.

        Args:
            path: The file.
            received: Its checksum, if known already.

        Raises:
            DataError: The content is different.
        """
        if received is None:
            received = self._gzip_checksum(path) if self.of_gzip else self.read(path)[1]
        if received != self.checksum:
            kind, _, expected = self.checksum.partition(":")
            of = "the .gz file" if self.of_gzip else "the decompressed bytes"
            raise DataError(
                f"{path} is not the published {self.name}: its {kind} is "
                f"{received.partition(':')[2]}; expected: {expected} (of {of})"
            )

    def _gzip_checksum(self, path: Path) -> str:
        kind = self.checksum.partition(":")[0]
        try:
            if path.stat().st_size > self.limit:
                raise DataError(f"{path} is larger than the published {self.name}")
            with path.open("rb") as file:
                return f"{kind}:{hashlib.file_digest(file, kind).hexdigest()}"
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


@dataclass(frozen=True)
class IdxSet:
    """A set of four files: images and labels of the splits `train` and `test`.

    Args:
        name: The name of the source, such as `mnist`.
        title: What messages call it.
        folder: Its folder inside the data folder.
        classes: The class names, in the order of the labels.
        train: Images and labels.
        test: Images and labels.
        mirrors: Base URLs, tried in order.
        archive: The name of a zip file on the mirrors that contains the `.gz` files; empty if the
            mirrors have the files themselves.
        archive_limit: The largest size of the archive in bytes.
        transposed: Whether rows and columns of the stored images are swapped.
        first_label: The label of the first class in the files.
    """

    name: str
    title: str
    folder: str
    classes: tuple[str, ...]
    train: tuple[IdxFile, IdxFile]
    test: tuple[IdxFile, IdxFile]
    mirrors: tuple[str, ...]
    archive: str = ""
    archive_limit: int = 0
    transposed: bool = False
    first_label: int = 0

    def files(self, split: str | None = None) -> tuple[IdxFile, ...]:
        """The images and the labels of a split; of both splits if it is None."""
        if split is None:
            return (*self.train, *self.test)
        return self.train if split == "train" else self.test


def _pairs(
    name: str, counts: tuple[int, int], checksums: Sequence[str], *, of_gzip: bool
) -> tuple[tuple[IdxFile, IdxFile], tuple[IdxFile, IdxFile]]:
    """The files of the splits; `{}` in the name stands for the split's own name.

    Args:
        name: The start of the file names.
        counts: Images of `train` and `test`.
        checksums: Of train images, train labels, test images, test labels.
        of_gzip: See `IdxFile`.
    """
    images, labels = f"{name}-images-idx3-ubyte", f"{name}-labels-idx1-ubyte"
    train, test = (
        (
            IdxFile(images.format(part), 3, 16 + count * 28 * 28, checksums[at], of_gzip),
            IdxFile(labels.format(part), 1, 8 + count, checksums[at + 1], of_gzip),
        )
        for part, count, at in zip(
            ("train", "test" if name.startswith("emnist") else "t10k"), counts, (0, 2), strict=True
        )
    )
    return train, test


DIGITS = tuple("0123456789")
EMNIST = {
    "mirrors": ("https://biometrics.nist.gov/cs_links/EMNIST/",),
    "archive": "gzip.zip",
    "archive_limit": 600_000_000,
    "transposed": True,
}

SETS: dict[str, IdxSet] = {
    each.name: each
    for each in (
        IdxSet(
            "mnist",
            "MNIST",
            "mnist",
            DIGITS,
            *_pairs(
                "{}",
                (60_000, 10_000),
                (
                    "sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                    "sha256:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                    "sha256:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                    "sha256:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                ),
                of_gzip=False,
            ),
            (
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
            ),
        ),
        IdxSet(
            "fashion-mnist",
            "Fashion-MNIST",
            "fashion-mnist",
            (
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ),
            *_pairs(
                "{}",
                (60_000, 10_000),
                (
                    "sha256:3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                    "sha256:a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                    "sha256:346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                    "sha256:67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                ),
                of_gzip=True,
            ),
            (
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            ),
        ),
        IdxSet(
            "kmnist",
            "KMNIST",
            "kmnist",
            tuple("おきすつなはまやれを"),
            *_pairs(
                "{}",
                (60_000, 10_000),
                (
                    "sha256:51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
                    "sha256:e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
                    "sha256:edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
                    "sha256:20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
                ),
                of_gzip=True,
            ),
            (
                "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
                "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            ),
        ),
        IdxSet(
            "emnist-digits",
            "EMNIST",
            "emnist",
            DIGITS,
            *_pairs(
                "emnist-digits-{}",
                (240_000, 40_000),
                (
                    "md5:d2662ecdc47895a6bbfce25de9e9a677",
                    "md5:2223fcfee618ac9c89ef20b6e48bcf9e",
                    "md5:a159b8b3bd6ab4ed4793c1cb71a2f5cc",
                    "md5:8afde66ea51d865689083ba6bb779fac",
                ),
                of_gzip=True,
            ),
            **EMNIST,  # type: ignore[arg-type]
        ),
        IdxSet(
            "emnist-letters",
            "EMNIST",
            "emnist",
            tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
            *_pairs(
                "emnist-letters-{}",
                (124_800, 20_800),
                (
                    "md5:8795078f199c478165fe18db82625747",
                    "md5:c16de4f1848ddcdddd39ab65d2a7be52",
                    "md5:382093a19703f68edac6d01b8dfdfcad",
                    "md5:d4108920cd86601ec7689a97f2de7f59",
                ),
                of_gzip=True,
            ),
            first_label=1,
            **EMNIST,  # type: ignore[arg-type]
        ),
    )
}
"""The sets by name."""
