"""The results of a conformance run, the known exceptions, and the tables."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PACKAGES = (
    *("coremltools", "numpy", "onnx", "onnxruntime", "torch", "tensorflow-cpu", "scipy"),
    *("scikit-learn", "xgboost", "libsvm"),
)


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches the pattern, in which `*` stands for any text."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


@dataclass(frozen=True)
class Exceptions:
    """Known failures, each with its cause.

    Each has a pattern for test ids. All matching tests must fail. If it also has a pattern for the
    reason, it covers only failures with that reason, and other matching tests may pass.
    """

    rows: tuple[tuple[str, str, str], ...]  # test, reason, cause

    @classmethod
    def read(cls, path: Path) -> Exceptions:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        rows = []
        for each in content.get("exception", []):
            if not {"test", "cause"} <= set(each) <= {"test", "reason", "cause"}:
                raise SystemExit(
                    f"{path}: expected test, cause and optionally reason; received: {each}"
                )
            rows.append((each["test"], each.get("reason", ""), each["cause"]))
        return cls(tuple(rows))

    def cause(self, test: str, reason: str) -> str | None:
        """The cause of this failure if it is known, else None."""
        for pattern, why, cause in self.rows:
            if matches(pattern, test) and (not why or matches(why, reason)):
                return cause
        return None

    def must_fail(self, test: str) -> str | None:
        """The pattern that lists this test for any reason, else None."""
        return next((row[0] for row in self.rows if not row[1] and matches(row[0], test)), None)


# The possible results of a test -> the column titles. Tests of the first two compared predictions.
OUTCOMES = {
    "passed": "predicted and passed",
    "failed": "failed",
    "listed": "failed, listed in exceptions.toml",
    "without": "passed without a prediction",
    "expected": "expected to fail by coremltools itself",
    "skipped": "skipped by coremltools itself",
}


@dataclass
class Tally:
    """The results of one suite."""

    of: int = 0  # all tests; `run` of them were run
    run: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    ops: dict[str, dict[str, Counter[str]]] = field(default_factory=dict)  # by dialect
    failed: dict[str, str] = field(default_factory=dict)
    listed: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    not_runnable: dict[str, str] = field(default_factory=dict)


@dataclass
class Score:
    """The results per suite, compared with the exceptions."""

    suites: Mapping[str, Sequence[str]]
    exceptions: Exceptions
    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    stale: dict[str, str] = field(default_factory=dict)

    @property
    def tests(self) -> int:
        """The number of tests that were run."""
        return sum(tally.run for tally in self.tallies.values())

    @property
    def unexpected(self) -> int:
        """The number of failures that are not listed, and of listed tests that pass."""
        return sum(len(tally.failed) for tally in self.tallies.values()) + len(self.stale)

    def expect(self, tests: Iterable[str], not_runnable: Mapping[str, str]) -> None:
        """Count all tests, and the files that cannot be imported."""
        for test in tests:
            self._tally(test).of += 1
        for file, reason in not_runnable.items():
            self._tally(file).not_runnable[file] = reason

    def add(self, result: Mapping[str, Any]) -> None:
        """Count the result of one test."""
        test, outcome = result["id"], result["outcome"]
        tally = self._tally(test)
        cause = self.exceptions.cause(test, result["reason"]) if outcome == "failed" else None
        if cause is not None:
            outcome = "listed"
            tally.listed[cause] += 1
        elif outcome == "failed":
            tally.failed[test] = result["reason"]
        elif outcome == "passed":
            pattern = self.exceptions.must_fail(test)
            if pattern is not None:
                self.stale[test] = pattern
            if not result["predictions"]:
                outcome = "without"
        elif outcome == "skipped":
            tally.skipped[result["reason"]] += 1
        else:
            outcome = "expected"
        tally.run += 1
        tally.outcomes[outcome] += 1
        for dialect, op in result.get("ops", ()):
            tally.ops.setdefault(dialect, {}).setdefault(op, Counter())[outcome] += 1

    def _tally(self, test: str) -> Tally:
        inside = test.partition("/")[2]
        return self.tallies[
            next(
                name
                for name, paths in self.suites.items()
                if any(inside.startswith(path) for path in paths)
            )
        ]

    def report(self) -> int:
        """Print unexpected results and a summary; return the exit code."""
        for tally in self.tallies.values():
            for test, reason in tally.failed.items():
                print(f"failed: {test}\n        {reason}")
            for file, reason in tally.not_runnable.items():
                print(f"cannot be imported: {file}: {reason}")
        for test, pattern in self.stale.items():
            print(f"passed, but listed in exceptions.toml: {test}\n        by {pattern}")
        for name, tally in self.tallies.items():
            counts = tally.outcomes
            parts = [f"{counts[key]} {words}" for key, words in OUTCOMES.items() if counts[key]]
            print(f"{name}: {'; '.join(parts)}")
        return 1 if self.unexpected else 0


def write_table(score: Score, folder: Path) -> None:
    """Write `table.json` and `TABLE.md` to `folder`; entries of other suites are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "table.json"
    suites = json.loads(path.read_text(encoding="utf-8"))["suites"] if path.exists() else {}
    common = {"date": datetime.now(UTC).date().isoformat(), "versions": _versions()}
    for name, tally in score.tallies.items():
        suites[name] = common | {
            "of": tally.of,
            "run": tally.run,
            "outcomes": _ordered(tally.outcomes),
            "ops": {
                dialect: {op: _ordered(counts) for op, counts in sorted(ops.items())}
                for dialect, ops in sorted(tally.ops.items())
            },
            "failed": tally.failed,
            "listed": dict(tally.listed.most_common()),
            "skipped": dict(tally.skipped.most_common()),
            "not_runnable": tally.not_runnable,
        }
    suites = dict(sorted(suites.items()))
    text = json.dumps({"suites": suites}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    (folder / "TABLE.md").write_text(_markdown(suites), encoding="utf-8")


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    return {key: counts[key] for key in OUTCOMES if counts.get(key)}


def _versions() -> dict[str, str]:
    """The versions of the installed packages."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _markdown(suites: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        "# Conformance",
        "",
        "Results of coremltools' own tests with Pocketlens in place of Core ML. Generated by "
        "`conformance/run.py`; do not edit.",
        "",
        *_rows("suite", {name: suite["outcomes"] for name, suite in suites.items()}),
        "",
    ]
    for name, suite in suites.items():
        versions = ", ".join(f"{package} {number}" for package, number in suite["versions"].items())
        lines.append(
            f"- {name}: {suite['run']} of {suite['of']} tests, {suite['date']}, with {versions}"
        )
    for dialect in sorted({dialect for suite in suites.values() for dialect in suite["ops"]}):
        ops = _sums(
            {op: Counter(counts) for op, counts in suite["ops"].get(dialect, {}).items()}
            for suite in suites.values()
        )
        title = f"## Tests whose model uses the op: {dialect}"
        lines += ["", title, "", *_rows("op", dict(sorted(ops.items())))]
    for title, key in (("Failed", "failed"), ("Cannot be imported", "not_runnable")):
        rows = {test: reason for suite in suites.values() for test, reason in suite[key].items()}
        if rows:
            lines += ["", f"## {title}", ""]
            lines += [f"- `{test}`: {_cell(reason)}" for test, reason in rows.items()]
    for title, key, noun in (
        ("Listed exceptions", "listed", "cause"),
        ("Skipped by coremltools itself", "skipped", "reason"),
    ):
        counted: Counter[str] = sum((Counter(s[key]) for s in suites.values()), Counter())
        if counted:
            lines += ["", f"## {title}", "", f"| tests | {noun} |", "|--:|---|"]
            lines += [f"| {count} | {_cell(text)} |" for text, count in counted.most_common()]
    return "\n".join(lines) + "\n"


def _sums(parts: Iterable[Mapping[str, Counter[str]]]) -> dict[str, Counter[str]]:
    """The sum of the counts for each name."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for part in parts:
        for name, counts in part.items():
            found[name] += counts
    return found


def _rows(noun: str, counted: Mapping[str, Mapping[str, int]]) -> list[str]:
    head = f"| {noun} | {' | '.join(OUTCOMES.values())} |"
    lines = [head, f"|---|{'--:|' * len(OUTCOMES)}"]
    for name, counts in counted.items():
        lines.append(f"| {name} | {' | '.join(str(counts.get(key, 0)) for key in OUTCOMES)} |")
    return lines


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
