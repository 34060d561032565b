"""The page of every command, from the Typer app."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer.main

from markdown_text import code, table
from pocketlens.cli import main

INTRODUCTION = """\
# Commands

<!-- Generated from the command line itself; do not edit. -->

`pocketlens COMMAND --help` prints the same. With `--json`, a command prints JSON for other
programs. Each command calls one function, see the [Python API](api/index.md).

An error is one line. The exit status is 0 for success, 1 if a check ran and failed, 2 for bad input
(or a lack of memory, disk space or permission), 70 for an error in Pocketlens itself, 130 after
Ctrl-C, and 141 if the reader of the output has gone, such as `head`. `pocketlens --debug COMMAND`,
or `POCKETLENS_DEBUG=1`, shows where an error was raised.
"""


def text() -> str:
    """The page."""
    return "\n".join([INTRODUCTION, *map(_section, commands())])


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its full name, such as `pocketlens data show`, in the order of --help."""
    root = typer.main.get_command(main)
    for name, command in root.commands.items():  # type: ignore[attr-defined]  # it is a group
        if inner := getattr(command, "commands", None):
            yield from ((f"pocketlens {name} {each}", inner[each]) for each in inner)
        else:
            yield f"pocketlens {name}", command


def _section(named: tuple[str, Any]) -> str:
    name, command = named
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    usage = " ".join([name, *(_placeholder(p) for p in arguments), "[OPTIONS]"])
    parts = [f"## `{name}`\n", f"{inspect.cleandoc(command.help or '')}\n", f"    {usage}\n"]
    if arguments:
        rows = [(code(p.make_metavar(_context(command))), p.help or "") for p in arguments]
        parts.append(table(("Argument", "Meaning"), rows))
    rows = [(_flags(p), _kind(p), _default(p), p.help or "") for p in options]
    parts.append(table(("Option", "Value", "Default", "Meaning"), rows))
    examples = (command.epilog or "").partition("Examples:\n")[2]
    parts.append(f"```console\n{inspect.cleandoc(examples)}\n```\n")
    return "\n".join(parts)


def _context(command: Any) -> Any:
    return command.context_class(command)


def _placeholder(argument: Any) -> str:
    name = argument.human_readable_name.upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _flags(option: Any) -> str:
    return ", ".join(code(flag) for flag in (*option.opts, *option.secondary_opts))


def _kind(option: Any) -> str:
    if option.is_flag:
        return ""
    return code(option.metavar or option.type.name.upper())


def _default(option: Any) -> str:
    if option.default in (None, "", (), False) or callable(option.default):
        return ""
    return code("yes" if option.default is True else str(option.default))
