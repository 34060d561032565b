"""Attention."""

from __future__ import annotations

import math

import numpy as np

from pocketlens.coreml.graph import Graph, Value
from pocketlens.coreml.ops.common.matrix import swap_last_axes
from pocketlens.coreml.ops.registry import IOS18, mil
from pocketlens.errors import ModelFileError


@mil(since=IOS18)
def scaled_dot_product_attention(
    g: Graph,
    query: Value,  # [B, *, L, E]
    key: Value,  # [B, *, S, E]
    value: Value,  # [B, *, S, EV]
    attn_mask: Value | None = None,  # [*, S]; bool: which keys count; numbers: added to the scores
) -> Value:
    if not 3 <= query.rank == key.rank == value.rank:
        raise ModelFileError(
            f"the query is {query!r}, the key {key!r} and the value {value!r}; "
            "expected the same rank of at least 3"
        )
    scale = 1 / math.sqrt(query.size(-1))

    def formula(q: Value, k: Value, v: Value) -> Value:
        scores = g.Mul(g.MatMul(q, swap_last_axes(g, k)), g.like(scale, q))
        if attn_mask is not None and attn_mask.dtype == np.bool_:
            scores = g.Where(attn_mask, scores, g.like(-math.inf, q))
        elif attn_mask is not None:
            scores = g.Add(scores, g.cast(attn_mask, q.dtype))
        return g.MatMul(g.Softmax(scores, axis=-1), v)

    return g.in_float32(formula, query, key, value)
