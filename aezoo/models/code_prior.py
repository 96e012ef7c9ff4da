"""A prior of the indices of a discrete code."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from aezoo import _validation
from aezoo._typing import Activation, ArrayLike, Shape, Tensor
from aezoo.layers import RandomState, _causal
from aezoo.layers.random_state import uniform_from_bits
from aezoo.training import gate
from aezoo.training.batch import Batch
from aezoo.training.trainer import Trainer


@keras.saving.register_keras_serializable("aezoo")
class CodePrior(Trainer):
    """Autoregressive distribution of the indices of a discrete code, p(i) = ∏ₜ p(iₜ given i₁, ..., iₜ₋₁).

    The indices of a sample are read row by row, and at each place level by level. A causal transformer computes the
    distribution of each from those before it. Training minimizes `negative_log_likelihood`, -log p(i) in nats per
    sample.

    Set a trained prior as `model.prior` of the model whose indices it was trained on: `model.sample(n)` then draws from
    it.

    Args:
        codebook_size: Number of values of an index.
        width: Units of a token of the transformer, a multiple of `heads`.
        depth: Number of transformer blocks.
        heads: Number of attention heads.
        dropout: Fraction of the units of each branch of a block that a training step sets to 0, in [0, 1).
        activation: σ of the hidden layer of a block.
        **kwargs: `seed`, `on_divergence`, `name` and `dtype` of `Trainer`.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import aezoo, numpy as np
        >>> x = np.random.default_rng(0).random((32, 8, 8, 3), "float32")
        >>> model = aezoo.VQVAE(latent_dim=16, codebook_size=32, filters=(8,), spatial=True, seed=0)
        >>> model.build(x.shape)
        >>> prior = CodePrior(codebook_size=32, width=16, heads=2, seed=0)
        >>> prior.compile(optimizer="adam")
        >>> history = prior.fit(model.indices(x), verbose=0)
        >>> prior.log_likelihood(model.indices(x)).shape
        TensorShape([32])
        >>> model.prior = prior
        >>> model.sample(5).shape
        TensorShape([5, 8, 8, 3])

    Reference:
        van den Oord, Vinyals & Kavukcuoglu, "Neural discrete representation learning", NeurIPS 2017, arXiv:1711.00937,
        for priors of codes; Vaswani et al., "Attention is all you need", NeurIPS 2017, arXiv:1706.03762, for the
        network.
    """

    term_names = ("negative_log_likelihood",)
    takes_loss = weighs_features = False

    def __init__(
        self,
        codebook_size: int,
        *,
        width: int = 64,
        depth: int = 2,
        heads: int = 4,
        dropout: float = 0.0,
        activation: Activation = "gelu",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        whole = {"width": width, "depth": depth, "heads": heads}
        self.codebook_size = _validation.check_int("codebook_size", codebook_size, 2)
        for name, value in whole.items():
            setattr(self, name, _validation.check_int(name, value, 1))
        if width % heads:
            raise ValueError(f"width={width} cannot be divided among heads={heads}: choose a multiple.")
        _validation.check_fraction("dropout", dropout, below_1=True)
        keras.activations.get(activation)  # raises a ValueError for an unknown activation
        self.dropout, self.activation = dropout, activation
        self.tokens = self.codebook_size
        self.random = RandomState(self.seed)

    @property
    def input_dtype(self) -> str:
        return "int32"

    @property
    def default_loss(self) -> None:
        """None: the error is -log p."""
        return None

    def build(self, input_shape: Shape | Any) -> None:
        """Build the network for indices of shape (batch, *places, k)."""
        shape = tuple(input_shape[1:])
        if not shape or None in shape:
            raise ValueError(
                f"Indices have a fixed shape (n, *places, k), such as model.indices(x) returns, but these have "
                f"{('n', *shape)}."
            )
        self.network = _causal.network(
            math.prod(shape),
            self.codebook_size,
            period=shape[-1],
            **{name: getattr(self, name) for name in ("width", "depth", "heads", "activation", "dropout", "seed")},
            dtype=self.dtype_policy,
        )
        self.x_shape = self.y_shape = shape
        self.make_trackers()

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """Return the logits of each index, given those before it, (batch, *places, k, codebook_size) float32."""
        logits = self.logits(x, training)
        return ops.reshape(logits, (-1, *self.x_shape, self.codebook_size))

    def logits(self, indices: Tensor, training: bool = False) -> Tensor:
        """Return the logits of each index, given those before it, in the order in which they are read.

        Args:
            indices: (batch, *places, k) integers.
            training: Whether this is a training step.

        Returns:
            (batch, number of indices, codebook_size) float32.
        """
        return self.network(ops.reshape(indices, (-1, math.prod(self.x_shape))), training=training)

    def objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any]:
        logits = self.logits(batch.x, training)
        reported = {"negative_log_likelihood": batch.mean(_nats(batch.x, logits))}
        return reported, ops.reshape(logits, (-1, *self.x_shape, self.codebook_size))

    def log_likelihood(self, indices: ArrayLike, batch_size: int = 256) -> Tensor:
        """Return log p(i) of the indices of each sample.

        Args:
            indices: Whole numbers, (n, *places, k).
            batch_size: Number of samples processed at once.

        Returns:
            (n,) float32, in nats.

        Raises:
            ValueError: If the prior has not been built, or the indices have another shape or range.
        """
        _validation.check_built(self)
        _validation.check_int("batch_size", batch_size, 1)
        x = tf.cast(gate.samples(self, indices), "int32")
        return tf.concat(
            [self._log_likelihood(x[i : i + batch_size]) for i in range(0, max(1, len(x)), batch_size)], axis=0
        )

    @tf.function(autograph=False, reduce_retracing=True)
    def _log_likelihood(self, x: Tensor) -> Tensor:
        return -_nats(x, self.logits(x))

    def sample(self, n: int, temperature: float = 1.0, seed: int | None = None) -> Tensor:
        """Draw n sets of indices, one index after the other.

        Args:
            n: Number of sets.
            temperature: τ >= 0, by which logits are divided: 1 draws from the distribution, 0 takes the likeliest index
                each time.
            seed: An integer that makes the result reproducible; None continues the prior's own random state.

        Returns:
            (n, *places, k) int32.

        Raises:
            ValueError: If the prior has not been built, or an argument is out of range.
        """
        _validation.check_built(self)
        _validation.check_at_least("temperature", temperature, 0)
        n = tf.constant(_validation.check_int("n", n, 1))  # a Python number would make a graph of its own
        seed = None if seed is None else _validation.check_int("seed", seed)
        return self._draw(n, tf.constant(temperature, "float32"), self.random.seed_of(seed))

    @tf.function(autograph=False, reduce_retracing=True)
    def _draw(self, n: Tensor, temperature: Tensor, seed: Tensor) -> Tensor:
        return self.draw(n, temperature, seed)

    def draw(self, n: Tensor, temperature: Tensor, seed: Tensor) -> Tensor:
        """Draw indices as `sample` does, from tensors and without checks, so that it also runs in a graph."""
        steps = math.prod(self.x_shape)
        positions = tf.range(steps)

        def body(t: Tensor, drawn: Tensor) -> tuple[Any, Any]:
            logits = self.network(drawn)[:, t]
            of_step = tf.random.experimental.stateless_fold_in(seed, t, alg="philox")
            noise = -tf.math.log(-tf.math.log(uniform_from_bits(tf.shape(logits), of_step)))
            chosen = tf.argmax(logits + temperature * noise, axis=-1, output_type="int32")
            return t + 1, tf.where(positions == t, chosen[:, None], drawn)

        start = tf.constant(0), tf.zeros((n, steps), "int32")
        shapes = tf.TensorShape(()), tf.TensorShape((None, steps))
        _, drawn = tf.while_loop(lambda t, _: t < steps, body, start, shapes, maximum_iterations=steps)
        return tf.reshape(drawn, (n, *self.x_shape))

    def get_config(self) -> dict[str, Any]:
        names = ("codebook_size", "width", "depth", "heads", "dropout", "activation")
        config = {**super().get_config(), **{name: getattr(self, name) for name in names}}
        if callable(self.activation):
            config["activation"] = keras.activations.serialize(self.activation)
        return config


def _nats(indices: Tensor, logits: Tensor) -> Tensor:
    """Return -log p of the indices of each sample, (batch, ...), for logits (batch, steps, codebook_size)."""
    indices = tf.reshape(tf.cast(indices, "int32"), tf.shape(logits)[:-1])
    return tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(indices, logits), axis=1)
