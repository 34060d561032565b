"""What `inspect` found, as text: one field per line, and no line longer than the terminal is wide.

Everything is in the JSON; here, what is long or repeated is shortened.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from pocketlens.errors import printable
from pocketlens.files import size_text

__all__ = ["description_lines"]

WIDTH = 110
"""The longest line, in characters."""

MAX_ROWS = 40
"""The most lines for a list, such as that of the ops."""

MAX_TEXT_LINES = 3
GROUPED = 6  # from how many on features of the same kind are one line
SHOWN_SHAPES = 3


def description_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The lines for what `pocketlens.coreml.inspect` returned."""
    yield from _fields(
        {
            "path": found["path"],
            "kind": found["kind"],
            "runs here": "; ".join(f"no: {problem}" for problem in found["problems"]) or "yes",
            "specification": found["specification_version"],
            "opset": found["opset"],
            "functions": _listed(found["functions"]) if found["per_function"] else None,
            "size": size_text(found["bytes"]),
            "parameters": f"{found['parameters']:,}",
            "updatable": _updatable(found),
            "classes": f"{len(found['classes']):,}: {_listed(found['classes'])}"
            if found["classes"]
            else None,
        }
    )
    functions = found["per_function"] if len(found["per_function"]) > 1 else {"": found}
    for name, content in functions.items():
        mark = f" of {name}" if name else ""
        for key in ("inputs", "outputs", "states"):
            yield from _section(f"{key}{mark}", _feature_rows(content.get(key, [])))
    yield from _section("training inputs", _feature_rows(found["training_inputs"]))
    yield from _section("stages", [(each["name"], each["kind"]) for each in found["stages"]])
    yield from _section("input spec", _input_spec(found["input_spec"] or {}))
    metadata = dict(found["metadata"])
    user = metadata.pop("user")
    yield from _section("metadata", [*metadata.items(), *user.items()])
    for name, content in functions.items():
        rows = [(op, f"{count:,}") for op, count in content["ops"].items()]
        yield from _section(f"ops of {name} ({content['opset']})" if name else "ops", rows)
    yield from _section("weights", _weights(found))


def _updatable(found: Mapping[str, Any]) -> str:
    if not found["updatable"]:
        return "no"
    layers = found["updatable_layers"]
    return f"yes ({len(layers)}: {_listed(layers)})" if layers else "yes"


def _weights(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for kind, count in found["weights"].items():
        size = size_text(found["weight_bytes"][kind])
        yield kind, f"{count:,} number{'s' * (count != 1)}, {size}"
    for kind, count in found["compressed"].items():
        yield kind, f"{count:,} tensor{'s' * (count != 1)}"


def _input_spec(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The fields, those that the file does not say marked as assumed."""
    assumed = spec.get("assumed", ())
    for key, value in spec.items():
        if key != "assumed":
            shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield key, f"{shown}  (assumed)" if key in assumed else shown


def _feature_rows(features: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Name and type of each feature; many of the same type are one row."""
    typed = [(_type_text(each), each["description"], each["name"]) for each in features]
    for (text, description), group in groupby(typed, key=lambda row: row[:2]):
        names = [name for _, _, name in group]
        if len(names) >= GROUPED:
            noun = "numbers" if text in ("double", "int64") else "features"
            shown = f"{_cut(names[0], 30)} … {_cut(names[-1], 30)}"
            yield shown, f"{len(names):,} {noun}: {text}"
        else:
            yield from ((name, text) for name in names[:-1])
            yield names[-1], text
        if description:
            yield "", description


def _type_text(feature: Mapping[str, Any]) -> str:
    kind = feature["type"]
    if kind == "image":
        size = _shape_text((feature["height"], feature["width"]))
        parts = [f"image {size}", feature["color"] or "of an unknown color space"]
    elif kind in ("array", "state"):
        shape = feature["shape"]
        parts = [f"{kind} {_shape_text(shape) if shape else 'of any shape'}", feature["dtype"]]
    elif kind == "dictionary":
        parts = [f"dictionary with {feature['keys']} keys"]
    elif kind == "sequence":
        parts = [f"sequence of {feature['keys']}"]
    else:
        parts = [kind]
    if shapes := feature.get("shapes"):
        ordered = sorted(shapes, key=lambda shape: (_elements(shape), shape))
        if len(ordered) > SHOWN_SHAPES:
            ends = f"{_shape_text(ordered[0])} to {_shape_text(ordered[-1])}"
            parts.append(f"{len(ordered):,} sizes from {ends}")
        else:
            parts.append(f"sizes {', '.join(map(_shape_text, ordered))}")
    if ranges := feature.get("ranges"):
        parts.append(f"sizes {_shape_text(_range_text(*each) for each in ranges)}")
    if feature.get("optional"):
        default = feature.get("default")
        parts.append("optional" if default is None else f"optional (default {default})")
    return ", ".join(part for part in parts if part)


def _elements(shape: Iterable[int]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


def _shape_text(shape: Iterable[object]) -> str:
    return " × ".join(map(str, shape))


def _range_text(low: int, high: int | None) -> str:
    return str(low) if low == high else f"{low}–{'∞' if high is None else high}"


def _fields(fields: Mapping[str, object]) -> Iterator[str]:
    shown = {key: str(value) for key, value in fields.items() if value not in (None, "")}
    width = max(map(len, shown))
    for key, value in shown.items():
        yield from _row(key, value, width, "")


def _section(title: str, rows: Iterable[tuple[str, object]]) -> Iterator[str]:
    """A title, then the rows, aligned; nothing if there are no rows with a value."""
    shown = [(_cut(key, 45), str(value)) for key, value in rows if value not in (None, "")]
    if not shown:
        return
    yield _cut(title, WIDTH)
    width = max(len(key) for key, _ in shown[:MAX_ROWS])
    for key, value in shown[:MAX_ROWS]:
        yield from _row(key, value, width, "  ")
    if len(shown) > MAX_ROWS:
        yield f"  … {len(shown) - MAX_ROWS:,} more; all are in the output of --json"


def _row(key: str, value: str, width: int, indent: str) -> Iterator[str]:
    start = f"{indent}{key:{width}}  "
    text = printable(" ".join(value[: 20 * WIDTH].split()))
    room = WIDTH - len(start)
    lines = textwrap.wrap(text, room, break_on_hyphens=False, max_lines=MAX_TEXT_LINES,
                          placeholder=" …")  # fmt: skip
    for number, line in enumerate(lines or ["–"]):
        yield (start if number == 0 else " " * len(start)) + line


def _listed(values: Sequence[object]) -> str:
    """The values, as many as fit in one line; of the others, the last one."""
    room = WIDTH - 30
    texts: list[str] = []
    for value in values:
        text = _cut(str(value), 40)
        room -= len(text) + 2
        if room < 0:
            return f"{', '.join(texts)}, … {_cut(str(values[-1]), 40)}"
        texts.append(text)
    return ", ".join(texts)


def _cut(text: str, length: int) -> str:
    text = printable(" ".join(text[: 20 * length].split()))
    return text if len(text) <= length else f"{text[: length - 1]}…"
