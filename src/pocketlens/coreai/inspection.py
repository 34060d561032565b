"""`described`: everything that a Core AI model says about itself."""

from __future__ import annotations

import re
from typing import Any

from pocketlens.coreai.asset import Asset

__all__ = ["described"]


def described(
    asset: Asset, functions: list[dict[str, Any]], summary: dict[str, Any]
) -> dict[str, Any]:
    """`inspect`, for what the process has found."""
    per_function = {
        each["name"]: {kind: _features(each[kind]) for kind in ("inputs", "outputs", "states")}
        for each in functions
    }
    first = per_function.get("main") or next(iter(per_function.values()))
    weights = {name.lower(): count for name, count in summary["weights"].items()}
    version = str(summary["compatibility"]).removesuffix(".0")
    custom = asset.metadata.custom
    return {
        "path": str(asset.path),
        "kind": "Core AI model",
        "specification_version": asset.version,
        "problems": [],
        "opset": f"iOS{version}" if version else "",
        "functions": list(per_function),
        "stages": [],
        **first,
        "training_inputs": [],
        "classes": list(asset.labels),
        "input_spec": None if asset.input_spec is None else asset.input_spec.to_dict(),
        "metadata": {
            "description": asset.metadata.description,
            "author": asset.metadata.author,
            "license": asset.metadata.license,
            "version": str(custom.get("version", "")),
            "user": {name: str(value) for name, value in sorted(custom.items())}
            | {"producer": asset.metadata.producer},
        },
        "ops": summary["ops"],
        "per_function": {
            name: {"opset": "", "ops": {}, **found} for name, found in per_function.items()
        },
        "parameters": sum(count for name, count in weights.items() if name.startswith("float")),
        "weights": weights,
        "weight_bytes": {name: -(-count * _bits(name) // 8) for name, count in weights.items()},
        "compressed": {},
        "updatable": False,
        "updatable_layers": [],
        "bytes": asset.size,
    }


def _features(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "name": row["name"],
            "type": "array",
            "description": "",
            "shape": ["any" if size is None else size for size in row["shape"]],
            "dtype": row["dtype"],
        }
        for row in rows
    ]


def _bits(name: str) -> int:
    """The size of a number of a type such as `float16`, `uint4` or `float8e4m3fn`."""
    found = re.search(r"\d+", name)
    return int(found[0]) if found else 8
