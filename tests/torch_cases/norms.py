"""Normalization, reparametrized weights, dropout."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import nn

from torch_cases.case import Made, around, rows, vectors

__all__ = ["ROWS"]

ROWS: dict[str, Any] = {
    "BatchNorm2d(eps=0.1)": Made(nn.BatchNorm2d, 3, eps=0.1),
    "BatchNorm2d(affine=False)": Made(nn.BatchNorm2d, 3, affine=False),
    "BatchNorm2d(no statistics)": Made(nn.BatchNorm2d, 3, track_running_stats=False),
    "BatchNorm1d": around(lambda m, x: m(vectors(x)), nn.BatchNorm1d, 12),
    "BatchNorm1d(rank 3)": around(lambda m, x: m(rows(x)), nn.BatchNorm1d, 12),
    "BatchNorm3d": around(lambda m, x: m(x[:, None]), nn.BatchNorm3d, 1),
    "InstanceNorm2d": Made(nn.InstanceNorm2d, 3),
    "InstanceNorm2d(eps=0.1, affine)": Made(nn.InstanceNorm2d, 3, eps=0.1, affine=True),
    "InstanceNorm2d(statistics)": Made(nn.InstanceNorm2d, 3, track_running_stats=True, affine=True),
    "InstanceNorm1d": around(lambda m, x: m(rows(x)), nn.InstanceNorm1d, 12, affine=True),
    "GroupNorm(3)": Made(nn.GroupNorm, 3, 3),
    "GroupNorm(1, eps=0.1)": Made(nn.GroupNorm, 1, 3, eps=0.1),
    "GroupNorm(4 of 12, rank 3)": around(lambda m, x: m(rows(x)), nn.GroupNorm, 4, 12, eps=0.3),
    "GroupNorm(vectors)": around(lambda m, x: m(vectors(x)), nn.GroupNorm, 2, 12),
    "LayerNorm(12)": Made(nn.LayerNorm, 12),
    "LayerNorm((12, 12), eps=0.5)": Made(nn.LayerNorm, (12, 12), eps=0.5),
    "LayerNorm(no affine)": Made(nn.LayerNorm, (3, 12, 12), elementwise_affine=False),
    "LayerNorm(no bias)": Made(nn.LayerNorm, 12, bias=False),
    "rms_norm(eps=1e-2)": lambda x: F.rms_norm(x, (12,), eps=1e-2),
    "rms_norm": lambda x: F.rms_norm(x / 1000, (12,)),
    "RMSNorm((12, 12), eps=0.5)": Made(nn.RMSNorm, (12, 12), eps=0.5),
    "RMSNorm(eps=None)": Made(nn.RMSNorm, 12),
    "LocalResponseNorm(2)": Made(nn.LocalResponseNorm, 2),
    "LocalResponseNorm(3, alpha=1, k=2)": Made(nn.LocalResponseNorm, 3, 1.0, 0.5, 2.0),
    "CrossMapLRN2d": Made(nn.CrossMapLRN2d, 2, alpha=1.0),
    "weight_norm": Made(lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))),
    "spectral_norm": Made(lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3))),
    "old weight_norm": Made(lambda: nn.utils.weight_norm(nn.Conv2d(3, 4, 3))),
    "orthogonal": around(
        lambda m, x: m(vectors(x)),
        lambda: nn.utils.parametrizations.orthogonal(nn.Linear(12, 12)),
    ),
    "Dropout": Made(nn.Dropout, 0.5),
    "Dropout2d": Made(nn.Dropout2d, 0.5),
    "AlphaDropout": Made(nn.AlphaDropout, 0.5),
    "FeatureAlphaDropout": Made(nn.FeatureAlphaDropout, 0.5),
    "dropout(not in training)": lambda x: F.dropout(x, 0.5, False),
}
