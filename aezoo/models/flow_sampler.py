"""A normalizing flow that is fitted to the codes of a trained autoencoder."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from aezoo import _validation
from aezoo._typing import ArrayLike, Shape, Tensor
from aezoo.losses import gaussian_log_density
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.code_sampler import TrainedSampler
from aezoo.priors import FlowPrior
from aezoo.training import gate
from aezoo.training.batch import Batch


@keras.saving.register_keras_serializable("aezoo")
class FlowSampler(TrainedSampler):
    """RealNVP flow of the codes of a trained autoencoder: log p(z) = log N(f(z); 0, I) + log |det ∂f/∂z|.

    f standardizes the code and is then the invertible network of `aezoo.priors.FlowPrior`, which a VAE trains jointly.
    Training minimizes `negative_log_likelihood`, -log p(z) in nats per sample. p(z) is a density of the units that
    vary: f maps the other units to 0.

    Args:
        autoencoder: A built autoencoder whose codes have a fixed shape of at least 2 units. It is not changed.
        layers: Number of layers of the flow, at least 2, so that each unit is moved.
        units: Width of the hidden layer of each network.
        **kwargs: `seed`, `on_divergence`, `name` and `dtype` of `Trainer`.

    Raises:
        ValueError: If an argument is out of range, the autoencoder is not built, or its codes vary in size or have
            fewer than two units.

    Example:
        >>> import aezoo, numpy as np
        >>> x = np.random.default_rng(0).random((32, 8, 8, 1), "float32")
        >>> model = aezoo.Autoencoder(latent_dim=4, seed=0)
        >>> model.build(x.shape)
        >>> flow = FlowSampler(model, layers=2, units=8, seed=0)
        >>> flow.compile(optimizer="adam")
        >>> history = flow.fit(model.encode(x), verbose=0)
        >>> flow.sample(5, seed=0).shape, flow.log_likelihood(model.encode(x)).shape
        (TensorShape([5, 8, 8, 1]), TensorShape([32]))

    Reference:
        Dinh, Sohl-Dickstein & Bengio, "Density estimation using Real NVP", ICLR 2017, arXiv:1605.08803; Ghosh et al.,
        "From variational to deterministic autoencoders", ICLR 2020, arXiv:1903.12436, for densities that are fitted to
        the codes of a trained autoencoder.
    """

    term_names = ("negative_log_likelihood",)

    def __init__(self, autoencoder: Autoencoder, *, layers: int = 6, units: int = 64, **kwargs: Any):
        super().__init__(autoencoder, **kwargs)
        if math.prod(self.autoencoder.code_shape) < 2:
            raise ValueError(
                f"A flow moves code units by the values of others, but codes have shape {self.autoencoder.code_shape}: "
                "choose an autoencoder with at least 2 code units."
            )
        self.flow = FlowPrior(layers, units, self.seed)
        self.flow_layers, self.units = self.flow.layers, self.flow.units

    def build_networks(self, shape: Shape) -> None:
        self.flow.build_units(math.prod(shape))
        self.flow.built = True

    def _forward(self, codes: Tensor) -> tuple[Any, Any]:
        """Return f(z), (batch, units), and log p(z), (batch,)."""
        rows = ops.reshape(self.standardized(codes), (-1, math.prod(self.autoencoder.code_shape)))
        varies = self._varies()
        u, log_det = self.flow.forward(rows, varies)
        log_scale = ops.where(self.scale > 0, ops.log(self.scale), ops.zeros_like(self.scale))
        of_scale = math.prod(self.autoencoder.code_shape[:-1]) * ops.sum(log_scale)
        return u, ops.sum(varies * gaussian_log_density(u), axis=1) + log_det - of_scale

    def _varies(self) -> Any:
        """Return 1 for the units that vary and 0 for the others, (units,)."""
        return ops.tile(ops.cast(self.scale > 0, "float32"), math.prod(self.autoencoder.code_shape[:-1]))

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """Return f(z) of codes, (batch, *code_shape); where units vary, it follows N(0, I) if the flow fits."""
        return ops.reshape(self._forward(x)[0], ops.shape(x))

    def objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any]:
        u, log_likelihood = self._forward(batch.x)
        return {"negative_log_likelihood": batch.mean(-log_likelihood)}, ops.reshape(u, ops.shape(batch.x))

    def log_likelihood(self, codes: ArrayLike) -> Tensor:
        """Return log p(z) of codes, (n, *code_shape) → (n,) float32, in nats.

        Raises:
            ValueError: If the flow has not been built, or the codes have another shape.
        """
        _validation.check_built(self)
        return self._log_likelihood(gate.samples(self, codes))

    @tf.function(autograph=False, reduce_retracing=True)
    def _log_likelihood(self, codes: Tensor) -> Tensor:
        return self._forward(codes)[1]

    def draw(self, n: Tensor, seed: Tensor) -> Tensor:
        u = tf.random.stateless_normal((n, math.prod(self.autoencoder.code_shape)), seed, alg="philox")
        return ops.reshape(self.flow.inverse(u, self._varies()), (n, *self.autoencoder.code_shape))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layers": self.flow_layers, "units": self.units}
