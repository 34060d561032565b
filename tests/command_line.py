"""Runs `pocketlens` commands in this process; used by the tests of the commands."""

from __future__ import annotations

from typer.testing import CliRunner

from pocketlens.cli import main


def run_command(*words: object) -> tuple[int, str, str]:
    """The exit status, standard output and standard error of a command."""
    done = CliRunner().invoke(main, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def output_of(*words: object) -> str:
    """The standard output of a command that succeeds."""
    status, out, err = run_command(*words)
    assert status == 0, err
    return out


def error_of(*words: object) -> str:
    """The one-line error message of a command with bad input."""
    status, _, err = run_command(*words)
    assert status == 2
    assert err.startswith("pocketlens: error: ")
    assert err.count("\n") == 1
    return err
