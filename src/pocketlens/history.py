"""The progress and the history of a training: `Step`, `Epoch` and `LearningCurve`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import log2
from pathlib import Path

from pocketlens.files import write_aside
from pocketlens.run_contents import HISTORY

__all__ = ["Epoch", "FineTuning", "LearningCurve", "Step", "write_history"]


@dataclass(frozen=True)
class Step:
    """The progress within an epoch, reported to callbacks at most ten times per second.

    Args:
        epoch: Number of the current epoch, from 1.
        epochs: Number of epochs in the whole training.
        step: Number of the step that just finished, from 1.
        steps: Number of steps in an epoch.
        images_per_second: Average speed since the epoch started.
        learning_rate: Learning rate of this step.
        loss: Mean negative log-likelihood since the epoch started.
        seconds_left: Estimated time until the end of the last epoch, validation not included.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    images_per_second: float
    learning_rate: float
    loss: float
    seconds_left: float


@dataclass(frozen=True)
class Epoch:
    """The result of one epoch; one line of `history.jsonl`.

    Args:
        epoch: Number of this epoch, from 1.
        epochs: Number of epochs in the whole training.
        seconds: Duration, validation included.
        images_per_second: Average training speed, validation not included.
        learning_rate: Learning rate of the last step.
        train_loss: Mean negative log-likelihood during training.
        train_accuracy: Accuracy during training, in [0, 1].
        validation_loss: Mean negative log-likelihood on the validation images; None without them.
        validation_accuracy: Accuracy on the validation images, in [0, 1]; None without them.
    """

    epoch: int
    epochs: int
    seconds: float
    images_per_second: float
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None


RISES = 0.01
"""From this gain on, by twice as many images, a learning curve still rises."""


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy against the number of images that are trained on.

    All numbers come from cross-validation within the training images.

    Args:
        images: Images per class, on average, of each point, in rising order; the last point has
            all images except the fold that is held out.
        accuracy: The accuracy with so many images, in [0, 1].
        classes: The class names.
        recalls: The share of each class's images that are recognized, at the last point, in [0, 1].
    """

    images: tuple[float, ...]
    accuracy: tuple[float, ...]
    classes: tuple[str, ...]
    recalls: tuple[float, ...]

    @property
    def gain(self) -> float | None:
        """How much accuracy twice as many images added at the end of the curve.

        The slope of a line through the points with at least a quarter of the images; None if there
        are fewer than three.
        """
        last = [
            (log2(count), accuracy)
            for count, accuracy in zip(self.images, self.accuracy, strict=True)
            if count >= self.images[-1] / 4
        ]
        if len(last) < 3:
            return None
        x, y = zip(*last, strict=True)
        middle, level = sum(x) / len(x), sum(y) / len(y)
        above = sum((a - middle) * (b - level) for a, b in last)
        slope: float = above / sum((a - middle) ** 2 for a in x)
        return slope

    @property
    def advice(self) -> str:
        """What to photograph more of, in one or two sentences."""
        order = sorted(range(len(self.classes)), key=lambda at: self.recalls[at])
        weak = [at for at in order if self.recalls[at] < max(self.recalls) - 0.05][:2]
        listed = [f"{self.classes[at]} ({100 * self.recalls[at]:.0f} %" for at in weak]
        above_all = f", above all of {' recognized) and '.join(listed)} recognized)" if weak else ""
        if self.gain is None:
            return f"There are too few photos for a curve. Take more{above_all}."
        if self.gain >= RISES:
            return (
                f"Twice as many photos added {100 * self.gain:.1f} percentage points, so more "
                f"will probably help{above_all}."
            )
        if self.accuracy[-1] >= 0.99:
            return "The curve is flat at the top: more photos of the same kind will hardly help."
        return (
            "The curve is flat: more photos of the same kind will hardly help. Take photos that "
            f"differ in view, light and background{above_all}."
        )


@dataclass(frozen=True)
class FineTuning:
    """What it gains to train the last blocks of a backbone, too, by cross-validation.

    Both losses and accuracies are of the same held-out images: with the backbone as it is, and
    after the number of epochs that is best for all folds together.

    Args:
        pays: Whether the loss is clearly lower. Otherwise the backbone stays as it is.
        epochs: The best number of passes over the images; 0 if none lowers the loss.
        loss_before: Mean negative log-likelihood with the backbone as it is.
        loss: The same after fine-tuning.
        accuracy_before: Accuracy with the backbone as it is, in [0, 1].
        accuracy: The same after fine-tuning.
    """

    pays: bool
    epochs: int
    loss_before: float
    loss: float
    accuracy_before: float
    accuracy: float

    def __str__(self) -> str:
        """One or two sentences for the user."""
        before, after = (f"{100 * each:.1f} %" for each in (self.accuracy_before, self.accuracy))
        if self.pays:
            return (
                f"Fine-tuning pays: in cross-validation, it raises the accuracy from {before} to "
                f"{after} and lowers the loss from {self.loss_before:.3f} to {self.loss:.3f}."
                if self.accuracy > self.accuracy_before
                else f"Fine-tuning pays: in cross-validation, it lowers the loss from "
                f"{self.loss_before:.3f} to {self.loss:.3f}; the accuracy is {after}, before "
                f"{before}."
            )
        if not self.epochs:
            return (
                "Fine-tuning does not pay here: in cross-validation, it never lowers the loss of "
                f"{self.loss_before:.3f}. The backbone stays as it is."
            )
        return (
            "Fine-tuning does not pay here: in cross-validation, the loss is "
            f"{self.loss:.3f} at best and {self.loss_before:.3f} without, too small a difference "
            "for so few images. The backbone stays as it is."
        )


def write_history(folder: Path, history: Iterable[Epoch], *, parents: bool = False) -> None:
    """Write `history.jsonl`, one line for each epoch; `parents` creates the folder."""
    lines = "".join(json.dumps(asdict(row)) + "\n" for row in history)
    write_aside(folder / HISTORY, lines, parents=parents)
