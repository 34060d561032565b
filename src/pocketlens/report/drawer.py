"""Figures drawn by another process, while this one does something else.

Importing Matplotlib and drawing a run's figures takes about 2.5 s of one processor. A `Drawer` uses
the second one for that.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, TypeAlias

__all__ = ["Drawer", "Job"]

Job: TypeAlias = tuple[str, tuple[Any, ...]]
"""The name of a function of `report.figures`, and its arguments."""

MOST_BYTES = 1 << 28
"""Jobs of more bytes than this are drawn here: the other process has a copy of their images."""

CHILD = "from pocketlens.report.drawer import serve; serve()"


class Drawer:
    """Draws in another process; a context manager, at whose end that process ends.

    The other process is started only where it helps: with a second processor, and if this process
    has not imported Matplotlib already. Without it, and if it fails for whatever reason, figures
    are drawn here, with the same bytes and the same errors.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        if helps():
            # A session of its own: Ctrl-C is for this process, which ends the other one.
            self._child = subprocess.Popen(
                [sys.executable, "-c", CHILD],
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
        """Draw figures, and call a function while the other process draws.

        Args:
            jobs: The figures.
            meanwhile: What this process does in that time; what it raises is raised.

        Raises:
            DataError: See the functions of `report.figures`.
            OptionError: As above.
            OutputError: A figure cannot be written.
            MissingExtraError: Matplotlib is not installed.
        """
        # Together, so that images which several jobs draw are copied once.
        content = pickle.dumps(jobs, pickle.HIGHEST_PROTOCOL) if self._child else b""
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
        except OSError:  # it has ended; the figures are drawn here
            return False
        return True

    def _drawn(self) -> bool:
        assert self._child
        assert self._child.stdout
        return self._child.stdout.read(1) == b"y"


def helps() -> bool:
    """Whether another process is worth its start."""
    return (os.cpu_count() or 1) > 1 and "matplotlib" not in sys.modules


def draw(jobs: list[Job]) -> None:
    """Draw figures in this process."""
    from pocketlens.report import figures

    for name, arguments in jobs:
        getattr(figures, name)(*arguments)


def serve(source: BinaryIO | None = None, target: BinaryIO | None = None) -> None:
    """What the other process does: draw what it reads, answer `y` or `n`, until the input ends."""
    source, target = source or sys.stdin.buffer, target or sys.stdout.buffer
    # Imported before there is anything to draw.
    from pocketlens.report import figures  # noqa: F401

    try:
        import matplotlib.backends.backend_agg
        import matplotlib.backends.backend_svg
        import matplotlib.figure
        import matplotlib.font_manager  # noqa: F401
    except ModuleNotFoundError:
        pass  # every figure fails with the error that says what to install
    while size := int.from_bytes(source.read(8), "little"):
        try:
            draw(pickle.loads(source.read(size)))  # noqa: S301 - from the process that started it
        except Exception:  # drawn again by the other side, which raises it where it is seen
            target.write(b"n")
        else:
            target.write(b"y")
        target.flush()
