"""Networks that predict each token of a sequence from the tokens before it."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from aezoo._typing import Activation, DType, Shape, Tensor
from aezoo.layers import _patches


@keras.saving.register_keras_serializable("aezoo")
class ShiftedEmbedding(layers.Layer):
    """Layer that represents each token of a sequence by its position and the token before it, if there is one.

    Args:
        tokens: Size of the vocabulary.
        width: Size of the vectors.
        period: Tokens whose positions differ by a multiple of this share their vectors.
        seed: Seed of the initial vectors.
        **kwargs: `name` and `dtype` of `keras.layers.Layer`.

    Example:
        >>> layer = ShiftedEmbedding(tokens=5, width=8)
        >>> a, b = layer(ops.array([[1, 2, 3], [1, 2, 4]]))  # they differ in the last token, which nothing follows
        >>> bool(ops.all(a == b))
        True
    """

    def __init__(self, tokens: int, width: int, period: int = 1, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.tokens, self.width, self.period, self.seed = tokens, width, period, seed

    def build(self, input_shape: Shape) -> None:
        """Create a vector for each token and position in a period, and for each position."""
        for i, (name, rows) in enumerate({"vectors": self.period * self.tokens, "positions": input_shape[1]}.items()):
            normal = keras.initializers.RandomNormal(stddev=0.1, seed=None if self.seed is None else self.seed + i)
            setattr(self, name, self.add_weight(shape=(rows, self.width), initializer=normal, name=name))

    def call(self, x: Tensor) -> Tensor:
        places = tf.range(x.shape[1] - 1) % self.period
        before = tf.gather(tf.convert_to_tensor(self.vectors), tf.cast(x[:, :-1], "int32") + self.tokens * places)
        return ops.pad(before, ((0, 0), (1, 0), (0, 0))) + self.positions

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **{name: getattr(self, name) for name in ("tokens", "width", "period", "seed")}}


def network(
    steps: int,
    tokens: int,
    *,
    width: int,
    depth: int,
    heads: int,
    period: int = 1,
    activation: Activation | None = "gelu",
    dropout: float = 0.0,
    seed: int | None = None,
    dtype: DType | None = None,
) -> keras.Sequential:
    """Build a causal transformer: the logits of each token depend on the tokens before it only.

    Args:
        steps: Number of tokens of a sequence.
        tokens: Size of the vocabulary.
        width: Units of a token.
        depth: Number of transformer blocks.
        heads: Number of attention heads.
        period: As in `ShiftedEmbedding`.
        activation: Activation of the hidden layers.
        dropout: Fraction of the units of each branch of a block that a training step sets to 0.
        seed: Seed of the initial weights and of dropout.
        dtype: Keras dtype policy.

    Returns:
        A built Keras model, (batch, steps) integers → (batch, steps, tokens) float32.

    Example:
        >>> network(6, 10, width=8, depth=1, heads=2).output_shape
        (None, 6, 10)
    """
    stack = [
        keras.Input((steps,), dtype="int32"),
        ShiftedEmbedding(tokens, width, period, seed, dtype=dtype),
        _patches.transformer(width, depth, heads, activation, dtype, causal=True, dropout=dropout, seed=seed),
        layers.Dense(tokens, dtype=dtype),
        layers.Activation("linear", dtype="float32", name="logits"),
    ]
    return _patches.initialized(keras.Sequential(stack, name="network"), None if seed is None else seed + 100)
