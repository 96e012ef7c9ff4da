"""Samplers: distributions that are fitted to the codes of a trained autoencoder, to generate samples from."""

from __future__ import annotations

import os
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aezoo import _validation
from aezoo._numerics import as_float32
from aezoo._typing import ArrayLike, Self, Shape, Tensor
from aezoo.layers import RandomState
from aezoo.models.autoencoder import Autoencoder
from aezoo.saving import export
from aezoo.training.trainer import Trainer


class CodeSampler:
    """Base class of distributions of the codes of a trained autoencoder.

    Fit one to codes, `sampler.fit(model.encode(x))`; `sampler.sample(n)` then draws codes and decodes them. This lets
    any autoencoder generate samples. The autoencoder is not changed.

    A subclass defines `sample_codes`.

    Args:
        autoencoder: A built autoencoder whose codes have a fixed shape.

    Raises:
        ValueError: If the autoencoder is not built, or its codes vary in size.

    Example:
        >>> import aezoo
        >>> class Uniform(CodeSampler):
        ...     def sample_codes(self, n, seed=None):
        ...         return np.random.default_rng(seed).random((n, *self.autoencoder.code_shape), "float32")
        >>> model = aezoo.Autoencoder(latent_dim=2)
        >>> model.build((None, 8, 8, 1))
        >>> Uniform(model).sample(3, seed=0).shape
        TensorShape([3, 8, 8, 1])
    """

    _autoencoder: Autoencoder

    def __init__(self, autoencoder: Autoencoder):
        self._take(autoencoder)

    def _take(self, autoencoder: Autoencoder) -> None:
        if not isinstance(autoencoder, Autoencoder):
            raise ValueError(f"autoencoder must be a model of aezoo with a code, but it is {autoencoder!r}.")
        _validation.check_built(autoencoder)
        if None in autoencoder.code_shape:
            raise ValueError(
                f"Codes of {autoencoder.name!r} have shape {autoencoder.code_shape}, and no fixed size to draw: give "
                "an autoencoder of samples of a fixed size."
            )
        object.__setattr__(self, "_autoencoder", autoencoder)  # no part of the sampler, which would train its weights

    @property
    def autoencoder(self) -> Autoencoder:
        """The autoencoder that decodes the codes; it is not changed."""
        return self._autoencoder

    def sample_codes(self, n: int, seed: int | None = None) -> Tensor:
        """Draw n codes.

        Args:
            n: Number of codes.
            seed: An integer that makes the result reproducible; None draws new codes each time.

        Returns:
            (n, *code_shape) float32.

        Raises:
            ValueError: If a mixture has not been fitted, a trained sampler has not been built, or an argument is out of
                range.
        """
        raise NotImplementedError(f"{type(self).__name__} draws no codes: define sample_codes(n, seed).")

    def sample(self, n: int, seed: int | None = None, **conditions: ArrayLike) -> Tensor:
        """Draw n codes and decode them.

        Args:
            n: Number of samples.
            seed: As in `sample_codes`.
            **conditions: Conditions of the autoencoder by name, one entry per sample, or one for all.

        Returns:
            (n, *output_shape).

        Raises:
            ValueError: As in `sample_codes`, or if a condition is missing.
        """
        given: dict[str, Any] = conditions
        return self.autoencoder.decode(self.sample_codes(n, seed), **given)


class TrainedSampler(CodeSampler, Trainer):
    """Base class of samplers that are trained by gradient descent, on codes that it standardizes.

    The mean and the standard deviation of each code unit, or of each channel of a map, are measured before the first
    step on up to 5,000 training codes. A unit that does not vary among them is always drawn with its one value.

    A `.keras` file contains the autoencoder, without its optimizer and loss.

    A subclass builds its networks in `build_networks`, and defines `objective` and `draw`.

    Args:
        autoencoder: A built autoencoder whose codes have a fixed shape.
        **kwargs: `seed`, `on_divergence`, `name` and `dtype` of `Trainer`.

    Raises:
        ValueError: If the autoencoder is not built, or its codes vary in size.
    """

    takes_loss = weighs_features = False

    def __init__(self, autoencoder: Autoencoder, **kwargs: Any):
        Trainer.__init__(self, **kwargs)
        self._take(autoencoder)
        self.random = RandomState(self.seed)

    @property
    def default_loss(self) -> None:
        """None: the sampler has an error of its own."""
        return None

    def check_scale(self, x: np.ndarray) -> None:
        """Do nothing: codes of any scale are standardized."""

    def build(self, input_shape: Shape | Any) -> None:
        """Build the networks for codes of shape (batch, *code_shape)."""
        shape = tuple(input_shape[1:])
        if shape != self.autoencoder.code_shape:
            raise ValueError(
                f"Codes of {self.autoencoder.name!r} have shape {self.autoencoder.code_shape}, but these samples have "
                f"{shape}: fit the sampler on model.encode(x)."
            )
        for name, start in {"mean": "zeros", "scale": "ones"}.items():
            weight = self.add_weight(
                shape=shape[-1:],
                initializer=start,
                trainable=False,
                dtype="float32",
                name=name,
                aggregation="only_first_replica",
            )
            setattr(self, name, weight)
        self.build_networks(shape)
        self.x_shape = self.y_shape = shape
        self.make_trackers()

    def build_networks(self, shape: Shape) -> None:
        """Create the networks for standardized codes of a shape."""
        raise NotImplementedError

    def initialize_from(self, x: np.ndarray) -> None:
        if np.any(self.mean.numpy()):
            return  # continues a training
        x = np.asarray(x, "float64").reshape(-1, x.shape[-1])
        self.mean.assign(x.mean(axis=0))
        self.scale.assign(np.where(np.ptp(x, axis=0) > 0, x.std(axis=0), 0.0))

    def standardized(self, codes: Tensor) -> Tensor:
        """Return codes with mean 0 and standard deviation 1 per unit, (batch, *code_shape) → the same, float32."""
        scale = ops.where(self.scale > 0, self.scale, ops.ones_like(self.scale))
        return (as_float32(codes) - self.mean) / scale

    def codes(self, standardized: Tensor) -> Tensor:
        """Return the codes of standardized ones, (batch, *code_shape) → the same, float32."""
        return self.mean + self.scale * standardized

    def sample_codes(self, n: int, seed: int | None = None) -> Tensor:
        return self._drawn(n, seed)

    def _drawn(self, n: int, seed: int | None, *options: Tensor) -> Tensor:
        _validation.check_built(self)
        n = tf.constant(_validation.check_int("n", n, 1))  # a Python number would make a graph of its own
        seed = None if seed is None else _validation.check_int("seed", seed)
        return self._draw(n, self.random.seed_of(seed), *options)

    @tf.function(autograph=False, reduce_retracing=True)
    def _draw(self, n: Tensor, seed: Tensor, *options: Tensor) -> Tensor:
        return self.codes(self.draw(n, seed, *options))

    def draw(self, n: Tensor, seed: Tensor) -> Tensor:
        """Draw n standardized codes, from tensors and without checks, so that it also runs in a graph.

        Args:
            n: Number of codes.
            seed: Two integers, (2,): equal seeds draw equal codes.

        Returns:
            (n, *code_shape) float32.
        """
        raise NotImplementedError

    def export(self, filepath: str | os.PathLike[str], **kwargs: Any) -> None:  # type: ignore[override]
        """Export the autoencoder as a SavedModel with the signature `sample`, which draws from the sampler.

        `sample` takes the integers n and seed. It accepts n of up to 10,000, and at most as many samples as have 2²⁵
        values.

        Args:
            filepath: Path of the folder to write.
            **kwargs: `warmup`, `half` and `preprocessing` of `Autoencoder.export`.

        Raises:
            ValueError: If the sampler has not been built, or the autoencoder takes conditions.
            FileExistsError: If the folder contains other files.
        """
        _validation.check_built(self)
        if self.autoencoder.condition_names:
            raise ValueError(
                f"The signature `sample` takes no conditions, but {self.autoencoder.name!r} takes "
                f"{', '.join(self.autoencoder.condition_names)}: export the autoencoder and decode drawn codes."
            )
        export.saved_model(self.autoencoder, filepath, signatures=self.signatures(), **kwargs)

    def signatures(self) -> dict[str, tuple[Any, dict[str, tf.TensorSpec], str]]:
        """Return the signatures of the autoencoder, and `sample`; see `Autoencoder.signatures`."""

        def sample(n: Tensor, seed: Tensor) -> Tensor:
            n = export.inside("n", n, 1, export.most_samples(self.autoencoder.y_shape))
            return self.autoencoder.run_decoder(self.codes(self.draw(n, self.random.seed_of(seed))))

        inputs = {"n": tf.TensorSpec((), "int32", name="n"), "seed": tf.TensorSpec((), "int64", name="seed")}
        return {**self.autoencoder.signatures(), "sample": (sample, inputs, "sample")}

    def get_config(self) -> dict[str, Any]:
        autoencoder = keras.saving.serialize_keras_object(self.autoencoder)
        autoencoder.pop("compile_config", None)  # a file has no state of its optimizer
        return {**super().get_config(), "autoencoder": autoencoder}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:  # type: ignore[override]
        """Create a sampler from the result of `get_config`."""
        config = dict(config)
        if isinstance(config["autoencoder"], dict):
            config["autoencoder"] = keras.saving.deserialize_keras_object(config["autoencoder"])
        return cls(**config)
