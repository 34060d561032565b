"""Layers for sequences of vectors: recurrent ones, attention, embeddings."""

from __future__ import annotations

from typing import Any

from keras_cases.case import codes, rows, volume

__all__ = ["REFUSED", "ROWS"]


def words(k: Any, x: Any) -> Any:
    """`(12, 8)`."""
    return k.Dense(8)(rows(k, x))


def masked(k: Any, x: Any) -> Any:
    """`(15, 36)`: the last three steps are masked out."""
    return k.Masking(0.0)(k.ZeroPadding1D((0, 3))(rows(k, x)))


RECURRENT: dict[str, Any] = {
    "SimpleRNN": lambda k, x: k.SimpleRNN(5)(rows(k, x)),
    "SimpleRNN(relu, backwards)": lambda k, x: k.SimpleRNN(
        5, activation="relu", go_backwards=True, return_sequences=True
    )(rows(k, x)),
    "LSTM": lambda k, x: k.LSTM(5)(rows(k, x)),
    "LSTM(sequences, hard sigmoid)": lambda k, x: k.LSTM(
        5, recurrent_activation="hard_sigmoid", return_sequences=True
    )(rows(k, x)),
    "LSTM(state)": lambda k, x: k.LSTM(5, return_state=True)(rows(k, x))[2],
    "GRU": lambda k, x: k.GRU(5)(rows(k, x)),
    "GRU(reset before)": lambda k, x: k.GRU(5, reset_after=False)(rows(k, x)),
    "Bidirectional": lambda k, x: k.Bidirectional(k.GRU(5))(rows(k, x)),
    "Bidirectional(sum)": lambda k, x: k.Bidirectional(
        k.LSTM(5, return_sequences=True), merge_mode="sum"
    )(rows(k, x)),
    "RNN": lambda k, x: k.RNN(k.GRUCell(5))(rows(k, x)),
    "GRUCell": lambda k, x: k.RNN(k.GRUCell(5), unroll=True)(rows(k, x)),
    "LSTMCell": lambda k, x: k.RNN(k.LSTMCell(5))(rows(k, x)),
    "SimpleRNNCell": lambda k, x: k.RNN(k.SimpleRNNCell(5), go_backwards=True)(rows(k, x)),
    "StackedRNNCells": lambda k, x: k.RNN([k.LSTMCell(5), k.GRUCell(4)])(rows(k, x)),
    "ConvLSTM1D": lambda k, x: k.ConvLSTM1D(2, 3)(x),
    "ConvLSTM2D": lambda k, x: k.ConvLSTM2D(2, 2, padding="same")(volume(k, x)),
    "ConvLSTM3D": lambda k, x: k.ConvLSTM3D(2, 2)(k.Reshape((3, 4, 4, 3, 3))(x)),
    "TimeDistributed": lambda k, x: k.TimeDistributed(k.Conv1D(4, 3))(x),
    "Masking": lambda k, x: k.Dense(4)(masked(k, x)),
    "Masking(LSTM)": lambda k, x: k.LSTM(5)(masked(k, x)),
    "Masking(pooling)": lambda k, x: k.GlobalAveragePooling1D()(masked(k, x)),
}

ATTENTION: dict[str, Any] = {
    "Attention": lambda k, x: k.Attention()([words(k, x), words(k, x)]),
    "Attention(scale, concat)": lambda k, x: k.Attention(use_scale=True, score_mode="concat")(
        [words(k, x), words(k, x)]
    ),
    "Attention(causal)": lambda k, x: k.Attention(use_scale=True)(
        [words(k, x), words(k, x)], use_causal_mask=True
    ),
    "Attention(masked)": lambda k, x: k.Attention()([masked(k, x), masked(k, x)]),
    "AdditiveAttention": lambda k, x: k.AdditiveAttention()([words(k, x), words(k, x)]),
    "MultiHeadAttention": lambda k, x: k.MultiHeadAttention(2, 4)(words(k, x), words(k, x)),
    "MultiHeadAttention(causal, value_dim)": lambda k, x: k.MultiHeadAttention(2, 4, value_dim=3)(
        words(k, x), words(k, x), use_causal_mask=True
    ),
    "MultiHeadAttention(two axes)": lambda k, x: k.MultiHeadAttention(2, 4, attention_axes=(1, 2))(
        x, x
    ),
    "MultiHeadAttention(masked)": lambda k, x: k.MultiHeadAttention(2, 4)(
        masked(k, x), masked(k, x)
    ),
    "GroupQueryAttention": lambda k, x: k.GroupQueryAttention(4, 4, 2)(words(k, x), words(k, x)),
}

EMBEDDINGS: dict[str, Any] = {
    "Embedding": lambda k, x: k.Embedding(5, 4)(codes(k, x)),
    "Embedding(mask_zero)": lambda k, x: k.Embedding(5, 4, mask_zero=True)(codes(k, x)),
    "ReversibleEmbedding": lambda k, x: k.ReversibleEmbedding(5, 4)(codes(k, x)),
    "Discretization": lambda k, x: k.Rescaling(0.3)(codes(k, x)),
    "Discretization(one_hot)": lambda k, x: k.Discretization([-1.0, 0.2], output_mode="one_hot")(
        k.Flatten()(x)
    ),
    "CategoryEncoding": lambda k, x: k.CategoryEncoding(5)(codes(k, x)),
    "CategoryEncoding(count)": lambda k, x: k.CategoryEncoding(5, "count")(codes(k, x)),
    "STFTSpectrogram": lambda k, x: k.STFTSpectrogram("log", 32, 16, 32)(k.Reshape((432, 1))(x)),
    "STFTSpectrogram(magnitude)": lambda k, x: k.STFTSpectrogram("magnitude", 32, 16, 32)(
        k.Reshape((432, 1))(x)
    ),
    "MelSpectrogram": lambda k, x: k.MelSpectrogram(64, 32, num_mel_bins=8)(k.Reshape((432,))(x)),
}

ROWS: dict[str, Any] = {**RECURRENT, **ATTENTION, **EMBEDDINGS}

REFUSED: dict[str, str] = {
    "ConvLSTM3D": "a tensor of rank 6; Core ML has 5 at most",
    "MelSpectrogram": "coremltools lacks unfold",
    "MultiHeadAttention(two axes)": "a tensor of rank 6; Core ML has 5 at most",
}
