"""The page that lists which models can be converted, from what the benchmarks measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from markdown_text import code, table

__all__ = ["text"]

LITTLE = 1e-3
"""A comparison of outputs that vary less proves little."""

HOW = {
    "PyTorch": "PyTorch itself, on random arrays; of ops, on images",
    "Keras 3": "Keras itself, on images",
    "Keras 2 (.h5)": "the model of Keras 3 that was written as Keras 2 writes it, on images",
    "ONNX": "ONNX Runtime, on random arrays",
}


def text(root: Path) -> str:
    """The page; `root` is the repository."""
    measured = json.loads((root / "benchmarks" / "sources.json").read_text(encoding="utf-8"))
    parts = [
        "# What can be converted\n",
        "<!-- Generated from the JSON of benchmarks/sources.py; do not edit. -->\n",
        "Each model was converted in float32, run here, and compared with its source on inputs "
        "that `convert` itself does not use. *Worst difference* is the largest one of a "
        "probability, or of other outputs as a share of the largest number. A model that is not "
        "converted is refused with an error that names the layer or op. How to convert each kind "
        "is in [Bring your own model](../guides/your_own_model.md).\n",
        table(
            ("Framework", "Kinds", "Cases", "Converted", "Worst difference", "Compared with"),
            [
                *(_summary(name, kinds) for name, kinds in measured.items()),
                *_classic(root),
                _nodes(root),
            ],
        ),
    ]
    for name, kinds in measured.items():
        rows = [_row(kind, cases) for kind, cases in sorted(kinds.items()) if cases]
        header = ("Kind", "Converted", "Worst difference", "Remark")
        parts.append(f"## {name}\n\n{table(header, rows)}")
    parts.append(
        "## Models of tables and ONNX ops\n\n"
        "scikit-learn, XGBoost and LightGBM have "
        "[a table of their own](../guides/your_own_model.md#how-exact-these-models-are), as have "
        "[the ops of ONNX](../project/conformance_onnx.md).\n"
    )
    return "\n".join(parts)


def _summary(name: str, kinds: dict[str, Any]) -> tuple[str, ...]:
    cases = [case for rows in kinds.values() for case in rows.values() if "skipped" not in case]
    done = [case for case in cases if case["converted"]]
    count = sum(any("skipped" not in case for case in rows.values()) for rows in kinds.values())
    worst = _number(max(case["worst"] for case in done))
    return (name, str(count), str(len(cases)), str(len(done)), worst, HOW[name])


def _row(kind: str, cases: dict[str, Any]) -> tuple[str, ...]:
    tried = {name: case for name, case in cases.items() if "skipped" not in case}
    done = [case for case in tried.values() if case["converted"]]
    remarks = {case["skipped"] for case in cases.values() if "skipped" in case}
    remarks |= {f"not {name}" for name, case in tried.items() if not case["converted"]}
    loose = [case for case in done if case["worst"] > 1e-3]
    if loose:
        remarks.add(
            f"rounding alone changes its outputs by {_number(max(c['rounding'] for c in loose))}"
        )
    if any(case["varies"] < LITTLE for case in done):
        remarks.add("its outputs hardly differ between inputs")
    first, _, rest = kind.partition(" ")
    shown = f"{first} {code(rest)}" if first in ("layer", "op") else kind
    worst = _number(max(case["worst"] for case in done)) if done else "–"
    share = f"{len(done)} of {len(tried)}" if tried else "not run"
    return shown, share, worst, "; ".join(sorted(remarks))


def _classic(root: Path) -> list[tuple[str, ...]]:
    results = json.loads((root / "benchmarks" / "classic.json").read_text(encoding="utf-8"))
    rows = []
    for name in dict.fromkeys(key.partition(":")[0] for key in results):
        own = [found for key, found in results.items() if key.startswith(f"{name}:")]
        worst = max(found["worst"] or 0.0 for found in own)
        count = str(len(own))
        rows.append((name, count, count, count, _number(worst), f"{name} itself, on made-up rows"))
    return rows


def _nodes(root: Path) -> tuple[str, ...]:
    found = json.loads((root / "conformance" / "onnx_nodes.json").read_text(encoding="utf-8"))
    ops = found["ops"].values()
    passed = sum(each.get("passed", 0) + each.get("constants", 0) for each in ops)
    counts = (str(len(ops)), str(found["numeric"]), str(passed))
    return ("ONNX's node tests", *counts, "–", "the numbers that ONNX expects")


def _number(value: float) -> str:
    return f"{value:.0e}" if value else "0"
