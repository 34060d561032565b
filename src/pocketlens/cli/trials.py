"""The live table of a sweep: trials at work and the best ones; in a log file, a line per trial."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from rich.live import Live
from rich.table import Table

from pocketlens.cli.progress import Progress
from pocketlens.evaluation.accuracy import percent
from pocketlens.files import size_text

if TYPE_CHECKING:
    from pocketlens.scale.search import Dimension
    from pocketlens.scale.trials import Trial

__all__ = ["Board"]

BEST = 8
"""The best trials that are shown."""


class Board(Progress):
    """Shows the trials of a sweep; then, as `Progress` does, the run of the best recipe."""

    def __init__(self, space: Sequence[Dimension]) -> None:
        super().__init__()
        self.space = tuple(space)
        self.ended: list[Trial] = []
        self.working: dict[int, Trial] = {}
        self.live: Live | None = None

    def __enter__(self) -> Board:
        if self.console.is_terminal:
            self.live = Live(self._table(), console=self.console, transient=True)
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end_table()
        super().__exit__(kind, error, trace)

    def show(self, trial: Trial, ended: bool) -> None:
        """A trial finished an epoch, or ended."""
        if ended:
            self.working.pop(trial.number, None)
            self.ended.append(trial)
            if self.live is None:
                self.console.print(self._line(trial), soft_wrap=True)
        else:
            self.working[trial.number] = trial
        if self.live is not None:
            self.live.update(self._table())

    def stage(self, name: str, *, done: bool) -> None:
        self._end_table()
        super().stage(name, done=done)

    def _end_table(self) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None
            self.console.print(self._table())
            self.bar.start()

    def _values(self, trial: Trial) -> list[str]:
        from pocketlens.scale.search import value_text

        return [value_text(each.value(trial.coordinates[each.key])) for each in self.space]

    def _result(self, trial: Trial) -> str:
        if trial.state == "done" and trial.accuracy is not None:
            return percent(trial.accuracy)
        after = f"{percent(trial.epochs[-1])} after {len(trial.epochs)}" if trial.epochs else ""
        return after if trial.number in self.working else f"{trial.state} {after}".strip()

    def _line(self, trial: Trial) -> str:
        pairs = zip(self.space, self._values(trial), strict=True)
        values = ", ".join(f"{each.key} {value}" for each, value in pairs)
        size = f", {size_text(trial.bytes)}" if trial.bytes is not None else ""
        reason = f" ({trial.reason})" if trial.reason else ""
        return f"trial {trial.number:<4} {self._result(trial)}{size}{reason}: {values}"

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("trial")
        for each in self.space:
            table.add_column(each.key.rpartition(".")[2], overflow="fold")
        for name in ("accuracy", "size", "ms"):
            table.add_column(name, justify="right")
        order = sorted(self.ended, key=lambda each: (each.state != "done", -(each.accuracy or 0)))
        for style, trials in (("", order[:BEST]), ("dim", list(self.working.values()))):
            for one in trials:
                table.add_row(
                    str(one.number),
                    *self._values(one),
                    self._result(one),
                    "" if one.bytes is None else size_text(one.bytes),
                    "" if one.milliseconds is None else f"{one.milliseconds:.3g}",
                    style=style,
                )
        more = len(self.ended) - BEST
        table.caption = f"and {more} more trials that ended" if more > 0 else None
        return table
