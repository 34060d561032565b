"""A pytest plugin for coremltools' own tests: Pocketlens predicts, and the results are recorded.

Each test writes two lines of JSON to the file `--events`: one when it starts, one with its result.
They are written immediately, so that a crash loses no results.
"""

from __future__ import annotations

import gc
import json
import random
import re
import signal
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pytest

import stand_ins
from pocketlens.coreml import coremltools_plugin
from pocketlens.coreml.file.functions import operations
from pocketlens.coreml.file.package import open_model
from pocketlens.errors import PocketlensError

stand_ins.import_xgboost()
stand_ins.import_torchvision()
coremltools_plugin.install()  # before a test module asks coremltools whether this is a Mac
stand_ins.install()  # before a test module imports what is replaced

MAX_REASON = 300
BUG_OF_NEWER_MACS = "rdar://problem/84898245"
"""The reason with which coremltools skips its XGBoost tests."""


class TimeLimitError(BaseException):
    """A test exceeded its time limit. A BaseException: tests must not catch it."""


class Record:
    """What the models in the current test did."""

    def __init__(self) -> None:
        self.ops: set[tuple[str, str]] = set()
        self.predictions = 0
        self.refused: list[str] = []


record = Record()


def ops_of(spec: Any) -> set[tuple[str, str]]:
    """All pairs (dialect, op) in a model, including the models of a pipeline."""
    kind = spec.WhichOneof("Type")
    if kind == "mlProgram":
        return {
            ("mil", operation.type)
            for function in spec.mlProgram.functions.values()
            for block in function.block_specializations.values()
            for operation in operations(block)
            if operation.type != "const"
        }
    if kind.startswith("neuralNetwork"):
        return {("neural_network", each.WhichOneof("layer")) for each in getattr(spec, kind).layers}
    if kind.startswith("pipeline"):
        pipeline = getattr(spec, kind)
        models = pipeline.models if kind == "pipeline" else pipeline.pipeline.models
        return set[tuple[str, str]]().union(*map(ops_of, models))
    return {("classic", kind)}


def _record_calls() -> None:
    """Record the calls of the stand-in for Core ML."""
    proxy = coremltools_plugin._MLModelProxy
    init, predict = proxy.__init__, proxy.predict

    def recording_init(self: Any, filename: str, *rest: Any) -> None:
        try:
            record.ops |= ops_of(open_model(filename).spec)
            init(self, filename, *rest)
        except (PocketlensError, RuntimeError) as error:
            record.refused.append(str(error)[:MAX_REASON])
            raise error if isinstance(error, RuntimeError) else RuntimeError(str(error)) from error

    def recording_predict(self: Any, *arguments: Any) -> Any:
        outputs = predict(self, *arguments)
        record.predictions += 1
        return outputs

    proxy.__init__, proxy.predict = recording_init, recording_predict  # type: ignore[method-assign]


@pytest.hookimpl(tryfirst=True)
def pytest_make_parametrize_id(val: Any, argname: str) -> str:
    """The same ids as coremltools' own hook for tests outside converters/mil.

    A test then has the same id in every process and with any other files; addresses of functions
    are removed.
    """
    return re.sub(r" at 0x[0-9a-f]+(?=>)", "", f"{argname}={val}")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption("--events", required=True, help="the file for results, in JSON lines")
    group.addoption("--only", help="a JSON file with a list of the ids of the tests to run")
    group.addoption("--limit", type=float, default=120, help="time limit per test, in seconds")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Events(config), "conformance-events")
    _record_calls()


class Events:
    """Writes the start and the result of each test."""

    def __init__(self, config: pytest.Config) -> None:
        self.file: TextIO = Path(config.getoption("--events")).open(  # noqa: SIM115 (closed below)
            "a", encoding="utf-8"
        )
        only = config.getoption("--only")
        self.only = set(json.loads(Path(only).read_text(encoding="utf-8"))) if only else None
        self.limit = config.getoption("--limit")
        self.collecting = config.getoption("collectonly")
        self.reports: dict[str, pytest.TestReport] = {}

    def write(self, **event: Any) -> None:
        self.file.write(json.dumps(event) + "\n")
        self.file.flush()

    def pytest_unconfigure(self) -> None:
        self.file.close()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        _seed("collection")  # some tests draw random parameters during collection

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.outcome != "passed" and self.collecting:
            self.write(file=report.nodeid, reason=_last_line(report))

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(self, obj: object) -> None:
        """Run the tests that coremltools skips because of a bug on newer Macs."""
        if getattr(obj, "__unittest_skip_why__", "") == BUG_OF_NEWER_MACS:
            obj.__unittest_skip__ = False  # type: ignore[attr-defined]

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Turn iterators of parameters into lists, so that inherited tests get them too."""
        for mark in metafunc.definition.iter_markers("parametrize"):
            if len(mark.args) > 1 and isinstance(mark.args[1], Iterator):
                names, values, *rest = mark.args
                object.__setattr__(mark, "args", (names, list(values), *rest))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        if self.collecting:
            for item in items:
                self.write(id=item.nodeid)
        if self.only is not None:
            config.hook.pytest_deselected(items=[i for i in items if i.nodeid not in self.only])
            items[:] = [item for item in items if item.nodeid in self.only]

    def pytest_collection_finish(self) -> None:
        """coremltools collects garbage with every conversion; exclude the objects so far."""
        gc.collect()
        gc.freeze()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        record.__init__()  # type: ignore[misc]
        self.reports = {}
        self.write(id=item.nodeid, started=True)
        started = time.perf_counter()
        signal.signal(signal.SIGALRM, self._too_long)
        signal.setitimer(signal.ITIMER_REAL, self.limit)
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            outcome, reason = self._outcome()
            self.write(
                id=item.nodeid,
                outcome=outcome,
                reason=reason,
                predictions=record.predictions,
                refused=record.refused,
                ops=sorted(record.ops),
                seconds=round(time.perf_counter() - started, 2),
            )

    def _too_long(self, *_: Any) -> None:
        raise TimeLimitError(f"longer than {self.limit:g} s")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        _seed(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.reports[report.when or ""] = report

    def _outcome(self) -> tuple[str, str]:
        for report in self.reports.values():
            expected = hasattr(report, "wasxfail")
            if report.failed:
                return "failed", _last_line(report)
            if report.skipped:
                return ("xfailed" if expected else "skipped"), _last_line(report)
        return ("passed", "") if self.reports else ("failed", "it did not finish")


def _seed(text: str) -> None:
    """Seed all generators, so that random numbers do not depend on the tests that ran before."""
    seed = zlib.crc32(text.encode())
    random.seed(seed)
    np.random.seed(seed)
    try:
        import torch
    except ImportError:
        return
    torch.manual_seed(seed)


def _last_line(report: Any) -> str:
    """Why a test failed or was skipped, in one line."""
    if getattr(report, "wasxfail", ""):
        return str(report.wasxfail)[:MAX_REASON]
    if isinstance(report.longrepr, tuple):  # for a skipped test: file, line, reason
        return str(report.longrepr[2]).removeprefix("Skipped: ")[:MAX_REASON]
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if crash is None:  # import error of a module: the exception is the last line
        lines = [line.removeprefix("E").strip() for line in lines if line.startswith("E ")][-1:]
    return " ".join(" ".join(lines).split())[:MAX_REASON]
