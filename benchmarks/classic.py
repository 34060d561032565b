"""Converted models of tables against their sources, on 100,000 rows for each kind of model.

    python benchmarks/classic.py                       # the kinds that are not in the JSON yet
    python benchmarks/classic.py --only XGBoost        # of one library
    python benchmarks/classic.py --rows 10000 --again  # all kinds, fewer rows

The rows are made up: thresholds of the model, the doubles and float32 numbers next to them, numbers
between and beyond them, ties, known categories; and, where the source takes them, missing values,
infinite numbers and unknown categories. The Core ML file runs row by row.

Claims: at least 99.99 % of the labels are equal; probabilities differ by at most 1e-6, or by what
the model's own tolerance says. The table in docs/guides is written by `python
benchmarks/classic.py --table`, and a test checks that it is up to date.
"""

# ruff: noqa: E402 - a helper of the tests is imported after `sys.path` is set

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "tests"))

from classic_models import KINDS, Case
from pocketlens.conversion import convert, open_source
from pocketlens.conversion.classic.source import ClassicSource
from pocketlens.conversion.verifying import verify_arrays
from pocketlens.errors import DataError

RESULTS = HERE / "classic.json"
PAGE = HERE.parent / "docs" / "guides" / "your_own_model.md"
BLOCK = re.compile(r"<!-- classic -->\n.*?<!-- /classic -->", re.DOTALL)
SPECIAL = ({}, {"missing": True}, {"unknown": True}, {"infinite": True})


def measure(case: Case, count: int) -> dict[str, Any]:
    """How far the Core ML file of a kind differs from its source."""
    source = open_source(case.fitted())
    assert isinstance(source, ClassicSource)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = convert(source, Path(folder) / "Model.mlmodel")
        kinds = [
            options
            for options in SPECIAL
            if (case.unknown or "unknown" not in options) and accepts(source, options)
        ]
        rows, equal, worst = 0, 0.0, 0.0
        for seed, options in enumerate(kinds):
            part = count // len(kinds) + (count % len(kinds) if not seed else 0)
            found = verify_arrays(source, path, source.made_up(part, seed, **options))
            rows += part
            for each in found.outputs:
                if each.equal is None:
                    worst = max(worst, each.worst if source.probabilities else each.share)
                else:
                    equal += each.equal * part
    return {
        "rows": rows,
        "labels": bool(source.labels),
        "equal": round(equal) if source.labels else None,
        "worst": worst if source.probabilities or not source.labels else None,
        "special": sorted(name for options in kinds for name in options),
        "seconds": round(time.perf_counter() - started),
    }


def accepts(source: ClassicSource, options: dict[str, bool]) -> bool:
    """Whether the source itself takes such rows."""
    try:
        source.run(source.made_up(100, 0, **options))
    except DataError:
        return False
    return True


def table() -> str:
    """The table of the guide, with the comments around it."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    lines = [
        "<!-- classic -->",
        "| library | kind | rows | equal labels | worst difference |",
        "|---|---|---|---|---|",
    ]
    for case in KINDS:
        if (found := results.get(key(case))) is None:
            continue
        rows, worst = found["rows"], found["worst"]
        labels = "–" if not found["labels"] else f"{100 * found['equal'] / rows:.4g} %"
        number = "–" if worst is None else f"{worst:.0e}" if worst else "0"
        lines.append(f"| {case.library} | {case.name} | {rows:,} | {labels} | {number} |")
    return "\n".join([*lines, "<!-- /classic -->"])


def key(case: Case) -> str:
    """The name of a kind in the JSON."""
    return f"{case.library}: {case.name}"


def main() -> None:
    """Measure, and write the JSON after each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--only", default="")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.table:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(BLOCK.sub(lambda _: table(), page), encoding="utf-8")
        return
    out = options.out
    results = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    for case in KINDS:
        if options.only not in key(case) or (key(case) in results and not options.again):
            continue
        results[key(case)] = measure(case, options.rows)
        print(key(case), results[key(case)], flush=True)
        text = json.dumps(results, indent=2, ensure_ascii=False) + "\n"
        out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
