"""Shared by all commands: the Typer app, the output of errors and of JSON.

Neither this module nor the top of a command's module imports anything heavy, so `--help` is fast.
"""

from __future__ import annotations

import atexit
import functools
import gc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup

from pocketlens.cli.failures import check_memory_limit, one_line_failures, show_traces
from pocketlens.cli.terminal import one_line, print_json, safe_output, say

__all__ = [
    "Force",
    "Json",
    "Out",
    "Overrides",
    "app",
    "command",
    "examples",
    "group",
    "print_json",
    "say",
]

F = TypeVar("F", bound=Callable[..., Any])

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing output.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Output path.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe; repeatable."),
]

# At exit, Python searches all objects for garbage several times: with PyTorch and coremltools
# loaded that takes 0.9 s. The process ends anyway.
atexit.register(gc.freeze)


class Shell(TyperGroup):
    """All commands."""

    def main(self, *args: Any, **options: Any) -> Any:
        with one_line_failures(), safe_output():
            return super().main(*args, **options)


app = typer.Typer(
    cls=Shell,
    name="pocketlens",
    help="Train an image classifier, convert it to Core ML, check it, write the iPhone app.",
    epilog="\b\nExamples:\n  pocketlens run quick --out runs/quick\n"
    "  pocketlens predict runs/quick/Digits.mlpackage photo.jpg\n"
    "  pocketlens COMMAND --help",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        say(f"pocketlens {version('pocketlens')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[  # noqa: ARG001 - its callback prints it
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", envvar="POCKETLENS_DEBUG", help="Show where an error was raised."),
    ] = False,
) -> None:
    show_traces(debug)


def group(name: str, summary: str, *example: str) -> typer.Typer:
    """A command with subcommands, such as `data`."""
    inner = typer.Typer(
        help=summary, epilog=examples(*example), no_args_is_help=True, rich_markup_mode=None
    )
    app.add_typer(inner, name=name)
    return inner


def examples(*lines: str) -> str:
    """The last part of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def command(
    *, example: tuple[str, ...], on: typer.Typer = app, name: str | None = None
) -> Callable[[F], F]:
    """Register a function as a command: its help ends with examples, its errors are one line."""

    def register(function: F) -> F:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> None:
            with one_line_failures(), warnings.catch_warnings():
                warnings.showwarning = _show_warning
                check_memory_limit()
                function(*args, **kwargs)

        on.command(name or function.__name__, epilog=examples(*example))(guarded)
        return function

    return register


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"pocketlens: note: {one_line(str(message))}", error=True)
