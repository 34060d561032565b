"""Text of strangers on the terminal: one filter for everything that is printed."""

from __future__ import annotations

import ast
import io
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.progress import Progress as Bar
from rich.text import Text

import pocketlens
from hostile import HOSTILE, SURROGATES, is_clean
from pocketlens.cli.progress import Progress
from pocketlens.cli.terminal import console, one_line, print_json, safe_output, say
from pocketlens.errors import printable

SOURCE = Path(pocketlens.__file__).parent

READABLE = (
    "Käse", "São Tomé", "naïve ½ × 3²", "日本語", "한국어", "العربية", "می\u200cخواهم", "עברית",
    "क्\u200dष", "ไทย", "👩\u200d👩\u200d👧", "🏴\u200d☠\ufe0f", "🙂\u200d↔\ufe0f",
    "👍🏽", "\U0001fae8",
    "a\u00a0b", "Bild\u202fAM.png", "全角\u3000空白", r"C:\fotos\new", "[bold]x[/]", ":smile:",
)  # fmt: skip


TEXTS = {**HOSTILE, "half surrogates": SURROGATES}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_hostile_text_is_escaped(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown != text
    assert printable(shown) == shown
    assert shown.encode("ascii").decode("unicode_escape") == text  # nothing is lost


def test_the_escape_names_the_character() -> None:
    assert printable("\x1b[1m\r\n\t\x9b\u202e\udcff\U000e0041") == (
        r"\x1b[1m\r\n\t\x9b\u202e\udcff\U000e0041"
    )
    assert one_line("a\n  b\x1b") == r"a b\x1b"


@pytest.mark.parametrize("text", READABLE)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_json_has_the_same_value_without_control_characters(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = {text: [text, {"inner": text}], "ä": "日本語 👩\u200d👧", "n": [1, 0.5, None, True]}
    print_json(content)
    written = capsys.readouterr().out
    assert is_clean(written)
    assert "日本語 👩\u200d👧" in written
    assert json.loads(written) == content


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [float("nan"), float("inf")], "b": (1.0, -float("inf"))})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "a": [None, None],
        "b": [1.0, None],
    }


def test_a_line_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\npocketlens: error: b", 3)
    say("c\rd", error=True)
    assert capsys.readouterr() == ("a\\npocketlens: error: b\n3\n", "c\\rd\n")


def test_output_of_other_packages_is_filtered(capsys: pytest.CaptureFixture[str]) -> None:
    with safe_output():
        sys.stdout.write("a\x1b[1m\nb\u202e\n")
        sys.stdout.writelines(["c\x9b\n", "d\n"])
        assert not hasattr(sys.stdout, "buffer")
        logger = logging.getLogger("of-another-package")
        handler = logging.StreamHandler()
        logger.addHandler(handler)
        logger.warning("name \x1b]52;c;eA==\x07")
        logger.removeHandler(handler)
    assert capsys.readouterr() == (
        "a\\x1b[1m\nb\\u202e\nc\\x9b\nd\n",
        "name \\x1b]52;c;eA==\\x07\n",
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_shows_text_of_strangers_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the control sequences of the bar itself reach the terminal; markup has no meaning."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    for tty in (False, True):
        stream: Any = Terminal() if tty else io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        with safe_output(), Progress() as progress:
            progress.stage("data", done=False)
            for text in (*TEXTS.values(), "[bold]x[/bold] [link=http://x]y[/link] [/] :smile:"):
                progress.note(text)
                progress.download(text, 1, 2)
                progress.download(text, 2, 2)
        written = stream.getvalue()
        assert "[bold]x[/bold] [link=http://x]y[/link] [/] :smile:" in written
        assert "\x1b]" not in written  # no title, no clipboard, no link
        assert ("\x1b[" in written) is tty
        for code in ("\x9b", "\x07", "\b", "\x7f", "\u202e", "\u2066", "\udcff", "\x1b[31m"):
            assert code not in written
        assert tty or is_clean(written)


def test_a_table_is_filtered(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    table = Table("name")
    table.add_row("\x1b[31m [bold]x[/]")
    table.add_row(Text("\u202e"))
    console().print(table)
    written = capsys.readouterr().out
    assert "\\x1b[31m [bold]x[/]" in written
    assert "\\u202e" in written
    assert is_clean(written)


def test_a_terminal_without_the_characters_shows_escapes() -> None:
    script = (
        "import sys; from pocketlens.cli import main; from pocketlens.cli.terminal import *\n"
        "with safe_output():\n"
        "    say('× ü', error='e' in sys.argv[1]); print_json({'ü': '× 👧'}, indent=None)"
    )
    for words in ("e", "o"):
        done = subprocess.run(
            [sys.executable, "-c", script, words],
            env={"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(SOURCE.parent), "LANG": "C"},
            capture_output=True,
            check=True,
        )
        assert (done.stderr + done.stdout).startswith(rb"\xd7 \xfc")
        assert json.loads(done.stdout.splitlines()[-1]) == {"ü": "× 👧"}


STREAMS = ("sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__")
CALLS = (
    "print", "pprint", "typer.echo", "typer.secho", "click.echo", "traceback.print_exc",
    "traceback.print_exception",
)  # fmt: skip


def prints(tree: ast.AST) -> list[str]:
    """What a module's code prints with, apart from `say`, `print_json` and `console`."""
    found = []
    nodes = list(ast.walk(tree))
    # Bytes go to the pipe of a child process; within a command, the streams have no `buffer`.
    piped = [
        node.value for node in nodes if isinstance(node, ast.Attribute) and node.attr == "buffer"
    ]
    for node in nodes:
        if isinstance(node, ast.Call) and ast.unparse(node.func) in CALLS:
            found.append(ast.unparse(node.func))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in STREAMS and node not in piped:
            found.append(ast.unparse(node))
        if isinstance(node, ast.ImportFrom) and (node.module or "") in ("rich", "rich.console"):
            found.append(f"from {node.module}")
        if isinstance(node, ast.Import):
            found += [each.name for each in node.names if each.name in ("rich", "rich.console")]
    return found


def test_everything_is_printed_in_one_place() -> None:
    for path in sorted(SOURCE.rglob("*.py")):
        if "templates" in path.parts or path == SOURCE / "cli" / "terminal.py":
            continue
        found = prints(ast.parse(path.read_text(encoding="utf-8")))
        assert not found, f"{path.name} prints with {found[0]}; use say() of cli/terminal.py"
    assert prints(ast.parse("import sys, rich\nprint(1)\nsys.stdout.write('a')")) == [
        "rich", "print", "sys.stdout"
    ]  # fmt: skip
    assert prints(ast.parse("import sys\nsys.stdout.buffer.write(b'a')")) == []


def test_rich_draws_on_the_filtered_console_only() -> None:
    bar = Progress().bar
    assert isinstance(bar, Bar)
    assert bar.console is not None
    assert type(bar.console).__name__ == "SafeConsole"
