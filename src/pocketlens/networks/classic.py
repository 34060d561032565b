"""`classic`: the Keras network of a well-known 2018 tutorial on Core ML, layer by layer."""

from __future__ import annotations

from torch import Tensor, nn

from pocketlens.errors import OptionError
from pocketlens.image import InputSpec

__all__ = ["Classic"]


class Classic(nn.Module):
    """conv 3×3×32 → pool → conv 2×2×32 → pool → conv 2×2×32 → pool → dense 500 → classes.

    Convolutions keep the size ('same': an even kernel pads one pixel on the right and at the
    bottom, as in Keras) and are followed by ReLU. Pooling is 2×2 maximum. Dropout is 0.3 before the
    dense layer and 0.4 after it. Weights are initialized as in Keras: Glorot uniform, zero biases.

    Args:
        input_spec: The input, at least 8 × 8.
        classes: Number of logits.

    Shapes:
        `(N, C, H, W)` float → `(N, classes)` float.

    Raises:
        OptionError: The input is smaller than 8 × 8.
    """

    def __init__(self, input_spec: InputSpec, classes: int) -> None:
        super().__init__()
        height, width, channels = input_spec.shape
        if min(height, width) < 8:
            raise OptionError(
                f"network 'classic' needs inputs of at least 8 × 8; received: {height} × {width}"
            )
        self.features = nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1),  # (N, 32, H, W)
            nn.ReLU(),
            nn.MaxPool2d(2, 2),  # (N, 32, H/2, W/2)
            nn.ZeroPad2d((0, 1, 0, 1)),
            nn.Conv2d(32, 32, 2),
            nn.ReLU(),
            nn.MaxPool2d(2, 2),  # (N, 32, H/4, W/4)
            nn.ZeroPad2d((0, 1, 0, 1)),
            nn.Conv2d(32, 32, 2),
            nn.ReLU(),
            nn.MaxPool2d(2, 2),  # (N, 32, H/8, W/8)
        )
        self.hidden = nn.Sequential(
            nn.Dropout(0.3),
            nn.Linear(32 * (height // 8) * (width // 8), 500),
            nn.ReLU(),
            nn.Dropout(0.4),
        )
        self.head = nn.Linear(500, classes)
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.xavier_uniform_(layer.weight)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        x = self.features(x)  # (N, 32, H/8, W/8)
        logits: Tensor = self.head(self.hidden(x.flatten(1)))  # (N, classes)
        return logits
