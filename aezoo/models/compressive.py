"""The compressive autoencoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from aezoo import _validation, codec
from aezoo.layers import FactorizedDensity, Quantizer, networks
from aezoo.models.autoencoder import Autoencoder
from aezoo.training.batch import Batch

# What encode and decode take at once, in image values; the activations of a convolutional net are some times more.
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

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        weight: float = 10.0,
        spatial: bool = False,
        code_activation: Any = "linear",
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

    def build(self, input_shape: Any) -> None:
        if self.spatial:
            rank, channels = len(input_shape) - 2, input_shape[-1]
            self.encoder, self.decoder = networks.spatial(
                channels,
                self.latent_dim,
                rank=rank,
                filters=self.filters,
                activation=self.activation,
                code_activation=self.code_activation,
                output_activation=self.output_activation,
                dropout=self.dropout,
                normalization=self.normalization,
                kernel_size=self.kernel_size,
                upsampling=self.upsampling,
                residual=self.residual,
                seed=self.seed,
                dtype=self.dtype_policy,
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

    def _ensure_built(self, x_shape: Sequence[int | None], data: Any = None) -> None:
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

    def rate(self, code: Any) -> Any:
        """Returns -log₂ p of codes (batch, ..., channels) under the learned density, (batch,) float32, in bits."""
        bits = self.density(code)
        return ops.sum(bits, axis=tuple(range(1, len(bits.shape))))

    # === Verbs ===

    def encode(self, x: Any) -> Any:
        """Returns the code of x, whole numbers as float32: (batch, latent_dim), or (batch, h, w, latent_dim)."""
        x = self._input(x)
        return _in_pieces(lambda part: self.encoder(part, training=False), x, math.prod)

    def decode(self, z: Any) -> Any:
        """Returns the reconstruction x' of a code z, (batch, *input_shape); whole numbers may be of any dtype."""
        _validation.check_built(self)
        z = ops.convert_to_tensor(z)
        _validation.check_code_shape(self, z.shape)
        z = ops.cast(z, self.variable_dtype)

        def values(shape: Sequence[int]) -> int:
            return math.prod(shape[:-1]) * self._values()

        return _in_pieces(lambda part: self.decoder(part, training=False), z, values)

    def compress(self, x: Any) -> bytes:
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

    def decompress(self, data: bytes, limit: int = codec.LIMIT) -> Any:
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
            for layer in self.decoder._flatten_layers()
        ]
        tied = self.encoder.trainable_variables if self.tied else []
        arrays = [np.asarray(variable) for variable in (*self.decoder.variables, *tied)]
        shapes = [array.shape for array in arrays]
        return codec.fingerprint(repr((kinds, self.x_shape, shapes)).encode(), *(a.tobytes() for a in arrays))

    # === Saving ===

    def export(self, filepath: Any, format: str = "tf_saved_model", **kwargs: Any) -> None:
        """Writes the model for inference elsewhere, as `Autoencoder.export` says.

        Codes are int32 in the signatures `encode` and `decode` of a SavedModel. `aezoo.codec.Codec.load(filepath)`
        reads, without Keras and TensorFlow, what turns the bytes of `compress` into them.

        Raises:
            ValueError: If the model has not been built, or is spatial and the format is another.
        """
        if self.spatial and format != "tf_saved_model":
            raise ValueError(f"format={format!r} needs images of one size: export a model that is not spatial.")
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


def _in_pieces(function: Callable[[Any], Any], x: Any, values: Callable[[Sequence[int]], int]) -> Any:
    """Calls a network on so much of a large batch at a time as memory allows; in a graph, on all of it.

    Where the pieces begin depends on the shape alone, so that the same batch always takes the same path, to the bit.
    """
    if None in x.shape:
        return function(x)
    size = max(1, _PIECE // max(1, values(x.shape[1:])))
    pieces = [function(x[start : start + size]) for start in range(0, max(1, x.shape[0]), size)]
    return pieces[0] if len(pieces) == 1 else ops.concatenate(pieces, axis=0)
