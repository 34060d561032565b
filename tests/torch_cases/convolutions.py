"""Convolutions, linear and bilinear layers."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import nn

from torch_cases.case import Made, around, rows, vectors

__all__ = ["ROWS"]

ROWS: dict[str, Any] = {
    "Conv2d": Made(nn.Conv2d, 3, 4, 3),
    "Conv2d(stride, padding, dilation)": Made(nn.Conv2d, 3, 4, (3, 2), (2, 1), (1, 2), (2, 3)),
    "Conv2d(groups)": Made(nn.Conv2d, 3, 6, 3, groups=3, bias=False),
    "Conv2d(same, even)": Made(nn.Conv2d, 3, 4, 4, padding="same"),
    "Conv2d(same, even, dilated)": Made(nn.Conv2d, 3, 4, (2, 4), padding="same", dilation=(1, 3)),
    "Conv2d(valid)": Made(nn.Conv2d, 3, 4, 4, padding="valid"),
    "Conv2d(reflect)": Made(nn.Conv2d, 3, 4, 3, padding=2, padding_mode="reflect"),
    "Conv2d(replicate)": Made(nn.Conv2d, 3, 4, 3, padding=(2, 1), padding_mode="replicate"),
    "Conv2d(circular)": Made(nn.Conv2d, 3, 4, 3, padding=2, padding_mode="circular"),
    "Conv1d": around(lambda m, x: m(rows(x)), nn.Conv1d, 12, 5, 3, 2, 1, 2),
    "Conv1d(same, circular)": around(
        lambda m, x: m(rows(x)), nn.Conv1d, 12, 5, 4, padding="same", padding_mode="circular"
    ),
    "Conv3d": around(lambda m, x: m(x[:, None]), nn.Conv3d, 1, 2, (2, 3, 3), (1, 2, 1), (1, 0, 2)),
    "ConvTranspose2d": Made(nn.ConvTranspose2d, 3, 4, 3),
    "ConvTranspose2d(stride, output_padding)": Made(
        nn.ConvTranspose2d, 3, 4, 3, stride=2, padding=1, output_padding=1
    ),
    "ConvTranspose2d(stride 3, uneven)": Made(
        nn.ConvTranspose2d, 3, 4, (3, 5), stride=(3, 2), padding=(0, 2), output_padding=(2, 1)
    ),
    "ConvTranspose2d(dilation, groups)": Made(
        nn.ConvTranspose2d, 3, 6, 3, stride=2, groups=3, dilation=2, output_padding=1
    ),
    "ConvTranspose2d(padding beyond)": Made(nn.ConvTranspose2d, 3, 4, 2, stride=2, padding=2),
    "ConvTranspose2d(output_size)": around(
        lambda m, x: m(x, output_size=[26, 25]), nn.ConvTranspose2d, 3, 4, 3, stride=2
    ),
    "ConvTranspose1d": around(lambda m, x: m(rows(x)), nn.ConvTranspose1d, 12, 4, 3, 2, 1, 1, 2),
    "ConvTranspose3d": around(
        lambda m, x: m(x[:, None, :, :6, :6]), nn.ConvTranspose3d, 1, 2, 3, 2, 1, 1
    ),
    "conv2d(weights from the input)": lambda x: F.conv2d(x, x[:, :, :3, :3]),
    "Linear(rank 4)": Made(nn.Linear, 12, 5),
    "Bilinear": around(lambda m, x: m(vectors(x), vectors(x.flip(3))), nn.Bilinear, 12, 12, 5),
}
