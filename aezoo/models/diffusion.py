"""Latent diffusion: a denoiser of codes, which is a score, and the samples that it leads to."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from aezoo import _validation
from aezoo._typing import ArrayLike, DType, Shape, Tensor
from aezoo.layers import networks
from aezoo.layers.dropout import Dropout
from aezoo.layers.residual_block import convolution
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.code_sampler import TrainedSampler
from aezoo.training.batch import Batch

#: The first time of training; the last one is 1 - FIRST. The signal-to-noise ratio α²/σ² is between e¹⁰ and e⁻¹⁰.
FIRST = 2 / math.pi * math.atan(math.exp(-5))


@keras.saving.register_keras_serializable("aezoo")
class LatentDiffusion(TrainedSampler):
    """Diffusion model of the codes of a trained autoencoder: a denoiser for every level of noise.

    The noise of a standardized code z grows with the time t from 0 to 1, zₜ = α z + σ ε with α = cos(πt/2),
    σ = sin(πt/2) and ε ~ N(0, I), so that z₁ is noise alone. A network estimates v = α ε - σ z from zₜ and t, which
    gives ẑ = α zₜ - σ v, an estimate of the mean of z given zₜ. Training minimizes `denoising`, the squared error of v
    summed over code units, at random times. A denoiser is a score: ∇ log p(zₜ) = (α ẑ - zₜ) / σ².

    Sampling starts at noise and removes it step by step, from t to s < t (DDIM):
    zₛ = αₛ ẑ + √(σₛ² - c²) ε̂ + c ε', with ε̂ = (zₜ - α ẑ) / σ and c = η (σₛ / σ) √(1 - α² / αₛ²).

    The network has residual blocks of dense layers; for codes that are maps, of convolutions.

    Args:
        autoencoder: A built autoencoder whose codes have a fixed shape. It is not changed.
        width: Units or channels of a residual block.
        depth: Number of residual blocks.
        dropout: Fraction of the units of each block that a training step sets to 0, in [0, 1).
        steps: Number of steps of sampling; each runs the network once. Times before the first one of training are
            raised to it, so that more than 232 steps change little.
        eta: η, the share of new noise in sampling, in [0, 1]: with 0 the first noise determines the sample, 1 adds as
            much as the reversed process (DDPM).
        **kwargs: `seed`, `on_divergence`, `name` and `dtype` of `Trainer`.

    Raises:
        ValueError: If an argument is out of range, the autoencoder is not built, or its codes vary in size.

    Example:
        >>> import aezoo
        >>> x = np.random.default_rng(0).random((32, 8, 8, 1), "float32")
        >>> model = aezoo.Autoencoder(latent_dim=4, seed=0)
        >>> model.compile(optimizer="adam")
        >>> history = model.fit(x, verbose=0)
        >>> diffusion = LatentDiffusion(model, width=16, depth=1, seed=0)
        >>> diffusion.compile(optimizer="adam")
        >>> history = diffusion.fit(model.encode(x), verbose=0)
        >>> diffusion.sample(5, seed=0).shape
        TensorShape([5, 8, 8, 1])

    Reference:
        Rombach et al., "High-resolution image synthesis with latent diffusion models", CVPR 2022, arXiv:2112.10752; Ho,
        Jain & Abbeel, "Denoising diffusion probabilistic models", NeurIPS 2020, arXiv:2006.11239; Nichol & Dhariwal,
        "Improved denoising diffusion probabilistic models", ICML 2021, arXiv:2102.09672, for the cosine; Song, Meng &
        Ermon, "Denoising diffusion implicit models", ICLR 2021, arXiv:2010.02502, for sampling; Salimans & Ho,
        "Progressive distillation for fast sampling of diffusion models", ICLR 2022, arXiv:2202.00512, for v; Vincent,
        "A connection between score matching and denoising autoencoders", Neural Computation 23, 2011, for the score.
    """

    term_names = ("denoising",)

    def __init__(
        self,
        autoencoder: Autoencoder,
        *,
        width: int = 256,
        depth: int = 3,
        dropout: float = 0.0,
        steps: int = 50,
        eta: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(autoencoder, **kwargs)
        self.width = _validation.check_int("width", width, 1)
        self.depth = _validation.check_int("depth", depth, 1)
        self.steps = _validation.check_int("steps", steps, 1)
        _validation.check_fraction("dropout", dropout, below_1=True)
        _validation.check_fraction("eta", eta)
        self.dropout, self.eta = dropout, eta

    def build_networks(self, shape: Shape) -> None:
        names = ("width", "depth", "dropout", "seed")
        self.network = denoiser(shape, **{name: getattr(self, name) for name in names}, dtype=self.dtype_policy)

    def coefficients(self, t: Tensor) -> tuple[Any, Any]:
        """Return α and σ at times t, (batch,), each (batch, 1, ...) to multiply codes by."""
        angle = ops.reshape(0.5 * math.pi * t, (-1, *[1] * len(self.autoencoder.code_shape)))
        return ops.cos(angle), ops.sin(angle)

    def denoised(self, noisy: Tensor, t: Tensor) -> Tensor:
        """Return ẑ, the estimated mean of the standardized code given the noisy one.

        Args:
            noisy: zₜ, (batch, *code_shape).
            t: Times in (0, 1), (batch,).

        Returns:
            (batch, *code_shape) float32.
        """
        noisy, t = ops.convert_to_tensor(noisy, "float32"), ops.convert_to_tensor(t, "float32")
        alpha, sigma = self.coefficients(t)
        return alpha * noisy - sigma * self.network({"noisy": noisy, "t": t})

    def score(self, noisy: Tensor, t: Tensor) -> Tensor:
        """Return the score ∇ log p(zₜ) of noisy standardized codes, (α ẑ - zₜ) / σ² (Vincent 2011).

        Args:
            noisy: zₜ, (batch, *code_shape).
            t: Times in (0, 1), (batch,).

        Returns:
            (batch, *code_shape) float32.
        """
        noisy, t = ops.convert_to_tensor(noisy, "float32"), ops.convert_to_tensor(t, "float32")
        alpha, sigma = self.coefficients(t)
        return (alpha * self.denoised(noisy, t) - noisy) / ops.square(sigma)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """Return the denoised codes at t = ½ without noise, ẑ(α z, ½), (batch, *code_shape)."""
        z = self.standardized(x)
        t = ops.full(ops.shape(z)[:1], 0.5)
        alpha, sigma = self.coefficients(t)
        v = self.network({"noisy": alpha * z, "t": t}, training=training)
        return self.codes(alpha**2 * z - sigma * v)

    def objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any]:
        z = self.standardized(batch.x)
        t = FIRST + (1 - 2 * FIRST) * self.random.uniform(ops.shape(z)[:1])
        noise = self.random.normal(ops.shape(z))
        alpha, sigma = self.coefficients(t)
        noisy = alpha * z + sigma * noise
        v = self.network({"noisy": noisy, "t": t}, training=training)
        errors = ops.sum(ops.square(alpha * noise - sigma * z - v), axis=tuple(range(1, len(z.shape))))
        return {"denoising": batch.mean(errors)}, self.codes(alpha * noisy - sigma * v)

    def sample_codes(
        self, n: int, seed: int | None = None, *, steps: int | None = None, eta: float | None = None
    ) -> Tensor:
        """Draw n codes.

        Args:
            n: Number of codes.
            seed: An integer that makes the result reproducible; None continues the model's own random state.
            steps: Number of steps; None takes the model's.
            eta: Share of new noise, in [0, 1]; None takes the model's.

        Returns:
            (n, *code_shape) float32.

        Raises:
            ValueError: If the model has not been built, or an argument is out of range.
        """
        steps = self.steps if steps is None else _validation.check_int("steps", steps, 1)
        eta = self.eta if eta is None else eta
        _validation.check_fraction("eta", eta)
        return self._drawn(n, seed, tf.constant(steps), tf.constant(eta, "float32"))

    def sample(  # type: ignore[override]  # no condition can have the name of an option
        self,
        n: int,
        seed: int | None = None,
        *,
        steps: int | None = None,
        eta: float | None = None,
        **conditions: ArrayLike,
    ) -> Tensor:
        """Draw n codes with the options of `sample_codes` and decode them, as `CodeSampler.sample` does."""
        given: dict[str, Any] = conditions
        return self.autoencoder.decode(self.sample_codes(n, seed, steps=steps, eta=eta), **given)

    def draw(self, n: Tensor, seed: Tensor, steps: Tensor | None = None, eta: Tensor | None = None) -> Tensor:
        steps = self.steps if steps is None else steps
        eta = self.eta if eta is None else eta

        def noise(i: Tensor) -> Tensor:
            of_step = tf.random.experimental.stateless_fold_in(seed, i, alg="philox")
            return tf.random.stateless_normal((n, *self.autoencoder.code_shape), of_step, alg="philox")

        def body(i: Tensor, noisy: Tensor) -> tuple[Any, Any]:
            t, s = ((1 - FIRST) * tf.cast(tf.fill((n,), 1 - k / steps), "float32") for k in (i, i + 1))
            t = ops.maximum(t, FIRST)  # the network was trained on no earlier times
            s = ops.where(i + 1 < steps, ops.maximum(s, FIRST), 0.0)
            (alpha, sigma), (alpha_s, sigma_s) = self.coefficients(t), self.coefficients(s)
            z = self.denoised(noisy, t)
            new = eta * sigma_s / sigma * ops.sqrt(ops.maximum(1 - ops.square(alpha / alpha_s), 0.0))
            kept = ops.sqrt(ops.maximum(ops.square(sigma_s) - ops.square(new), 0.0))
            return i + 1, alpha_s * z + kept * (noisy - alpha * z) / sigma + new * noise(i + 1)

        return tf.while_loop(lambda i, _: i < steps, body, (tf.constant(0), noise(0)), maximum_iterations=steps)[1]

    def get_config(self) -> dict[str, Any]:
        names = ("width", "depth", "dropout", "steps", "eta")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class Sinusoids(layers.Layer):
    """Layer that describes a time by sines and cosines of falling frequency, (batch,) → (batch, units) float32.

    Args:
        units: Number of values, rounded up to an even one.
        **kwargs: `name` of `keras.layers.Layer`.

    Example:
        >>> Sinusoids(4)(ops.array([0.0])).numpy()
        array([[0., 0., 1., 1.]], dtype=float32)

    Reference:
        Vaswani et al., "Attention is all you need", NeurIPS 2017, arXiv:1706.03762; the time counts 1,000 steps, as in
        Ho et al. 2020.
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        half = (units + 1) // 2
        self.frequencies = 1000 * np.exp(-math.log(10_000) * np.arange(half) / half).astype("float32")

    def call(self, t: Tensor) -> Tensor:
        angles = ops.expand_dims(t, -1) * self.frequencies
        return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)


def denoiser(
    shape: Shape,
    *,
    width: int,
    depth: int,
    dropout: float = 0.0,
    seed: int | None = None,
    dtype: DType | None = None,
) -> keras.Model:
    """Build a network of residual blocks that also takes the time; its output starts at 0.

    Args:
        shape: Shape of a code: (units,), or (places, ..., channels) of a map.
        width: Units or channels of a block.
        depth: Number of blocks.
        dropout: Fraction of the units of each block that a training step sets to 0.
        seed: Seed of the initial weights and of dropout.
        dtype: Keras dtype policy.

    Returns:
        A built Keras model, {"noisy": (batch, *shape), "t": (batch,)} → (batch, *shape) float32.

    Example:
        >>> network = denoiser((8, 8, 4), width=16, depth=1)
        >>> network({"noisy": ops.ones((2, 8, 8, 4)), "t": ops.zeros((2,))}).shape
        TensorShape([2, 8, 8, 4])
    """
    *places, channels = shape
    initializer = networks.Initializers(seed)
    noise_seed = networks.Initializers(None if seed is None else seed + 2_000)

    def dense(units: int, activation: str | None = None) -> layers.Layer:
        return layers.Dense(units, activation, kernel_initializer=initializer(), dtype=dtype)

    def layer(units: int, zeros: bool = False) -> layers.Layer:
        options = {"kernel_initializer": "zeros" if zeros else initializer(), "dtype": dtype}
        if not places:
            return layers.Dense(units, **options)
        return convolution(len(places))(units, 3, padding="same", **options)

    def activated(h: Tensor) -> Tensor:
        return layers.Activation("silu", dtype=dtype)(layers.LayerNormalization(dtype=dtype)(h))

    noisy, t = keras.Input(shape, name="noisy"), keras.Input((), name="t", dtype="float32")
    time = dense(width, "silu")(Sinusoids(width)(t))
    h = layer(width)(noisy)
    for _ in range(depth):
        of_time = layers.Reshape((*[1] * len(places), width), dtype=dtype)(dense(width)(time))
        y = activated(layers.Add(dtype=dtype)([layer(width)(activated(h)), of_time]))
        if dropout:
            y = Dropout(dropout, noise_seed.next_seed(), dtype=dtype)(y)
        h = layers.Add(dtype=dtype)([h, layer(width, zeros=True)(y)])
    output = layers.Activation("linear", dtype="float32")(layer(channels, zeros=True)(activated(h)))
    return keras.Model({"noisy": noisy, "t": t}, output, name="denoiser")
