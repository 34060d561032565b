"""Draws figures in a second process, while this one continues.

Importing Matplotlib and drawing the figures of a run keeps one processor busy for about 2.5 s. A
`Drawer` uses another processor for that.
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO, TypeAlias

from pocketlens.data.dataset import Dataset

__all__ = ["Drawer", "Job"]

Job: TypeAlias = tuple[str, tuple[Any, ...]]
"""The name of a function of `report.figures`, and its arguments."""

MOST_BYTES = 1 << 28
"""Larger jobs are drawn in this process, because the other one would need a copy of the images."""

TIMEOUT = 60.0
"""Seconds after which the figures are drawn here instead."""

CHILD = "from pocketlens.report.drawer import serve; serve()"


class Drawer:
    """Draws in a second process. A context manager, which ends that process.

    The process is started only if it helps: if there is a second processor, and if this process has
    not imported Matplotlib yet. Without it, or if it fails for any reason, figures are drawn in
    this process, with identical bytes and the same errors.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        if helps():
            # In a new session, so that Ctrl-C reaches only this process, which then ends the child.
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-c", CHILD],  # -P: no modules of the current folder
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,
            )

    def __enter__(self) -> Drawer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def draw(self, jobs: list[Job], meanwhile: Callable[[], object] | None = None) -> None:
        """Draw figures; while the second process draws, call `meanwhile`.

        Args:
            jobs: The figures.
            meanwhile: Called in this process in the meantime; its exceptions are passed on.

        Raises:
            DataError: See the functions of `report.figures`.
            OptionError: As above.
            OutputError: A figure cannot be written.
            MissingExtraError: Matplotlib is not installed.
        """
        content = b""
        if self._child and _bytes(jobs) <= MOST_BYTES:
            # All jobs in one pickle, so that images used by several jobs are copied only once.
            content = pickle.dumps(jobs, pickle.HIGHEST_PROTOCOL)
        sent = 0 < len(content) <= MOST_BYTES and self._send(content)
        if meanwhile is not None:
            meanwhile()
        if not (sent and self._drawn()):
            draw(jobs)

    def _send(self, content: bytes) -> bool:
        assert self._child
        assert self._child.stdin
        try:
            self._child.stdin.write(len(content).to_bytes(8, "little") + content)
            self._child.stdin.flush()
        except OSError:  # the child has ended; the figures are drawn in this process
            return False
        return True

    def _drawn(self) -> bool:
        assert self._child
        stream = self._child.stdout
        assert stream
        # Read by another thread, so that a child that hangs does not hang this process.
        results: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=lambda: results.put(stream.read(1)), daemon=True).start()
        try:
            return results.get(timeout=TIMEOUT) == b"y"
        except queue.Empty:
            self._child.kill()
            return False


def _bytes(jobs: list[Job]) -> int:
    """The bytes of all images of the jobs, which are not read for that: they may be in a file."""
    arguments = [each for _, given in jobs for each in given]
    listed = [item for each in arguments if isinstance(each, (list, tuple)) for item in each]
    images = [each.images for each in (*arguments, *listed) if isinstance(each, Dataset)]
    return sum({id(each): each.nbytes for each in images}.values())


def helps() -> bool:
    """Whether a second process would save time."""
    return (os.cpu_count() or 1) > 1 and "matplotlib" not in sys.modules


def draw(jobs: list[Job]) -> None:
    """Draw figures in this process."""
    from pocketlens.report import figures

    for name, arguments in jobs:
        getattr(figures, name)(*arguments)


def serve(source: BinaryIO | None = None, target: BinaryIO | None = None) -> None:
    """Run in the second process: read jobs and draw them until the input ends.

    The answer to each list of jobs is `y`, or `n` if drawing failed.
    """
    source, target = source or sys.stdin.buffer, target or sys.stdout.buffer
    # Import everything now, before the first job arrives.
    from pocketlens.report import figures  # noqa: F401

    try:
        import matplotlib.backends.backend_agg
        import matplotlib.backends.backend_svg
        import matplotlib.figure
        import matplotlib.font_manager  # noqa: F401
    except ModuleNotFoundError:
        pass  # then each figure fails with an error that says what to install
    while size := int.from_bytes(source.read(8), "little"):
        try:
            draw(pickle.loads(source.read(size)))  # noqa: S301 - written by the parent
        except Exception:  # the parent draws it again and raises the error
            target.write(b"n")
        else:
            target.write(b"y")
        target.flush()
