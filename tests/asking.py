"""Runs commands of the command line, for the tests of the commands."""

from __future__ import annotations

from typer.testing import CliRunner

from pocketlens.cli import main


def cli(*words: object) -> tuple[int, str, str]:
    """Run a command; return its exit code, standard output and standard error."""
    done = CliRunner().invoke(main, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def fine(*words: object) -> str:
    """Run a command that must exit with 0; return its standard output."""
    status, out, err = cli(*words)
    assert status == 0, err
    return out


def bad(*words: object) -> str:
    """Run a command that must exit with 2; return the one-line error message."""
    status, _, err = cli(*words)
    assert status == 2
    assert err.startswith("pocketlens: error: ")
    assert err.count("\n") == 1
    return err
