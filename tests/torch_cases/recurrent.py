"""Recurrent layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from torch_cases.case import around, rows

__all__ = ["ROWS"]


def steps(x: Tensor) -> Tensor:
    """`(12, 1, 36)`: 12 steps."""
    return rows(x).transpose(0, 1)


ROWS: dict[str, Any] = {
    f"{kind.__name__}({', '.join(f'{k}={v}' for k, v in options.items())})": around(
        lambda m, x: m(rows(x) if m.batch_first else steps(x))[0], kind, 36, 5, **options
    )
    for kind in (nn.LSTM, nn.GRU, nn.RNN)
    for options in (
        dict[str, Any](),
        {"batch_first": True},
        {"bidirectional": True},
        {"num_layers": 2, "batch_first": True, "bidirectional": True},
        {"bias": False},
        *([{"proj_size": 3}] if kind is nn.LSTM else []),
        *([{"nonlinearity": "relu"}] if kind is nn.RNN else []),
    )
}
ROWS |= {
    "LSTM states": around(
        lambda m, x: torch.cat([y.flatten() for y in m(steps(x))[1]])[None],
        nn.LSTM,
        36,
        5,
        num_layers=2,
        bidirectional=True,
    ),
    "LSTM with initial states": around(
        lambda m, x: m(steps(x), (x[:, :1, 0, :5], x[:, :1, 1, :5]))[0], nn.LSTM, 36, 5
    ),
    "GRU last state": around(lambda m, x: m(steps(x))[1], nn.GRU, 36, 5, bidirectional=True),
    "GRU with initial state": around(lambda m, x: m(steps(x), x[:, :1, 0, :5])[0], nn.GRU, 36, 5),
    "LSTMCell": around(lambda m, x: m(x[0, 0])[1], nn.LSTMCell, 12, 5),
    "GRUCell": around(lambda m, x: m(x[0, 0], x[0, 1, :, :5]), nn.GRUCell, 12, 5),
    "RNNCell(relu)": around(lambda m, x: m(x[0, 0]), nn.RNNCell, 12, 5, nonlinearity="relu"),
}
