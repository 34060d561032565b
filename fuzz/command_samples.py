"""Small undamaged samples of everything that commands read: a run, models, data, a recipe."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

__all__ = ["write_samples"]

SIZE = 12


def write_samples(folder: Path) -> Path:
    """Write the samples to a folder, unless they are there; their names are those of `COMMANDS`."""
    if (folder / "written").is_dir():
        return folder
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras
    from PIL import Image

    import pocketlens

    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for place, name in enumerate(("left", "right")):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(10):
            pixels = random.integers(0, 60, (SIZE, SIZE), dtype=np.uint8)
            pixels[:, place * 6 : place * 6 + 6] += 150
            Image.fromarray(pixels).save(folder / "photos" / name / f"{number}.png")
    shutil.copy(folder / "photos" / "left" / "0.png", folder / "image.png")
    (folder / "labels.txt").write_text("left\nright\n")
    settings = ["input.height=12", "input.width=12", "network={name='strided', channels=[4]}",
                "training.epochs=2", "training.batch_size=4", "model.name=Bars",
                f"data.source=folder:{folder / 'photos'}", "name=bars"]  # fmt: skip
    run = pocketlens.run("quick", out=folder / "run", overrides=settings)
    assert run.model
    shutil.copy(run.folder / "recipe.toml", folder / "recipe.toml")
    shutil.copytree(run.model, folder / "package.mlpackage")
    shutil.copytree(run.folder / "app", folder / "written")
    pocketlens.convert(pocketlens.Recognizer.load(run.folder), folder / "model.mlmodel")
    _interrupted(folder / "recipe.toml", folder / "checkpoint")
    model = keras.Sequential([
        keras.layers.Input((SIZE, SIZE, 1)), keras.layers.Conv2D(2, 3, activation="relu"),
        keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax"),
    ])  # fmt: skip
    model.save(folder / "keras.keras")
    return folder


def _interrupted(recipe: Path, out: Path) -> None:
    """A run whose training was interrupted after its first epoch."""
    import pocketlens

    class Interrupt(pocketlens.Callback):
        def epoch(self, _: object) -> None:
            raise KeyboardInterrupt

    try:
        pocketlens.run(recipe, out=out, callbacks=[Interrupt()])
    except KeyboardInterrupt:
        return
    raise AssertionError("the training was not interrupted")
