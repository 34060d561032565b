"""`strided`: small and fast. It uses strides instead of pooling, so activations stay small."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from pocketlens.errors import OptionError
from pocketlens.image import InputSpec

__all__ = ["Strided"]


class Strided(nn.Module):
    """conv 5×5 /2 → conv 3×3 /2 → ... → linear, each convolution with batch norm and ReLU.

    The first convolution has no padding: padding would add a third more work, on black pixels.

    Args:
        input_spec: The input, at least 5 × 5 without the margin.
        classes: Number of logits.
        channels: Output channels of each convolution; each halves height and width.
        margin: Pixels to ignore on each side, such as MNIST's black border.

    Shapes:
        `(N, C, H, W)` float → `(N, classes)` float.

    Raises:
        OptionError: `channels` is invalid, `margin` is below 0, or fewer than 5 × 5 pixels remain.
    """

    def __init__(
        self,
        input_spec: InputSpec,
        classes: int,
        *,
        channels: Sequence[int] = (16, 32, 64),
        margin: int = 0,
    ) -> None:
        super().__init__()
        height, width, previous = input_spec.shape
        if (
            not isinstance(channels, Sequence)
            or not channels
            or any(type(c) is not int or not 1 <= c <= 4096 for c in channels)
        ):
            raise OptionError(
                "network.channels must be a list of integers from 1 to 4096; "
                f"received: {channels!r}"
            )
        if type(margin) is not int or margin < 0:
            raise OptionError(
                f"network.margin must be an integer of at least 0; received: {margin!r}"
            )
        least = 5 + 2 * margin
        if min(height, width) < least:
            raise OptionError(
                f"network 'strided' needs inputs of at least {least} × {least}"
                f"{' with its margin' if margin else ''}; received: {height} × {width}"
            )
        self.margin = margin
        height, width = height - 2 * margin, width - 2 * margin
        layers: list[nn.Module] = []
        for index, out in enumerate(channels):
            kernel, padding = (5, 0) if index == 0 else (3, 1)
            layers += [
                nn.Conv2d(previous, out, kernel, stride=2, padding=padding, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(),
            ]
            height, width = ((side + 2 * padding - kernel) // 2 + 1 for side in (height, width))
            previous = out
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(previous * height * width, classes)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        if self.margin:
            x = x[:, :, self.margin : -self.margin, self.margin : -self.margin]
        x = self.features(x)  # (N, channels[-1], about H / 2**n, about W / 2**n)
        logits: Tensor = self.head(x.permute(0, 2, 3, 1).flatten(1))  # (N, classes)
        return logits
