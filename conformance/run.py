"""Run coremltools' own tests on any system, with Pocketlens in place of Core ML.

    python conformance/run.py                          # all suites; writes table.json and TABLE.md
    python conformance/run.py --suite neural-network   # one suite; updates its part of the tables
    python conformance/run.py --sample 0.1 --seed 7    # a random tenth of the tests
    python conformance/run.py --each 4 --quick         # at most four tests of each function
    python conformance/run.py --match '*test_conv.py*' # tests whose id matches a pattern
    python conformance/run.py --results all.jsonl      # keep results; do not repeat passed tests

Exit code 0: all tests pass, except those in `exceptions.toml`, which all fail. Exit code 1:
otherwise; the differences are printed. The tests run in separate processes of up to 250 tests, so
that a test that hangs or crashes fails alone.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from table import Exceptions, Score, matches, write_table

HERE = Path(__file__).resolve().parent
OPS = "converters/mil/mil/ops/tests"
TORCH = "converters/mil/frontend/torch/test"
SUITES = {
    "mil-ops": (OPS,),
    "neural-network": ("test/neural_network",),
    "pipeline": ("test/pipeline",),
    "scikit-learn": ("test/sklearn_tests",),
    "xgboost": ("test/xgboost_tests",),
    "torch-ops": (
        f"{TORCH}/test_torch_ops.py",
        f"{TORCH}/test_torch_stateful_model.py",
        f"{TORCH}/test_torch_quantization_ops.py",
    ),
}
APART = {
    "tensorflow-ops": (
        "converters/mil/frontend/tensorflow/test",
        "converters/mil/frontend/tensorflow2/test",
        "test/neural_network/test_tf_numeric.py",
    )
}
"""Runs only with `--suite`: needs the environment that `make conformance-tensorflow` creates."""

CHUNK = 250
"""The largest number of tests in one process."""
LIMIT = 600.0
"""Time limit per test in seconds; a few tests create tensors of 100 million numbers."""
GRACE = 60.0
"""Seconds after the time limit without a new result, after which a process is killed."""


class Suite:
    """The installed coremltools tests: collects them and runs some of them."""

    def __init__(self) -> None:
        found = importlib.util.find_spec("coremltools")
        if found is None or not found.submodule_search_locations:
            raise SystemExit("coremltools is not installed; install it with: make test")
        self.package = Path(found.submodule_search_locations[0])

    def pytest(
        self, folder: Path, events: Path, targets: Iterable[str], *options: str
    ) -> subprocess.Popen[bytes]:
        """Start pytest on `targets`, paths inside coremltools, with the working folder `folder`."""
        paths = [os.environ.get("PYTHONPATH", ""), str(HERE)]
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "TMPDIR": str(folder),
        }
        command = [sys.executable, "-m", "pytest", "-q", "-c", str(HERE / "pytest.ini")]
        command += ["--rootdir", str(self.package.parent), "--events", str(events), *options]
        command += [str(self.package / target) for target in targets]
        with (folder / "output.txt").open("wb") as output:
            return subprocess.Popen(
                command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
            )

    def collect(self, targets: Iterable[str], *options: str) -> tuple[list[str], dict[str, str]]:
        """The ids of all tests, and the files that cannot be imported -> the reason."""
        with tempfile.TemporaryDirectory() as name:
            events = Path(name) / "events.jsonl"
            process = self.pytest(Path(name), events, targets, "--collect-only", *options)
            process.wait()
            found = list(read_events(events))
            if not found:
                raise SystemExit((Path(name) / "output.txt").read_text(errors="replace"))
        ids = [event["id"] for event in found if "id" in event]
        return ids, {event["file"]: event["reason"] for event in found if "file" in event}

    def run(self, ids: list[str], limit: float) -> Iterator[dict[str, Any]]:
        """The result of each test of `ids`; a test that ends its process counts as failed."""
        rest = list(ids)
        while rest:
            files = dict.fromkeys(
                test.split("::")[0].removeprefix(f"{self.package.name}/") for test in rest
            )
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
                folder = Path(name)
                (folder / "only.json").write_text(json.dumps(rest), encoding="utf-8")
                events = folder / "events.jsonl"
                options = ["--only", str(folder / "only.json"), "--limit", str(limit)]
                process = self.pytest(folder, events, files, *options)
                ending = _wait(process, events, limit + GRACE)
                output = (folder / "output.txt").read_text(errors="replace")
                found = list(read_events(events))
            done = {event["id"]: event for event in found if "outcome" in event}
            running = [e["id"] for e in found if "started" in e and e["id"] not in done]
            for test in running:
                done[test] = {"id": test, "outcome": "failed", "reason": ending}
            yield from done.values()
            missing = [test for test in rest if test not in done]
            if missing and not done:
                reason = f"{ending}; {' '.join(output.split())[-200:]}"
                yield from ({"id": t, "outcome": "failed", "reason": reason} for t in missing)
                return
            rest = missing


def _wait(process: subprocess.Popen[bytes], events: Path, silence: float) -> str:
    """Wait for the process; return how it ended, as text."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(timeout=5)
            return f"its process ended with {code}"
        last = events.stat().st_mtime if events.exists() else None
        if last is not None and time.time() - last > silence:
            process.kill()
            process.wait()
            return f"no result for {silence:g} s; the process was killed"


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The complete lines of a file of results."""
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(json.JSONDecodeError):  # incomplete last line
                yield json.loads(line)


def random_number(test: str, seed: int) -> float:
    """A number from 0 to 1 that depends only on the test and the seed."""
    digest = hashlib.sha256(f"{seed}:{test}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def in_sample(test: str, share: float, seed: int) -> bool:
    """Whether the sample contains this test."""
    return random_number(test, seed) < share


def some_of_each(tests: Sequence[str], count: int, seed: int) -> list[str]:
    """At most `count` tests per function, with random parameters, in the original order."""
    functions: dict[str, list[str]] = {}
    for test in tests:
        functions.setdefault(test.partition("[")[0], []).append(test)
    chosen = {
        test
        for each in functions.values()
        for test in sorted(each, key=lambda test: random_number(test, seed))[:count]
    }
    return [test for test in tests if test in chosen]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--suite",
        action="append",
        choices=SUITES | APART,
        help="default: all but tensorflow-ops",
    )
    parser.add_argument("--match", default="*", help="a pattern for the ids of the tests, with *")
    parser.add_argument(
        "--quick", action="store_true", help="skip tests that coremltools marks as slow"
    )
    parser.add_argument(
        "--sample", type=float, default=1.0, help="the share of tests to run, 0 to 1"
    )
    parser.add_argument("--each", type=int, help="the largest number of tests of each function")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="parallel processes")
    parser.add_argument("--limit", type=float, default=LIMIT, help="time limit per test in seconds")
    parser.add_argument("--results", type=Path, help="a file to keep results between runs")
    parser.add_argument(
        "--out",
        type=Path,
        help="the folder for the tables; default: this one, after complete runs",
    )
    return parser.parse_args()


def main() -> int:
    options = arguments()
    suite = Suite()
    exceptions = Exceptions.read(HERE / "exceptions.toml")
    names = options.suite or list(SUITES)
    paths = {name: (SUITES | APART)[name] for name in names}
    score = Score(paths, exceptions)
    ids, unimportable = suite.collect(
        [path for each in paths.values() for path in each],
        *(["-m", "not slow"] if options.quick else []),
    )
    score.expect(ids, unimportable)
    chosen = [
        test
        for test in ids
        if matches(options.match, test) and in_sample(test, options.sample, options.seed)
    ]
    if options.each is not None:
        chosen = some_of_each(chosen, options.each, options.seed)
    kept = {e["id"]: e for e in read_events(options.results)} if options.results else {}
    known = [test for test in chosen if kept.get(test, {}).get("outcome", "failed") != "failed"]
    for test in known:
        score.add(kept[test])
    todo = [test for test in chosen if test not in set(known)]
    print(f"{len(ids)} tests, {len(chosen)} chosen, {len(todo)} to run, {options.jobs} in parallel")
    share = max(1, min(CHUNK, -(-len(todo) // (4 * options.jobs))))
    chunks = [todo[start : start + share] for start in range(0, len(todo), share)]
    started = time.perf_counter()
    with ThreadPoolExecutor(options.jobs) as pool, contextlib.ExitStack() as stack:
        log = (
            stack.enter_context(options.results.open("a", encoding="utf-8"))
            if options.results
            else None
        )
        for results in pool.map(lambda chunk: list(suite.run(chunk, options.limit)), chunks):
            for result in results:
                score.add(result)
                if log:
                    log.write(json.dumps(result) + "\n")
            if log:
                log.flush()
            print(f"{score.tests} tests, {score.unexpected} unexpected", flush=True)
    print(f"{time.perf_counter() - started:.0f} s")
    part = options.sample < 1 or options.match != "*" or options.quick or options.each is not None
    if options.out or not part:
        write_table(score, options.out or HERE)
    return score.report()


if __name__ == "__main__":
    raise SystemExit(main())
