"""The commands that messages and pages tell the user to type.

All are composed here, so that each can be pasted into a terminal: words are quoted, and a path is
never taken for an option. `tests/test_next_commands.py` runs every one of them.
"""

from __future__ import annotations

import os
import shlex
import subprocess

__all__ = ["command", "program"]


def command(*words: str | os.PathLike[str]) -> str:
    """A `pocketlens` command, quoted for the shell of this computer.

    Args:
        words: Its words. Paths are passed as `Path`; one that starts with a dash gets `./`.
            Words in capitals, such as `FOLDER`, stand for what the user has to fill in.

    Examples:
        >>> command("report", Path("my runs/-1"))
        "pocketlens report 'my runs/-1'"
        >>> command("report", Path("-1"))
        'pocketlens report ./-1'
    """
    return program("pocketlens", *words)


def program(*words: str | os.PathLike[str]) -> str:
    """The same for another program, which is the first word."""
    return _joined([word if isinstance(word, str) else _path(word) for word in words])


def _path(path: os.PathLike[str]) -> str:
    text = os.fspath(path)
    return f".{os.sep}{text}" if text.startswith("-") else text


def _joined(words: list[str]) -> str:
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
