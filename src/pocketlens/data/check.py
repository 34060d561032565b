"""`check_data`: what may be wrong with a folder of pictures, before anything is trained on it."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pocketlens.data.file_sources import CSV, FOLDER, FileSource
from pocketlens.data.folder import find_parts, near_groups, relative
from pocketlens.data.members import ALL, Parts, class_folders, has_splits, listed
from pocketlens.data.quarantine import read_quarantine, write_quarantine
from pocketlens.data.splitting import same_content
from pocketlens.data.survey import TINY, Picture, Survey, survey
from pocketlens.errors import DataError, DataNotFoundError
from pocketlens.prediction import NOTHING, class_name_errors

__all__ = ["DataCheck", "Finding", "check_data", "file_source"]

ODD_SHAPE = 3.0
"""The proportion of the sides above which a shape is odd: a crop loses most of the picture."""

FEW = 5
"""Classes with fewer pictures than this are reported."""

IMBALANCE = 3.0
"""How many times as large as the smallest the largest class may be."""

Kind = Literal[
    "unreadable", "copies", "copies_across_classes", "copies_across_splits", "near_duplicates",
    "near_duplicates_across_classes", "near_duplicates_across_splits", "animated", "tiny",
    "odd_shape", "class_names", "similar_class_names", "empty_class", "few_classes",
    "different_classes", "few_images", "imbalance", "background", "nested",
]  # fmt: skip

PROBLEMS: dict[Kind, str] = {
    "unreadable": "cannot be read and are left out",
    "copies_across_classes": "are identical, but in different classes",
    "copies_across_splits": "are identical, but in train and test",
    "near_duplicates_across_classes": "show nearly the same, but are in different classes",
    "near_duplicates_across_splits": "show nearly the same, but are in train and test",
    "class_names": "class folders have names that cannot be labels",
    "similar_class_names": "class names differ only in case, accents' encoding or spaces",
    "empty_class": "classes have no pictures",
    "few_classes": "at least two classes are needed",
    "different_classes": "classes are only in train or only in test",
    "few_images": f"classes have fewer than {FEW} pictures",
}
"""What fails the check, and how it is said."""

NOTES: dict[Kind, str] = {
    "copies": "are identical to others of their class; they stay in one split",
    "near_duplicates": "show nearly the same as others of their class; they stay in one split",
    "animated": "have several frames or pages; only the first one is used",
    "tiny": f"have a side below {TINY} pixels",
    "odd_shape": f"are more than {ODD_SHAPE:g} times as long as wide; a crop loses much of them",
    "imbalance": f"the largest class has more than {IMBALANCE:g} times as many as the smallest",
    "background": f"the class '{NOTHING}' is the background: apps show no label for it",
    "nested": "there are folders inside the only class folder; perhaps you mean that folder",
}
"""What is worth knowing."""

FILES: frozenset[Kind] = frozenset(
    kind
    for kind in (*PROBLEMS, *NOTES)
    if kind.startswith(("copies", "near", "unread", "anim", "tiny", "odd"))
)
"""What is about files; the rest is about classes."""


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found.

    Args:
        kind: What it is, such as `unreadable`.
        problem: Whether it fails the check; if not, it is a note.
        text: One line for people.
        groups: The files, relative to the data folder; those of a group belong together, such as
            a picture and its copies. For classes, their names.
        reasons: The files that are better left out, each with the reason.
    """

    kind: Kind
    problem: bool
    text: str
    groups: tuple[tuple[str, ...], ...]
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> tuple[str, ...]:
        """All files or classes of the groups."""
        return tuple(name for group in self.groups for name in group)


@dataclass(frozen=True)
class DataCheck:
    """The result of `check_data`.

    Args:
        source: The folder or CSV file.
        counts: The number of files of each class in each split (`train` and `test`, or `all`).
        unreadable: How many of them cannot be read.
        quarantined: How many files are left out because the quarantine list has them.
        findings: What was found, problems first.
    """

    source: str
    counts: dict[str, dict[str, int]]
    unreadable: int
    quarantined: int
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether there is no problem; there may be notes."""
        return not any(finding.problem for finding in self.findings)

    @property
    def images(self) -> int:
        """The number of files that are used."""
        return sum(sum(each.values()) for each in self.counts.values()) - self.unreadable

    def finding(self, kind: Kind) -> Finding | None:
        """What was found of a kind; None if nothing."""
        return next((each for each in self.findings if each.kind == kind), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"passed": self.passed, "images": self.images, **asdict(self)}

    def quarantine(self) -> list[tuple[str, str]]:
        """The files that are better left out, each with the reason.

        Of pictures in two classes, all are listed, as only a person knows which one is right; of
        those in train and test, the ones in train.
        """
        rows: dict[str, str] = {}
        for finding in self.findings:
            rows = {**finding.reasons, **rows}
        return sorted(rows.items())


def check_data(
    path: str | os.PathLike[str],
    *,
    quarantine: bool = False,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> DataCheck:
    """Check a folder of pictures, or a CSV file that lists some, before training on it.

    Nothing is moved or deleted. Files in the folder's `quarantine.csv` are left out, as they are by
    `load_data`.

    Args:
        path: A folder with one folder per class (or `train` and `test` with these), a `.csv` file,
            or the name of such a source, such as `csv-outside:PATH`.
        quarantine: Write `quarantine.csv` into the data folder, with the files that are better left
            out.
        force: Replace an existing list.
        progress: Called with the number of pictures that are done, and of all.

    Returns:
        Counts, problems and notes.

    Raises:
        DataNotFoundError: There is no such folder or file.
        DataError: The folder has no class folder, cannot be read, or the CSV file is not valid.
        OutputExistsError: There is a quarantine list already, and `force` is false.
        OutputError: The list cannot be written.

    Examples:
        >>> check_data("photos").passed
        True
    """
    source = file_source(os.fspath(path))
    parts = _all_parts(source)
    listed_files = frozenset() if quarantine else read_quarantine(source.root)
    kept: Parts = {
        split: {
            name: [file for file in files if relative(file, source.root) not in listed_files]
            for name, files in classes.items()
        }
        for split, classes in parts.items()
    }
    files = [file for classes in kept.values() for each in classes.values() for file in each]
    looked = survey(files, progress=progress)
    checker = _Checker(source, kept, looked)
    findings = tuple(sorted(checker.findings(), key=lambda each: not each.problem))
    count = sum(len(each) for classes in parts.values() for each in classes.values())
    found = DataCheck(
        str(source.path),
        {split: {name: len(each) for name, each in kept[split].items()} for split in kept},
        len(files) - len(looked.readable),
        count - len(files),
        findings,
    )
    if quarantine:
        write_quarantine(source.root, found.quarantine(), force=force)
    return found


def file_source(path: str) -> FileSource:
    """The folder or CSV file that a path, or the name of a source, stands for."""
    if source := FileSource.parse(path):
        return source
    place = Path(path).expanduser()
    is_table = place.suffix.lower() == ".csv" and not place.is_dir()
    return FileSource(CSV if is_table else FOLDER, place)


def _all_parts(source: FileSource) -> Parts:
    """All files, of empty and badly named classes, too."""
    if source.kind != FOLDER:
        return find_parts(source, complete=False)
    path = source.path
    if not path.is_dir():
        raise DataNotFoundError(
            f"{path} is not a folder; expected a folder with one subfolder of images per class"
        )
    try:
        inside = path.resolve()
        splits = has_splits(path)
        names = ("train", "test") if splits else ("",)
        found = {name or ALL: class_folders(path / name, inside) for name in names}
    except OSError as error:
        raise DataError(
            f"{error.filename or path} cannot be read: {error.strerror or error}"
        ) from error
    if not any(found.values()):
        folders = f"{path / 'train'} and {path / 'test'} have" if splits else f"{path} has"
        raise DataError(
            f"{folders} no class folders; expected a folder with one subfolder of images per class"
        )
    return found


class _Checker:
    """All checks of one data set."""

    def __init__(self, source: FileSource, parts: Parts, looked: Survey) -> None:
        self.source = source
        self.parts = parts
        self.looked = looked
        self.owner = {
            file: (split, name)
            for split, classes in parts.items()
            for name, files in classes.items()
            for file in files
        }

    def name(self, file: Path) -> str:
        return relative(file, self.source.root)

    def findings(self) -> Iterable[Finding]:
        yield from self.of_classes()
        yield from self.of_files()
        copies = same_content([picture.path for picture in self.looked.readable])
        yield from self.of_groups("copies", copies)
        first = {file: group[0] for group in copies for file in group}
        yield from self.of_groups("near_duplicates", self.near(first))

    def of_classes(self) -> Iterable[Finding]:
        names = list(dict.fromkeys(name for classes in self.parts.values() for name in classes))
        if errors := class_name_errors(names):
            yield _finding("class_names", [[error] for error in errors])
        similar = defaultdict(list)
        for name in names:
            similar[" ".join(unicodedata.normalize("NFKC", name).casefold().split())].append(name)
        if clashes := [group for group in similar.values() if len(group) > 1]:
            yield _finding("similar_class_names", clashes)
        if len(names) < 2:
            yield _finding("few_classes", [names])
            if (self.source.path / names[0]).is_dir():
                inner = [p.name for p in (self.source.path / names[0]).iterdir() if p.is_dir()]
                if len(inner) > 1:
                    yield _finding("nested", [[names[0]]])
        if NOTHING in names:
            yield _finding("background", [[NOTHING]])
        tests: dict[Kind, Callable[[str], bool]] = {
            "different_classes": lambda name: any(name not in p for p in self.parts.values()),
            "empty_class": lambda name: not self.count(name),
            "few_images": lambda name: 0 < self.count(name) < FEW,
        }
        for kind, test in tests.items():
            if chosen := [[name] for name in names if test(name)]:
                yield _finding(kind, chosen)
        counts = {name: self.count(name) for name in names if self.count(name)}
        if counts and max(counts.values()) > IMBALANCE * min(counts.values()):
            ends = (max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__))
            yield _finding("imbalance", [ends])

    def count(self, name: str) -> int:
        return sum(len(classes.get(name, ())) for classes in self.parts.values())

    def of_files(self) -> Iterable[Finding]:
        unreadable = [picture for picture in self.looked.pictures if picture.error]
        if unreadable:
            reasons = {self.name(each.path): each.error for each in unreadable}
            yield _finding("unreadable", [[name] for name in reasons], reasons)
        tests: dict[Kind, Callable[[Picture], bool]] = {
            "animated": lambda each: each.animated,
            "tiny": lambda each: min(each.width, each.height) < TINY,
            "odd_shape": lambda each: (
                max(each.width, each.height) > ODD_SHAPE * min(each.width, each.height)
            ),
        }
        for kind, test in tests.items():
            if chosen := [[self.name(each.path)] for each in self.looked.readable if test(each)]:
                yield _finding(kind, chosen)

    def of_groups(self, kind: str, groups: list[list[Path]]) -> Iterable[Finding]:
        """Groups of files that show the same: inside a class, across classes, across splits."""
        sorted_out: dict[str, list[list[str]]] = defaultdict(list)
        reasons: dict[str, dict[str, str]] = defaultdict(dict)
        for group in groups:
            splits, classes = ({self.owner[file][at] for file in group} for at in (0, 1))
            names = [self.name(file) for file in group]
            same = "the same as" if kind == "copies" else "nearly the same as"
            where = ""
            if len(classes) > 1:
                where = "_across_classes"
                for name in names:
                    others = [each for each in names if each != name]
                    reasons[where][name] = f"{same} {listed(others)}, in another class"
            elif len(splits) > 1:
                where = "_across_splits"
                test = [self.name(f) for f in group if self.owner[f][0] == "test"]
                for file, name in zip(group, names, strict=True):
                    if self.owner[file][0] == "train":
                        reasons[where][name] = f"{same} {listed(test)}, which is for testing"
            sorted_out[where].append(names)
        for where, found in sorted_out.items():
            yield _finding(f"{kind}{where}", found, reasons[where])  # type: ignore[arg-type]

    def near(self, first: dict[Path, Path]) -> list[list[Path]]:
        """Groups of near-duplicates; of identical files, only one is in a group.

        Groups inside a class and split may be long chains, such as a burst. Across classes and
        splits, only pairs count: the ends of a chain may be different.
        """
        files = [picture.path for picture in self.looked.readable]
        pairs = self.looked.near_duplicates()
        groups = defaultdict(list)
        for file, number in near_groups(self.parts, self.looked).items():
            if first.get(file, file) == file:
                groups[self.owner[file], number].append(file)
        found = [members for members in groups.values() if len(members) > 1]
        for one, other in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
            pair = [files[one], files[other]]
            originals = {first.get(file, file) for file in pair}
            if self.owner[pair[0]] != self.owner[pair[1]] and len(originals) > 1:
                found.append(pair)
        return found


def _finding(
    kind: Kind, groups: Iterable[Iterable[str]], reasons: dict[str, str] | None = None
) -> Finding:
    listed_groups = tuple(tuple(group) for group in groups)
    problem = kind in PROBLEMS
    meaning = PROBLEMS[kind] if problem else NOTES[kind]
    names = [" = ".join(group[:3]) + " = …" * (len(group) > 3) for group in listed_groups]
    count = len({name for group in listed_groups for name in group})
    start = f"{count:,} file(s) " if kind in FILES else ""
    return Finding(
        kind, problem, f"{start}{meaning}: {listed(names)}", listed_groups, reasons or {}
    )
