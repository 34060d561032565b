"""The score of a conformance run, the exceptions it is held against, the tables written of it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PACKAGES = (
    *("coremltools", "numpy", "onnx", "onnxruntime", "torch", "tensorflow-cpu", "scipy"),
    *("scikit-learn", "xgboost", "libsvm"),
)


def matches(pattern: str, text: str) -> bool:
    """Whether the text is what the pattern says, in which `*` stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text) is not None


@dataclass(frozen=True)
class Exceptions:
    """Failures that are known, each with its cause.

    Each is a pattern of the tests' ids. Every such test must fail; where a pattern of the reason is
    given too, only a failure with that reason is meant, and the others may pass.
    """

    rows: tuple[tuple[str, str, str], ...]  # test, reason, cause

    @classmethod
    def read(cls, path: Path) -> Exceptions:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        rows = []
        for each in content.get("exception", []):
            if not {"test", "cause"} <= set(each) <= {"test", "reason", "cause"}:
                raise SystemExit(
                    f"{path}: expected a test, its cause and perhaps a reason; received: {each}"
                )
            rows.append((each["test"], each.get("reason", ""), each["cause"]))
        return cls(tuple(rows))

    def cause(self, test: str, reason: str) -> str | None:
        """Why this failure is known, or None."""
        for pattern, why, cause in self.rows:
            if matches(pattern, test) and (not why or matches(why, reason)):
                return cause
        return None

    def must_fail(self, test: str) -> str | None:
        """The pattern by which this test is listed whatever the reason, or None."""
        return next((row[0] for row in self.rows if not row[1] and matches(row[0], test)), None)


# How a test can end. The first two made predictions and compared their numbers.
OUTCOMES = {
    "passed": "predicted and passed",
    "failed": "failed",
    "listed": "failed, listed in exceptions.toml",
    "without": "passed without a prediction",
    "expected": "expected by coremltools itself to fail",
    "skipped": "skipped by coremltools itself",
}


@dataclass
class Score:
    """Results, added up per suite and per op."""

    suites: Mapping[str, Sequence[str]]
    exceptions: Exceptions
    there: int = 0  # tests that there are; `tests` of them were run
    tests: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    ops: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    failed: dict[str, str] = field(default_factory=dict)
    listed: Counter[str] = field(default_factory=Counter)
    stale: dict[str, str] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    not_runnable: dict[str, str] = field(default_factory=dict)

    @property
    def unexpected(self) -> int:
        """Failures that are not listed, and listed tests that pass."""
        return len(self.failed) + len(self.stale)

    def add(self, result: Mapping[str, Any]) -> None:
        """Count one test's result."""
        test, outcome = result["id"], result["outcome"]
        cause = self.exceptions.cause(test, result["reason"]) if outcome == "failed" else None
        if cause is not None:
            outcome = "listed"
            self.listed[cause] += 1
        elif outcome == "failed":
            self.failed[test] = result["reason"]
        elif outcome == "passed":
            pattern = self.exceptions.must_fail(test)
            if pattern is not None:
                self.stale[test] = pattern
            if not result["predictions"]:
                outcome = "without"
        elif outcome == "skipped":
            self.skipped[result["reason"]] += 1
        else:
            outcome = "expected"
        self.tests += 1
        self.counts[self._suite(test)][outcome] += 1
        for dialect, op in result.get("ops", ()):
            self.ops[dialect, op][outcome] += 1

    def _suite(self, test: str) -> str:
        inside = test.partition("/")[2]
        return next(
            name
            for name, paths in self.suites.items()
            if any(inside.startswith(path) for path in paths)
        )

    def report(self) -> int:
        """Print what is not as expected; the exit code."""
        for test, reason in self.failed.items():
            print(f"failed: {test}\n        {reason}")
        for test, pattern in self.stale.items():
            print(f"passed, but listed in exceptions.toml: {test}\n        by {pattern}")
        for name, counts in self.counts.items():
            parts = [f"{counts[key]} {words}" for key, words in OUTCOMES.items() if counts[key]]
            print(f"{name}: {'; '.join(parts)}")
        for file, reason in self.not_runnable.items():
            print(f"not runnable here: {file}: {reason}")
        return 1 if self.unexpected else 0


def write_table(score: Score, folder: Path) -> None:
    """Write `table.json` and `TABLE.md` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "versions": _versions(),
        "tests": {"run": score.tests, "of": score.there},
        "suites": {name: dict(sorted(counts.items())) for name, counts in score.counts.items()},
        "ops": {
            dialect: {
                op: {key: counts[key] for key in OUTCOMES if counts[key]}
                for (of, op), counts in sorted(score.ops.items())
                if of == dialect
            }
            for dialect in sorted({dialect for dialect, _ in score.ops})
        },
        "failed": score.failed,
        "listed": dict(score.listed.most_common()),
        "skipped": dict(score.skipped.most_common()),
        "not_runnable": score.not_runnable,
    }
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (folder / "table.json").write_text(text + "\n", encoding="utf-8")
    (folder / "TABLE.md").write_text(_markdown(content), encoding="utf-8")


def _versions() -> dict[str, str]:
    """Of the packages that are installed."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _markdown(content: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    lines = [
        "# Conformance",
        "",
        "coremltools' own tests, run off macOS with Pocketlens in Core ML's place. Written by "
        "`conformance/run.py`; do not edit.",
        "",
        f"Versions: {versions}. Tests run: {content['tests']['run']} of {content['tests']['of']}.",
        "",
        *_rows("suite", content["suites"]),
    ]
    for dialect, ops in content["ops"].items():
        lines += ["", f"## Tests whose model uses the op: {dialect}", "", *_rows("op", ops)]
    for title, rows in (
        ("Failed", content["failed"]),
        ("Not runnable here", content["not_runnable"]),
    ):
        if rows:
            lines += ["", f"## {title}", ""]
            lines += [f"- `{test}`: {_cell(reason)}" for test, reason in rows.items()]
    if content["listed"]:
        lines += ["", "## Listed exceptions", "", "| tests | cause |", "|--:|---|"]
        lines += [f"| {count} | {_cell(cause)} |" for cause, count in content["listed"].items()]
    if content["skipped"]:
        lines += ["", "## Skipped by coremltools itself", "", "| tests | reason |", "|--:|---|"]
        lines += [f"| {count} | {_cell(reason)} |" for reason, count in content["skipped"].items()]
    return "\n".join(lines) + "\n"


def _rows(noun: str, counted: Mapping[str, Mapping[str, int]]) -> list[str]:
    head = f"| {noun} | {' | '.join(OUTCOMES.values())} |"
    lines = [head, f"|---|{'--:|' * len(OUTCOMES)}"]
    for name, counts in counted.items():
        lines.append(f"| {name} | {' | '.join(str(counts.get(key, 0)) for key in OUTCOMES)} |")
    return lines


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
