"""`plain`: 3×3 convolutions at full resolution and pooling. Accurate, but slow for its size."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from pocketlens.errors import OptionError
from pocketlens.image import InputSpec

__all__ = ["Plain"]


class Plain(nn.Module):
    """Stages of conv 3×3 + batch norm + ReLU, 2×2 max pooling between stages → mean → linear.

    Sources: Simonyan and Zisserman, 2014 (arXiv 1409.1556); the mean of each plane instead of dense
    layers: Lin, Chen and Yan, "Network in network", 2013 (arXiv 1312.4400).

    Args:
        input_spec: The input; height and width at least 2^(stages - 1).
        classes: Number of logits.
        stages: Output channels of each convolution, one list per stage.
        dropout: Dropout probability of the means during training, in [0, 1).

    Shapes:
        `(N, C, H, W)` float → `(N, classes)` float.

    Raises:
        OptionError: `stages` or `dropout` is out of range, or the input is too small.
    """

    def __init__(
        self,
        input_spec: InputSpec,
        classes: int,
        *,
        stages: Sequence[Sequence[int]] = ((16, 16), (32, 32), (64, 64)),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not _are_stages(stages):
            raise OptionError(
                "network.stages must be a list of lists of integers from 1 to 4096, such as "
                f"[[16, 16], [32]]; received: {stages!r}"
            )
        if type(dropout) not in (int, float) or not 0 <= dropout < 1:
            raise OptionError(
                f"network.dropout must be from 0 to less than 1; received: {dropout!r}"
            )
        height, width, previous = input_spec.shape
        least = 2 ** (len(stages) - 1)
        if min(height, width) < least:
            raise OptionError(
                f"network 'plain' with {len(stages)} stages needs inputs of at least "
                f"{least} × {least}; received: {height} × {width}"
            )
        layers: list[nn.Module] = []
        for number, stage in enumerate(stages):
            if number:
                layers.append(nn.MaxPool2d(2, 2))
            for channels in stage:
                layers += [
                    nn.Conv2d(previous, channels, 3, padding=1, bias=False),
                    nn.BatchNorm2d(channels),
                    nn.ReLU(),
                ]
                previous = channels
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(previous, classes)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W)
        x = self.features(x)  # (N, stages[-1][-1], H / 2**(stages - 1), W / 2**(stages - 1))
        logits: Tensor = self.head(self.dropout(x.mean((2, 3))))  # (N, classes)
        return logits


def _are_stages(stages: object) -> bool:
    return (
        isinstance(stages, Sequence)
        and 1 <= len(stages) <= 12
        and all(
            isinstance(stage, Sequence)
            and not isinstance(stage, str)
            and stage
            and all(type(c) is int and 1 <= c <= 4096 for c in stage)
            for stage in stages
        )
    )
