"""Run PyTorch ops by Apple's Core AI interpreter and by our Core ML runtime, and compare all three.

Apple's interpreter is an oracle that we did not write: where it and our runtime agree with each
other but not with PyTorch, PyTorch's op is converted wrongly by both; where only ours differs, the
error is ours.

    python conformance/core_ai.py            all rows of tests/torch_cases; an hour
    python conformance/core_ai.py gelu pool  the rows whose names contain one of the words

The results are written to core_ai.json and, as a table, to CORE_AI.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from pocketlens import model_files  # noqa: E402
from pocketlens.conversion import SourceOptions, convert, open_source  # noqa: E402
from pocketlens.conversion.core_ai import write_core_ai  # noqa: E402
from pocketlens.conversion.metadata import ModelMetadata  # noqa: E402
from pocketlens.conversion.model_arrays import as_arrays  # noqa: E402
from pocketlens.errors import PocketlensError  # noqa: E402
from pocketlens.files import temporary_folder  # noqa: E402
from torch_cases import ROWS  # noqa: E402
from torch_cases.case import SIZE, Made  # noqa: E402

FOUND = HERE / "core_ai.json"
TABLE = HERE / "CORE_AI.md"

TOLERANCE = 1e-4
"""The largest difference that is rounding, as a share of the largest number of the output."""


class Op(nn.Module):
    """A row as a network from planes to the op's own output."""

    def __init__(self, op: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.op = op

    def forward(self, x: torch.Tensor) -> Any:
        """The output; truth values and whole numbers as float32."""
        found = self.op(x)
        return found.float() if isinstance(found, torch.Tensor) else found


def made(name: str) -> nn.Module:
    """The network of a row, with the same weights as in the tests."""
    torch.manual_seed(0)
    row = ROWS[name]
    op = row() if isinstance(row, Made) else row
    if isinstance(op, nn.Module):
        for value in (*op.parameters(), *op.buffers()):
            if value.is_floating_point():
                value.data += 0.1 * torch.randn_like(value).abs()
    return Op(op).eval()


def inputs() -> dict[str, np.ndarray[Any, Any]]:
    """Ordinary, large and small numbers; ties and halves; zeros of both signs; not finite ones."""
    random = np.random.default_rng(0)
    shape = (1, 3, SIZE, SIZE)
    found = {
        "ordinary": random.uniform(-2, 2, shape),
        "large": random.uniform(-60, 60, shape),
        "halves": random.integers(-6, 7, shape) / 2,
        "zeros": random.choice([0.0, -0.0, 1.0], shape),
        "not finite": random.choice([np.inf, -np.inf, np.nan, 1.0, -3.5], shape),
    }
    return {name: values.astype(np.float32) for name, values in found.items()}


def share(want: Any, got: Any) -> float:
    """The largest difference as a share of the largest number; infinite for another kind of one."""
    want, got = np.asarray(want, np.float64), np.asarray(got, np.float64)
    if want.size != got.size:
        return float("inf")
    want, got = want.reshape(-1), got.reshape(-1)
    same = (want == got) | (np.isnan(want) & np.isnan(got))
    finite = np.isfinite(want) & np.isfinite(got)
    if not (same | finite).all():
        return float("inf")
    largest = max(1e-3, float(np.abs(want[finite]).max(initial=0)))
    return float(np.abs(want - got)[finite & ~same].max(initial=0)) / largest


def measured(name: str) -> dict[str, Any]:
    """What the three say about a row: the largest share for each kind of input."""
    network = made(name)
    found: dict[str, Any] = {"core_ai": None, "core_ml": None}
    try:
        source = open_source(
            network, SourceOptions(inputs={"x": np.zeros((1, 3, SIZE, SIZE), np.float32)})
        )
    except PocketlensError as error:
        return found | {"source": str(error)}
    models: dict[str, Any] = {}
    with temporary_folder() as folder:
        for kind, write in (
            ("core_ai", lambda path: write_core_ai(source, path, ModelMetadata(), half=False)),
            ("core_ml", lambda path: convert(source, path, precision="float32", check=False)),
        ):
            path = folder / ("op.aimodel" if kind == "core_ai" else "op.mlpackage")
            try:
                write(path)
                models[kind] = model_files.load(path, time_limit=60)
            except PocketlensError as error:
                found[f"{kind}_error"] = str(error)[:300]
        for values_name, values in inputs().items():
            try:
                want = source.run({"x": values})
            except PocketlensError:
                continue
            outputs = {"torch": want}
            for kind, model in models.items():
                try:
                    outputs[kind] = as_arrays(model, rows=False).run({"x": values})
                except PocketlensError as error:
                    found[f"{kind}_error"] = f"{values_name}: {error}"[:300]
            for one, other, key in (
                ("torch", "core_ai", "core_ai"),
                ("torch", "core_ml", "core_ml"),
                ("core_ai", "core_ml", "apart"),
            ):
                if one in outputs and other in outputs:
                    worst = max(
                        share(a, b)
                        for a, b in zip(outputs[one].values(), outputs[other].values(), strict=True)
                    )
                    found[key] = {**(found.get(key) or {}), values_name: worst}
    return found


def write_table(found: dict[str, Any]) -> None:
    """A row for each op: the largest difference for finite inputs, and what cannot be converted."""
    lines = [
        "# PyTorch ops in Apple's Core AI interpreter and in our Core ML runtime",
        "",
        "The largest difference for inputs of finite numbers, as a share of the largest number of",
        f"the output; more than {TOLERANCE:g} is bold. –: it is not converted or does not run, and",
        f"an error says so. {len(found)} of {len(ROWS)} rows of `tests/torch_cases` have been run.",
        "Written by `conformance/core_ai.py`.",
        "",
        "| op | Core AI, to PyTorch | Core ML, to PyTorch | the two |",
        "|---|---|---|---|",
    ]
    for name, row in found.items():
        cells = [_cell(row.get(key)) for key in ("core_ai", "core_ml", "apart")]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _cell(values: dict[str, Any] | None) -> str:
    finite = [float(v) for name, v in (values or {}).items() if name != "not finite"]
    if not finite:
        return "–"
    worst = max(finite)
    return f"{worst:.0e}" if worst <= TOLERANCE else f"**{worst:.0e}**"


def main() -> None:
    """Run the rows, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("words", nargs="*", help="parts of the names of rows; default: all")
    options = parser.parse_args()
    found = json.loads(FOUND.read_text(encoding="utf-8")) if FOUND.exists() else {}
    warnings.simplefilter("ignore")
    for name in ROWS:
        if options.words and not any(word in name for word in options.words):
            continue
        found[name] = measured(name)
        print(name, json.dumps(found[name]), flush=True)
        ordered = {key: found[key] for key in ROWS if key in found}
        text = json.dumps(ordered, indent=1).replace("Infinity", '"inf"')
        FOUND.write_text(text + "\n", encoding="utf-8")
        write_table(ordered)


if __name__ == "__main__":
    main()
