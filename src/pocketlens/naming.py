"""The names of a run that a shipped recipe makes on the user's own data."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from pocketlens.data.file_sources import FileSource

__all__ = ["defaults", "names_for_data"]

CLASSES_NAMED = 6
"""The most classes that a description lists."""

LONGEST = 60


def names_for_data(source: str, recipe: str, classes: Sequence[str]) -> dict[str, str]:
    """The keys of a recipe that name the data: run, Core ML file, description and app.

    Args:
        source: The data source, `folder:PATH` or `csv:PATH`.
        recipe: The name of the shipped recipe.
        classes: The class names; empty if they are not known.

    Returns:
        New values by dotted key; empty for another kind of source.

    Examples:
        >>> names_for_data("folder:/pictures/my_zoo", "photos", ["bear", "lion"])["model.name"]
        'MyZoo'
    """
    parsed = FileSource.parse(source)
    if parsed is None:
        return {}
    path = parsed.path.absolute()
    stem = path.stem if parsed.kind != "folder:" else path.name
    words = [word for word in re.split(r"[\W_]+", unicodedata.normalize("NFC", stem)) if word]
    words = words or ["Photos"]
    titled = [word[:1].upper() + word[1:] for word in words]
    slug = "-".join(words).lower()[:LONGEST] or "photos"
    ascii_slug = re.sub(r"[^a-z0-9]+", "-", _ascii(slug)).strip("-") or "photos"
    return {
        "name": slug if recipe == "photos" else f"{slug}-{recipe.removeprefix('photos-')}",
        "model.name": "".join(titled)[:LONGEST],
        "model.description": _description(classes),
        "app.name": " ".join(titled)[:LONGEST].strip(),
        "app.bundle_id": f"org.example.{ascii_slug}",
    }


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _description(classes: Sequence[str]) -> str:
    if not classes:
        return "Recognizes what is in a photo."
    shown = list(classes[:CLASSES_NAMED])
    if more := len(classes) - len(shown):
        return f"Tells apart: {', '.join(shown)} and {more} more."
    return f"Tells apart: {', '.join(shown[:-1])} and {shown[-1]}."


def defaults(pairs: Mapping[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """The names that the user has not set with an override."""
    return {key: value for key, value in names.items() if not _is_set(pairs, key)}


def _is_set(pairs: Mapping[str, Any], key: str) -> bool:
    table, _, name = key.partition(".")
    own = pairs.get(table)
    return key in pairs or (bool(name) and isinstance(own, Mapping) and name in own)
