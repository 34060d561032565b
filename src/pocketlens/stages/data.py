"""The stage `data`: check the files, load the images, draw what they look like."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from pocketlens.commands import command
from pocketlens.data.check import DataCheck, check_data
from pocketlens.data.file_sources import FileSource
from pocketlens.errors import CheckFailedError
from pocketlens.report.check_figures import PICTURED
from pocketlens.report.drawer import Job
from pocketlens.run_contents import DATA, DATA_CHECK
from pocketlens.run_folder import DataSummary
from pocketlens.stages.work import Work

__all__ = ["DataStage", "refuse_problems"]

NOTED = 4
"""The most findings that are reported; all are in the report."""


class DataStage(Work):
    """Reads the images."""

    def data(self) -> None:
        from pocketlens import augment
        from pocketlens.data import load_data, resolve

        requested, seed = self.recipe.data.source, self.recipe.seed
        resolved = resolve(requested, progress=self._downloaded)
        if resolved.note:
            for callback in self.callbacks:
                callback.note(resolved.note)
        jobs = self.check_files(resolved.name)
        self.train_set, self.test_set = (
            load_data(
                resolved.name,
                split=split,
                input_spec=self.recipe.input,
                seed=seed,
                progress=self._downloaded,
                decoded=self._decoded(),
            )
            for split in ("train", "test")
        )
        rest, held = self.train_set.split(self.recipe.data.validation, seed=seed)
        jobs += [
            ("draw_samples", (self.train_set, self.figures / "samples.png")),
            ("draw_pixels", (self.train_set, 0, self.figures / "pixels.png")),
            ("draw_one_hot", (self.train_set, self.figures / "one_hot.svg")),
            ("draw_balance", ([self.train_set, self.test_set], self.figures / "balance.svg")),
        ]
        augmentation = augment.build(self.recipe.augment, nothing=self.recipe.data.nothing)
        if augmentation.change:
            shown = augment.sample(self.train_set, augmentation, seed=seed)
            jobs.append(("draw_samples", (shown, self.figures / "augmented.png")))
        self.draw(jobs, before="train", meanwhile=_import_training)
        summary = DataSummary(
            requested,
            resolved.name,
            resolved.note,
            self.train_set.classes,
            len(rest),
            len(held),
            len(self.test_set),
        )
        self.write(DATA, asdict(summary))

    def check_files(self, name: str) -> list[Job]:
        """Check a folder or CSV file before its images are loaded; draw what was found.

        Raises:
            CheckFailedError: There is a problem, and the run is strict.
        """
        source = FileSource.parse(name)
        if source is None:
            return []
        found = check_data(name, progress=self._decoded())
        self.write(DATA_CHECK, found.to_dict())
        for line in _noted(found):
            for callback in self.callbacks:
                callback.note(line)
        if self.strict:
            refuse_problems(found)
        if not any(finding.kind in PICTURED for finding in found.findings):
            return []
        return [("draw_findings", (found, source.root, self.figures / "findings.png"))]

    def _downloaded(self, file: str, received: int, total: int | None) -> None:
        for callback in self.callbacks:
            callback.download(file, received, total)


def _noted(found: DataCheck) -> list[str]:
    """The most important findings; `load_data` itself warns of files that cannot be read."""
    findings = [finding for finding in found.findings if finding.kind != "unreadable"]
    lines = [f"{'PROBLEM: ' * each.problem}{each.text}" for each in findings[:NOTED]]
    if findings:
        more = f"{len(findings) - NOTED} more; " if len(findings) > NOTED else ""
        lines.append(f"{more}all about the images: {command('data', 'check', Path(found.source))}")
    return lines


def refuse_problems(found: DataCheck) -> None:
    """Stop a strict run if the check of the files has found a problem.

    Raises:
        CheckFailedError: It has.
    """
    if not found.passed:
        problems = [finding.text for finding in found.findings if finding.problem]
        left_out = command("data", "check", Path(found.source), "--quarantine")
        raise CheckFailedError(
            f"{found.source} has {len(problems)} problem(s): {'; '.join(problems)}; repair them, "
            f"leave such files out with {left_out}, or run without --strict"
        )


def _import_training() -> None:
    import pocketlens.training  # noqa: F401
