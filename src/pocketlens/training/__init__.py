"""Training: the loop, checkpoints, devices. `train` is the entry point."""

from pocketlens.history import Step
from pocketlens.training.loop import Training, train

__all__ = ["Step", "Training", "train"]
