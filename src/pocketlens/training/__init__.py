"""Training: the loop, checkpoints, devices. `train` is the one way in."""

from pocketlens.training.loop import Step, Training, train

__all__ = ["Step", "Training", "train"]
