"""The stages of a run: each reads what the earlier ones wrote, and writes its own files."""

from __future__ import annotations

import time

from pocketlens.errors import OutputError
from pocketlens.files import digest
from pocketlens.run_contents import RECIPE, WEIGHTS, Stage
from pocketlens.run_folder import Finished, settings_digest
from pocketlens.stages.data import DataStage, refuse_problems
from pocketlens.stages.model import ModelStages
from pocketlens.stages.training import TrainingStages

__all__ = ["Stages", "refuse_problems"]


class Stages(DataStage, TrainingStages, ModelStages):
    """All stages, each a method of the stage's name."""

    def run(self, stage: Stage) -> Finished:
        """Run one stage.

        Raises:
            OutputError: The run folder was removed or renamed meanwhile.
            PocketlensError: Any error of the stage.
        """
        started = time.perf_counter()
        getattr(self, stage)()
        if not (self.folder / RECIPE).is_file():
            raise OutputError(
                f"{self.folder} was removed or renamed during the stage '{stage}'; restore it, or "
                "start again with another --out"
            )
        seconds = round(time.perf_counter() - started, 3)
        output = {"train": self.folder / WEIGHTS, "convert": self.model}.get(stage)
        return Finished(
            seconds,
            settings_digest(self.recipe, stage),
            (digest(output) or "") if output else "",
            self.model.name if stage == "convert" else "",
        )
