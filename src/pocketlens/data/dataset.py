"""`Dataset`: labeled images, stored as raw pixels and class indices, not normalized or one-hot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pocketlens.data.large_arrays import concatenate, take
from pocketlens.data.splitting import hold_out
from pocketlens.errors import DataError, OptionError
from pocketlens.prediction import class_name_errors

__all__ = ["Dataset", "spread"]

GOLDEN = 0.6180339887498949


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labeled images.

    Args:
        images: `(N, H, W, C)` uint8, `C` 1 (gray) or 3 (RGB).
        labels: `(N,)` int64 indices into `classes`.
        classes: Unique class names, without control characters.
        name: Where the images come from, such as `mnist/train`.
        groups: `(N,)` int64; images with the same number show nearly the same, such as a burst, and
            `split` keeps them together. None if nothing is known.
        files: The file of each image; None if they are not from files.

    Raises:
        DataError: The shapes, types, labels and classes do not fit together.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    name: str = "dataset"
    groups: NDArray[np.int64] | None = None
    files: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.ndim != 4 or images.dtype != np.uint8 or images.shape[3] not in (1, 3):
            raise DataError(
                f"{self.name}: images must be uint8 of shape (N, H, W, 1 or 3); "
                f"received: {images.dtype} of shape {images.shape}"
            )
        if labels.ndim != 1 or labels.dtype != np.int64:
            raise DataError(
                f"{self.name}: labels must be int64 of shape (N,); "
                f"received: {labels.dtype} of shape {labels.shape}"
            )
        if len(images) != len(labels):
            raise DataError(
                f"{self.name}: {len(images)} images but {len(labels)} labels; "
                "expected one label per image"
            )
        if self.groups is not None and self.groups.shape != labels.shape:
            raise DataError(
                f"{self.name}: {len(labels)} labels but groups of shape {self.groups.shape}; "
                "expected one group per image"
            )
        if self.files is not None and len(self.files) != len(labels):
            raise DataError(
                f"{self.name}: {len(labels)} labels but {len(self.files)} files; "
                "expected one file per image"
            )
        if not self.classes:
            raise DataError(f"{self.name}: at least one class name is needed; received: ()")
        if errors := class_name_errors(self.classes):
            raise DataError(
                f"{self.name}: {'; '.join(errors[:3])}; expected unique, visible class names"
            )
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise DataError(
                f"{self.name}: labels must be from 0 to {len(self.classes) - 1}; "
                f"received: {labels.min()} to {labels.max()}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def counts(self) -> dict[str, int]:
        """The number of images of each class."""
        counts = np.bincount(self.labels, minlength=len(self.classes))
        return {name: int(n) for name, n in zip(self.classes, counts, strict=True)}

    def one_hot(self) -> NDArray[np.float32]:
        """The labels as rows `(N, K)` with a single 1."""
        return np.eye(len(self.classes), dtype=np.float32)[self.labels]

    def channels_first(self) -> NDArray[np.uint8]:
        """The images as `(N, C, H, W)`, a view."""
        return self.images.transpose(0, 3, 1, 2)

    def subset(self, indices: Sequence[int] | NDArray[np.int64] | slice) -> Dataset:
        """A data set of the images at `indices`, in that order."""
        chosen = indices if isinstance(indices, slice) else np.asarray(indices, np.int64)
        images = self.images[chosen] if isinstance(chosen, slice) else take(self.images, chosen)
        labels, groups, files = self.labels[chosen], self.groups, self.files
        if groups is not None:
            groups = groups[chosen]
        if files is not None:
            places = np.arange(len(self))[chosen].tolist()
            files = tuple(files[at] for at in places)
        return replace(self, images=images, labels=labels, groups=groups, files=files)

    def sample(self, count: int, *, seed: int = 0) -> Dataset:
        """At most `count` images from all classes, chosen and ordered as in `spread`."""
        return self.subset(spread(self.labels, count, seed=seed))

    def joined(self, other: Dataset) -> Dataset:
        """These images followed by those of `other`; classes are matched by name.

        Raises:
            DataError: `other` has images of a different shape, or a class that this one lacks.
        """
        if other.images.shape[1:] != self.images.shape[1:]:
            raise DataError(
                f"{other.name} has images of shape {other.images.shape[1:]}; expected, to join "
                f"it to {self.name}: {self.images.shape[1:]}"
            )
        unknown = [name for name in other.classes if name not in self.classes]
        if unknown:
            raise DataError(
                f"{other.name} has the class '{unknown[0]}', but {self.name} has only: "
                + ", ".join(self.classes[:12])
            )
        place = np.array([self.classes.index(name) for name in other.classes], np.int64)
        return replace(
            self,
            images=concatenate([self.images, other.images]),
            labels=np.concatenate([self.labels, place[other.labels]]),
            name=f"{self.name} + {other.name}",
            groups=_joined_groups(self, other),
            files=_joined_files(self, other),
        )

    def split(self, fraction: float, *, seed: int) -> tuple[Dataset, Dataset]:
        """Split in two, `(rest, held_out)`: `held_out` gets about `fraction` of each class.

        Images of the same group stay together.

        Args:
            fraction: Share of each class that is held out, in [0, 1).
            seed: Chooses the images.

        Raises:
            OptionError: `fraction` is out of range.
        """
        if not 0 <= fraction < 1:
            raise OptionError(
                f"the fraction of a split must be from 0 to less than 1; received: {fraction}"
            )
        random = np.random.default_rng(seed)
        held = np.zeros(len(self), bool)
        for label in range(len(self.classes)):
            members = np.flatnonzero(self.labels == label)
            order = random.permutation(len(members))
            groups = np.arange(len(members)) if self.groups is None else self.groups[members]
            held[members[hold_out(groups, round(fraction * len(members)), order)]] = True
        return self.subset(np.flatnonzero(~held)), self.subset(np.flatnonzero(held))


def _joined_groups(one: Dataset, other: Dataset) -> NDArray[np.int64] | None:
    """The groups of two data sets, with different numbers in each."""
    if one.groups is None and other.groups is None:
        return None
    numbers, start = [], 0
    for each in (one, other):
        groups = np.arange(len(each)) if each.groups is None else each.groups
        numbers.append(np.unique(groups, return_inverse=True)[1] + start)
        start += len(each)
    joined: NDArray[np.int64] = np.concatenate(numbers).astype(np.int64)
    return joined


def _joined_files(one: Dataset, other: Dataset) -> tuple[str, ...] | None:
    """The files of two data sets; empty for images that are not from files."""
    if one.files is None and other.files is None:
        return None
    return tuple(file for each in (one, other) for file in (each.files or ("",) * len(each)))


def spread(labels: NDArray[np.int64], count: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Choose images evenly from all classes, for example to show them.

    The first images of a data set may all have the same class. With more classes than `count`, some
    classes have one image and the others none.

    Args:
        labels: `(N,)` class indices.
        count: The maximum number of images, at least 0.
        seed: Chooses the images of each class.

    Returns:
        Indices into `labels`, `(min(N, count),)`, ordered by class.
    """
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    ordered = labels[by_class]
    # The first image of every class comes before the second one of any class.
    turn = np.arange(len(labels)) - np.searchsorted(ordered, ordered)
    # If a turn is not complete, its classes are taken from the whole list: the smallest fractional
    # parts of the golden ratio's multiples are evenly spaced.
    place = ordered * GOLDEN % 1
    chosen = by_class[np.lexsort((place, turn))[:count]]
    ordered_by_class: NDArray[np.int64] = chosen[np.lexsort((chosen, labels[chosen]))]
    return ordered_by_class
