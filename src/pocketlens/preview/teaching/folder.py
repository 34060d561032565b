"""The folder that is taught: one folder per class, with its examples, as `run --data` reads it.

It is complete at every moment: each example is written aside and renamed. A class has a folder as
long as it has examples, because data sources refuse empty classes; the names of all classes, in
their order, are in a hidden file. Methods are thread-safe.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pocketlens.data.members import SYSTEM_FILES, class_folders, files_below, has_splits
from pocketlens.data.quarantine import QUARANTINE, read_quarantine
from pocketlens.errors import DataError, OptionError, OutputError, OutputExistsError
from pocketlens.files import open_nofollow, read_limited, remove_leftovers, write_aside
from pocketlens.preview.folder_names import folder_name_error
from pocketlens.preview.teaching.trash import Change, Trash, rename_all

__all__ = ["MAX_EXAMPLES", "Example", "TaughtFolder", "burst_of", "new_burst"]

CLASSES = ".pocketlens-classes.json"
"""The names of the classes, in the order in which the page shows them."""

MAX_CLASSES_BYTES = 1_000_000
MAX_CLASSES, MAX_EXAMPLES = 200, 10_000
MAX_EXAMPLE_BYTES = 30_000_000
"""The largest file that is read: other programs may add files, too."""

BURST = re.compile(r"(\d{8}-\d{6}-[0-9a-f]{4})-\d+\.\w+")
"""The name of a camera frame: the burst, which is one press of the button, and a number."""


@dataclass(frozen=True)
class Example:
    """An image: its class, and the path of its file in the folder of the class."""

    label: str
    name: str


def new_burst() -> str:
    """The name of a new burst."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def burst_of(example: Example) -> str | None:
    """The burst that an example belongs to; None for a photo or a drawing."""
    found = BURST.fullmatch(example.name)
    return found[1] if found else None


def look(name: str) -> str:
    """Names with the same look are the same class: on some file systems, `Cat` is `cat`."""
    return " ".join(unicodedata.normalize("NFC", name).split()).casefold()


class TaughtFolder:
    """The classes and examples in a folder.

    Args:
        path: The folder; created if it is missing.
        changed: Called after each change.

    Raises:
        OptionError: It is a file, has its own splits, or too many images.
        OutputError: It cannot be created.
    """

    def __init__(self, path: Path, changed: Callable[[], None] = lambda: None) -> None:
        self.path = path
        self.changed = changed
        self.trash = Trash(path)
        self._lock = threading.RLock()
        self._found: dict[str, list[str]] = {}
        self._sizes: dict[int, set[Example]] = {}
        with self._writing():
            path.mkdir(parents=True, exist_ok=True)
        self.trash.empty()
        remove_leftovers(path)
        self.read()

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """The names of the examples of each class, in the order of the page."""
        with self._lock:
            return {label: tuple(names) for label, names in self._found.items()}

    def __iter__(self) -> Iterator[Example]:
        for label, names in self.classes.items():
            yield from (Example(label, name) for name in names)

    def __len__(self) -> int:
        return sum(map(len, self.classes.values()))

    def read(self) -> None:
        """Read the folder: other programs may have changed it.

        Raises:
            OptionError: It has its own splits, or too many images.
            OutputError: It cannot be read.
        """
        if has_splits(self.path):
            raise OptionError(
                f"{self.path.name} has the folders train and test, which are not classes; pass a "
                "folder whose subfolders are the classes"
            )
        with self._lock, self._writing("read"):
            inside = self.path.resolve()
            listed = read_quarantine(self.path)
            found = {
                label: [
                    name
                    for file in files
                    if f"{label}/{(name := file.relative_to(self.path / label).as_posix())}"
                    not in listed
                ]
                for label, files in class_folders(self.path, inside).items()
                if not (self.path / label).is_symlink()
            }
            if (count := sum(map(len, found.values()))) > MAX_EXAMPLES:
                raise OptionError(
                    f"{self.path.name} has {count:,} images; expected at most {MAX_EXAMPLES:,} "
                    "on this page; train on all of them without it"
                )
            # Some file systems store accented letters in decomposed form.
            composed = {unicodedata.normalize("NFC", name): name for name in found}
            stored = [composed.get(name, name) for name in self._stored()]
            order = dict.fromkeys([*stored, *found])
            self._found = {name: found.get(name, []) for name in order}
            self._sizes = {}
            for example in self:
                self._note_size(example)

    def add_class(self, name: str) -> str:
        """Add a class without examples; returns its name, with single spaces.

        Raises:
            OptionError: The name cannot be used, or there are too many classes.
            OutputError: The list of classes cannot be written.
        """
        name = " ".join(unicodedata.normalize("NFC", name).split())
        with self._lock:
            self._check_name(name)
            if len(self._found) >= MAX_CLASSES:
                raise OptionError(f"expected at most {MAX_CLASSES} classes")
            self._store([*self._found, name])
            self._found[name] = []
        self.changed()
        return name

    def rename_class(self, name: str, to: str) -> str:
        """Rename a class; returns the new name, with single spaces.

        Raises:
            OptionError: There is no such class, or the new name cannot be used.
            OutputError: The folder cannot be renamed.
        """
        to = " ".join(unicodedata.normalize("NFC", to).split())
        with self._lock:
            self._check_class(name)
            if name == to:
                return to
            self._check_name(to, instead_of=name)
            before = tuple(self._found)
            moves = self._move_folder(name, self.path / to)
            self._found = {to if old == name else old: n for old, n in self._found.items()}
            self._finish(Change(f"renamed {name} to {to}", moves, before))
        return to

    def remove_class(self, name: str) -> None:
        """Delete a class with its examples; can be undone.

        Raises:
            OptionError: There is no such class.
            OutputError: The folder cannot be moved.
        """
        with self._lock:
            self._check_class(name)
            before = tuple(self._found)
            with self._writing():
                place = self.trash.place_for(name)
            moves = self._move_folder(name, place)
            del self._found[name]
            self._finish(Change(f"deleted {name}", moves, before))

    def add(self, label: str, content: bytes, *, suffix: str, burst: str = "") -> Example | None:
        """Write an image as an example of a class.

        Args:
            label: The class.
            content: The content of the file.
            suffix: `.jpg` or `.png`.
            burst: The burst of a camera frame.

        Returns:
            The example; None if the class has the same image already.

        Raises:
            OptionError: There is no such class, another class has the same image, or there are too
                many examples.
            OutputError: It cannot be written.
        """
        with self._lock:
            self._check_class(label)
            if len(self) >= MAX_EXAMPLES:
                raise OptionError(f"{self.path.name} has {MAX_EXAMPLES:,} examples; expected fewer")
            for other in self._sizes.get(len(content), ()):
                if self._same(other, content):
                    if other.label == label:
                        return None
                    raise OptionError(f"this image is an example of {other.label!r} already")
            names = self._found[label]
            stem = burst or new_burst()
            number = sum(name.startswith(f"{stem}-") for name in names) + 1
            while f"{stem}-{number:04}{suffix}" in names:
                number += 1
            name = f"{stem}-{number:04}{suffix}" if burst else f"image-{stem}{suffix}"
            with self._writing():
                (self.path / label).mkdir(0o700, exist_ok=True)
                try:
                    write_aside(self.path / label / name, content, parents=False, private=True)
                except (OutputError, OutputExistsError):
                    self._remove_if_empty(label)
                    raise
            names.append(name)
            example = Example(label, name)
            self._sizes.setdefault(len(content), set()).add(example)
        self.changed()
        return example

    def remove(self, examples: Sequence[Example]) -> None:
        """Delete examples; can be undone.

        Raises:
            OptionError: There is no such example.
            OutputError: A file cannot be moved.
        """
        with self._lock:
            self._check_examples(examples)
            before = tuple(self._found)
            with self._writing():
                places = [self.trash.place_for(Path(one.name).name) for one in examples]
                moves = [(self.file(one), to) for one, to in zip(examples, places, strict=True)]
                rename_all(moves)
            self._forget(examples)
            what = f"deleted {_counted(examples)} of {examples[0].label}"
            self._finish(Change(what, tuple(moves), before))

    def move(self, examples: Sequence[Example], to: str) -> None:
        """Make examples those of another class; can be undone.

        Raises:
            OptionError: There is no such example or class.
            OutputError: A file cannot be moved.
        """
        with self._lock:
            self._check_class(to)
            examples = [one for one in examples if one.label != to]
            self._check_examples(examples)
            before = tuple(self._found)
            taken = set(self._found[to])
            moves: list[tuple[Path, Path]] = []
            moved = []
            for one in examples:
                name = Path(one.name).name
                while name in taken:
                    name = f"{Path(name).stem}-{secrets.token_hex(2)}{Path(name).suffix}"
                taken.add(name)
                moved.append(name)
                moves.append((self.file(one), self.path / to / name))
            with self._writing():
                rename_all(moves)
            self._forget(examples)
            self._found[to] += moved
            for name in moved:
                self._note_size(Example(to, name))
            self._finish(Change(f"moved {_counted(examples)} to {to}", tuple(moves), before))

    def undo(self) -> str:
        """Undo the last change; returns what it was.

        Raises:
            OptionError: There is nothing to undo, or it cannot be undone any more.
            OutputError: A file cannot be moved.
        """
        with self._lock:
            with self._writing():
                change = self.trash.undo()
            for label in [*self._found]:
                self._remove_if_empty(label)
            self._store(change.classes)
            self.read()
        self.changed()
        return change.text

    def file(self, example: Example) -> Path:
        """The path of an example's file."""
        return self.path / example.label / example.name

    def content(self, example: Example) -> bytes:
        """The content of an example's file.

        Raises:
            OptionError: There is no such example, or it cannot be read.
        """
        with self._lock:
            self._check_examples([example])
        try:
            with open_nofollow(self.file(example)) as file:
                content = file.read(MAX_EXAMPLE_BYTES + 1)
        except OSError as error:
            raise OptionError(f"{example.name} cannot be read: {error.strerror}") from error
        if len(content) > MAX_EXAMPLE_BYTES:
            raise OptionError(f"{example.name} has more than {MAX_EXAMPLE_BYTES} bytes")
        return content

    def _same(self, example: Example, content: bytes) -> bool:
        try:
            return self.content(example) == content
        except OptionError:  # another program has removed it
            return False

    def _check_class(self, name: str) -> None:
        if name not in self._found:
            raise OptionError(f"there is no class {name[:80]!r}")

    def _check_name(self, name: str, *, instead_of: str = "") -> None:
        """Whether a new class may have this name."""
        error = folder_name_error(name)
        others = [other for other in self._found if other != instead_of]
        if name.casefold() in SYSTEM_FILES or name.casefold() == QUARANTINE:
            error = "other programs use it"
        elif same := [other for other in others if look(other) == look(name)]:
            error = f"there is a class {same[0]!r}"
        elif {"train", "test"} <= {look(each) for each in (*others, name)}:
            error = "folders named train and test would be two parts of a data set"
        if error:
            raise OptionError(f"a class cannot be named {name[:80]!r}: {error}")

    def _check_examples(self, examples: Sequence[Example]) -> None:
        if not examples:
            raise OptionError("no example was chosen")
        every = {label: set(names) for label, names in self._found.items()}
        for one in examples:
            if one.name not in every.get(one.label, ()):
                raise OptionError(f"{one.label[:80]!r} has no example {one.name[:80]!r} any more")

    def _forget(self, examples: Iterable[Example]) -> None:
        gone = set(examples)
        for label in {one.label for one in gone}:
            self._found[label] = [
                name for name in self._found[label] if Example(label, name) not in gone
            ]
            self._remove_if_empty(label)
        for others in self._sizes.values():
            others -= gone

    def _note_size(self, example: Example) -> None:
        with suppress(OSError):  # another program has removed it
            size = self.file(example).stat().st_size
            self._sizes.setdefault(size, set()).add(example)

    def _move_folder(self, name: str, to: Path) -> tuple[tuple[Path, Path], ...]:
        """Rename the folder of a class, if it has one."""
        moves = [(self.path / name, to)] if (self.path / name).is_dir() else []
        with self._writing():
            rename_all(moves)
        return tuple(moves)

    def _finish(self, change: Change) -> None:
        """After a change: it can be undone, and the list of classes is written."""
        self.trash.add(change)
        self._store([*self._found])
        self._sizes = {}
        for example in self:
            self._note_size(example)
        self.changed()

    def _remove_if_empty(self, label: str) -> None:
        """Data sources refuse class folders without images."""
        folder = self.path / label
        with suppress(OSError):
            if not files_below(folder, self.path.resolve()):
                for place in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
                    place.rmdir()
                folder.rmdir()

    def _store(self, names: Sequence[str]) -> None:
        """Write the names of the classes."""
        with self._writing():
            write_aside(self.path / CLASSES, json.dumps([*names], ensure_ascii=False) + "\n")

    def _stored(self) -> list[str]:
        """The names of the classes that were written; without those that cannot be used."""
        path = self.path / CLASSES
        if not path.is_file():
            return []
        try:
            names = json.loads(read_limited(path, MAX_CLASSES_BYTES))
        except (DataError, OSError, ValueError, RecursionError):
            return []  # the folders tell all classes that have examples
        names = names if isinstance(names, list) else []
        return [n for n in names[:MAX_CLASSES] if isinstance(n, str) and not folder_name_error(n)]

    @contextmanager
    def _writing(self, done: str = "written") -> Iterator[None]:
        """Errors for the page, which must not learn where the folder is."""
        try:
            yield
        except (OSError, OutputError, OutputExistsError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            reason = cause.strerror if isinstance(cause, OSError) else "something is in the way"
            raise OutputError(f"{self.path.name} cannot be {done}: {reason}") from error


def _counted(examples: Sequence[Example]) -> str:
    return "1 example" if len(examples) == 1 else f"{len(examples)} examples"
