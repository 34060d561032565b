"""Training: the loop, checkpoints, devices. `train` is the one way in."""

from pocketlens.training.loop import Epoch, Step, Training, train

__all__ = ["Epoch", "Step", "Training", "train"]
