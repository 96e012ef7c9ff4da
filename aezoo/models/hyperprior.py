"""The scale hyperprior and the mean-scale hyperprior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from aezoo import _validation, codec
from aezoo._typing import Activation, Shape, Tensor
from aezoo.layers._hyperprior import HyperCode, HyperDecode, HyperNetworks, gaussian_bits
from aezoo.models.autoencoder import Autoencoder
from aezoo.models.compressive import CompressiveAE

if TYPE_CHECKING:
    from aezoo.cli.defaults import Training


@keras.saving.register_keras_serializable("aezoo")
class HyperpriorAE(CompressiveAE):
    """Compressive autoencoder of images whose code is Gaussian with scales that side information predicts.

    y = g_a(x), ẑ = round(h_a(abs(y))), ŷ = round(y), x' = g_s(ŷ), and
    rate = -Σ log₂ ∫ N(t; 0, σ²) dt over ŷ - ½ < t < ŷ + ½ - Σ log₂ p(ẑ), with log σ = h_s(ẑ) and a learned density p
    per channel of ẑ. With `mean_scale=True`, ẑ = round(h_a(y)), h_s(ẑ) predicts means μ as well, and
    ŷ = round(y - μ) + μ. In training, noise from U(-½, ½) replaces both roundings.

    g_a and g_s are convolutions of stride 2 with `GDN` and its inverse. A code is a map of whole numbers, one position
    per position of ẑ: the rounded y - μ of this position's block, then ẑ.

    `compress` selects the frequency tables of ŷ by whole-number arithmetic only: h_s is evaluated in fixed point. Every
    machine therefore decodes its bytes to the same code, or refuses them if it computes other tables of ẑ. The means
    are not needed for it.

    Args:
        latent_dim: Channels of y.
        hyper_filters: Channels of the convolutions of h_a that halve y. The sides of images must be divisible by
            2^(len(filters) + 1 + len(hyper_filters)).
        mean_scale: Whether h_s predicts means, too.
        weight: w > 0, in bits per unit of squared error, as in `CompressiveAE`.
        code_activation: Activation of y.
        kernel_size: Size of the kernels of g_a and g_s.
        **kwargs: Arguments of `CompressiveAE` except `hidden_dims`, `activation`, `dropout`, `normalization`,
            `residual`, `tied` and `spatial`. An encoder of your own maps images to y, (h, w, channels), and a decoder
            of your own maps ŷ to images.

    Raises:
        ValueError: If an argument is out of range, or y cannot be halved as often as `hyper_filters` has entries.

    Example:
        >>> import numpy as np
        >>> model = HyperpriorAE(latent_dim=4, filters=(8,), hyper_filters=(4,), seed=0)
        >>> model.compile(optimizer="adam")
        >>> x = np.random.default_rng(0).random((4, 16, 24, 1), "float32")
        >>> model.build(x.shape)  # the first `fit` does this, too
        >>> data = model.compress(x)  # bytes
        >>> bool(np.all(model.decompress(data) == model.reconstruct(x)))
        True

    Reference:
        Ballé et al., "Variational image compression with a scale hyperprior", ICLR 2018, arXiv:1802.01436;
        Minnen et al., "Joint autoregressive and hierarchical priors for learned image compression", NeurIPS 2018,
        arXiv:1809.02736, for the means, without its context model.
    """

    fixed_arguments = ("hidden_dims", "activation", "dropout", "normalization", "residual", "tied", "spatial")
    separable_bits = False

    def __init__(
        self,
        latent_dim: int | None = None,
        *,
        hyper_filters: Sequence[int] = (64, 64),
        mean_scale: bool = False,
        weight: float = 10.0,
        code_activation: Activation | None = "linear",
        kernel_size: int = 5,
        **kwargs: Any,
    ):
        given = dict.fromkeys(kwargs, True)  # also if the value is None
        _validation.check_left_out(self, self.fixed_arguments, given, "is convolutional, with GDN")
        super().__init__(
            latent_dim,
            weight=weight,
            spatial=kwargs.get("encoder") is None,
            code_activation=code_activation,
            kernel_size=kernel_size,
            **kwargs,
        )
        self.hyper_filters = _validation.check_ints("hyper_filters", hyper_filters)
        if not self.hyper_filters:
            raise ValueError("hyper_filters is empty: give the channels of at least one convolution, such as (64, 64).")
        self.mean_scale = mean_scale

    # === Networks ===

    def build(self, input_shape: Shape | Any) -> None:
        if len(input_shape) != 4:
            raise ValueError(f"HyperpriorAE needs images (height, width, channels), not samples {input_shape[1:]}.")
        analysis, synthesis = self.encoder, self.decoder
        if self.spatial:
            analysis, synthesis = self.build_spatial(input_shape, gdn=True)
            input_shape = (None, None, None, input_shape[-1])
        elif synthesis is None:
            synthesis = self.build_decoder(tuple(input_shape[1:]))
        y = _validation.call_network("encoder", analysis, keras.Input(tuple(input_shape[1:]))).shape[1:]
        block = 2 ** len(self.hyper_filters)
        if len(y) != 3 or any(size is not None and size % block for size in y[:2]):
            raise ValueError(
                f"The encoder's output has shape {tuple(y)}, but hyper_filters halve it {len(self.hyper_filters)} "
                f"times: it must be (height, width, channels), with sides that {block} divides."
            )
        self.hyper_networks = HyperNetworks(y[-1], self.hyper_filters, self.mean_scale, self.seed)
        code = keras.Input(self.hyper_networks.packed_shape(y))
        self.encoder = analysis
        self.decoder = keras.Sequential([code, HyperDecode(self.hyper_networks), synthesis], name="decoder")
        Autoencoder.build(self, input_shape)
        self.density.build((None, self.hyper_filters[-1]))

    def code_layers(self) -> list[keras.layers.Layer]:
        return [HyperCode(self.hyper_networks, self.quantizer)]

    @property
    def stride(self) -> int:
        return super().stride * 2 ** len(self.hyper_filters)

    # === The objective ===

    def bits(self, code: Tensor) -> Tensor:
        rounded, side = self.hyper_networks.unpack(code)
        bits = gaussian_bits(rounded, self.hyper_networks.log_scale(side))
        return self.hyper_networks.pack(bits, self.density(side))

    # === Self-description ===

    @classmethod
    def cli_defaults(cls, training: Training) -> dict[str, Any]:
        """Return defaults for images of at least 4 x 4 pixels, with sides that 4 divides."""
        return {"latent_dim": 16, "hyper_filters": (16,)}

    # === Verbs ===

    def codec(self) -> codec.HyperCodec:
        """Return the codec that converts integer codes to bytes and back, for the model's current weights."""
        _validation.check_built(self)
        tables = codec.tables(self.density.cumulative, self.hyper_filters[-1])
        network = self.hyper_networks.integer_log_scale()
        return codec.HyperCodec(tables, self.code_shape, self._values(), self._decoder_fingerprint(), network=network)

    def dummy_inputs(self, n: int) -> Tensor:
        sizes = [size or max(64, self.stride) for size in self.x_shape[:-1]]
        return ops.ones((n, *sizes, self.x_shape[-1]), dtype=self.input_dtype)

    def get_config(self) -> dict[str, Any]:
        config = {name: value for name, value in super().get_config().items() if name not in self.fixed_arguments}
        return {**config, "hyper_filters": self.hyper_filters, "mean_scale": self.mean_scale}
