"""Priors p(z): distributions of the codes of a VAE that are learned with it, in place of N(0, I).

Pass one to `aezoo.VAE(prior=...)`. To define your own, subclass `Prior`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aezoo import _validation
from aezoo._numerics import as_float32
from aezoo._typing import Tensor
from aezoo.losses import gaussian_log_density

if TYPE_CHECKING:
    from aezoo.models.variational import VAE

__all__ = ["FlowPrior", "Prior", "VampPrior", "get"]


class Prior(keras.layers.Layer):
    """Base class of priors p(z) with weights of their own, which are trained with the model.

    A subclass creates its weights in `build_for` and defines `log_density` and `draw`. If codes are a function of as
    many standard normal numbers, it sets `transports` to True and defines `transport` in place of `draw`. All of it is
    computed in float32, whatever the model's precision.

    Args:
        **kwargs: `name` of `keras.layers.Layer`.

    Example:
        >>> import aezoo
        >>> from aezoo.losses import gaussian_log_density
        >>> @keras.saving.register_keras_serializable("examples")
        ... class Scaled(Prior):  # N(0, s² I)
        ...     def build_for(self, model):
        ...         self.log_s = self.add_weight(shape=(), initializer="zeros", name="log_s")
        ...
        ...     def log_density(self, z, model):
        ...         return tf.reduce_sum(gaussian_log_density(z, 0.0, 2 * self.log_s), axis=-1)
        ...
        ...     def draw(self, n, seed, model):
        ...         return tf.exp(self.log_s) * tf.random.stateless_normal((n, *model.code_shape), seed)
        >>> model = aezoo.VAE(2, prior=Scaled())
        >>> model.build((None, 8))
        >>> model.sample(3).shape
        TensorShape([3, 8])
    """

    #: True if `transport` makes codes from standard normal numbers.
    transports: bool = False

    def __init__(self, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def build_for(self, model: VAE) -> None:
        """Create the weights.

        Args:
            model: The model, whose networks have been built.

        Raises:
            ValueError: If the prior cannot model codes of this shape.
        """

    def initialize_from(self, x: np.ndarray) -> None:
        """Initialize from samples, (n, *input_shape), before the first training step."""

    def log_density(self, z: Tensor, model: VAE) -> Tensor:
        """Return log p(z) in nats, (..., *code_shape) → (...) float32, with gradients.

        Args:
            z: Codes.
            model: The model, whose encoder a prior may use.
        """
        raise NotImplementedError

    def density(self, model: VAE) -> Callable[[Tensor], Any]:
        """Return `log_density` of codes, (n, *code_shape) → (n,) float32, for many calls with the same weights.

        Args:
            model: The model, whose encoder a prior may use.
        """
        return functools.partial(self.log_density, model=model)

    def draw(self, n: Tensor, seed: Tensor, model: VAE) -> Tensor:
        """Draw n codes, (n, *code_shape) float32.

        Args:
            n: Number of codes.
            seed: Two integers, (2,): equal seeds draw equal codes.
            model: The model, whose encoder a prior may use.
        """
        return self.transport(tf.random.stateless_normal((n, *model.code_shape), seed, alg="philox"), model)

    def transport(self, u: Tensor, model: VAE) -> Tensor:
        """Return the codes that standard normal numbers u become, (n, *code_shape) → (n, *code_shape) float32.

        Args:
            u: Standard normal numbers.
            model: The model.
        """
        raise NotImplementedError


class _Between(keras.constraints.Constraint):
    """Constraint that clips weights to a range."""

    def __init__(self, low: float, high: float):
        self.low, self.high = low, high

    def __call__(self, w: Tensor) -> Tensor:
        return ops.clip(w, self.low, self.high)


@keras.saving.register_keras_serializable("aezoo")
class VampPrior(Prior):
    """Mixture of the posteriors of learned inputs, p(z) = ⅟ₖ Σᵢ q(z given uᵢ): a variational mixture of posteriors.

    The uᵢ are weights of the shape of a sample. They start as samples spread over the training data, and stay in the
    range of the model's outputs. The encoder is called on them as in inference, without dropout.

    Args:
        components: K, the number of learned inputs. Each costs as much as one more sample in every batch.
        **kwargs: `name` of `keras.layers.Layer`.

    Raises:
        ValueError: If K is less than 1; or if the model's samples vary in size or are integers; or if its encoder takes
            a condition.

    Example:
        >>> import aezoo
        >>> x = np.random.default_rng(0).random((64, 8), "float32")
        >>> model = aezoo.VAE(2, hidden_dims=(16,), prior=VampPrior(components=10), seed=0)
        >>> model.compile(optimizer="adam")
        >>> history = model.fit(x, verbose=0)
        >>> model.sample(3).shape
        TensorShape([3, 8])

    Reference:
        Tomczak & Welling, "VAE with a VampPrior", AISTATS 2018, arXiv:1705.07120.
    """

    def __init__(self, components: int = 500, **kwargs: Any):
        super().__init__(**kwargs)
        self.components = _validation.check_int("components", components, 1)

    def build_for(self, model: VAE) -> None:
        if model.condition_names or None in model.x_shape or "int" in model.input_dtype:
            raise ValueError(
                "A VampPrior learns inputs of the encoder: give it samples of a fixed size that are real numbers, and "
                "a model without conditions, or take aezoo.priors.FlowPrior."
            )
        low, high = model.output_bounds or (-math.inf, math.inf)
        self.inputs = self.add_weight(
            shape=(self.components, *model.x_shape),
            initializer=keras.initializers.RandomUniform(0.0, 1.0, seed=model.seed),
            constraint=_Between(low, high),
            name="inputs",
        )

    def initialize_from(self, x: np.ndarray) -> None:
        x = np.asarray(x, "float32")
        self.inputs.assign(x[np.linspace(0, len(x) - 1, self.components).round().astype(int)])

    def log_density(self, z: Tensor, model: VAE) -> Tensor:
        mean, log_variance = model.moments(self.inputs)
        rank = len(mean.shape) - 1
        z = ops.expand_dims(z, -1 - rank)  # beside all components
        densities = _sum(gaussian_log_density(z, mean, log_variance), rank)
        return ops.logsumexp(densities, axis=-1) - math.log(self.components)

    def density(self, model: VAE) -> Callable[[Tensor], Any]:
        # Two matrix products take a tenth of the time; their difference needs double precision.
        moments = (tf.reshape(tf.cast(each, "float64"), (self.components, -1)) for each in model.moments(self.inputs))
        mean, log_variance = moments
        precision = tf.exp(-log_variance)
        at_zero = tf.reduce_sum(gaussian_log_density(tf.zeros_like(mean), mean, log_variance), axis=1)

        def log_density(z: Tensor) -> Tensor:
            z = tf.cast(tf.reshape(z, (-1, mean.shape[1])), "float64")
            logs = tf.matmul(z, mean * precision, transpose_b=True)
            logs -= 0.5 * tf.matmul(tf.square(z), precision, transpose_b=True)
            return tf.cast(tf.reduce_logsumexp(logs + at_zero, axis=1) - math.log(self.components), "float32")

        return log_density

    def draw(self, n: Tensor, seed: Tensor, model: VAE) -> Tensor:
        mean, log_variance = model.moments(self.inputs)
        of_component, of_noise = tf.unstack(tf.random.experimental.stateless_split(seed, 2, alg="philox"))
        component = tf.random.stateless_uniform((n,), of_component, 0, self.components, "int32", alg="philox")
        mean, log_variance = tf.gather(mean, component), tf.gather(log_variance, component)
        noise = tf.random.stateless_normal((n, *model.code_shape), of_noise, alg="philox")
        return mean + tf.exp(0.5 * log_variance) * noise

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "components": self.components}


@keras.saving.register_keras_serializable("aezoo")
class FlowPrior(Prior):
    """RealNVP flow: an invertible map u = f(z), so that log p(z) = log N(f(z); 0, I) + log |det ∂f/∂z|.

    Each layer scales and shifts every second code unit by amounts that a small network computes from the other ones,
    and the next layer swaps the halves. f starts as the identity, so that the first p(z) is N(0, I).

    Args:
        layers: Number of layers, at least 2, so that each unit is moved.
        units: Width of the hidden layer of each network.
        seed: Seed of the initial weights.
        **kwargs: `name` of `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is out of range, or the codes have no fixed size or fewer than two units.

    Example:
        >>> import aezoo
        >>> x = np.random.default_rng(0).random((64, 8), "float32")
        >>> model = aezoo.VAE(2, hidden_dims=(16,), prior=FlowPrior(layers=2, units=8), seed=0)
        >>> model.compile(optimizer="adam")
        >>> history = model.fit(x, verbose=0)
        >>> model.sample(3).shape
        TensorShape([3, 8])

    Reference:
        Dinh, Sohl-Dickstein & Bengio, "Density estimation using Real NVP", ICLR 2017, arXiv:1605.08803; as a prior:
        Chen et al., "Variational lossy autoencoder", ICLR 2017, arXiv:1611.02731.
    """

    transports = True
    #: Largest |log s| of one layer, which a tanh bounds.
    LARGEST = 2.0

    def __init__(self, layers: int = 6, units: int = 64, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.layers = _validation.check_int("layers", layers, 2)
        self.units = _validation.check_int("units", units, 1)
        self.seed = seed

    def build_for(self, model: VAE) -> None:
        if None in model.code_shape or math.prod(model.code_shape) < 2:
            raise ValueError(
                f"A FlowPrior moves code units by the values of others, but codes have shape {model.code_shape}: "
                "choose codes of a fixed size and at least 2 units."
            )
        self.build_units(math.prod(model.code_shape))

    def build_units(self, size: int) -> None:
        """Create the networks of a flow of `size` units."""
        self.masks = [np.arange(size) % 2 == i % 2 for i in range(self.layers)]
        self.networks = []
        for i, moved in enumerate(self.masks):
            seed = None if self.seed is None else self.seed + i
            network = keras.Sequential(
                [
                    keras.Input((size - int(moved.sum()),)),
                    keras.layers.Dense(
                        self.units, "tanh", kernel_initializer=keras.initializers.GlorotUniform(seed), dtype="float32"
                    ),
                    keras.layers.Dense(2 * int(moved.sum()), kernel_initializer="zeros", dtype="float32"),
                ],
                name=f"coupling_{i}",
            )
            self.networks.append(network)

    def _moves(self, i: int, z: Tensor) -> tuple[Any, Any]:
        """Return log s and t of layer i for each unit, zero for the units that stay."""
        moved = np.flatnonzero(self.masks[i])
        log_scale, shift = ops.split(self.networks[i](ops.take(z, np.flatnonzero(~self.masks[i]), axis=-1)), 2, axis=-1)
        place = np.eye(z.shape[-1], dtype="float32")[moved]  # (moved, all)
        return self.LARGEST * ops.tanh(log_scale) @ place, shift @ place

    def forward(self, z: Tensor, varies: Any = 1.0) -> tuple[Any, Any]:
        """Return f(z), (n, size), and log |det ∂f/∂z|, (n,), of codes (n, size).

        Args:
            z: Codes, (n, size).
            varies: 1 for each unit of the flow and 0 for units that stay 0, (size,).
        """
        log_det: Any = 0.0
        z = z * varies
        for i in range(self.layers):
            log_scale, shift = (move * varies for move in self._moves(i, z))
            z = z * ops.exp(log_scale) + shift
            log_det += ops.sum(log_scale, axis=-1)
        return z, log_det

    def inverse(self, u: Tensor, varies: Any = 1.0) -> Tensor:
        """Return the codes z with f(z) = u, (n, size) → (n, size); `varies` as in `forward`."""
        u = u * varies
        for i in reversed(range(self.layers)):
            log_scale, shift = (move * varies for move in self._moves(i, u))
            u = (u - shift) * ops.exp(-log_scale)
        return u

    def log_density(self, z: Tensor, model: VAE) -> Tensor:
        rank = len(model.code_shape)
        rows = tf.reshape(as_float32(z), (-1, math.prod(model.code_shape)))
        u, log_det = self.forward(rows)
        return tf.reshape(_sum(gaussian_log_density(u), 1) + log_det, tf.shape(z)[: len(z.shape) - rank])

    def transport(self, u: Tensor, model: VAE) -> Tensor:
        rows = tf.reshape(u, (-1, math.prod(model.code_shape)))
        return tf.reshape(self.inverse(rows), tf.shape(u))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layers": self.layers, "units": self.units, "seed": self.seed}


def _sum(values: Tensor, rank: int) -> Tensor:
    """Sum over the axes of a code, the last `rank` ones."""
    return ops.sum(values, axis=tuple(range(-rank, 0)))


#: Priors by name.
NAMED: dict[str, type[Prior]] = {"vamp": VampPrior, "flow": FlowPrior}
Name = Literal["vamp", "flow"]
"""Names of priors."""


def get(prior: str | Prior | dict[str, Any] | None) -> Prior | None:
    """Return a new prior that belongs to no model yet, or None for N(0, I).

    Args:
        prior: "vamp" or "flow" for the defaults; a `Prior`, which is copied without its weights; its configuration as
            serialized by Keras; or None.

    Raises:
        ValueError: If `prior` is none of these.

    Example:
        >>> get("vamp").components
        500
    """
    if isinstance(prior, str) and prior in NAMED:
        return NAMED[prior]()
    if isinstance(prior, dict):
        prior = keras.saving.deserialize_keras_object(prior)
    if prior is None:
        return None
    if not isinstance(prior, Prior):
        names = ", ".join(map(repr, NAMED))
        raise ValueError(f"prior must be {names}, an aezoo.priors.Prior, or None for N(0, I), but it is {prior!r}.")
    return type(prior).from_config(prior.get_config())
