"""`backbone`: the features of another package's network, and one linear layer on top.

A backbone is an entry point in the group `pocketlens.backbones`: a function or class that takes an
`InputSpec` and returns a `torch.nn.Module`, which turns planes `(N, C, H, W)` into features
`(N, F)`. It is trained only if `train` is set; otherwise its weights and its batch norm statistics
stay as they are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pocketlens.errors import OptionError
from pocketlens.image import InputSpec
from pocketlens.registry import BACKBONES

__all__ = ["Backbone"]


class Backbone(nn.Module):
    """features of the backbone → linear.

    Args:
        input_spec: The input; the backbone decides which sizes it accepts.
        classes: Number of logits.
        backbone: Name of the entry point.
        train: Also train the backbone.

    Shapes:
        `(N, C, H, W)` float → `(N, classes)` float.

    Raises:
        OptionError: There is no such backbone, or it does not return features `(N, F)`.
        PluginError: The backbone cannot be imported.
    """

    def __init__(
        self, input_spec: InputSpec, classes: int, *, backbone: str = "", train: bool = False
    ) -> None:
        super().__init__()
        known = BACKBONES.names()
        if not known:
            raise OptionError(
                "network 'backbone' needs an installed package with an entry point in the group "
                f"{BACKBONES.group}; there is none"
            )
        made = BACKBONES.find(backbone)(input_spec)
        if not isinstance(made, nn.Module):
            raise OptionError(
                f"the backbone '{backbone}' must return a torch.nn.Module; "
                f"received: {type(made).__name__}"
            )
        self.backbone = made.requires_grad_(train)
        self.frozen = not train
        height, width, channels = input_spec.shape
        device = next(made.parameters(), torch.zeros(())).device
        with torch.no_grad():
            shape = made.eval()(torch.zeros(2, channels, height, width, device=device)).shape
        if len(shape) != 2 or shape[0] != 2:
            raise OptionError(
                f"the backbone '{backbone}' must return features of shape (N, F); for two images "
                f"of {height} × {width} it returns {tuple(shape)}"
            )
        self.head = nn.Linear(shape[1], classes)
        self.train()

    def train(self, mode: bool = True) -> Backbone:
        """Training mode for the head; for the backbone, too, if it is trained."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        features: Tensor = self.backbone(x)  # (N, F)
        logits: Tensor = self.head(features)
        return logits
