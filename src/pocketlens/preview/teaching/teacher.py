"""What the page works with: the examples, their features, what was learned, and what is at work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketlens.errors import OptionError, OutputError, PocketlensError
from pocketlens.image_files import read_image_file
from pocketlens.prediction import NOTHING
from pocketlens.preview.decoders import PHOTO, is_cheap, prepared
from pocketlens.preview.inference import MODEL_THREADS, InferencePool
from pocketlens.preview.teaching.events import Events
from pocketlens.preview.teaching.folder import Example, TaughtFolder
from pocketlens.preview.threads import DaemonThreads
from pocketlens.recipe import Recipe

if TYPE_CHECKING:
    from pocketlens.preview.teaching.features import Features
    from pocketlens.preview.teaching.learning import Lesson
    from pocketlens.preview.teaching.take import Written

__all__ = ["Teacher"]

STORED_SIDE = 1024
"""Photos are stored with at most so many pixels in height and width; the network needs fewer."""

FRAME_SIDE = 1280
"""Frames of a camera are stored as they are up to this size."""

METADATA = b"Exif\0\0"


class Teacher:
    """Everything behind the page. The methods are thread-safe.

    Args:
        path: The data folder.
        out: Where the Core ML file, the app, the web page and the ONNX model are written.
        recipe: A recipe with `training.method = "features"`.

    Raises:
        OptionError: The folder cannot be taught.
        OutputError: The folder cannot be written.
    """

    def __init__(self, path: Path, out: Path, recipe: Recipe) -> None:
        self.events = Events()
        self.folder = TaughtFolder(path, self.events.changed)
        self.out = out
        self.recipe = recipe
        self.title = path.absolute().name or "Recognizer"
        self._features: Features | None = None
        self._loading = threading.Lock()
        self.pool = InferencePool({})
        self.lesson: Lesson | None = None
        self.written: list[Written] = []
        self._job: dict[str, Any] | None = None
        self._error = ""
        self._lock = threading.Lock()
        # ONNX Runtime must not run at Python's exit, so the command waits for threads of this name.
        self._worker = DaemonThreads(1, MODEL_THREADS)

    @property
    def features(self) -> Features:
        """The features of the examples; the first use loads PyTorch and the backbone.

        Raises:
            RecipeError, MissingExtraError, RunError: The backbone cannot be loaded.
        """
        with self._loading:
            if self._features is None:
                from pocketlens.preview.teaching.features import Features

                self._features = Features(self.recipe)
            return self._features

    def start(self) -> None:
        """Get ready in the background: the features of what is in the folder, and learn from it."""
        self._begin("preparing", self._prepare)

    def learn(self) -> None:
        """Learn from the examples, in the background.

        Raises:
            OptionError: Something else is at work.
        """
        self._begin("learning", self._learn)

    def take(self) -> None:
        """Write what can be taken along, in the background; learn first if something has changed.

        Raises:
            OptionError: Something else is at work.
        """
        self._begin("writing", self._take)

    def add(self, label: str, content: bytes, *, burst: str = "", drawn: bool = False) -> bool:
        """Add an image to a class and compute its features.

        Args:
            label: The class.
            content: The content of an image file.
            burst: The burst of a camera frame.
            drawn: Whether it is a drawing, which is stored without loss.

        Returns:
            Whether it is new; False if the class has the same image already.

        Raises:
            ImageError: It is not a readable image, or it is too large.
            OptionError: There is no such class, or another class has the same image.
            OutputError: It cannot be written.
        """
        if label not in self.folder.classes:
            raise OptionError(f"there is no class {label[:80]!r}")
        if drawn:
            content = self.pool.decoders.to_png(content)
        elif not (burst and _can_stay(content)):
            content = self.pool.decoders.to_jpeg(content, STORED_SIDE)
        (pixels,) = prepared(content, [self.recipe.input], PHOTO)
        suffix = ".png" if drawn else ".jpg"
        example = self.folder.add(label, content, suffix=suffix, burst=burst)
        if example is not None and self._features is not None:  # else they are computed later
            self._features.add(self.folder.file(example), pixels)
        return example is not None

    def thumbnail(self, example: Example, side: int) -> bytes:
        """A small JPEG file of an example.

        Raises:
            OptionError: There is no such example.
            ImageError: It cannot be read.
        """
        return self.pool.decoders.to_jpeg(self.folder.content(example), side)

    def state(self) -> dict[str, Any]:
        """What the page shows, as JSON."""
        with self._lock:
            job, error, lesson = self._job, self._error, self.lesson
            written = [asdict(each) for each in self.written]
        changes = self.folder.trash.changes
        return {
            "revision": self.events.revision,
            "folder": self.title,
            "out": self.out.name,
            "nothing": NOTHING,
            "classes": [
                {"name": name, "examples": list(names)}
                for name, names in self.folder.classes.items()
            ],
            "undo": changes[-1].text if changes else None,
            "job": job,
            "error": error or None,
            "learned": lesson and {"classes": list(lesson.recognizer.classes)},
            "current": lesson is not None and lesson.examples == frozenset(self.folder),
            "sureness": lesson and lesson.sureness.to_json(),
            "written": written,
        }

    def close(self) -> None:
        """Stop; what was deleted is deleted for good."""
        self._worker.close()
        self.pool.close()
        if self._features is not None:
            self._features.store()
        self.folder.trash.empty()

    def _begin(self, kind: str, work: Callable[[], None]) -> None:
        with self._lock:
            if self._job is not None:
                raise OptionError("the computer is still at work; try again when it has finished")
            self._job = {"kind": kind, "step": "", "done": 0, "total": 0}
            self._error = ""
        self.events.changed()
        self._worker.submit(self._run, work)

    def _run(self, work: Callable[[], None]) -> None:
        error = ""
        try:
            work()
        except PocketlensError as raised:
            error = str(raised)
            for place in (self.out, self.folder.path):  # a phone must not learn where they are
                error = error.replace(str(place.absolute()), place.name)
                error = error.replace(str(place), place.name)
        except Exception:
            logging.getLogger("uvicorn.error").exception("the page's work has failed")
            error = "internal error; see the terminal that runs this page"
        with self._lock:
            self._job = None
            self._error = error
        self.events.changed()

    def _step(self, text: str) -> None:
        self._progress(0, 0, step=text)

    def _progress(self, done: int, total: int, *, step: str = "") -> None:
        with self._lock:
            if self._job is not None:
                self._job = {**self._job, "step": step, "done": done, "total": total}
        self.events.changed()

    def _prepare(self) -> None:
        _ = self.features.far
        files = [self.folder.file(one) for one in self.folder]
        self.features.compute(files, self._progress)
        with suppress(OptionError):  # there are too few examples yet
            self._learn()

    def _learn(self) -> None:
        from pocketlens.preview.teaching.learning import LiveRecognizer, learn

        self.folder.read()
        lesson = learn(self.recipe, self.folder, self.features)
        with self._lock:
            self.lesson = lesson
        self.pool.models = {self.title: LiveRecognizer(lesson.recognizer, self.features)}
        unread = [self.features.error(self.folder.file(one)) for one in self.folder]
        if found := [text for text in unread if text]:
            raise OptionError(f"{len(found)} file(s) cannot be read and are left out: {found[0]}")

    def _take(self) -> None:
        from pocketlens.preview.teaching.take import Taken

        if self.lesson is None or self.lesson.examples != frozenset(self.folder):
            self._step("Learning")
            self._learn()
        assert self.lesson is not None
        with self._lock:
            self.written = []
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.out.name} cannot be created: {error.strerror}") from error
        taken = Taken(self.lesson.recognizer, self.folder, self.out, self._step)
        written = taken.write()
        with self._lock:
            self.written = written


def _can_stay(content: bytes) -> bool:
    """Whether an image file is a frame of a camera as a browser writes it."""
    if not is_cheap(content) or METADATA in content[:4096]:
        return False
    with suppress(ValueError, IndexError):
        file = read_image_file(content)
        if file is not None and file.format == "JPEG":
            return max(file.width, file.height) <= FRAME_SIDE
    return False
