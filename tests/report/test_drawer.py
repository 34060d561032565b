"""Figures drawn by a second process are identical to those drawn here, and so are errors."""

from __future__ import annotations

import io
import os
import pickle
import sys
from pathlib import Path

import pytest

from pocketlens.data import Dataset
from pocketlens.errors import DataError, OptionError
from pocketlens.report import drawer
from pocketlens.report.drawer import Drawer, Job, draw, serve


def jobs(data: Dataset, folder: Path) -> list[Job]:
    return [
        ("draw_samples", (data, folder / "samples.png")),
        ("draw_balance", ([data, data], folder / "balance.svg")),
    ]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were two processors and Matplotlib were not imported yet."""
    monkeypatch.setattr(drawer, "helps", lambda: True)


@pytest.mark.usefixtures("fresh")
def test_another_process_draws_the_same_bytes(
    bars_test: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with Drawer() as found:
        assert found._child
        called = []
        with monkeypatch.context() as patch:
            patch.setattr(drawer, "draw", None)  # nothing is drawn here
            found.draw(jobs(bars_test, there), meanwhile=lambda: called.append(1))
        child = found._child
    assert called == [1]
    assert child.returncode is not None  # it has ended
    draw(jobs(bars_test, here))
    for name in ("samples.png", "balance.svg"):
        assert (here / name).read_bytes() == (there / name).read_bytes()


@pytest.mark.usefixtures("fresh")
def test_an_error_is_raised_here(bars_test: Dataset, tmp_path: Path) -> None:
    with Drawer() as found:
        assert found._child
        with pytest.raises(OptionError, match=r"a figure must be a \.png or \.svg file; rec"):
            found.draw([("draw_samples", (bars_test, tmp_path / "samples.gif"))])
        with pytest.raises(DataError, match="bars is empty"):
            found.draw([("draw_samples", (bars_test.subset([]), tmp_path / "samples.png"))])
        # It goes on afterwards.
        found.draw(jobs(bars_test, tmp_path))
    assert (tmp_path / "balance.svg").is_file()


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("how", ["killed", "too large"])
def test_figures_are_drawn_here_if_the_other_process_cannot(
    bars_test: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    with Drawer() as found:
        assert found._child
        if how == "killed":
            found._child.kill()
            found._child.wait()
        else:
            monkeypatch.setattr(drawer, "MOST_BYTES", 10)
        found.draw(jobs(bars_test, tmp_path))
    assert (tmp_path / "samples.png").is_file()
    assert (tmp_path / "balance.svg").is_file()


@pytest.mark.parametrize(
    ("processors", "imported", "expected"),
    [(2, False, True), (2, True, False), (1, False, False), (None, False, False)],
)
def test_when_another_process_helps(
    monkeypatch: pytest.MonkeyPatch, processors: int | None, imported: bool, expected: bool
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    monkeypatch.setattr(sys, "modules", {"matplotlib": drawer} if imported else {})
    assert drawer.helps() is expected


def test_without_another_process_figures_are_drawn_here(
    bars_test: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawer, "helps", lambda: False)
    with Drawer() as found:
        assert found._child is None
        found.draw(jobs(bars_test, tmp_path))
    assert (tmp_path / "samples.png").is_file()


def test_it_serves_until_its_input_ends(bars_test: Dataset, tmp_path: Path) -> None:
    source, target = io.BytesIO(), io.BytesIO()
    for each in (jobs(bars_test, tmp_path), [("draw_samples", (None, tmp_path / "no.png"))]):
        content = pickle.dumps(each)
        source.write(len(content).to_bytes(8, "little") + content)
    source.seek(0)
    serve(source, target)
    assert target.getvalue() == b"yn"
    assert not (tmp_path / "no.png").exists()
