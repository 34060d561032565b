"""The stages after the training, from `convert` to `report`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketlens.errors import AppError, CheckFailedError, UnsupportedModelError
from pocketlens.files import size_on_disk
from pocketlens.prediction import NOTHING
from pocketlens.run_contents import (
    APP,
    CAMERA,
    PARITY,
    WEB,
    WEIGHTS,
    float32_command,
    run_command,
)
from pocketlens.run_folder import Check, read_run
from pocketlens.stages.work import LARGE, Work

if TYPE_CHECKING:
    from pocketlens.data import Dataset
    from pocketlens.prediction import Predictor

__all__ = ["ModelStages"]

LARGE_IMAGES, MOST_IMAGES = 200, 1000
"""The number of images and empty scenes of the test for `nothing`, for large and small images."""


class ModelStages(Work):
    """Convert the network, check the file, and write the app, the website and the report."""

    def convert(self) -> None:
        self._convert(self.model)

    def _convert(self, target: Path) -> None:
        from pocketlens.conversion import ModelMetadata, convert

        model = self.recipe.model
        convert(
            self.recognizer,
            target,
            precision=model.precision,
            metadata=ModelMetadata(model.author, model.license, model.version, model.description),
            data=self.test_set if model.precision == "mixed" else None,
            # Of large images it takes ten seconds, and `verify` compares more of them.
            check=not self.large,
            force=True,
        )

    def verify(self) -> None:
        from pocketlens.coreml.file.time_limit import default_time_limit
        from pocketlens.evaluation.parity import verify
        from pocketlens.model_files import load
        from pocketlens.report.app_screen import draw_app_screen

        started = time.perf_counter()
        model = load(self.model, time_limit=default_time_limit())
        load_seconds = time.perf_counter() - started
        parity = verify(self.remembering, model, self.test_set)
        self.draw([("draw_parity", (parity, self.figures / "parity.svg"))])
        check = Check(
            self.model.name,
            size_on_disk(self.model),
            self.recipe.model.format,
            self.recipe.model.precision,
            _milliseconds(model.probabilities, self.test_set),
            load_seconds,
            parity,
        )
        content = {**vars(check), "parity": parity.to_dict()}
        self.write(PARITY, content, self.folder / WEIGHTS, self.model)
        if not parity.passed:
            raise CheckFailedError(
                f"{self.model} does not agree with the trained network: "
                f"{'; '.join(str(parity).splitlines())}{self._more_precise()}"
            )
        if self.recipe.training.on_features:
            self.explain(model)
        draw_app_screen(model, self.test_set, self.figures / "app.svg")
        if NOTHING in model.classes:
            self.show_nothing(model)

    def _more_precise(self) -> str:
        """The next command after a failed comparison; empty if the file is float32 already."""
        if self.recipe.model.precision == "float32":
            return ""
        return f"; try float32: {float32_command(self.folder)}"

    def explain(self, model: Predictor) -> None:
        """Draw why images are misread, and which training images are similar to them."""
        from pocketlens.report.mistake_figures import draw_confusions, draw_explained
        from pocketlens.training.features import Embedder

        evaluation = read_run(self.folder).evaluation
        assert evaluation is not None  # written by an earlier stage
        draw_explained(model, self.test_set, evaluation, self.figures / "explained.png")
        network: Any = self.recognizer.network
        draw_confusions(
            self.test_set,
            self.train_set,
            evaluation,
            Embedder(network, self.recipe.input, self.callbacks),
            self.figures / "confusions.png",
        )

    def show_nothing(self, model: Predictor) -> None:
        """Test the Core ML file on simulated photos, and on scenes with nothing in view."""
        from pocketlens.evaluation.robustness import run_suite
        from pocketlens.report.suite_figures import draw_rejection

        # Large images take longer: a photo model looks at fewer of them.
        limit = LARGE_IMAGES if self.large else MOST_IMAGES
        found = run_suite(
            model, self.test_set, limit=limit, seed=self.recipe.seed, tests=("camera",)
        )
        draw_rejection(found.rejection, self.figures / "rejection.svg")
        self.write(CAMERA, found.to_dict(), self.model)

    def _core_ml(self) -> Path:
        """The Core ML file, which app and website need; beside a Core AI model, it is made now."""
        if self.recipe.model.format != "aimodel":
            return self.model
        file = self.model.with_suffix(".mlpackage")
        if not file.exists():
            self._convert(file)
        return file

    def app(self) -> None:
        from pocketlens.app import create_app

        options = self.recipe.app
        create_app(
            self._core_ml(),
            self.folder / APP,
            name=options.name,
            bundle_id=options.bundle_id,
            team=options.team or None,
            pictures=self._pictures() if self.recipe.training.on_features else (),
            force=(self.folder / APP).exists(),
        )

    def web(self) -> None:
        from pocketlens.web import create_web

        options = self.recipe.web
        folder = self.folder / WEB
        try:
            create_web(
                self._core_ml(),
                folder,
                name=options.name or self.recipe.app.name,
                url=options.url or None,
                engine=options.engine,
                pictures=self._pictures() if self.recipe.training.on_features else (),
                force=folder.exists(),
            )
        except (AppError, UnsupportedModelError) as error:
            without = run_command(self.folder, "--set", "web.enabled=false")
            raise type(error)(f"{error}; to finish the run without it: {without}") from error

    def _pictures(self) -> list[Any]:
        """A training image of each class, for the icon of the app and the website."""
        import numpy as np

        labels = self.train_set.labels
        nothing = [at for at, name in enumerate(self.train_set.classes) if name == NOTHING]
        chosen = [int((labels == at).argmax()) for at in np.unique(labels) if at not in nothing]
        return [self.train_set.images[at] for at in chosen]

    def report(self) -> None:
        from pocketlens.report import write_report

        write_report(self.folder)


def _milliseconds(predict: Callable[..., Any], data: Dataset, *, rounds: int = 5) -> float:
    """Median over rounds of the time per image, in batches of up to 200 (large images: 20)."""
    from pocketlens.data.large_arrays import in_memory

    height, width = data.images.shape[1:3]
    images = in_memory(data.images[: 20 if height * width > LARGE else 200])
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        predict(images)
        times.append((time.perf_counter() - started) / len(images))
    return statistics.median(times) * 1000
