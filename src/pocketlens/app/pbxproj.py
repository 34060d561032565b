"""The text format of an Xcode project: an OpenStep property list, formatted as Xcode does.

`XcodeProject` collects objects and writes them. `parse` reads the text and is strict: a duplicate
key, an unquoted `<group>` and a missing `;` are errors.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["ParseError", "Reference", "XcodeProject", "parse", "quoted"]

OBJECT_VERSION = 77  # Xcode 16, the first version with file-system-synchronized groups

PLAIN = re.compile(r"[A-Za-z0-9_./]+")
ONE_LINE = frozenset({"PBXBuildFile", "PBXFileReference"})  # as Xcode formats them
MAX_DEPTH = 64


@dataclass(frozen=True)
class Reference:
    """A reference from one object of a project to another: its id and a comment for readers."""

    id: str
    comment: str | None = None

    def __str__(self) -> str:
        return f"{self.id} /* {self.comment} */" if self.comment else self.id


Value: TypeAlias = "str | int | Reference | list[Value] | dict[str, Value]"


@dataclass
class XcodeProject:
    """The objects of a project, in memory.

    Args:
        name: The project's name. All ids are derived from it, so they are reproducible.
    """

    name: str
    objects: dict[Reference, dict[str, Value]] = field(default_factory=dict)

    def reference(self, isa: str, key: str, comment: str | None = None) -> Reference:
        """The reference of an object, which need not exist yet; `isa` and `key` identify it."""
        digest = hashlib.sha256(f"{self.name}/{isa}/{key}".encode()).hexdigest()
        return Reference(digest[:24].upper(), comment)

    def add(
        self, isa: str, key: str, comment: str | None = None, /, **properties: Value
    ) -> Reference:
        """Add an object and return its reference.

        Raises:
            ValueError: An object with this `isa` and `key` already exists.
        """
        reference = self.reference(isa, key, comment)
        if any(known.id == reference.id for known in self.objects):
            raise ValueError(f"the project already has a {isa} called {key!r}")
        self.objects[reference] = {"isa": isa, **dict(sorted(properties.items()))}
        return reference

    def to_text(self, root: Reference) -> str:
        """The text of `project.pbxproj`: one section per isa, objects sorted by id."""
        lines = [
            "// !$*UTF8*$!",
            "{",
            "\tarchiveVersion = 1;",
            "\tclasses = {\n\t};",
            f"\tobjectVersion = {OBJECT_VERSION};",
            "\tobjects = {",
        ]
        for isa in sorted({str(properties["isa"]) for properties in self.objects.values()}):
            lines += ["", f"/* Begin {isa} section */"]
            members = [item for item in self.objects.items() if item[1]["isa"] == isa]
            for reference, properties in sorted(members, key=lambda item: item[0].id):
                text = _inline(properties) if isa in ONE_LINE else _block(properties, 2)
                lines.append(f"\t\t{reference} = {text};")
            lines.append(f"/* End {isa} section */")
        return "\n".join([*lines, "\t};", f"\trootObject = {root};", "}", ""])


def quoted(text: str) -> str:
    """A property-list string: unquoted where Xcode does not quote it, otherwise quoted."""
    if PLAIN.fullmatch(text):
        return text
    for raw, escape in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t")):
        text = text.replace(raw, escape)
    return f'"{text}"'


def _scalar(value: str | int | Reference) -> str:
    return str(value) if isinstance(value, (int, Reference)) else quoted(value)


def _block(value: Value, depth: int) -> str:
    inner, outer = "\t" * (depth + 1), "\t" * depth
    if isinstance(value, dict):
        rows = [f"{inner}{quoted(k)} = {_block(v, depth + 1)};\n" for k, v in value.items()]
        return "{\n" + "".join(rows) + outer + "}"
    if isinstance(value, list):
        rows = [f"{inner}{_block(item, depth + 1)},\n" for item in value]
        return "(\n" + "".join(rows) + outer + ")"
    return _scalar(value)


def _inline(properties: dict[str, Value]) -> str:
    rows = [f"{key} = {_block(value, 0)}; " for key, value in properties.items()]
    return "{" + "".join(rows) + "}"


class ParseError(ValueError):
    """The text is not a valid property list; the message contains the line number."""


Parsed: TypeAlias = "str | list[Parsed] | dict[str, Parsed]"

TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
      | (?P<mark>[{}();,=])
      | "(?P<quoted>(?:[^"\\]|\\.)*)"
      | (?P<plain>[A-Za-z0-9_$./:-]+)""",
    re.VERBOSE | re.DOTALL,
)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def parse(text: str) -> dict[str, Parsed]:
    """Parse a property list whose top level is a dictionary; every leaf value is a string.

    Raises:
        ParseError: A syntax error; the message says what was expected and what was found.
    """
    reader = _Reader(text)
    value = reader.value(0)
    if reader.kind != "end":
        raise reader.error("the end of the file")
    if not isinstance(value, dict):
        raise ParseError("line 1: expected a dictionary, starting with '{'")
    return value


class _Reader:
    """A recursive-descent parser with one token of lookahead."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = self._tokens()
        self.advance()

    def _tokens(self) -> Iterator[tuple[str, str, int]]:
        position = 0
        while position < len(self.text):
            match = TOKEN.match(self.text, position)
            if match is None:
                line = self.text.count("\n", 0, position) + 1
                raise ParseError(f"line {line}: {self.text[position]!r} must be in double quotes")
            kind = match.lastgroup or ""
            if kind == "quoted":
                value = re.sub(r"\\(.)", lambda m: ESCAPES.get(m[1], m[1]), match[kind], flags=re.S)
                yield "string", value, position
            elif kind != "space":
                yield ("string" if kind == "plain" else match[kind]), match[kind], position
            position = match.end()
        yield "end", "the end of the file", position

    def advance(self) -> None:
        self.kind, self.content, self.position = next(self.tokens)

    def error(self, expected: str) -> ParseError:
        line = self.text.count("\n", 0, self.position) + 1
        return ParseError(f"line {line}: expected {expected}; received: {self.content[:40]!r}")

    def take(self, kind: str) -> str:
        if self.kind != kind:
            raise self.error("a string" if kind == "string" else f"'{kind}'")
        content = self.content
        if kind != "end":
            self.advance()
        return content

    def value(self, depth: int) -> Parsed:
        if depth > MAX_DEPTH:
            raise self.error(f"at most {MAX_DEPTH} levels of nesting")
        if self.kind == "{":
            return self.dictionary(depth)
        if self.kind == "(":
            return self.list(depth)
        if self.kind == "string":
            return self.take("string")
        raise self.error("a value")

    def dictionary(self, depth: int) -> dict[str, Parsed]:
        self.take("{")
        values: dict[str, Parsed] = {}
        while self.kind != "}":
            key = self.take("string")
            if key in values:
                raise self.error(f"the key {key!r} only once in its dictionary")
            self.take("=")
            values[key] = self.value(depth + 1)
            self.take(";")
        self.advance()
        return values

    def list(self, depth: int) -> list[Parsed]:
        self.take("(")
        values: list[Parsed] = []
        while self.kind != ")":
            values.append(self.value(depth + 1))
            if self.kind != ")":
                self.take(",")
        self.advance()
        return values
