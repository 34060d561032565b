"""The command line, asked as a user would: used by the tests of its commands."""

from __future__ import annotations

from typer.testing import CliRunner

from pocketlens.cli import main


def cli(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def fine(*words: object) -> str:
    status, out, err = cli(*words)
    assert status == 0, err
    return out


def bad(*words: object) -> str:
    """The one line that bad input is answered with."""
    status, _, err = cli(*words)
    assert status == 2
    assert err.startswith("pocketlens: error: ")
    assert err.count("\n") == 1
    return err
