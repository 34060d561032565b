"""Fixtures for the tests of the page: a browser, a trained model for digits, a preview."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pocketlens.data import Dataset, load_data
from pocketlens.data.idx_loading import missing_files

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

REAL = Path(os.environ.get("POCKETLENS_DATA") or "none")


@pytest.fixture(scope="session")
def mnist_test() -> Dataset:
    if missing_files("mnist", REAL):
        pytest.skip("real MNIST is not in $POCKETLENS_DATA")
    return load_data("mnist", split="test", folder=REAL)


@pytest.fixture(scope="session")
def seven(mnist_test: Dataset) -> NDArray[np.uint8]:
    """The first image of MNIST's test set, `(28, 28)`."""
    assert mnist_test.labels[0] == 7
    first: NDArray[np.uint8] = mnist_test.images[0, ..., 0]
    return first


@pytest.fixture
def photo_file(tmp_path: Path, seven: NDArray[np.uint8]) -> Path:
    """A photo like a phone's: color JPEG, wide, stored rotated with an EXIF orientation."""
    side = 300
    large = np.asarray(Image.fromarray(seven).resize((side, side), Image.Resampling.BICUBIC))
    wide = np.zeros((side, side + 80, 3), np.uint8)
    wide[:, 40:-40] = large[..., None] * np.array([1, 0.9, 0.8])
    exif = Image.Exif()
    exif[0x0112] = 6  # viewers must rotate it clockwise by 90°
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.rot90(wide)).save(path, quality=90, exif=exif)
    return path


@pytest.fixture(scope="session")
def digits_file(mnist_test: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Core ML model of the recipe `quick`, trained on real MNIST in a few seconds."""
    from pocketlens import run

    out = tmp_path_factory.mktemp("digits") / "run"
    result = run("quick", out=out, overrides=["data.source=mnist"], until="convert")
    assert result.model is not None
    return result.model


# Playwright runs its event loop in this thread until it is closed, and meanwhile no other test may
# start an event loop. Therefore the scope is not the session.
@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    from preview.browser import chromium

    if chromium() is None:
        pytest.skip("Chromium is not on the PATH; install it with: apt-get install chromium")
    with api.sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    from preview.browser import launch

    opened = launch(playwright)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def corrections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for corrections."""
    return tmp_path_factory.mktemp("preview") / "corrections"


@pytest.fixture(scope="module")
def preview(
    digits_file: Path, corrections: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a running preview of the digits model, with its token."""
    pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    from preview.browser import run_page

    log = tmp_path_factory.mktemp("preview") / "errors"
    with run_page(
        "preview", digits_file, "--collect", corrections, "--port", 0, log=log
    ) as address:
        yield address


@pytest.fixture
def visit(browser: Browser, preview: str) -> Iterator[Any]:
    """Opens pages. The test fails on errors, and on requests to other hosts."""
    from preview.browser import Visit

    visit = Visit(browser, preview)
    yield visit
    for context in visit.contexts:
        context.close()
    visit.check()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of axe-core, which checks the accessibility of a page."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not on the PATH; it is needed to download axe-core")
    folder = tmp_path_factory.mktemp("axe")
    packed = subprocess.run(
        [npm, "pack", "axe-core@4", "--silent"], cwd=folder, capture_output=True, text=True
    )
    if packed.returncode:
        pytest.skip(f"npm cannot download axe-core: {packed.stderr.strip()[-200:]}")
    with tarfile.open(folder / packed.stdout.split()[-1]) as package:
        script = package.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()
