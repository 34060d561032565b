"""A browser, a real recognizer of digits, and a preview of it: for `test_page.py`."""

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

from pocketlens.data import Dataset, load_data, mnist

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

REAL = Path(os.environ.get("POCKETLENS_DATA") or "none")


@pytest.fixture(scope="session")
def mnist_test() -> Dataset:
    if mnist.missing_files(REAL / "mnist"):
        pytest.skip("real MNIST is not on this computer")
    return load_data("mnist", split="test", folder=REAL)


@pytest.fixture(scope="session")
def seven(mnist_test: Dataset) -> NDArray[np.uint8]:
    """The first picture of MNIST's test set, `(28, 28)`."""
    assert mnist_test.labels[0] == 7
    first: NDArray[np.uint8] = mnist_test.images[0, ..., 0]
    return first


@pytest.fixture
def photo_file(tmp_path: Path, seven: NDArray[np.uint8]) -> Path:
    """A photograph as a phone makes it: in color, wide, JPEG, lying on its side by its EXIF."""
    side = 300
    large = np.asarray(Image.fromarray(seven).resize((side, side), Image.Resampling.BICUBIC))
    wide = np.zeros((side, side + 80, 3), np.uint8)
    wide[:, 40:-40] = large[..., None] * np.array([1, 0.9, 0.8])
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned: to be shown, turn it clockwise by 90°
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.rot90(wide)).save(path, quality=90, exif=exif)
    return path


@pytest.fixture(scope="session")
def digits_file(mnist_test: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quick recipe's Core ML file, trained on real MNIST within some seconds."""
    from pocketlens import run

    out = tmp_path_factory.mktemp("digits") / "run"
    done = run("quick", out=out, overrides=["data.source=mnist"], until="convert")
    assert done.model is not None
    return done.model


# The browser's own loop runs in this thread as long as Playwright does, so that no other test may
# start one: hence the scope.
@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    from preview.browser import chromium

    if chromium() is None:
        pytest.skip("no Chromium on the PATH; install it with: apt-get install chromium")
    with api.sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    from preview.browser import launch

    opened = launch(playwright)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of corrections."""
    return tmp_path_factory.mktemp("kept") / "corrections"


@pytest.fixture(scope="module")
def preview(
    digits_file: Path, kept: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a preview of the digits."""
    pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    from preview.browser import previewing

    log = tmp_path_factory.mktemp("preview") / "complaints"
    with previewing(digits_file, "--collect", kept, "--port", 0, log=log) as address:
        yield address


@pytest.fixture
def visit(browser: Browser, preview: str) -> Iterator[Any]:
    """Opens the page. Nothing but what the page asks of its own server, and no error, is let by."""
    from preview.browser import Visit

    made = Visit(browser, preview)
    yield made
    for context in made.contexts:
        context.close()
    made.check()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of axe-core, which finds what keeps people out of a page."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm on the PATH, which fetches axe-core")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run(
        [npm, "pack", "axe-core@4", "--silent"], cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"npm cannot fetch axe-core: {done.stderr.strip()[-200:]}")
    with tarfile.open(folder / done.stdout.split()[-1]) as package:
        script = package.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()
