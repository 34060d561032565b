"""Pooling."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from torch_cases.case import rows

__all__ = ["ROWS"]

ROWS: dict[str, Any] = {
    "max_pool2d(2)": lambda x: F.max_pool2d(x, 2),
    "max_pool2d(3, 2, 1)": lambda x: F.max_pool2d(x, 3, 2, 1),
    "max_pool2d(3, 2, 1) of negatives": lambda x: F.max_pool2d(x - 9, 3, 2, 1),
    "max_pool2d(ceil)": lambda x: F.max_pool2d(x, 5, 3, ceil_mode=True),
    "max_pool2d(ceil, dropped window)": lambda x: F.max_pool2d(x, 2, 3, 1, ceil_mode=True),
    "max_pool2d(ceil, negatives)": lambda x: F.max_pool2d(x - 9, (3, 4), (2, 3), 1, ceil_mode=True),
    "max_pool2d(dilation=2)": lambda x: F.max_pool2d(x, 3, 2, 1, dilation=2),
    "max_pool2d(indices)": lambda x: F.max_pool2d(x, 3, return_indices=True)[1] / 9.0,
    "MaxUnpool2d": lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), [2, 2]),
    "max_pool1d(3, 2, 1)": lambda x: F.max_pool1d(rows(x), 3, 2, 1),
    "max_pool1d(3, dilation=2)": lambda x: F.max_pool1d(rows(x), 3, 2, 1, dilation=2),
    "max_pool1d(ceil)": lambda x: F.max_pool1d(rows(x), 5, 3, ceil_mode=True),
    "max_pool3d(2, ceil)": lambda x: F.max_pool3d(x[:, None], 2, ceil_mode=True),
    "avg_pool2d(2)": lambda x: F.avg_pool2d(x, 2),
    "avg_pool2d(3, 2, 1)": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "avg_pool2d(3, 2, 1, count_include_pad=False)": lambda x: F.avg_pool2d(
        x, 3, 2, 1, count_include_pad=False
    ),
    "avg_pool2d(ceil)": lambda x: F.avg_pool2d(x, 5, 3, ceil_mode=True),
    "avg_pool2d(ceil, padding)": lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
    "avg_pool2d(4, 3, 1, ceil)": lambda x: F.avg_pool2d(x, 4, 3, 1, ceil_mode=True),
    "avg_pool2d(ceil, count_include_pad=False)": lambda x: F.avg_pool2d(
        x, 4, 3, 1, ceil_mode=True, count_include_pad=False
    ),
    "avg_pool2d(ceil, dropped window)": lambda x: F.avg_pool2d(x, 2, 3, 1, ceil_mode=True),
    "avg_pool2d(divisor_override)": lambda x: F.avg_pool2d(x, 3, 2, 1, divisor_override=5),
    "avg_pool2d(uneven)": lambda x: F.avg_pool2d(x, (2, 5), (3, 1), (1, 0)),
    "avg_pool1d(3, 2, 1)": lambda x: F.avg_pool1d(rows(x), 3, 2, 1),
    "avg_pool1d(ceil)": lambda x: F.avg_pool1d(rows(x), 5, 3, 1, ceil_mode=True),
    "avg_pool1d(ceil, count_include_pad=False)": lambda x: F.avg_pool1d(
        rows(x), 5, 3, 1, ceil_mode=True, count_include_pad=False
    ),
    "avg_pool3d": lambda x: F.avg_pool3d(x[:, None], (2, 3, 3), (1, 2, 2), 1),
    "avg_pool3d(ceil)": lambda x: F.avg_pool3d(x[:, None], (2, 5, 5), (1, 3, 3), ceil_mode=True),
    "avg_pool3d(divisor)": lambda x: F.avg_pool3d(x[:, None], (2, 3, 3), divisor_override=4),
    "lp_pool2d(2, 3)": lambda x: F.lp_pool2d(x, 2.0, 3),
    "lp_pool2d(3, 2, ceil)": lambda x: F.lp_pool2d(x.abs(), 3.0, 5, 3, ceil_mode=True),
    "lp_pool1d": lambda x: F.lp_pool1d(rows(x), 2.0, 3),
    "adaptive_avg_pool2d(1)": lambda x: F.adaptive_avg_pool2d(x, 1),
    "adaptive_avg_pool2d(5, 7)": lambda x: F.adaptive_avg_pool2d(x, (5, 7)),
    "adaptive_avg_pool2d(4, 3)": lambda x: F.adaptive_avg_pool2d(x, (4, 3)),
    "adaptive_avg_pool2d(24)": lambda x: F.adaptive_avg_pool2d(x, 24),
    "adaptive_avg_pool2d(None, 5)": lambda x: F.adaptive_avg_pool2d(x, (None, 5)),
    "adaptive_max_pool2d(1)": lambda x: F.adaptive_max_pool2d(x, 1),
    "adaptive_max_pool2d(5, 7)": lambda x: F.adaptive_max_pool2d(x, (5, 7)),
    "adaptive_max_pool2d(4, 3)": lambda x: F.adaptive_max_pool2d(x, (4, 3)),
    "adaptive_avg_pool1d(5)": lambda x: F.adaptive_avg_pool1d(rows(x), 5),
    "adaptive_max_pool1d(7)": lambda x: F.adaptive_max_pool1d(rows(x), 7),
    "adaptive_avg_pool3d": lambda x: F.adaptive_avg_pool3d(x[:, None], (2, 5, 4)),
    "fractional_max_pool2d": lambda x: F.fractional_max_pool2d(
        x, 2, output_size=5, _random_samples=torch.full((1, 3, 2), 0.4)
    ),
}
