"""A small data set, its results and a finished run, shared by the tests of figures and report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from pocketlens.data.dataset import Dataset
from pocketlens.evaluation.accuracy import Evaluation, evaluate
from pocketlens.evaluation.parity import Parity, verify
from pocketlens.files import size_on_disk
from pocketlens.recipe import load_recipe
from pocketlens.report import figures
from pocketlens.report.canvas import STYLE
from pocketlens.run_contents import figure_names
from report.samples import LookupPredictor, make_dataset


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return make_dataset(60)


@pytest.fixture(scope="session")
def evaluation(digits: Dataset) -> Evaluation:
    """Images 3, 14 and 24 are wrong: a 3 is predicted as 4, and two 4s as 5."""
    return evaluate(LookupPredictor(digits, wrong=(3, 14, 24)), digits)


@pytest.fixture(scope="session")
def parity(digits: Dataset) -> Parity:
    return verify(LookupPredictor(digits), LookupPredictor(digits, sure=0.9004), digits)


@pytest.fixture(scope="session")
def history() -> list[dict[str, Any]]:
    return [
        {
            "epoch": k,
            "epochs": 3,
            "seconds": 4.0,
            "images_per_second": 13_500.0,
            "learning_rate": 0.01 / k,
            "train_loss": 0.6 / k,
            "train_accuracy": 1 - 0.1 / k,
            "validation_loss": 0.5 / k,
            "validation_accuracy": 1 - 0.08 / k,
        }
        for k in (1, 2, 3)
    ]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved during a test, at a low resolution for speed."""
    monkeypatch.setitem(STYLE, "savefig.dpi", 40)
    saved = []
    for canvas, name in ((FigureCanvasAgg, "print_png"), (FigureCanvasSVG, "print_svg")):
        original = getattr(canvas, name)

        def keep(self: Any, file: Any, *, original: Any = original, **options: Any) -> None:
            if isinstance(file, Path):  # Matplotlib writes to a buffer to find a renderer
                saved.append(self.figure)
            original(self, file, **options)

        monkeypatch.setattr(canvas, name, keep)
    return saved


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Core ML file with fixed weights: the softmax of ten pixels."""
    import coremltools as ct
    import numpy as np
    from coremltools.models import datatypes
    from coremltools.models.neural_network import NeuralNetworkBuilder

    builder = NeuralNetworkBuilder(
        [("image", datatypes.Array(1, 28, 28))],
        [("probabilities", datatypes.Array(10))],
        mode="classifier",
    )
    weights = np.zeros((10, 784), np.float32)
    weights[:, :10] = np.eye(10)
    builder.add_flatten("flat", 0, "image", "pixels")
    builder.add_inner_product("ten", weights, None, 784, 10, False, "pixels", "scores")
    builder.add_softmax("softmax", "scores", "probabilities")
    builder.set_pre_processing_parameters(["image"], is_bgr=False, gray_bias=0.0)
    builder.set_class_labels([str(k) for k in range(10)])
    builder.spec.description.metadata.shortDescription = "A model for this test."
    path = tmp_path_factory.mktemp("model") / "Digits.mlmodel"
    ct.models.utils.save_spec(builder.spec, str(path))
    return path


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
    model: Path,
    digits: Dataset,
    evaluation: Evaluation,
    parity: Parity,
    history: list[dict[str, Any]],
) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("runs") / "quick"
    folder.mkdir()
    settings = ["model.format=mlmodel", "model.name=Digits", "augment.name=shift"]
    recipe = load_recipe("quick", settings)
    (folder / "recipe.toml").write_text(recipe.to_toml())
    (folder / "weights.safetensors").write_bytes(b"not read by the report")
    (folder / "Digits.mlmodel").write_bytes(model.read_bytes())
    (folder / "app" / "Digits.xcodeproj").mkdir(parents=True)
    lines = "".join(json.dumps(row) + "\n" for row in history)
    (folder / "history.jsonl").write_text(lines)
    parts = {
        "data": {
            "requested": "auto",
            "source": "mnist",
            "note": None,
            "classes": list(digits.classes),
            "train": 58_800,
            "validation": 1200,
            "test": 10_000,
        },
        "metrics": {
            "network": "strided",
            "parameters": 34_186,
            "device": "cpu",
            "training_seconds": 5.13,
            "best_epoch": 3,
            "temperature": 0.8312,
            "recognizer": evaluation.to_dict(),
        },
        "parity": {
            "file": "Digits.mlmodel",
            "file_bytes": size_on_disk(model),
            "format": "mlmodel",
            "precision": "float16",
            "milliseconds_per_image": 0.09341,
            "load_seconds": 0.041,
            "parity": parity.to_dict(),
        },
        "stages": {"data": 0.3, "train": 5.4, "convert": 65.2},
    }
    for name, values in parts.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    kept = folder / "figures"
    figures.draw_samples(digits, kept / "samples.png", rows=1, columns=2)
    figures.draw_history(history, kept / "history.svg")
    for name in figure_names():
        pattern = "samples.png" if name.endswith("png") else "history.svg"
        (kept / name).write_bytes((kept / pattern).read_bytes())
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(finished, tmp_path / "quick"))
