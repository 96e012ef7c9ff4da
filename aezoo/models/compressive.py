"""The compressive autoencoder."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aezoo import _keras, _validation, codec
from aezoo._typing import Activation, Data, Shape, Tensor
from aezoo.layers import FactorizedDensity, Quantizer, networks
from aezoo.models.autoencoder import Autoencoder
from aezoo.training.batch import Batch

if TYPE_CHECKING:
    from aezoo.cli.defaults import Training
    from aezoo.training.gate import Validated

# Image values that `decode` computes at once from spatial codes; activations take a multiple of this.
_PIECE = 2**20


@keras.saving.register_keras_serializable("aezoo")
class CompressiveAE(Autoencoder):
    """Compressive autoencoder: minimizes rate + w · distortion, the bits of its rounded code and the squared error.

    rate = -Σ log₂ p(ŷ) under a learned density per channel of the code, ŷ = round(y); in training ŷ = y + u,
    u ~ U(-½, ½). `encode` returns integers. `compress` writes them with an entropy coder that uses the density, so that
    their size in bits is close to the rate; `decompress` decodes them.

    Training reports the terms `rate`, in bits per sample, and `distortion`, and the metric `reconstruction`, which is
    the distortion without the factor w.

    Args:
        latent_dim: Number of code units, or channels of a spatial code.
        weight: w > 0, in bits per unit of reconstruction error, which is summed over features. With Keras' "mse", which
            averages over features, multiply w by the number of features for the same trade-off.
        spatial: Whether to use only convolutions, so that the code has shape (h, w, latent_dim) and the model accepts
            images of every size that is divisible by 2^(len(filters) + 1).
        code_activation: σ of the code before rounding.
        kernel_size: Size of the kernels of convolutions; None takes 5 for a spatial code and 3 otherwise.
        **kwargs: Arguments of `Autoencoder`.

    Raises:
        ValueError: If an argument is out of range, or `spatial` is combined with dense layers or your own networks.

    Example:
        >>> import numpy as np
        >>> model = CompressiveAE(latent_dim=8, weight=10.0, seed=0)
        >>> model.compile(optimizer="adam")
        >>> x = np.random.default_rng(0).random((32, 8, 8, 1), "float32")
        >>> model.build(x.shape)  # the first `fit` does this, too
        >>> data = model.compress(x)  # bytes
        >>> bool(np.all(model.decompress(data) == model.reconstruct(x)))
        True

    Reference:
        Ballé et al., "End-to-end optimized image compression", ICLR 2017, arXiv:1611.01704;
        Ballé et al., "Variational image compression with a scale hyperprior", ICLR 2018, arXiv:1802.01436, for the
        density.
    """

    term_names: tuple[str, ...] = ("rate", "distortion")
    metric_names = ("reconstruction",)
    compresses = True
    separable_bits: bool = True
    """True if the bits of an entry of a code depend on nothing but this entry and its channel."""

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        weight: float = 10.0,
        spatial: bool = False,
        code_activation: Activation | None = "linear",
        kernel_size: int | None = None,
        **kwargs: Any,
    ):
        if kernel_size is None:
            kernel_size = 5 if spatial else 3
        super().__init__(latent_dim, code_activation=code_activation, kernel_size=kernel_size, **kwargs)
        _validation.check_open_interval("weight", weight, 0, math.inf)
        if spatial and (latent_dim is None or self.hidden_dims or self.tied):
            raise ValueError(
                "spatial=True builds networks of convolutions only: give latent_dim and filters, and no hidden_dims, "
                "tied=True or networks of your own."
            )
        self.weight = weight
        self.spatial = spatial
        self.quantizer = Quantizer(self.seed)
        self.density = FactorizedDensity(self.seed)

    # === Networks ===

    def build(self, input_shape: Shape | Any) -> None:
        if self.spatial:
            self.encoder, self.decoder = self.build_spatial(input_shape)
            input_shape = (None, *[None] * (len(input_shape) - 2), input_shape[-1])
        super().build(input_shape)
        self.density.build((None, *self.code_shape))

    def build_spatial(self, input_shape: Shape, **kwargs: Any) -> tuple[keras.Sequential, keras.Sequential]:
        """Build an encoder and a decoder of convolutions only.

        Args:
            input_shape: Shape of a batch, (batch, ..., channels).
            **kwargs: Further arguments for `aezoo.layers.spatial`.
        """
        return networks.spatial(
            input_shape[-1],
            self.latent_dim,
            rank=len(input_shape) - 2,
            code_activation=self.code_activation,
            output_activation=self.output_activation,
            upsampling=self.upsampling,
            **self._network_arguments(),
            **kwargs,
        )

    def code_layers(self) -> list[keras.layers.Layer]:
        return [self.quantizer]

    @property
    def stride(self) -> int:
        """The number of pixels per position of a spatial code, along each axis."""
        return 2 ** (len(self.filters) + 1)

    def _ensure_built(self, x_shape: Shape, data: Validated | None = None) -> None:
        sizes = x_shape[1:-1] if self.spatial else ()
        if any(size is not None and size % self.stride for size in sizes):
            raise ValueError(
                f"Images of {' x '.join(map(str, sizes))} cannot be halved {self.stride.bit_length() - 1} times: crop "
                f"or pad them to multiples of {self.stride}, or give fewer filters."
            )
        super()._ensure_built(x_shape, data)

    # === The objective ===

    def objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any]:
        forward = self.forward(batch, training)  # with a noisy or rounded code
        error = self.reconstruction(batch, forward.y_pred)
        reported = {
            "rate": batch.mean(self.rate(forward.code)),
            "distortion": self.weight * error,
            "reconstruction": error,
        }
        return reported, forward.y_pred

    def rate(self, code: Tensor) -> Tensor:
        """Return -log₂ p of codes (batch, ..., channels) under the learned density, (batch,) float32, in bits."""
        bits = self.bits(code)
        return ops.sum(bits, axis=tuple(range(1, len(bits.shape))))

    def bits(self, code: Tensor) -> Tensor:
        """Return -log₂ p of each entry of codes (batch, ..., channels), of the same shape, float32."""
        return self.density(code)

    # === Self-description ===

    @classmethod
    def cli_defaults(cls, training: Training) -> dict[str, Any]:
        """Return defaults with one hidden layer; without it, a code of few bits is little better than a linear code."""
        own = training.given.get("filters") or training.given.get("spatial")
        return {"latent_dim": 32, **({} if own else {"hidden_dims": (500,)})}

    def report_measures(self, x: Tensor, code: Tensor) -> dict[str, Any]:
        return {"rate": self.rate(code)}

    # === Verbs ===

    def encode(self, x: Data, *, batch_size: int | None = None) -> Tensor:  # type: ignore[override]  # no conditions
        """Return the code of x, integers stored as float32: (n, latent_dim), or (n, h, w, latent_dim)."""
        return super().encode(x, batch_size=batch_size)

    def decode(self, z: Data, *, batch_size: int | None = None) -> Tensor:  # type: ignore[override]
        """Return the reconstruction x' of a code z, (n, *input_shape). Codes may have any integer or float dtype.

        The split into batches depends only on the shape of the codes, so that equal codes decode to equal bits.
        """
        _validation.check_built(self)
        if self.spatial and batch_size is None and hasattr(z, "shape") and None not in z.shape[1:]:
            values = math.prod(z.shape[1:-1]) * self._values()
            batch_size = max(1, _PIECE // max(1, values))
        return super().decode(z, batch_size=batch_size)

    def reconstruct(self, x: Data, *, batch_size: int | None = None) -> Tensor:  # type: ignore[override]
        """Return the reconstruction x', (n, *input_shape), identical bit for bit to `decompress(compress(x))`."""
        return self.decode(self.encode(x, batch_size=batch_size), batch_size=batch_size)

    def compress(self, x: Data) -> bytes:
        """Compress samples to bytes, one container per batch.

        Args:
            x: Samples, (batch, *input_shape).

        Returns:
            Bytes that `decompress` turns into `reconstruct(x)`.

        Raises:
            ValueError: If the model does not accept x.
            ImportError: If constriction is not installed.
        """
        return self.codec().encode(self.encode(x))

    def decompress(self, data: bytes, limit: int = codec.LIMIT) -> Tensor:
        """Decompress the bytes that `compress` wrote.

        Args:
            data: The bytes.
            limit: Maximum number of image values (samples times features) to allocate memory for.

        Returns:
            x', (batch, *input_shape), equal to `reconstruct(x)`.

        Raises:
            ValueError: If the bytes are corrupt, come from another model or format version, or decode to more than
                `limit` values.
            ImportError: If constriction is not installed.
        """
        return self.decode(self.codec().decode(data, limit)[0])

    def codec(self) -> codec.Codec:
        """Return the codec that converts integer codes to bytes and back, for the model's current weights."""
        _validation.check_built(self)
        tables = codec.tables(self.density.cumulative, self.code_shape[-1])
        return codec.Codec(tables, self.code_shape, self._values(), self._decoder_fingerprint())

    def _values(self) -> int:
        """Return the number of image values per position of the code."""
        if self.spatial:
            return self.stride ** (len(self.x_shape) - 1) * self.x_shape[-1]
        return math.ceil(math.prod(self.x_shape) / math.prod(self.code_shape[:-1]))

    def _decoder_fingerprint(self) -> bytes:
        """Return a fingerprint of what the decoder computes: its layers' types, activations and weights."""
        kinds = [
            (type(layer).__name__, getattr(getattr(layer, "activation", None), "__name__", ""))
            for layer in _keras.all_layers(self.decoder)
        ]
        tied = self.encoder.trainable_variables if self.tied else []
        arrays = [np.asarray(variable) for variable in (*self.decoder.variables, *tied)]
        shapes = [array.shape for array in arrays]
        return codec.fingerprint(repr((kinds, self.x_shape, shapes)).encode(), *(a.tobytes() for a in arrays))

    # === Saving ===

    def export(  # type: ignore[override]
        self, filepath: str | os.PathLike[str], format: str = "tf_saved_model", **kwargs: Any
    ) -> None:
        """Export the model for inference; see `Autoencoder.export`.

        Codes are int32 in the signatures `encode` and `decode`. `aezoo.codec.Codec.load(filepath)` loads the codec from
        a SavedModel, without Keras and TensorFlow, and converts between these codes and the bytes of `compress`.

        Raises:
            ValueError: If the model has not been built.
        """
        super().export(filepath, format=format, **kwargs)

    def write_extra_assets(self, folder: Path) -> None:
        self.codec().save(folder / codec.IN_SAVED_MODEL)

    def signatures(self) -> dict[str, tuple[Any, dict[str, tf.TensorSpec], str]]:
        signatures = super().signatures()
        encode, x, code = signatures["encode"]
        z = {"z": tf.TensorSpec((None, *self.code_shape), "int32", name="z")}
        return {
            **signatures,
            "encode": (lambda x: ops.cast(encode(x), "int32"), x, code),
            "decode": (self.decode, z, "reconstruction"),
        }

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight, "spatial": self.spatial}
