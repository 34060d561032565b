"""Training: the loop, checkpoints, devices. `train` is the entry point."""

from pocketlens.history import Step
from pocketlens.training.loop import train
from pocketlens.training.result import Training

__all__ = ["Step", "Training", "train"]
