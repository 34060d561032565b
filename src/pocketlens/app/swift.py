"""Syntax errors of Swift files, the types that they declare and the names that they use.

Parsed by tree-sitter, which needs neither a Mac nor a Swift compiler. It knows the grammar only:
types are not checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = [
    "NAMES",
    "TYPES",
    "declared_types",
    "errors",
    "names_in",
    "nodes",
    "text",
    "tree",
    "used",
]

NAMES = ("simple_identifier", "type_identifier")

# Node types whose direct name children are the names of types.
TYPES = ("class_declaration", "protocol_declaration", "typealias_declaration")


def tree(path: Path) -> Node:
    """The root of the file's syntax tree.

    Raises:
        OSError: The file cannot be read.
    """
    import tree_sitter_swift
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_swift.language())).parse(path.read_bytes()).root_node


def nodes(root: Node) -> Iterator[Node]:
    """`root` and all its descendants, in the order of the text."""
    waiting = [root]  # not recursive: an untrusted file may be nested deeply
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(node.children)


def errors(root: Node) -> list[tuple[int, str]]:
    """The syntax errors in a tree: line number, starting at 1, and the first characters."""
    if not root.has_error:
        return []
    return [
        (node.start_point.row + 1, text(node)[:60])
        for node in nodes(root)
        if node.is_error or node.is_missing
    ]


def declared_types(roots: Iterable[Node]) -> set[str]:
    """Names of classes, structures, enumerations, actors, protocols and type aliases."""
    return {
        name
        for root in roots
        for node in nodes(root)
        if node.type in TYPES
        for name in names_in(node)
    }


def names_in(node: Node) -> list[str]:
    """The names that are direct children of a node."""
    return [text(child) for child in node.children if child.type in NAMES]


def used(roots: Iterable[Node]) -> set[str]:
    """All names that occur in the code."""
    return {text(node) for root in roots for node in nodes(root) if node.type in NAMES}


def text(node: Node) -> str:
    """The source text of a node; undecodable bytes are replaced."""
    return (node.text or b"").decode(errors="replace")
