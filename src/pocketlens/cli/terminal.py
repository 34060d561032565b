"""Everything the commands print goes through this module: text, JSON, warnings, progress.

Files, folders and models may be untrusted, and so are the names in them. A terminal obeys control
characters: they can move the cursor, change the title, or put text into the clipboard. Here they
are replaced by visible escapes, such as `\\x1b`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO, cast

from pocketlens.errors import is_printable, printable

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "OutputClosed",
    "console",
    "discard_output",
    "note",
    "one_line",
    "print_json",
    "safe_output",
    "say",
]


class OutputClosed(BaseException):
    """The reader of the output has gone, as `head` does when it has enough lines."""


class SafeStream:
    """A text stream that escapes control characters; other attributes are those of `stream`.

    It has no `buffer`: bytes would not be filtered, and Click writes bytes to ASCII terminals.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        with _closed_output():
            self.stream.write(_printable_lines(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with _closed_output():
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":
            raise AttributeError(name)
        return getattr(self.stream, name)


def _printable_lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


@contextlib.contextmanager
def _closed_output() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise OutputClosed from error


@contextlib.contextmanager
def safe_output() -> Iterator[None]:
    """Within: whatever is written to standard output and error has no control characters.

    That includes other packages, log records and the parser of the command line. A character that
    the terminal's encoding lacks is escaped, too.
    """
    with contextlib.ExitStack() as stack:
        for stream, redirect in (
            (sys.stdout, contextlib.redirect_stdout),
            (sys.stderr, contextlib.redirect_stderr),
        ):
            if stream is None:  # closed by the caller, as with `>&-`
                continue
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
            stack.enter_context(redirect(cast(TextIO, SafeStream(stream))))
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()


def discard_output() -> None:
    """Write what is left in the buffers nowhere; Python would report the closed output at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            os.dup2(nowhere, stream.fileno())


def say(*lines: object, error: bool = False, flush: bool = False) -> None:
    """Print lines; a line break inside one is escaped."""
    for line in lines:
        print(printable(str(line)), file=sys.stderr if error else sys.stdout, flush=flush)


def note(text: str) -> None:
    """Print a note on standard error."""
    say(f"pocketlens: note: {text}", error=True)


def print_json(content: Any, *, indent: int | None = 2) -> None:
    """Print JSON in which control characters are escaped, so that its value stays the same.

    A number that is infinite or not a number becomes null: JSON has neither.
    """
    text = json.dumps(_finite(content), indent=indent, ensure_ascii=False, allow_nan=False)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    say(*(_json_escaped(line, encoding) for line in text.split("\n")), flush=True)


def _json_escaped(text: str, encoding: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter if is_printable(text, at) and _fits(letter, encoding) else json.dumps(letter)[1:-1]
        for at, letter in enumerate(text)
    )


def _fits(letter: str, encoding: str) -> bool:
    try:
        letter.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def one_line(text: str) -> str:
    """The text on one line, without control characters; a library's message may have several."""
    # Other spaces stay: they may be part of a path in a command to type next.
    return printable(re.sub(r"\s*\n\s*", " ", text.strip()))


def console(*, error: bool = False) -> Console:
    """A Rich console: what is printed has no control characters, and no markup is interpreted."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text

    class SafeConsole(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(_printable_lines(text), **options)

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                if segment.control:  # of Rich itself, to draw a bar
                    yield segment
                else:
                    yield Segment(_printable_lines(segment.text), segment.style)

    stream = sys.stderr if error else sys.stdout
    # Rich writes the control characters of its bars itself.
    raw = stream.stream if isinstance(stream, SafeStream) else stream
    return SafeConsole(file=raw, markup=False, emoji=False, highlight=False)
