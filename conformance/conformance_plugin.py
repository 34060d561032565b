"""The pytest plugin under which coremltools' own tests run: Pocketlens predicts, results are kept.

Each test writes two lines of JSON to the file named by `--events`: one when it starts, one with how
it went. What counts is written as it happens, so that a crash takes no result with it.
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
coremltools_plugin.install()  # before any test module asks coremltools whether this is a Mac
stand_ins.install()  # before any takes what is replaced

MAX_REASON = 300
FAULT_OF_NEWER_MACS = "rdar://problem/84898245"
"""The reason that coremltools' XGBoost tests give."""


class TimeLimitError(BaseException):
    """A test ran longer than it may; no `except Exception` of a test can catch this."""


class Record:
    """What the models of the running test did."""

    def __init__(self) -> None:
        self.ops: set[tuple[str, str]] = set()
        self.predictions = 0
        self.refused: list[str] = []


record = Record()


def ops_of(spec: Any) -> set[tuple[str, str]]:
    """Every (dialect, op) that a model uses, those of a pipeline's models among them."""
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


def _watch() -> None:
    """Count what passes through the stand-in for Core ML."""
    proxy = coremltools_plugin._MLModelProxy
    init, predict = proxy.__init__, proxy.predict

    def watched_init(self: Any, filename: str, *rest: Any) -> None:
        try:
            record.ops |= ops_of(open_model(filename).spec)
            init(self, filename, *rest)
        except (PocketlensError, RuntimeError) as error:
            record.refused.append(str(error)[:MAX_REASON])
            raise error if isinstance(error, RuntimeError) else RuntimeError(str(error)) from error

    def watched_predict(self: Any, *arguments: Any) -> Any:
        outputs = predict(self, *arguments)
        record.predictions += 1
        return outputs

    proxy.__init__, proxy.predict = watched_init, watched_predict  # type: ignore[method-assign]


@pytest.hookimpl(tryfirst=True)
def pytest_make_parametrize_id(val: Any, argname: str) -> str:
    """As coremltools' own hook has it for all that is collected beside converters/mil.

    So a test has one name, whichever files it is collected with, and in whichever process: a
    function's address is left out.
    """
    return re.sub(r" at 0x[0-9a-f]+(?=>)", "", f"{argname}={val}")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption("--events", required=True, help="the file of results, one JSON object a line")
    group.addoption("--only", help="a file with the ids of the tests to run, a JSON list")
    group.addoption("--limit", type=float, default=120, help="seconds that one test may take")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Events(config), "conformance-events")
    _watch()


class Events:
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
        _seed("collection")  # some tests draw their parameters when they are collected

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.outcome != "passed" and self.collecting:
            self.write(file=report.nodeid, reason=_last_line(report))

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(self, obj: object) -> None:
        """What stands back on newer Macs for a fault that Apple looks into runs here."""
        if getattr(obj, "__unittest_skip_why__", "") == FAULT_OF_NEWER_MACS:
            obj.__unittest_skip__ = False  # type: ignore[attr-defined]

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Parameters from an iterator serve the tests that inherit them too, not the first only."""
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
        """coremltools collects garbage with every conversion; what is there by now is none."""
        gc.collect()
        gc.freeze()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        record.__init__()  # type: ignore[misc]
        self.reports = {}
        self.write(id=item.nodeid, started=True)
        began = time.perf_counter()
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
                seconds=round(time.perf_counter() - began, 2),
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
        return ("passed", "") if self.reports else ("failed", "it did not come to an end")


def _seed(text: str) -> None:
    """The same random numbers in every run, whichever tests ran before."""
    seed = zlib.crc32(text.encode())
    random.seed(seed)
    np.random.seed(seed)
    try:
        import torch
    except ImportError:
        return
    torch.manual_seed(seed)


def _last_line(report: Any) -> str:
    """Why a test failed or was passed over, in one line."""
    if getattr(report, "wasxfail", ""):
        return str(report.wasxfail)[:MAX_REASON]
    if isinstance(report.longrepr, tuple):  # of a skipped test: file, line, reason
        return str(report.longrepr[2]).removeprefix("Skipped: ")[:MAX_REASON]
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if crash is None:  # a module that cannot be imported: the exception is the last line
        lines = [line.removeprefix("E").strip() for line in lines if line.startswith("E ")][-1:]
    return " ".join(" ".join(lines).split())[:MAX_REASON]
