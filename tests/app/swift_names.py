"""All names that Swift files declare, and what they import, from their syntax trees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from pocketlens.app import swift

if TYPE_CHECKING:
    from tree_sitter import Node

# Node types whose direct name children are declarations.
DECLARING = (
    *swift.TYPES,
    "enum_entry",
    "function_declaration",
    "lambda_parameter",
    "parameter",
    "pattern",
    "tuple_type_item",
)


def declared(paths: Iterable[Path]) -> set[str]:
    """Names of types, functions, properties, cases, parameters, labels and local variables."""
    return {
        name for path in paths for node in swift.nodes(swift.tree(path)) for name in _declares(node)
    }


def _declares(node: Node) -> Iterator[str]:
    for before, child in pairwise([node, *node.children]):
        # The second condition matches `if let name` and `guard let name`.
        if child.type in swift.NAMES and (
            node.type in DECLARING or before.type == "value_binding_pattern"
        ):
            yield swift.text(child)


def imports(path: Path) -> set[str]:
    """The modules that a file imports."""
    return {
        swift.text(child)
        for node in swift.nodes(swift.tree(path))
        if node.type == "import_declaration"
        for child in node.children
        if child.type == "identifier"
    }


def used(paths: Iterable[Path]) -> set[str]:
    """All names that occur in the code."""
    return swift.used(swift.tree(path) for path in paths)
