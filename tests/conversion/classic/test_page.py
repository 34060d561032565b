"""The guide lists every class that is converted, and the measured table."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from pocketlens.conversion.classic.sklearn_models import SUPPORTED

ROOT = Path(__file__).parents[3]


def test_the_guide_lists_every_estimator() -> None:
    text = (ROOT / "docs" / "guides" / "your_own_model.md").read_text(encoding="utf-8")
    assert [name for name in SUPPORTED if f"`{name}`" not in text] == []


def test_the_table_of_measurements_is_up_to_date() -> None:
    path = ROOT / "benchmarks" / "classic.py"
    spec = importlib.util.spec_from_file_location("classic_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not module.RESULTS.exists():
        pytest.skip("not measured yet: python benchmarks/classic.py")
    assert module.table() in module.PAGE.read_text(encoding="utf-8")
