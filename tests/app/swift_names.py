"""The names that Swift files declare and use, from their syntax trees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import tree_sitter_swift
from tree_sitter import Language, Node, Parser

PARSER = Parser(Language(tree_sitter_swift.language()))

NAMES = ("simple_identifier", "type_identifier")

# Node types whose direct name children are declarations.
DECLARING = (
    "class_declaration",
    "enum_entry",
    "function_declaration",
    "lambda_parameter",
    "parameter",
    "pattern",
    "protocol_declaration",
    "tuple_type_item",
    "typealias_declaration",
)


def tree(path: Path) -> Node:
    """The root of the file's syntax tree."""
    return PARSER.parse(path.read_bytes()).root_node


def nodes(root: Node) -> Iterator[Node]:
    """`root` and all its descendants."""
    yield root
    for child in root.children:
        yield from nodes(child)


def errors(path: Path) -> list[str]:
    """The syntax errors of a file."""
    return [
        f"{path.name}:{node.start_point.row + 1}: {text(node)[:60]!r}"
        for node in nodes(tree(path))
        if node.is_error or node.is_missing
    ]


def declared(paths: Iterable[Path]) -> set[str]:
    """Names of types, functions, properties, cases, parameters, labels and local variables."""
    return {name for path in paths for node in nodes(tree(path)) for name in _declares(node)}


def _declares(node: Node) -> Iterator[str]:
    for before, child in pairwise([node, *node.children]):
        # The second condition matches `if let name` and `guard let name`.
        if child.type in NAMES and (
            node.type in DECLARING or before.type == "value_binding_pattern"
        ):
            yield text(child)


def imports(path: Path) -> set[str]:
    """The modules that a file imports."""
    return {
        text(child)
        for node in nodes(tree(path))
        if node.type == "import_declaration"
        for child in node.children
        if child.type == "identifier"
    }


def used(paths: Iterable[Path]) -> set[str]:
    """All names that occur in the code."""
    return {text(node) for path in paths for node in nodes(tree(path)) if node.type in NAMES}


def text(node: Node) -> str:
    """The source text of a node."""
    return (node.text or b"").decode()
