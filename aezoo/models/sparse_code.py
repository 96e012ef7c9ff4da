"""The base class of sparse codes with a dictionary of directions of norm 1."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from aezoo import _validation, losses
from aezoo._typing import Shape
from aezoo.layers import Centering, RowEncoder, Scaling, UnitNormDecoder, UnitRows
from aezoo.models.autoencoder import Autoencoder

if TYPE_CHECKING:
    from aezoo.cli.defaults import Training


class SparseCodeAE(Autoencoder):
    """Autoencoder h = W(x - x̄)/s + b, z = f(h), y' = ȳ + s' Σⱼ zⱼ ŵⱼ + b' with few active units zⱼ; ‖ŵⱼ‖ = 1.

    A variant defines f by `code_layers`. `fit` sets x̄ and ȳ to the means of the samples and the targets, and s² and s'²
    to their mean squared distances from the means; without targets, y = x. They are saved with the model. The papers'
    learning rates, thresholds and penalties, which are for data of mean squared norm 1, then apply to any data. The
    error is the squared error divided by s'²: a model that always returns ȳ has an error of 1.

    W starts as the transpose of the dictionary, whose rows ŵⱼ are random directions.

    Args:
        latent_dim: Number of code units, usually larger than the number of features.
        **kwargs: Arguments of `Autoencoder` that do not determine its networks, such as `missing` and `seed`.

    Raises:
        ValueError: If an argument of the networks is given.

    Example:
        >>> from aezoo.layers import JumpReLU
        >>> class FixedThresholdAE(SparseCodeAE):
        ...     def code_layers(self):
        ...         return [JumpReLU(threshold=0.2)]
        >>> model = FixedThresholdAE(latent_dim=16)
        >>> model.build((None, 8))
        >>> model.dictionary.shape
        (16, 8)
    """

    fixed_arguments = (*_validation.HIDDEN_LAYERS, *_validation.ACTIVATIONS, "tied", "encoder", "decoder")
    #: Activation of the encoder, before the variant's own layers.
    pre_activation = "linear"

    def __init__(self, latent_dim: int | None = None, **kwargs: Any):
        _validation.check_left_out(self, self.fixed_arguments, kwargs, "has one dense layer per network")
        linear: dict[str, Any] = {name: "linear" for name in _validation.ACTIVATIONS}
        super().__init__(latent_dim, **linear, **kwargs)
        self.target_variance = self.add_weight(
            shape=(),
            initializer="ones",
            trainable=False,
            name="target_variance",
            aggregation="only_first_replica",
        )

    @property
    def default_loss(self) -> keras.losses.Loss:
        """Squared error divided by s'²."""
        return losses.NormalizedSquaredError(self.target_variance)

    def build_encoder(self, x_shape: Shape, *args: Any, **kwargs: Any) -> keras.Model:
        dtype = self.dtype_policy
        code = RowEncoder(
            self.latent_dim,
            activation=self.pre_activation,
            kernel_initializer=UnitRows(self.seed),
            name="code",
            dtype=dtype,
        )
        layers = [keras.Input(x_shape), Centering(dtype=dtype), Scaling(dtype=dtype)]
        return keras.Sequential([*layers, keras.layers.Flatten(dtype=dtype), code], name="encoder")

    def build_decoder(self, x_shape: Shape, *args: Any, **kwargs: Any) -> keras.Model:
        seed = self.encoder.layers[0].layers[-1].kernel_initializer.seed
        rows = UnitNormDecoder(math.prod(x_shape), kernel_initializer=UnitRows(seed), dtype=self.dtype_policy)
        reshape = keras.layers.Reshape(x_shape, dtype=self.dtype_policy)
        scaling = Scaling(dtype="float32", name="output")
        return keras.Sequential([keras.Input((self.latent_dim,)), rows, reshape, scaling], name="decoder")

    def check_scale(self, x: np.ndarray) -> None:
        """Accept any scale, since the model standardizes its data."""

    def initialize_from(self, x: np.ndarray, y: np.ndarray | None = None) -> None:
        """Set x̄, s, ȳ and s' from samples and targets; see the class."""
        centering, scaling = self.encoder.layers[0].layers[:2]
        rows, _, output = self.decoder.layers
        if np.any(centering.mean) or np.any(rows.bias) or np.any(output.scale != 1):
            return
        mean, scale = _moments(x)
        centering.mean.assign(mean)
        scaling.scale.assign(1 / scale)
        mean, scale = _moments(x if y is None else y)
        rows.bias.assign(mean / scale)
        output.scale.assign(scale)
        self.target_variance.assign(scale**2)

    @property
    def dictionary(self) -> np.ndarray:
        """The directions ŵⱼ that the units stand for, of norm 1, (latent_dim, *output_shape)."""
        _validation.check_built(self)
        rows = self.decoder.layers[0]
        kernel = keras.ops.convert_to_numpy(rows.rows(rows.kernel.value))
        return np.reshape(kernel, (-1, *self.y_shape))

    @classmethod
    def cli_defaults(cls, training: Training) -> dict[str, Any]:
        return {"latent_dim": training.given.get("latent_dim", training.latent_dim)}

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {name: value for name, value in config.items() if name not in self.fixed_arguments}


def _moments(x: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the mean of some samples, as a vector, and the root of their mean squared distance from it."""
    flat = np.reshape(np.asarray(x, "float64"), (len(x), -1))
    mean = np.nanmean(flat, axis=0)
    scale = float(np.sqrt(np.sum(np.nanmean(np.square(flat - mean), axis=0))))
    return mean, scale if scale > 0 else 1.0
