"""Fixtures that tests of several packages share, and settings of the test session."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

# Tests run in parallel, one process per core; more threads in each would only wait for each other.
# Set before PyTorch is imported; tests of threads set their own number.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pocketlens.data import Dataset
from pocketlens.image import InputSpec
from pocketlens.recipe import Recipe, load_recipe


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest test first, so that no process waits for it at the end."""
    items.sort(key=lambda item: item.path.name != "test_tutorial.py")


def pytest_collection_finish() -> None:
    """coremltools collects garbage at each conversion; exclude the objects that exist so far."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def own_feature_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The cache of features is a new folder, also for the commands that a test starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POCKETLENS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def bars(count: int, *, seed: int = 0, size: int = 12) -> Dataset:
    """A task that a network learns in seconds: noisy images of a bar in one of three directions."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 3
    images = random.integers(0, 60, (count, size, size, 1), dtype=np.uint8)
    at = random.integers(3, size - 3, count)
    for image, label, place in zip(images[..., 0], labels, at, strict=True):
        if label == 0:
            image[:, place] = 230
        elif label == 1:
            image[place] = 230
        else:
            image[np.arange(size), np.arange(size)] = 230
    return Dataset(images, labels, ("stands", "lies", "slants"), "bars")


@pytest.fixture(scope="session")
def bars_train() -> Dataset:
    return bars(600)


@pytest.fixture(scope="session")
def bars_test() -> Dataset:
    return bars(240, seed=1)


@pytest.fixture
def bars_recipe() -> Recipe:
    """The quick recipe for `bars`; about half a second of training.

    In float32, so that results do not depend on whether the processor multiplies bfloat16.
    """
    settings = ["input.height=12", "input.width=12", "name=bars", "data.validation=0.2"]
    settings += ["network={name='strided', channels=[4, 8]}"]
    settings += ["training.epochs=3", "training.batch_size=30", "training.precision=float32"]
    settings += ["training.optimizer=adamw", "training.learning_rate=0.03"]
    return load_recipe("quick", settings)


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bars` as a folder of PNG files, one folder per class."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("bars") / "pictures"
    data = bars(300, seed=2)
    for index, (image, label) in enumerate(zip(data.images, data.labels, strict=True)):
        place = folder / data.classes[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(place / f"{index:03}.png")
    return folder


@pytest.fixture(scope="session")
def bars_run(tmp_path_factory: pytest.TempPathFactory, picture_folder: Path) -> Path:
    """A finished run on `picture_folder` with all stages."""
    from pocketlens import run

    settings = ["input.height=12", "input.width=12", "network.channels=[4, 8]", "name=bars"]
    settings += ["training.epochs=12", "training.batch_size=30", "data.validation=0.2"]
    settings += [f"data.source=folder:{picture_folder}", "model.name=Bars", "app.name=Bars"]
    out = tmp_path_factory.mktemp("run") / "bars"
    return run("quick", out=out, overrides=settings).folder


@pytest.fixture
def gray28() -> InputSpec:
    return InputSpec(28, 28)
