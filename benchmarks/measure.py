"""Shared by the benchmarks: run a recipe in a separate process and measure it from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pocketlens.run_folder import read_run

HERE = Path(__file__).parent


def run_recipe(
    name: str,
    *settings: str,
    until: str = "report",
    examine: Callable[[Path], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Time, results and peak memory, from the start of the process to the end of stage `until`.

    `examine` measures the Core ML file further; its time is not counted.
    """
    code = (
        "import sys, pocketlens\n"
        "pocketlens.run(sys.argv[1], out=sys.argv[2], until=sys.argv[3], overrides=sys.argv[4:])"
    )
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        words = [sys.executable, "-c", code, name, str(out), until, *settings]
        started = time.perf_counter()
        child = subprocess.Popen(words)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
        if status:
            raise SystemExit(f"{' '.join(words)} failed")
        run = read_run(out)
        stages, check, evaluation = run.stages, run.check, run.evaluation
        assert run.data and run.metrics and run.model and check and evaluation  # noqa: PT018
        more = examine(run.model) if examine else {}
        return {
            "data": run.data.source,
            "seconds": seconds,
            "phases": {"start": seconds - sum(stages.values()), **stages},
            "training_seconds": run.metrics.training_seconds,
            "accuracy": evaluation.accuracy,
            "calibration_error": evaluation.calibration.error,
            "core_ml_accuracy": check.parity.accuracy_b,
            "label_agreement": check.parity.agreement,
            "mean_difference": check.parity.mean_difference,
            "max_difference": check.parity.max_difference,
            "file_bytes": check.file_bytes,
            "parameters": run.metrics.parameters,
            "milliseconds_per_image": check.milliseconds_per_image,
            "peak_megabytes": usage.ru_maxrss / 1024,
            # Of all threads together. Other processes on the machine hardly change it.
            "processor_seconds": usage.ru_utime + usage.ru_stime,
            **more,
        }


def write(script: str, found: dict[str, Any]) -> None:
    """Write the results to a JSON file next to the script, and print a summary."""
    target = HERE / f"{Path(script).stem}.json"
    target.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps({k: v for k, v in found.items() if k != "runs"}, indent=2))
    print(f"wrote {target.name}")
