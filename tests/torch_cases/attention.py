"""Attention, embeddings, distances."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_cases.case import around, rows, vectors

__all__ = ["ROWS"]


def sdpa(x: Tensor, **options: Any) -> Tensor:
    y = x.reshape(1, 4, 9, 12)
    return F.scaled_dot_product_attention(y, y.flip(2), y.flip(3), **options)


ROWS: dict[str, Any] = {
    "sdpa": sdpa,
    "sdpa(scale=0.7)": lambda x: sdpa(x, scale=0.7),
    "sdpa(is_causal)": lambda x: sdpa(x, is_causal=True),
    "sdpa(bool mask)": lambda x: sdpa(x, attn_mask=torch.ones(9, 9).tril(2).bool()),
    "sdpa(float mask, scale)": lambda x: sdpa(
        x, attn_mask=torch.linspace(-3, 3, 81).reshape(9, 9), scale=0.2
    ),
    "sdpa(row fully masked)": lambda x: sdpa(
        x, attn_mask=torch.arange(9)[:, None] > torch.zeros(9)
    ),
    "sdpa(rank 3)": lambda x: F.scaled_dot_product_attention(x[0], x[0].flip(1), x[0].flip(2)),
    "sdpa(causal, rectangular)": lambda x: F.scaled_dot_product_attention(
        x[:, :, :5], x, x.flip(2), is_causal=True
    ),
    "sdpa(enable_gqa)": lambda x: F.scaled_dot_product_attention(
        x.reshape(1, 4, 9, 12),
        x.reshape(1, 4, 9, 12)[:, :2],
        x.reshape(1, 4, 9, 12)[:, 2:],
        enable_gqa=True,
    ),
    "MultiheadAttention": around(
        lambda m, x: m(rows(x), rows(x), rows(x))[0], nn.MultiheadAttention, 36, 4, batch_first=True
    ),
    "MultiheadAttention(weights)": around(
        lambda m, x: m(rows(x), rows(x), rows(x), average_attn_weights=False)[1],
        nn.MultiheadAttention,
        36,
        4,
        batch_first=True,
    ),
    "MultiheadAttention(bias_kv, zero)": around(
        lambda m, x: m(rows(x), rows(x), rows(x), need_weights=False)[0],
        nn.MultiheadAttention,
        36,
        3,
        add_bias_kv=True,
        add_zero_attn=True,
    ),
    "MultiheadAttention(masks)": around(
        lambda m, x: m(
            rows(x),
            rows(x),
            rows(x),
            attn_mask=torch.ones(12, 12).triu(1).bool(),
            key_padding_mask=torch.arange(12)[None] > 9,
        )[0],
        nn.MultiheadAttention,
        36,
        4,
        batch_first=True,
    ),
    "MultiheadAttention(kdim)": around(
        lambda m, x: m(rows(x), rows(x)[..., :20], rows(x)[..., :15])[0],
        nn.MultiheadAttention,
        36,
        4,
        batch_first=True,
        kdim=20,
        vdim=15,
    ),
    "TransformerEncoderLayer": around(
        lambda m, x: m(rows(x)), nn.TransformerEncoderLayer, 36, 4, 20, batch_first=True
    ),
    "TransformerEncoderLayer(norm_first, gelu)": around(
        lambda m, x: m(rows(x)),
        nn.TransformerEncoderLayer,
        36,
        4,
        20,
        activation="gelu",
        norm_first=True,
        layer_norm_eps=0.1,
        batch_first=True,
    ),
    "TransformerDecoderLayer": around(
        lambda m, x: m(rows(x), rows(x).flip(1)),
        nn.TransformerDecoderLayer,
        36,
        4,
        20,
        batch_first=True,
    ),
    "Embedding": around(lambda m, x: m((x + 2).long()), nn.Embedding, 5, 4),
    "Embedding(max_norm)": around(lambda m, x: m((x + 2).long()), nn.Embedding, 5, 4, max_norm=0.5),
    "EmbeddingBag(mean)": around(lambda m, x: m((x[0, 0] + 2).long()), nn.EmbeddingBag, 5, 4),
    "EmbeddingBag(sum)": around(
        lambda m, x: m((x[0, 0] + 2).long()), nn.EmbeddingBag, 5, 4, mode="sum"
    ),
    "EmbeddingBag(max)": around(
        lambda m, x: m((x[0, 0] + 2).long()), nn.EmbeddingBag, 5, 4, mode="max"
    ),
    "CosineSimilarity": around(lambda m, x: m(x, x.flip(2)), nn.CosineSimilarity, 1, 0.5),
    "PairwiseDistance": around(
        lambda m, x: m(vectors(x), vectors(x.flip(2))), nn.PairwiseDistance, 3.0, 0.5
    ),
}
