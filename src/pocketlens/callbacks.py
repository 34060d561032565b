"""`Callback`: follow a run or a training while it works, or stop it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pocketlens.errors import OptionError

if TYPE_CHECKING:
    from pocketlens.history import Epoch, Step

__all__ = ["Callback", "check_callbacks"]


class Callback:
    """Base class of objects that `run` and `train` call while they work.

    Every method does nothing; a subclass overrides those that it needs. `train` calls `step` and
    `epoch`; `run` calls all of them. All calls come from the thread that called `run` or `train`,
    which waits until the method returns.

    An exception that a method raises ends the training and is raised by `train` unchanged. The
    checkpoint of the last finished epoch stays in the run folder, so `resume=True` continues from
    it. `KeyboardInterrupt` works like Ctrl-C: `train` stops and returns a `Training` whose
    `interrupted` is True, with the best weights so far.

    Examples:
        Stop when the validation accuracy is good enough:

        >>> class GoodEnough(Callback):
        ...     def epoch(self, epoch):
        ...         if (epoch.validation_accuracy or 0) > 0.99:
        ...             raise KeyboardInterrupt
    """

    def stage(self, name: str, *, done: bool) -> None:
        """A stage of a run starts.

        Args:
            name: One of `pocketlens.pipeline.STAGES`, such as `train`.
            done: True if an earlier call already finished this stage, so that it is skipped.
        """

    def note(self, text: str) -> None:
        """Something that the user should know, in one sentence.

        Args:
            text: For example that a data set is incomplete and another one is used instead.
        """

    def download(self, file: str, received: int, total: int | None) -> None:
        """Part of a file was downloaded.

        Args:
            file: Name of the file.
            received: Bytes received so far.
            total: Size of the file in bytes; None if the server does not say.
        """

    def decode(self, done: int, total: int, images_per_second: float) -> None:
        """Called while the files of a folder are decoded, at most ten times per second.

        Args:
            done: Images that are decoded.
            total: Images of the split that is loaded.
            images_per_second: Average speed since the start.
        """

    def features(self, done: int, total: int, images_per_second: float) -> None:
        """Called while a frozen backbone computes features, at most ten times per second.

        Args:
            done: Images whose features are computed.
            total: Images whose features are not in the cache.
            images_per_second: Average speed since the start.
        """

    def step(self, step: Step) -> None:
        """A training step finished; called at most ten times per second and after the last step.

        Args:
            step: The progress within the epoch.
        """

    def epoch(self, epoch: Epoch) -> None:
        """An epoch finished, validation included, and its checkpoint is written.

        Args:
            epoch: The result of the epoch.
        """


def check_callbacks(callbacks: Iterable[Callback]) -> tuple[Callback, ...]:
    """The callbacks as a tuple.

    Raises:
        OptionError: Not a list, or an object in it that is not a `Callback`.
    """
    listed = isinstance(callbacks, Iterable)
    found = tuple(callbacks) if listed else ()
    wrong = [each for each in found if not isinstance(each, Callback)] if listed else [callbacks]
    if wrong:
        raise OptionError(
            f"callbacks must be a list of pocketlens.Callback objects; received: {wrong[0]!r}; "
            "write a subclass of Callback and pass callbacks=[YourCallback()]"
        )
    return found
