"""Convert ONNX's own node tests to Core ML and run them with Pocketlens.

    python conformance/onnx_nodes.py                    # all; writes onnx_nodes.json, ONNX_NODES.md
    python conformance/onnx_nodes.py --sample 0.02      # a random fiftieth of the tests
    python conformance/onnx_nodes.py --match 'test_conv*'

The package onnx has some 1,900 tests of single nodes, each with inputs and expected outputs. Those
with numbers only are converted in float32 and run; outputs must agree within the tolerance of
ONNX's own runner. In a test, sizes, axes and weights are inputs; if the network cannot be converted
so, all inputs but the first become constants, as they are in real networks.

Exit code 0: each test passes, fails or cannot be converted as the table says. Exit code 1:
otherwise; the differences are printed.
"""

from __future__ import annotations

import argparse
import fnmatch
import functools
import hashlib
import importlib.metadata
import json
import os
import re
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
TABLE = HERE / "onnx_nodes.json"
PACKAGES = ("onnx", "onnx2coreml", "coremltools", "onnxruntime", "numpy")

NUMBERS = (
    *("FLOAT", "FLOAT16", "DOUBLE", "INT8", "INT16", "INT32", "INT64"),
    *("UINT8", "UINT16", "UINT32", "UINT64", "BOOL"),
)

FAILURES = {
    "test_mod_float_edge_cases_fmod_0_*": "by infinity: Core ML has x - floor(x / y) * y",
}
"""Pattern of tests that fail -> the cause; the first that matches counts."""


@dataclass(frozen=True)
class Result:
    """What became of a test.

    Attributes:
        outcome: `passed`, `constants` (passed with constants), `failed` or `unsupported`.
        reason: Why it failed or cannot be converted.
    """

    outcome: str
    reason: str = ""


def cases() -> list[Any]:
    """All node tests of numbers only."""
    from onnx.backend.test.loader import load_model_tests

    np.random.seed(0)
    return [case for case in load_model_tests(kind="node") if _is_numeric(case)]


def _is_numeric(case: Any) -> bool:
    import onnx

    for each in (*case.model.graph.input, *case.model.graph.output):
        if each.type.WhichOneof("value") != "tensor_type":
            return False
        if onnx.TensorProto.DataType.Name(each.type.tensor_type.elem_type) not in NUMBERS:
            return False
    return bool(case.data_sets)


def op_of(case: Any) -> str:
    """The op that a test is of; for one of its definition by other ops, that with `expanded`."""
    if "_expanded" in case.name:
        return "expanded into other ops"
    node = case.model.graph.node[0]
    return f"{node.domain}.{node.op_type}" if node.domain else str(node.op_type)


@functools.cache
def _by_name() -> dict[str, Any]:
    warnings.filterwarnings("ignore")  # of the tests' own numbers, such as overflows
    return {case.name: case for case in cases()}


def run_named(name: str) -> Result:
    """Convert and run the test of a name."""
    return run_case(_by_name()[name])


def run_case(case: Any) -> Result:
    """Convert and run one test."""
    from pocketlens.errors import PocketlensError

    inputs, outputs = ([_array(each) for each in part] for part in case.data_sets[0])
    given = dict(zip((each.name for each in case.model.graph.input), inputs, strict=True))
    reason = ""
    for outcome, model in _models(case.model, given):
        try:
            found = _predicted(model, given)
        except PocketlensError as error:
            reason = str(error)
            continue
        except Exception as error:  # an error of ours: the test fails
            return Result("failed", f"{type(error).__name__}: {error}")
        wrong = _difference(found, outputs, case.rtol, case.atol)
        return Result("failed", wrong) if wrong else Result(outcome)
    return Result("unsupported", reason)


def _models(model: Any, given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The network as it is, then with all inputs but the first as constants."""
    import onnx

    yield "passed", model
    if len(model.graph.input) > 1:
        bound = onnx.ModelProto()
        bound.CopyFrom(model)
        names = [each.name for each in model.graph.input][1:]
        bound.graph.initializer.extend(
            onnx.numpy_helper.from_array(given[name], name) for name in names
        )
        del bound.graph.input[1:]
        yield "constants", bound


def _predicted(model: Any, given: Mapping[str, Any]) -> list[Any]:
    from pocketlens.conversion.from_onnx.preparing import prepare
    from pocketlens.conversion.from_onnx.program import known_ops, to_core_ml
    from pocketlens.conversion.package import write_model
    from pocketlens.coreml import load
    from pocketlens.coreml.file.budget import Budget
    from pocketlens.files import temporary_folder

    prepared = prepare(model, Budget(), keep=known_ops())
    with temporary_folder() as folder:
        spec, weights = to_core_ml(prepared, format="mlpackage", precision="float32", folder=folder)
        file = folder / "Node.mlpackage"
        write_model(spec, weights, file, force=True)
        loaded = load(file, time_limit=60)
        features = {each.name: each for each in loaded.interface.inputs}
        feed = {
            there: np.reshape(given[name], given[name].shape or (1,)).astype(features[there].dtype)
            for name, there in prepared.inputs.items()
            if there in features  # inputs that no node reads are not in the file
        }
        results = loaded.run(feed)
    return [np.asarray(results[prepared.outputs[each.name]]) for each in model.graph.output]


def _difference(
    found: Sequence[Any], wanted: Sequence[Any], relative: float, absolute: float
) -> str:
    """How the outputs differ; empty if they do not."""
    for got, want in zip(found, wanted, strict=True):
        if got.size != want.size:
            return f"shape {got.shape} instead of {want.shape}"
        got = got.reshape(want.shape)
        if want.dtype.kind != "f":
            if not np.array_equal(got.astype(np.int64), want.astype(np.int64)):
                return "other integers"
            continue
        half = want.dtype == np.float16
        a, b = got.astype(np.float64), want.astype(np.float64)
        # Each of the two rounds to float32, or to float16.
        least = 2e-3 if half else max(absolute, 1e-6)
        if not np.allclose(a, b, rtol=max(relative, 5e-3 * half), atol=least, equal_nan=True):
            with np.errstate(invalid="ignore"):
                return f"differs by up to {np.nanmax(np.abs(a - b)):.3g}"
    return ""


def _array(value: Any) -> Any:
    import onnx

    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    return np.asarray(value)


def in_sample(name: str, share: float, seed: int) -> bool:
    """Whether the sample contains this test."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share


def cause_of(name: str) -> str:
    """Why a test is known to fail; empty if it is not."""
    return next((why for row, why in FAILURES.items() if fnmatch.fnmatch(name, row)), "")


def unexpected(results: Mapping[str, Result], table: Mapping[str, Any]) -> list[str]:
    """What is not as the table says, as text."""
    lines = []
    for name, result in results.items():
        known = name in table.get("unsupported", {})
        if result.outcome == "failed" and not cause_of(name):
            lines.append(f"failed: {name}: {result.reason}")
        elif result.outcome == "unsupported" and table and not known:
            lines.append(f"no longer converted: {name}: {result.reason}")
        elif result.outcome in ("passed", "constants") and (known or cause_of(name)):
            lines.append(f"passed, but listed: {name}")
    return lines


def write_table(results: Mapping[str, Result], ops: Mapping[str, str], total: int) -> None:
    """Write `onnx_nodes.json` and `ONNX_NODES.md`."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for name, result in results.items():
        rows[ops[name]][result.outcome] += 1
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    content = {
        "date": datetime.now(UTC).date().isoformat(),
        "versions": versions,
        "tests": total,
        "numeric": len(results),
        "ops": {op: dict(sorted(counts.items())) for op, counts in sorted(rows.items())},
        "failed": {
            name: cause_of(name) or each.reason
            for name, each in sorted(results.items())
            if each.outcome == "failed"
        },
        "unsupported": {
            name: _short(each.reason)
            for name, each in sorted(results.items())
            if each.outcome == "unsupported"
        },
    }
    text = json.dumps(content, indent=1, ensure_ascii=False)
    TABLE.write_text(text + "\n", encoding="utf-8")
    (HERE / "ONNX_NODES.md").write_text(markdown(content), encoding="utf-8")


def _short(reason: str) -> str:
    """A reason without the names of the test's own tensors."""
    text = re.sub(r"^the node .*? \(op (\w+)\)", r"\1", reason)
    return text.partition("; ")[0][:160]


def markdown(content: Mapping[str, Any]) -> str:
    """The table for readers."""
    sums: Counter[str] = Counter()
    for counts in content["ops"].values():
        sums.update(counts)
    passed = sums["passed"] + sums["constants"]
    versions = ", ".join(f"{name} {number}" for name, number in content["versions"].items())
    lines = [
        "# ONNX's node tests",
        "",
        f"Of {content['tests']} tests in the package onnx, {content['numeric']} have numbers only. "
        f"{passed} of these ({100 * passed / content['numeric']:.0f} %) are converted to Core ML "
        f"and return the expected numbers here; {sums['failed']} fail, {sums['unsupported']} "
        f"cannot be converted. {content['date']}, with {versions}. Generated by "
        "`conformance/onnx_nodes.py`; do not edit.",
        "",
        "| op | cases | passed | of these with constants | failed | not converted |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for op, counts in content["ops"].items():
        done = counts.get("passed", 0) + counts.get("constants", 0)
        lines.append(
            f"| {op} | {sum(counts.values())} | {done} | {counts.get('constants', 0)} | "
            f"{counts.get('failed', 0)} | {counts.get('unsupported', 0)} |"
        )
    if content["failed"]:
        lines += ["", "## Failed", ""]
        lines += [f"- `{name}`: {why}" for name, why in content["failed"].items()]
    reasons = Counter(content["unsupported"].values())
    lines += ["", "## Not converted", "", "| tests | reason |", "|--:|---|"]
    lines += [f"| {count} | {why.replace('|', chr(92) + '|')} |" for why, count in
              reasons.most_common()]  # fmt: skip
    return "\n".join(lines) + "\n"


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--match", default="*", help="a pattern for the names of the tests")
    parser.add_argument("--sample", type=float, default=1.0, help="the share to run, 0 to 1")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument(
        "--results", type=Path, help="a file to keep results between runs; failed tests run again"
    )
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    options = arguments(words)
    from onnx.backend.test.loader import load_model_tests

    every = list(_by_name().values())
    total = len(load_model_tests(kind="node"))
    chosen = [
        case
        for case in every
        if fnmatch.fnmatch(case.name, options.match)
        and in_sample(case.name, options.sample, options.seed)
    ]
    kept: dict[str, Result] = {}
    if options.results and options.results.exists():
        for line in options.results.read_text(encoding="utf-8").splitlines():
            name, outcome, reason = json.loads(line)
            if outcome != "failed":
                kept[name] = Result(outcome, reason)
    results = {case.name: kept[case.name] for case in chosen if case.name in kept}
    todo = [case.name for case in chosen if case.name not in results]
    with ProcessPoolExecutor(options.jobs) as pool:
        for name, result in zip(todo, pool.map(run_named, todo, chunksize=8), strict=True):
            results[name] = result
            if options.results:
                with options.results.open("a", encoding="utf-8") as log:
                    log.write(json.dumps([name, result.outcome, result.reason]) + "\n")
            if len(results) % 200 == 0:
                print(f"{len(results)} of {len(chosen)} tests", flush=True)
    table = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {}
    lines = unexpected(results, table)
    if len(chosen) == len(every):
        write_table(results, {case.name: op_of(case) for case in every}, total)
    print(*lines, sep="\n") if lines else None
    counts = Counter(result.outcome for result in results.values())
    print(f"{len(results)} of {len(every)} tests: " + ", ".join(
        f"{count} {outcome}" for outcome, count in sorted(counts.items())))  # fmt: skip
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
