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

# What decode takes at once of a code in space, in image values; the activations of a network are some times more.
_PIECE = 2**20


@keras.saving.register_keras_serializable("aezoo")
class CompressiveAE(Autoencoder):
    """Minimises rate + w · distortion: the bits of the rounded code under a learned density, and the squared error.

    rate = -Σ log₂ p(ŷ), ŷ = round(y), each channel of the code with a density of its own; in training ŷ = y + u,
    u ~ U(-½, ½). What `encode` gives are whole numbers. `compress` writes them with an entropy coder that knows the
    density, in about as many bits as the rate says, and `decompress` decodes them.

    Reported are the terms `rate`, in bits a sample, and `distortion`, and beside them the `reconstruction` error, which
    is the distortion before w is multiplied on.

    Args:
        latent_dim: Number of code units, or channels of a spatial code.
        weight: w > 0, bits for each unit of reconstruction error, which is summed over features; beside Keras' "mse",
            which is averaged over them, the same trade-off takes w times the number of features.
        spatial: Whether networks of convolutions alone give a code (h, w, latent_dim), so that images of all sizes are
            taken that 2^(len(filters) + 1) divides.
        code_activation: σ of the code before it is rounded.
        kernel_size: Size of the kernels of convolutions; None takes 5 for a spatial code and 3 otherwise.
        **kwargs: Those of `Autoencoder`.

    Raises:
        ValueError: If an argument is out of range, or `spatial` is asked of dense networks or those of your own.

    Example:
        >>> import numpy as np
        >>> model = CompressiveAE(latent_dim=8, weight=10.0, seed=0)
        >>> model.compile(optimizer="adam")
        >>> x = np.random.default_rng(0).random((32, 8, 8, 1), "float32")
        >>> model.build(x.shape)  # as the first `fit` does by itself
        >>> data = model.compress(x)  # bytes
        >>> bool(np.all(model.decompress(data) == model.reconstruct(x)))
        True

    Reference:
        Ballé et al., "End-to-end optimized image compression", ICLR 2017, arXiv:1611.01704;
        Ballé et al., "Variational image compression with a scale hyperprior", ICLR 2018, arXiv:1802.01436, for the
        density.
    """

    term_names = ("rate", "distortion")
    metric_names = ("reconstruction",)
    compresses = True

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
                "spatial=True builds networks of convolutions alone: give latent_dim and filters, and no hidden_dims, "
                "tied=True or networks of your own."
            )
        self.weight = weight
        self.spatial = spatial
        self.quantizer = Quantizer(self.seed)
        self.density = FactorizedDensity(self.seed)

    # === Networks ===

    def build(self, input_shape: Shape | Any) -> None:
        if self.spatial:
            rank, channels = len(input_shape) - 2, input_shape[-1]
            self.encoder, self.decoder = networks.spatial(
                channels,
                self.latent_dim,
                rank=rank,
                code_activation=self.code_activation,
                output_activation=self.output_activation,
                upsampling=self.upsampling,
                **self._network_arguments(),
            )
            input_shape = (None, *[None] * rank, channels)
        super().build(input_shape)
        self.density.build((None, *self.code_shape))

    def code_layers(self) -> list[keras.layers.Layer]:
        return [self.quantizer]

    @property
    def stride(self) -> int:
        """The number of pixels, along each axis, that a position of a spatial code stands for."""
        return 2 ** (len(self.filters) + 1)

    def _ensure_built(self, x_shape: Shape, data: Validated | None = None) -> None:
        sizes = x_shape[1:-1] if self.spatial else ()
        if any(size is not None and size % self.stride for size in sizes):
            raise ValueError(
                f"Images of {' x '.join(map(str, sizes))} cannot be halved {len(self.filters) + 1} times: crop or pad "
                f"them to multiples of {self.stride}, or give fewer filters."
            )
        super()._ensure_built(x_shape, data)

    # === The objective ===

    def objective(self, batch: Batch, training: bool) -> tuple[dict[str, Any], Any]:
        forward = self.forward(batch, training)  # its code is noisy or rounded
        error = self.reconstruction(batch, forward.y_pred)
        reported = {
            "rate": batch.mean(self.rate(forward.code)),
            "distortion": self.weight * error,
            "reconstruction": error,
        }
        return reported, forward.y_pred

    def rate(self, code: Tensor) -> Tensor:
        """Returns -log₂ p of codes (batch, ..., channels) under the learned density, (batch,) float32, in bits."""
        bits = self.bits(code)
        return ops.sum(bits, axis=tuple(range(1, len(bits.shape))))

    def bits(self, code: Tensor) -> Tensor:
        """Returns -log₂ p of each entry of codes (batch, ..., channels), of the same shape, float32."""
        return self.density(code)

    # === Self-description ===

    @classmethod
    def cli_defaults(cls, training: Training) -> dict[str, Any]:
        """Return a hidden layer, without which a code of few bits is little better than a linear one."""
        own = training.given.get("filters") or training.given.get("spatial")
        return {"latent_dim": 32, **({} if own else {"hidden_dims": (500,)})}

    def report_measures(self, x: Tensor, code: Tensor) -> dict[str, Any]:
        return {"rate": self.rate(code)}

    # === Verbs ===

    def encode(self, x: Data, *, batch_size: int | None = None) -> Tensor:  # type: ignore[override]  # no conditions
        """Return the code of x, whole numbers as float32: (n, latent_dim), or (n, h, w, latent_dim)."""
        return super().encode(x, batch_size=batch_size)

    def decode(self, z: Data, *, batch_size: int | None = None) -> Tensor:  # type: ignore[override]
        """Return the reconstruction x' of a code z, (n, *input_shape); whole numbers may be of any dtype.

        How codes are cut in batches follows from their shape alone, so that the same codes always take the same path,
        to the bit.
        """
        _validation.check_built(self)
        if self.spatial and batch_size is None and hasattr(z, "shape") and None not in z.shape[1:]:
            values = math.prod(z.shape[1:-1]) * self._values()
            batch_size = max(1, _PIECE // max(1, values))
        return super().decode(z, batch_size=batch_size)

    def reconstruct(self, x: Data, *, batch_size: int | None = None) -> Tensor:  # type: ignore[override]
        """Return x', `decode(encode(x))`, (n, *input_shape): to the bit what `decompress(compress(x))` returns."""
        return self.decode(self.encode(x, batch_size=batch_size), batch_size=batch_size)

    def compress(self, x: Data) -> bytes:
        """Writes the codes of samples as bytes, one container for the batch.

        Args:
            x: (batch, *input_shape).

        Returns:
            The bytes, of which `decompress` makes `reconstruct(x)`.

        Raises:
            ValueError: If x is not what the model takes.
            ImportError: If constriction is not installed.
        """
        return self.codec().encode(self.encode(x))

    def decompress(self, data: bytes, limit: int = codec.LIMIT) -> Tensor:
        """Reads what `compress` wrote.

        Args:
            data: The bytes.
            limit: The most image values (samples times features) to make room for.

        Returns:
            x', (batch, *input_shape), equal to `reconstruct(x)`.

        Raises:
            ValueError: If the bytes are damaged, of another model or format version, or of more values than `limit`.
            ImportError: If constriction is not installed.
        """
        return self.decode(self.codec().decode(data, limit)[0])

    def codec(self) -> codec.Codec:
        """Returns what turns whole-number codes into bytes and back, as the model is now."""
        _validation.check_built(self)
        tables = codec.tables(self.density.cumulative, self.code_shape[-1])
        return codec.Codec(tables, self.code_shape, self._values(), self._decoder_fingerprint())

    def _values(self) -> int:
        """The number of image values that a position of the code stands for."""
        if self.spatial:
            return self.stride ** (len(self.x_shape) - 1) * self.x_shape[-1]
        return math.ceil(math.prod(self.x_shape) / math.prod(self.code_shape[:-1]))

    def _decoder_fingerprint(self) -> bytes:
        """Tells decoders apart by what they compute: the kinds of their layers, activations and weights."""
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
        """Write the model for inference elsewhere, as `Autoencoder.export` says.

        Codes are int32 in the signatures `encode` and `decode`. `aezoo.codec.Codec.load(filepath)` reads from a
        SavedModel, without Keras and TensorFlow, what turns the bytes of `compress` into them.

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
