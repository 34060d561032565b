"""What all commands share: the Typer app, how errors are shown, how JSON is printed.

Nothing here or at the top of a command's file imports anything heavy, so `--help` is quick.
"""

from __future__ import annotations

import functools
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from pocketlens.errors import CheckFailedError, PocketlensError

__all__ = ["Force", "Json", "Out", "Overrides", "app", "command", "examples", "group", "print_json"]

F = TypeVar("F", bound=Callable[..., Any])

CHECK_FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that exists.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Where to write.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the recipe; repeatable."),
]

app = typer.Typer(
    name="pocketlens",
    help="From a folder of images to a recognizer in your pocket.",
    epilog="\b\nExamples:\n  pocketlens run quick --out runs/quick\n"
    "  pocketlens predict runs/quick/Digits.mlpackage photo.jpg\n"
    "  pocketlens COMMAND --help",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def group(name: str, summary: str) -> typer.Typer:
    """A command that has commands, such as `data`."""
    inner = typer.Typer(help=summary, no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(inner, name=name)
    return inner


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def command(*, example: tuple[str, ...], on: typer.Typer = app, name: str | None = None) -> Any:
    """Make a function a command whose help ends in examples and whose errors are one line."""

    def register(function: F) -> F:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> None:
            try:
                with warnings.catch_warnings():
                    warnings.showwarning = _show_warning
                    function(*args, **kwargs)
            except PocketlensError as error:
                one_line = " ".join(str(error).split())  # what a library said may have several
                print(f"pocketlens: error: {one_line}", file=sys.stderr)
                failed = isinstance(error, CheckFailedError)
                raise typer.Exit(CHECK_FAILED if failed else BAD_INPUT) from None
            except KeyboardInterrupt as interrupt:
                print(f"pocketlens: {str(interrupt) or 'interrupted'}", file=sys.stderr)
                raise typer.Exit(INTERRUPTED) from None

        on.command(name or function.__name__, epilog=examples(*example))(guarded)
        return function

    return register


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"pocketlens: note: {message}", file=sys.stderr)


def print_json(content: Any) -> None:
    """Print JSON for other programs."""
    print(json.dumps(content, indent=2, ensure_ascii=False))
