"""Matrix products, embeddings, normalization."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F

from arrays import Draw, f32, t
from layer_cases.case import Case, over_batch, x4, x5

draw = Draw(106)

matrix, offset = draw.normal(6, 5), draw.normal(6)
wide_matrix = draw.normal(6, 168) / 13  # about √168, so that sums are about 1
dense = {"inputChannels": 5, "outputChannels": 6, "weights": matrix}
biased = dense | {"hasBias": True, "bias": offset}
DENSE = [
    Case("innerProduct", [draw.normal(5)], dense, lambda x: x @ matrix.T, "rank 1"),
    Case("innerProduct", [draw.normal(3, 5)], biased, lambda x: x @ matrix.T + offset, "rank 2"),
    Case("innerProduct", [draw.normal(2, 3, 5)], biased, lambda x: x @ matrix.T + offset, "rank 3"),
    Case(
        "innerProduct",
        [x4],
        {"inputChannels": 168, "outputChannels": 6, "weights": wide_matrix},
        lambda x: (x.reshape(2, 168) @ wide_matrix.T).reshape(2, 6, 1, 1),
        "rank 4",
    ),
    Case(
        "innerProduct",
        [x5],
        {"inputChannels": 168, "outputChannels": 6, "weights": wide_matrix},
        lambda x: (x.reshape(2, 3, 168) @ wide_matrix.T).reshape(2, 3, 6, 1, 1),
        "rank 5",
    ),
    Case("batchedMatmul", [draw.normal(2, 3, 5), draw.normal(5, 4)], {}, lambda a, b: a @ b),
    Case(
        "batchedMatmul",
        [draw.normal(5), draw.normal(5)],
        {},
        lambda a, b: (a @ b).reshape(1, 1),
        "rank 1",
    ),
    Case(
        "batchedMatmul",
        [draw.normal(2, 5, 3), draw.normal(4, 5)],
        {"transposeA": True, "transposeB": True},
        lambda a, b: a.swapaxes(1, 2) @ b.T,
        "transposed",
    ),
    Case(
        "batchedMatmul",
        [draw.normal(2, 3, 5)],
        {"weightMatrixFirstDimension": 5, "weightMatrixSecondDimension": 6}
        | {"weights": matrix, "hasBias": True, "bias": offset},
        lambda x: x @ matrix.T + offset,
        "weights",
    ),
]

words, vocabulary, word_bias = f32([[2], [0], [4]]), draw.normal(6, 5), draw.normal(6)
DENSE += [
    Case(
        "embedding",
        [words[:, :, None, None]],
        {"inputDim": 5, "outputChannels": 6, "weights": vocabulary}
        | {"hasBias": True, "bias": word_bias},
        lambda _: (vocabulary.T[[2, 0, 4]] + word_bias)[:, :, None, None],
    ),
    Case(
        "embeddingND",
        [words[None]],
        {"vocabSize": 5, "embeddingSize": 6, "weights": vocabulary},
        lambda _: vocabulary.T[[2, 0, 4]][None],
    ),
    Case(
        "dot",
        [draw.normal(2, 3, 1, 1), draw.normal(2, 3, 1, 1)],
        {},
        lambda a, b: (a * b).sum(1, keepdims=True),
    ),
    Case(
        "dot",
        [draw.normal(2, 3, 1, 1), draw.normal(2, 3, 1, 1)],
        {"cosineSimilarity": True},
        lambda a, b: F.cosine_similarity(t(a), t(b), 1)[:, None],
        "cosine",
    ),
]

mean, variance, gamma, beta = draw.normal(4), draw.positive(4), draw.normal(4), draw.normal(4)
NORMALIZATIONS = [
    Case(
        "batchnorm",
        [x4],
        {"channels": 4, "mean": mean, "variance": variance, "gamma": gamma, "beta": beta},
        lambda x: F.batch_norm(t(x), t(mean), t(variance), t(gamma), t(beta), eps=1e-5),
    ),
    Case(
        "batchnorm",
        [x5],
        {"channels": 4, "mean": mean, "variance": variance, "epsilon": 1e-2},
        over_batch(lambda x: F.batch_norm(x, t(mean), t(variance), eps=1e-2)),
        "rank 5",
    ),
    Case(
        "batchnorm",
        [x4],
        {"channels": 4, "gamma": gamma, "beta": beta}
        | {"computeMeanVar": True, "instanceNormalization": True},
        lambda x: F.instance_norm(t(x), weight=t(gamma), bias=t(beta), eps=1e-5),
        "instance",
    ),
    Case(
        "batchnorm",
        [x5],
        {"channels": 4, "gamma": gamma, "beta": beta, "computeMeanVar": True},
        over_batch(lambda x: F.batch_norm(x, None, None, t(gamma), t(beta), True, eps=1e-5)),
        "whole batch",
    ),
    Case("mvn", [x4], {}, lambda x: x - x.mean((2, 3), keepdims=True)),
    Case(
        "mvn",
        [x4],
        {"acrossChannels": True, "normalizeVariance": True, "epsilon": 1e-3},
        lambda x: F.layer_norm(t(x), (4, 7, 6), eps=1e-3),
        "across channels",
    ),
    Case(
        "mvn",
        [x4 / 1000],  # the variance is about the default epsilon, 1e-6
        {"normalizeVariance": True},
        lambda x: F.instance_norm(t(x), eps=1e-6),
        "default epsilon",
    ),
    Case("l2normalize", [x4], {}, lambda x: x / np.sqrt((x**2).sum((1, 2, 3), keepdims=True))),
    Case(
        "lrn",
        [x4],
        {"alpha": 0.5, "beta": 0.7, "localSize": 3, "k": 2.0},
        lambda x: F.local_response_norm(t(x), 3, alpha=0.5, beta=0.7, k=2.0),
    ),
    Case(
        "layerNormalization",
        [x4],
        {"normalizedShape": [7, 6], "eps": 1e-4}
        | {"gamma": (g76 := draw.normal(7, 6)), "beta": (b76 := draw.normal(7, 6))},
        lambda x: F.layer_norm(t(x), (7, 6), t(g76), t(b76), eps=1e-4),
    ),
]
