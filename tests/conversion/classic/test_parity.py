"""Every kind of model gives the same labels and numbers as its source."""

from __future__ import annotations

from pathlib import Path

import pytest

from classic_models import KINDS, Case
from pocketlens.conversion import convert, open_source
from pocketlens.conversion.classic.source import ClassicSource
from pocketlens.conversion.verifying import verify_arrays
from sampling import sampled

PACKAGES = {"scikit-learn": "sklearn", "XGBoost": "xgboost", "LightGBM": "lightgbm"}
FIRST = [next(case for case in KINDS if case.library == library) for library in PACKAGES]
OTHERS = [case for case in KINDS if case not in FIRST]


@pytest.mark.parametrize("case", [*FIRST, *sampled(OTHERS, 10)], ids=lambda case: case.name)
def test_answers_are_equal(case: Case, tmp_path: Path) -> None:
    pytest.importorskip(PACKAGES[case.library])
    source = open_source(case.fitted())
    assert isinstance(source, ClassicSource)
    path = convert(source, tmp_path / "Model.mlmodel", check=False)
    data = source.made_up(200, 7, missing=case.missing, unknown=case.unknown)
    found = verify_arrays(source, path, data)
    assert found.passed, str(found)
    assert all(each.equal in (None, 1.0) for each in found.outputs), str(found)
