"""The FactorVAE."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from aezoo import _validation, schedules
from aezoo._numerics import as_float32
from aezoo._typing import Shape, Tensor
from aezoo.models.aggregate import AggregateVAE
from aezoo.training.batch import Batch
from aezoo.training.forward import Forward

_SLOPE = 0.2  # of the discriminator's leaky ReLUs, for negative inputs


@keras.saving.register_keras_serializable("aezoo")
class FactorVAE(AggregateVAE):
    """FactorVAE: a VAE with a penalty of dependent code units, γ KL(q(z)‖∏ⱼ q(zⱼ)), that a discriminator estimates.

    -ELBO + γ E log D(z)/(1 - D(z)). The discriminator D(z), the probability that z is a code and not a *shuffled* code,
    whose units come from different samples of the batch, is a network that learns beside the model by
    -½ E log D(z) - ½ E log(1 - D(z̄)). The best D has log D(z)/(1 - D(z)) = log q(z)/∏ⱼ q(zⱼ), whose mean is the total
    correlation.

    The paper takes turns with two optimizers; here one step trains both. The term `total_correlation` has no gradient
    with respect to the discriminator, and the term `discriminator` none with respect to the encoder. Choose an
    optimizer that scales each variable by its own gradients, such as Adam. The loss includes the discriminator's, so
    a lower loss does not mean a better model: compare the other terms.

    Args:
        latent_dim: Number of code units, at least 2 for a penalty.
        gamma: γ >= 0, a number or a schedule by the epoch.
        discriminator_dims: Units of the discriminator's hidden layers. The paper has six of 1,000.
        **kwargs: Arguments of `AggregateVAE`.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import numpy as np
        >>> model = FactorVAE(latent_dim=6, hidden_dims=(64,), discriminator_dims=(32, 32))
        >>> model.compile(optimizer="adam")
        >>> history = model.fit(np.random.default_rng(0).random((64, 8, 8, 1), "float32"), verbose=0).history
        >>> sorted(history)
        ['active_units', 'discriminator', 'kl', 'loss', 'reconstruction', 'total_correlation']

    Reference:
        Kim & Mnih, "Disentangling by factorising", ICML 2018, arXiv:1802.05983.
    """

    term_names: tuple[str, ...] = ("reconstruction", "kl", "total_correlation", "discriminator")

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        gamma: schedules.Schedulable = 10.0,
        discriminator_dims: Sequence[int] = (256, 256, 256),
        **kwargs: Any,
    ):
        super().__init__(latent_dim, **kwargs)
        self.gamma = schedules.Scheduled(gamma)
        _validation.check_at_least("gamma", self.gamma.schedule.minimum, 0)
        self.discriminator_dims = _validation.check_ints("discriminator_dims", discriminator_dims)

    def build(self, input_shape: Shape | Any) -> None:
        super().build(input_shape)
        _validation.check_known_shape(self.code_shape)
        units = [math.prod(self.code_shape), *self.discriminator_dims, 1]
        self.discriminator = []
        for i, (below, size) in enumerate(itertools.pairwise(units)):
            layer = keras.layers.Dense(
                size,
                kernel_initializer=keras.initializers.HeNormal(None if self.seed is None else self.seed + i),
                dtype="float32",
                name=f"discriminator_{i}",
            )
            layer.build((None, below))
            self.discriminator.append(layer)

    def log_ratio(self, z: Tensor, trained: bool = False) -> Tensor:
        """Return log D(z)/(1 - D(z)), the discriminator's estimate of log q(z)/∏ⱼ q(zⱼ), (batch,) float32.

        Args:
            z: Codes, (batch, *code_shape).
            trained: Whether the gradient with respect to the discriminator's weights is passed on.
        """
        z = ops.reshape(as_float32(z), (-1, math.prod(self.code_shape)))
        keep = ops.convert_to_tensor if trained else ops.stop_gradient
        for layer in self.discriminator:
            z = z if layer is self.discriminator[0] else ops.leaky_relu(z, _SLOPE)
            z = ops.matmul(z, keep(layer.kernel)) + keep(layer.bias)
        return z[:, 0]

    def shuffled(self, z: Tensor, weight: Tensor | None = None) -> Tensor:
        """Draw codes whose units are independent: each comes from a sample of the batch, drawn for this unit alone.

        The paper permutes each unit over the batch; draws with replacement have the same distribution in the mean, and
        can be weighted. On several devices, each draws from its own samples.

        Args:
            z: Codes, (batch, *code_shape).
            weight: Weights of the samples, (batch,); None draws them equally often.
        """
        flat = ops.reshape(z, (-1, math.prod(self.code_shape)))
        weight = ops.ones_like(flat[:, 0]) if weight is None else weight
        reached = ops.cumsum(as_float32(weight))
        drawn = tf.reshape(self.random.uniform(ops.shape(flat)), (-1,)) * reached[-1:]
        places = tf.minimum(tf.searchsorted(reached, drawn, side="right"), ops.shape(flat)[0] - 1)
        return ops.reshape(ops.take_along_axis(flat, ops.reshape(places, ops.shape(flat)), axis=0), ops.shape(z))

    def penalties(self, batch: Batch, forward: Forward) -> dict[str, Any]:
        z = ops.stop_gradient(forward.code)
        of_codes = ops.softplus(-self.log_ratio(z, trained=True))
        of_shuffled = ops.softplus(self.log_ratio(self.shuffled(z, batch.weight), trained=True))
        return {
            **super().penalties(batch, forward),
            "total_correlation": self.gamma.value * batch.mean(self.log_ratio(forward.code)),
            "discriminator": batch.mean(0.5 * (of_codes + of_shuffled)),
        }

    def get_config(self) -> dict[str, Any]:
        gamma = schedules.serialize(self.gamma.schedule)
        return {**super().get_config(), "gamma": gamma, "discriminator_dims": self.discriminator_dims}
